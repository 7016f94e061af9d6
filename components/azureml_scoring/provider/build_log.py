"""What `pulumi up` shows of a build's log: a line a step, and now and then how far a long step is. Pure.

Refuses to own reading the log and hiding its secrets (`image_build.py`). Lines as BuildKit writes them for a log:
https://github.com/moby/buildkit/blob/v0.17.0/util/progress/progressui/printer.go
"""

import re
from typing import Final

from azureml_scoring.provider.arm import LOG_INTERVAL

_LONGEST: Final = 100
_SHORTEST: Final = 1.0
"""Seconds from which on it is shown how long a step took."""
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_VERTEX: Final = re.compile(r"#(\d+) (.+)")
_DONE: Final = re.compile(r"DONE (\d+(?:\.\d+)?)s")
_STEP: Final = re.compile(r"\[(.*?\d+/\d+)\] (.+)")
_TIMED: Final = re.compile(r"(?P<before>\d+(?:\.\d+)?) (?P<text>.*)|(?P<progress>.*) (?P<after>\d+(?:\.\d+)?)s")
_TELLING: Final = re.compile(r"(?i)(\d+(\.\d+)? )?(?P<text>(error|warning)\b.*)")
_LAYER: Final = re.compile(r"[0-9a-f]{12}: (?!digest)|The push refers to")
"""Docker's lines of each layer that is pushed."""


def plain(line: str) -> str:
    """Return what a terminal would show of a line: the last of what overwrites itself, without colours."""
    return _CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip()


class BuildProgress:
    """Takes the lines of a build's log in turn, and returns what is shown of each: mostly nothing."""

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}
        """Of each vertex, by BuildKit's number; empty of those that are BuildKit's own business."""
        self._shown: dict[str, float] = {}
        """The second of a vertex at which a line of it was shown last."""

    def __call__(self, line: str) -> str:
        """Return the line to show; empty where there is none. The line is `plain`."""
        vertex = _VERTEX.fullmatch(line)
        if vertex is None:
            return "" if _LAYER.match(line) else line
        number, text = vertex.groups()
        if number not in self._titles:
            return self._begun(number, text)
        title = self._titles[number]
        if telling := _TELLING.fullmatch(text):
            return _short(f"{title or 'build'}: {telling['text']}")
        if title and (done := _DONE.fullmatch(text)):
            return f"{title}: done in {done[1]} s" if float(done[1]) >= _SHORTEST else ""
        timed = _TIMED.fullmatch(text)
        return self._going_on(number, timed) if timed and title else ""

    def _begun(self, number: str, text: str) -> str:
        step = _STEP.fullmatch(text)
        self._titles[number] = f"step {step[1]}" if step else "" if text.startswith("[") else _short(text)
        return _short(f"step {step[1]}: {step[2]}") if step else self._titles[number]

    def _going_on(self, number: str, timed: re.Match[str]) -> str:
        seconds = float(timed["before"] or timed["after"])
        if seconds - self._shown.get(number, 0.0) < LOG_INTERVAL:
            return ""
        self._shown[number] = seconds
        return _short(f"{self._titles[number]}, {seconds:.0f} s: {timed['text'] or timed['progress']}")


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 1]}…"
