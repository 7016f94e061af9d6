"""Which files of a build context an ignore file leaves out, as BuildKit's client decides it.

Owns the patterns and the walk. Refuses to own which ignore file counts (`content.py`). Pure but for listing folders.
https://docs.docker.com/build/concepts/context/#dockerignore-files, and for what it leaves open the code that BuildKit's
client runs, github.com/moby/patternmatcher and the filter of github.com/tonistiigi/fsutil, which the tests ask.
"""

import functools
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from azureml_scoring.plan.white_space import SPACE

_CLASS: Final = r"\[\^?(?:{0}(?:-{0})?)+\]".format(r"(?:\\.|[^\]\\-])")
_WELL_FORMED: Final = re.compile(rf"\**+(?:(?:[.?]|\\\.)\*++)?+(?:{_CLASS}|\\.|[^\[\\*])*+(?:\*.*)?", re.DOTALL)
"""What Go's filepath.Match takes when it is asked about ".": it reads as far as that may match, or to the next *."""
_SPECIAL: Final = frozenset("*[]?^\\")
_POSIX: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "punct": re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
"""https://pkg.go.dev/regexp/syntax"""


class IgnoreError(ValueError):
    """A pattern that BuildKit refuses."""


@dataclass(frozen=True)
class _Pattern:
    text: str
    """Without the ! of an exception."""
    is_exception: bool

    @property
    def stem(self) -> str:
        """The text without a wildcard at its end that stands for what a folder holds."""
        return self.text.removesuffix("/**").removesuffix("/*")

    @functools.cached_property
    def matches(self) -> Callable[[str], object]:
        """Compare a path; as in BuildKit, a pattern that is never asked may be no regular expression."""
        try:
            return _matcher(self.text)
        except re.error as error:
            raise IgnoreError(f"{self.text} is no pattern: {error}") from None


class Ignore:
    """The patterns of an ignore file."""

    def __init__(self, text: str = "") -> None:
        """Read an ignore file; raise an IgnoreError."""
        self._patterns = [_pattern(line) for line in _lines(text)]
        self._exceptions = [f"{each.stem}/" for each in self._patterns if each.is_exception]
        self._anywhere = any(_SPECIAL & {*stem} for stem in self._exceptions)

    def files(self, folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield what stays, by the bytes of its path; folders are left out. Raise an OSError."""
        waiting = [_children(str(folder), "", ())]
        while waiting:
            name, entry, above = next(waiting[-1], ("", None, ()))
            if entry is None:
                waiting.pop()
                continue
            left_out, matched = self._match(name, above)
            if not entry.is_dir(follow_symlinks=False):
                if not left_out:
                    yield name, entry
            elif not left_out or self._may_hold(name):
                waiting.append(_children(entry.path, f"{name}/", matched))

    def _match(self, name: str, above: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
        """Tell whether a path is left out, and which patterns match it or a folder above."""
        left_out, matched = False, []
        for number, pattern in enumerate(self._patterns):
            # A pattern that could change nothing is not asked, and counts as none that matches.
            hit = (above and above[number]) or (pattern.is_exception == left_out and pattern.matches(name))
            matched.append(bool(hit))
            if hit:
                left_out = not pattern.is_exception
        return left_out, tuple(matched)

    def _may_hold(self, folder: str) -> bool:
        """Tell whether a folder that is left out is walked through, since an exception may lie inside."""
        return self._anywhere or any(stem.startswith(f"{folder}/") for stem in self._exceptions)


def _children(
    folder: str, prefix: str, above: tuple[bool, ...]
) -> Iterator[tuple[str, os.DirEntry[str] | None, tuple[bool, ...]]]:
    with os.scandir(folder) as entries:
        # A folder sorts as the paths of what it holds do.
        children = sorted(entries, key=lambda each: os.fsencode(each.name) + b"/" * each.is_dir(follow_symlinks=False))
    for entry in children:
        yield prefix + entry.name, entry, above


def _lines(text: str) -> Iterator[str]:
    for line in text.removeprefix("\ufeff").split("\n"):
        pattern = line.strip(SPACE)
        if not line.startswith("#") and pattern:
            mark = "!" if pattern.startswith("!") else ""
            cleaned = pattern.removeprefix("!").strip(SPACE)
            cleaned = _clean(cleaned) if cleaned else ""
            yield mark + (cleaned[1:] if cleaned.startswith("/") and cleaned != "/" else cleaned)


def _clean(path: str) -> str:
    return posixpath.normpath(re.sub("^//+", "/", path))


def _pattern(line: str) -> _Pattern:
    line = _clean(line.strip(SPACE))
    is_exception = line.startswith("!")
    text = line.removeprefix("!")
    if not text or _WELL_FORMED.fullmatch(text) is None:
        raise IgnoreError(f"{line} is no pattern; close what [ opens, and write something behind ! and \\")
    return _Pattern(text, is_exception)


def _matcher(text: str) -> Callable[[str], object]:
    """Decide how a pattern is compared: as a whole, by start, by end, or as a regular expression."""
    pieces = re.findall(r"\*\*/?|\\.|.", text, re.DOTALL)
    kind, made = "whole", ""
    for number, piece in enumerate(pieces):
        if piece.startswith("**") and number == len(pieces) - 1:
            kind, made = ("start" if kind == "whole" else "expression"), f"{made}.*"
        elif piece.startswith("**"):
            kind, made = "expression", f"{made}(?:.*/)?"
        elif piece in {"*", "?"}:
            kind, made = "expression", f"{made}[^/]{piece.rstrip('?')}"
        elif piece[0] in "\\[]":
            kind, made = "expression", made + piece
        else:
            # moby/patternmatcher means to escape | { } as well, and does not: its table has 8 bits where 16 are asked.
            made += f"\\{piece}" if piece in ".+()$" else piece
        if piece.startswith("**") and number == 0:
            kind = "end"
    if kind == "expression":
        return re.compile(_python(f"^{made}$"), re.ASCII).search
    if kind == "start":
        return lambda name: name.startswith(text[:-2])
    if kind == "end":
        return lambda name: f"/{name}".endswith(text[2:]) if text[2:3] == "/" else name.endswith(text[2:])
    return lambda name: name == text


def _python(made: str) -> str:
    """Write one of Go's regular expressions as Python's."""
    return re.sub(r"\[(\^?)((?:\[:[^\]]*:\]|\\.|[^\]\\])+)\]|\\(.)|\{(?=,)|[$\[]", _piece, made, flags=re.DOTALL)


def _piece(match: "re.Match[str]") -> str:
    if match[0] == "[":
        raise re.error("a [ has no end")
    if match[2]:
        items = re.sub(r"\[:([^\]]*):\]|\\(.)|([\[&~|])", _item, match[2], flags=re.DOTALL)
        return f"[{match[1]}{items}]"
    return "\\Z" if match[0] == "$" else _escaped(match[3] or match[0])


def _item(match: "re.Match[str]") -> str:
    if match[1] is not None and match[1] not in _POSIX:
        raise re.error(f"[:{match[1]}:] is no class")
    return _POSIX[match[1]] if match[1] else _escaped(match[2]) if match[2] else f"\\{match[3]}"


def _escaped(character: str) -> str:
    if character in "dDsSwWbBaAfnrtvx":
        return f"\\{character}"
    if not character.isascii() or character.isalnum():
        raise re.error(f"\\{character} means nothing")
    return re.escape(character)
