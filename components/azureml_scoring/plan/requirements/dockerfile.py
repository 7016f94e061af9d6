"""A reader of Dockerfiles, as far as the checks ask: stages, instructions, variables.

Owns the grammar: comments, line continuation with the escape directive, here-documents, ARG and ENV substitution,
stages and what a stage stands on. Refuses to own any judgement, and to run anything. Pure. What PyPI has for this reads
neither here-documents nor stages that stand on one another.
https://docs.docker.com/reference/dockerfile/
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_HEREDOC: Final = re.compile(r"<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_FLAG: Final = re.compile(r"--([a-z-]+)(?:=(\S*))?\s*")


@dataclass(frozen=True)
class Instruction:
    """One instruction, in one line, with variables put in."""

    name: str
    text: str
    """All after the name, without flags."""
    flags: tuple[tuple[str, str], ...] = ()
    body: str = ""
    """The here-documents' text."""

    @property
    def words(self) -> list[str]:
        """The words of its exec form, or of its shell form as a shell splits them."""
        if self.text.startswith("["):
            try:
                listed = json.loads(self.text)
            except ValueError:
                listed = None
            if isinstance(listed, list):
                return [str(word) for word in listed]
        return split(self.text)

    @property
    def is_exec(self) -> bool:
        """Whether it is written as a list, without a shell in between."""
        return self.text.startswith("[")


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    """The image or stage it stands on, with variables put in; empty where a variable has no value."""
    name: str = ""
    instructions: list[Instruction] = field(default_factory=list)


def split(text: str) -> list[str]:
    """Split as a shell does; text that no shell understands is split at blanks."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def read(text: str, arguments: Mapping[str, str] | None = None, platform: str = "linux/amd64") -> list[Stage]:
    """Read all stages, in order."""
    given = dict(arguments or {})
    known = {"TARGETPLATFORM": platform, "TARGETOS": "linux", "TARGETARCH": platform.partition("/")[2]}
    before: dict[str, str] = {}
    """ARGs above the first FROM: those FROM lines see."""
    stages: list[Stage] = []
    scope: dict[str, str] = {}
    for name, flags, rest, body in _instructions(text):
        if name == "FROM":
            base, _, alias = _put_in(rest, {**known, **before}).partition(" ")
            parts = alias.split()
            stages.append(Stage(base, parts[1].lower() if len(parts) > 1 and parts[0].lower() == "as" else ""))
            scope = _inherited(stages, base)
        elif name == "ARG":
            for key, value in _pairs(rest, scope if stages else before):
                inherited = before.get(key, "") if stages and value is None else value or ""
                (scope if stages else before)[key] = given.get(key, inherited)
        elif stages:
            if name == "ENV":
                scope.update({key: value or "" for key, value in _pairs(rest, scope)})
            # Text with variables of the shell itself keeps them: they mean nothing to Docker.
            shown = _put_in(rest, {**known, **scope}, keep=name in {"RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK"})
            stages[-1].instructions.append(Instruction(name, shown, flags, body))
    return stages


def chain(stages: list[Stage], target: str | None = None) -> list[Stage]:
    """Return the stage that is built and those it stands on, the lowest first."""
    if not stages:
        return []
    path = [(target and stage_named(stages, target)) or stages[-1]]
    while (below := _stage(stages[: stages.index(path[0])], path[0].base)) is not None:
        path.insert(0, below)
    return path


def stage_named(stages: list[Stage], target: str) -> Stage | None:
    """Return the stage that a build's target names, by its name in any case or by its number."""
    named = (stage for stage in stages if stage.name == target.lower())
    return next(named, None) or _numbered(stages, target)


def env_of(instruction: Instruction) -> dict[str, str]:
    """Read the variables of an ENV instruction."""
    return {key: value or "" for key, value in _pairs(instruction.text, {})}


def _numbered(stages: list[Stage], target: str) -> Stage | None:
    return stages[int(target)] if target.isdecimal() and int(target) < len(stages) else None


def _stage(stages: list[Stage], base: str) -> Stage | None:
    return next((stage for stage in reversed(stages) if stage.name and stage.name == base.lower()), None)


def _inherited(stages: list[Stage], base: str) -> dict[str, str]:
    """A stage starts with the ENV of the stage it stands on, and without its ARGs."""
    below = _stage(stages[:-1], base)
    scope: dict[str, str] = {}
    for instruction in below.instructions if below else []:
        if instruction.name == "ENV":
            scope.update(env_of(instruction))
    return scope


def _instructions(text: str) -> Iterator[tuple[str, tuple[tuple[str, str], ...], str, str]]:
    """Yield (name, flags, rest, here-documents) of each instruction."""
    lines = iter(text.lstrip("\ufeff").splitlines())
    escape = "`" if re.match(r"(#[^\n]*\n)*#\s*escape\s*=\s*`", text, re.IGNORECASE) else "\\"
    for line in lines:
        whole = line.strip()
        if not whole or whole.startswith("#"):
            continue
        while whole.endswith(escape):
            # Comments and empty lines inside a continued instruction are skipped.
            following = next((more for more in lines if more.strip() and not more.strip().startswith("#")), "")
            whole = f"{whole[:-1].rstrip()} {following.strip()}".rstrip()
            if not following:
                break
        name, _, rest = whole.partition(" ")
        body = []
        if name.upper() in {"RUN", "COPY", "ADD"}:
            for _, mark in _HEREDOC.findall(rest):
                for more in lines:
                    if more.strip() == mark:
                        break
                    body.append(more)
        rest = rest.strip()
        flags = []
        while found := _FLAG.match(rest):
            flags.append((found[1], found[2] or ""))
            rest = rest[found.end() :]
        yield name.upper(), tuple(flags), rest, "\n".join(body)


def _pairs(rest: str, scope: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Yield the names and values of ARG and ENV; `ENV NAME value` is understood too."""
    words = split(rest)
    if words and "=" not in words[0] and len(words) > 1:
        yield words[0], _put_in(rest.partition(" ")[2].strip().strip("\"'"), scope)
        return
    for word in words:
        key, equals, value = word.partition("=")
        yield key, _put_in(value, scope) if equals else None


def _put_in(text: str, values: Mapping[str, str], *, keep: bool = False) -> str:
    """Put variables in; one without a value becomes nothing, or stays as it is."""

    def value(found: "re.Match[str]") -> str:
        name, kind, other = found["braced"] or found["plain"], found["kind"] or "", found["other"] or ""
        known = values.get(name)
        if "-" in kind:
            return known or _put_in(other, values, keep=keep)
        if "+" in kind:
            return _put_in(other, values, keep=keep) if known else ""
        if known is None and keep:
            return found[0]
        return known or ""

    pattern = r"(?<!\\)\$(?:\{(?P<braced>\w+)(?:(?P<kind>:?[-+?])(?P<other>[^}]*))?\}|(?P<plain>[A-Za-z_]\w*))"
    return re.sub(pattern, value, text)
