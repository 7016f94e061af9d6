"""A reader of Dockerfiles, as far as the checks ask: stages, instructions, variables.

Owns the grammar: directives, continued lines, here-documents, ARG and ENV substitution, stages and what a stage stands
on. Refuses to own any judgement, and to run anything. Pure. What PyPI has for this reads neither here-documents nor
stages that stand on one another.
https://docs.docker.com/reference/dockerfile/, and for what it leaves open BuildKit's packages
frontend/dockerfile/parser and instructions, which the tests ask.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from azureml_scoring.plan.requirements.shell_words import Lexer
from azureml_scoring.plan.white_space import SPACE

_BLANKS: Final = "[\t\v\f\r ]+"
"""What parts words; a no-break space, for instance, does not."""
_LINE_LIMIT: Final = 65_535
"""Bytes of a line at most."""
_JSON: Final = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"})
_SHELL: Final = frozenset({"CMD", "ENTRYPOINT", "RUN", "SHELL"})
"""Without a list, these have one argument: the text for the shell."""
_TEXT: Final = frozenset({"MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"})
_HOLDS_DOCUMENTS: Final = frozenset({"ADD", "COPY", "RUN"})
_LEAST: Final = {
    **dict.fromkeys(["ARG", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "SHELL", "VOLUME", *_TEXT], 1),
    **dict.fromkeys(["ADD", "COPY"], 2),
    **dict.fromkeys(["CMD", "ENTRYPOINT", "FROM", "RUN"], 0),
}
"""Instructions, and how many arguments they have at least."""


class DockerfileError(ValueError):
    """What BuildKit refuses, with its line."""


@dataclass(frozen=True)
class Document:
    """A here-document."""

    name: str
    """The word that ends it; for COPY and ADD the name of the file."""
    content: str
    expand: bool = True
    """Whether variables are put in: not where its word is quoted."""


@dataclass(frozen=True)
class Instruction:
    """One instruction; as `read` returns it with variables put in, where Docker or the shell do so."""

    name: str
    arguments: tuple[str, ...] = ()
    """What stands behind the name and the flags; of ENV and LABEL each name, value, and = where it is written."""
    flags: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()
    is_exec: bool = False
    """Whether it is written as a list, without a shell in between."""

    @property
    def text(self) -> str:
        """All arguments in one line."""
        return " ".join(self.arguments)

    @property
    def words(self) -> list[str]:
        """The arguments; a text for the shell as a shell splits it."""
        return split(self.text) if self.name in _SHELL and not self.is_exec else list(self.arguments)

    def flag(self, name: str) -> list[str]:
        """The values of a flag."""
        return [flag.partition("=")[2] for flag in self.flags if flag.startswith(f"--{name}=")]


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    """The image or stage it stands on, with variables put in; empty where a variable has no value."""
    name: str = ""
    instructions: list[Instruction] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """Its variables after the last instruction: a stage that stands on it starts with them."""


def split(text: str) -> list[str]:
    """Split as a shell does; text that no shell understands is split at blanks."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


# -- stages ------------------------------------------------------------------------------------------------------------


def read(text: str, arguments: Mapping[str, str] | None = None, platform: str = "linux/amd64") -> list[Stage]:
    """Read all stages, in order; none where another frontend reads the file. Raise a DockerfileError."""
    if _has_own_syntax(text):
        return []
    escape, instructions = parse(text)
    return _Reader(escape, dict(arguments or {}), platform).stages(instructions)


def chain(stages: list[Stage], target: str | None = None, stage: Stage | None = None) -> list[Stage]:
    """Return a stage, else the one that is built, and those it stands on, the lowest first."""
    if not stages:
        return []
    path = [stage or (target and stage_named(stages, target)) or stages[-1]]
    while (below := _named(_above(stages, path[0]), path[0].base)) is not None:
        path.insert(0, below)
    return path


def stage_named(stages: list[Stage], name: str) -> Stage | None:
    """Return the stage that a target or a copy names, by its name in any case or by its number."""
    return _named(stages, name.lower()) or _numbered(stages, name)


def sources(stages: list[Stage], stage: Stage) -> Iterator[tuple[str, Stage | None]]:
    """Name the stages and images that a stage copies from or mounts; an image has no stage."""
    for step in stage.instructions:
        mounts = step.flag("mount") if step.name == "RUN" else []
        copies = step.flag("from") if step.name in {"ADD", "COPY"} else []
        for name in [*copies, *(name for mount in mounts for name in re.findall(r"(?:^|,)from=([^,]+)", mount))]:
            yield name, stage_named(stages, name)


def _above(stages: list[Stage], stage: Stage) -> list[Stage]:
    return stages[: next(number for number, each in enumerate(stages) if each is stage)]


def _numbered(stages: list[Stage], number: str) -> Stage | None:
    return stages[int(number)] if number.isdecimal() and int(number) < len(stages) else None


def _named(stages: list[Stage], name: str) -> Stage | None:
    return next((stage for stage in reversed(stages) if stage.name and stage.name == name), None)


class _Reader:
    """Puts variables in, from the first instruction to the last."""

    def __init__(self, escape: str, arguments: Mapping[str, str], platform: str) -> None:
        self._words = Lexer(escape)
        # The shell knows variables of its own: those stay.
        self._shell = Lexer(raw_quotes=True, raw_escapes=True, keep_unset=True, keep_defaults=False)
        self._arguments = arguments
        system, _, processor = platform.partition("/")
        # https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope
        self._global = {
            f"{side}{name}": value
            for side in ("TARGET", "BUILD")
            for name, value in {"PLATFORM": platform, "OS": system, "ARCH": processor, "VARIANT": ""}.items()
        }
        self._stages: list[Stage] = []

    def stages(self, instructions: list[Instruction]) -> list[Stage]:
        for step in instructions:
            if step.name == "FROM":
                self._from(step)
            elif not self._stages:
                self._argument(step, self._global, {})
            else:
                self._step(step, self._stages[-1])
        return self._stages

    def _from(self, step: Instruction) -> None:
        try:
            base = self._words.expand(step.arguments[0], self._global)
        except ValueError as error:
            raise DockerfileError(f"FROM {step.text}: {error}") from None
        below = _named(self._stages, base)
        name = step.arguments[2].lower() if step.arguments[1:] else ""
        self._stages.append(Stage(base, name, values=dict(below.values) if below else {}))

    def _step(self, step: Instruction, stage: Stage) -> None:
        if step.name == "ARG":
            self._argument(step, stage.values, self._global)
        elif step.name == "ENV":
            # All of one ENV see the values of before.
            stage.values.update({name: self._expanded(value, stage.values) for name, value in pairs(step)})
        lexer = self._shell if step.name in _SHELL | {"HEALTHCHECK"} else self._words
        if not step.is_exec:
            step = replace(step, arguments=tuple(self._expanded(each, stage.values, lexer) for each in step.arguments))
        stage.instructions.append(step)

    def _argument(self, step: Instruction, values: dict[str, str], outer: Mapping[str, str]) -> None:
        for each in step.arguments:
            name, equals, written = each.partition("=")
            value = self._expanded(written, values) if equals else outer.get(name)
            value = self._arguments.get(name, value)
            if value is not None:
                values[name] = value

    def _expanded(self, text: str, values: Mapping[str, str], lexer: Lexer | None = None) -> str:
        try:
            return (lexer or self._words).expand(text, values)
        except ValueError as error:
            if not self._stages:
                raise DockerfileError(f"{text}: {error}") from None
            return text


def pairs(step: Instruction) -> list[tuple[str, str]]:
    """Return the names and values of ENV or LABEL."""
    return list(zip(step.arguments[::3], step.arguments[1::3], strict=True))


# -- instructions ------------------------------------------------------------------------------------------------------


def _has_own_syntax(text: str) -> bool:
    """Tell whether another program than Docker's own frontend reads the file."""
    lines = text.removeprefix("\ufeff").split("\n")
    for line in lines[1:] if lines[0].startswith("#!") else lines:
        match = re.match(r"(?:#|//)\s*([a-z][a-z0-9]*)\s*=\s*(\S+)", line.strip(SPACE), re.ASCII | re.IGNORECASE)
        if match is None:
            return False
        if match[1].lower() == "syntax":
            return not match[2].partition("@")[0].rpartition("/")[2].startswith("dockerfile")
    return False


def parse(text: str) -> tuple[str, list[Instruction]]:
    """Return the escape character and the instructions as they are written. Raise a DockerfileError."""
    parser = _Parser(text)
    instructions = list(parser.instructions())
    if not any(step.name == "FROM" for step in instructions):
        raise DockerfileError("it has no FROM; name the base image with one")
    return parser.escape, instructions


class _Parser:
    """Goes through the lines of a file."""

    def __init__(self, text: str) -> None:
        self._lines = text.removeprefix("\ufeff").split("\n")
        self._at = 0
        self._directives: set[str] | None = set()
        self.escape = "\\"

    def instructions(self) -> Iterator[Instruction]:
        staged = False
        while True:
            start = self._at + 1
            try:
                if (line := self._line()) is None:
                    return
                step = self._instruction(line)
            except ValueError as error:
                raise DockerfileError(f"line {start}: {error}") from None
            if step is None:
                continue
            staged = staged or step.name == "FROM"
            if not staged and step.name != "ARG":
                raise DockerfileError(f"line {start}: {step.name} stands before the first FROM; move it below")
            yield step

    def _line(self) -> str | None:
        """The next line, without its end."""
        if self._at >= len(self._lines) or (self._at == len(self._lines) - 1 and not self._lines[-1]):
            return None
        line = self._lines[self._at]
        self._at += 1
        if len(line.encode(errors="replace")) > _LINE_LIMIT:
            raise ValueError(f"it has more than {_LINE_LIMIT} bytes; part it by a backslash at its end")
        return line

    def _instruction(self, line: str) -> Instruction | None:
        whole, goes_on = self._continued(self._directive(line.rstrip("\r").lstrip(SPACE)))
        if not whole and not goes_on:
            return None
        while goes_on and (more := self._line()) is not None:
            more = more.rstrip("\r")
            # Comments and empty lines inside a continued instruction are skipped.
            if (bare := more.lstrip(SPACE)) and not bare.startswith("#"):
                more, goes_on = self._continued(more)
                whole += more
        step = _read_instruction(whole, self.escape)
        if problem := _problem(step):
            raise ValueError(problem)
        return replace(step, documents=tuple(self._documents(step, whole)))

    def _directive(self, line: str) -> str:
        """Take a directive in, while there may be one; return the line, empty where it is a comment."""
        if self._directives is not None:
            match = re.fullmatch(rf"#[{SPACE}]*([a-z][a-z0-9]*)\s*=\s*(.+?)\s*", line, re.ASCII | re.IGNORECASE)
            name = match[1].lower() if match else ""
            if name in self._directives:
                raise ValueError(f"# {name}= stands twice; write it once")
            self._directives = self._directives | {name} if name in {"syntax", "escape", "check"} else None
            if match and name == "escape":
                self._escape(match[2])
        return "" if line.startswith("#") else line

    def _escape(self, character: str) -> None:
        if character not in {"\\", "`"}:
            raise ValueError(f"# escape={character}: the escape character is \\ or `")
        self.escape = character

    def _continued(self, line: str) -> tuple[str, bool]:
        """Take the escape character away that ends a line; tell whether it did."""
        mark = re.escape(self.escape)
        match = re.fullmatch(rf"(|.*[^{mark}]){mark}[ \t]*", line, re.DOTALL)
        return (match[1], True) if match else (line, False)

    def _documents(self, step: Instruction, whole: str) -> Iterator[Document]:
        holder = step.arguments[0] if step.name == "ONBUILD" and step.arguments else step.name
        if holder not in _HOLDS_DOCUMENTS or step.is_exec:
            return
        for name, expand, strip_tabs in _opened(whole):
            lines: list[str] = []
            while (line := self._line()) is not None:
                end = line.rstrip("\r")
                if (end.lstrip("\t") if strip_tabs else end) == name:
                    break
                lines.append((line.lstrip("\t") if strip_tabs else line) + "\n")
            else:
                raise ValueError(f"the here-document has no end; write a line {name} behind it")
            yield Document(name, "".join(lines), expand)


def _opened(line: str) -> Iterator[tuple[str, bool, bool]]:
    """Yield the here-documents that a line opens: the word, whether variables are put in, whether tabs go."""
    try:
        words = Lexer(raw_quotes=True, raw_escapes=True, keep_unset=True).words(line, {})
    except ValueError:
        return
    for word in words:
        if opened := _document(word):
            yield opened


def _document(word: str) -> tuple[str, bool, bool] | None:
    match = re.fullmatch(r"\d*<<(-?+)\s*([^<]+)", word, re.ASCII)
    names = Lexer(keep_unset=True).words(match[2], {}) if match else []
    if match is None or len(names) != 1:
        return None
    (written,) = Lexer(raw_quotes=True, keep_unset=True).words(match[2], {})
    return names[0], len(re.findall("['\"]", names[0])) == len(re.findall("['\"]", written)), bool(match[1])


def _read_instruction(line: str, escape: str) -> Instruction:
    name, _, rest = _parted(line.strip(SPACE))
    name = name.upper()
    flags, rest = _flags(rest, escape)
    arguments, is_exec = _arguments(name, rest.strip(SPACE), escape)
    return Instruction(name, tuple(arguments), tuple(flags), (), is_exec)


def _parted(text: str) -> tuple[str, str, str]:
    """Part a text at its first blanks."""
    match = re.search(_BLANKS, text)
    return (text[: match.start()], match[0], text[match.end() :]) if match else (text, "", "")


def _flags(rest: str, escape: str) -> tuple[list[str], str]:
    """Take the words off that start with --, without their quotes."""
    flags: list[str] = []
    while (rest := rest.lstrip("\t\n\v\f\r ")).startswith("--"):
        word, end = _flag(rest, escape)
        rest = rest[end:]
        if word == "--":
            break
        flags.append(word)
    return flags, rest


def _flag(rest: str, escape: str) -> tuple[str, int]:
    """Read one flag; return it and where it ends."""
    word, quote, at = "", "", 0
    while at < len(rest) and (quote or rest[at] not in "\t\n\v\f\r "):
        character = rest[at]
        if character == escape:
            at += 1
            word += rest[at : at + 1]
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            word += character
        at += 1
    return word, at


def _arguments(name: str, rest: str, escape: str) -> tuple[list[str], bool]:
    if name in {"ONBUILD", "HEALTHCHECK"} and rest:
        return (_trigger if name == "ONBUILD" else _health)(rest, escape)
    if name in _JSON and (listed := _listed(rest)) is not None:
        return listed, True
    if name in _SHELL | _TEXT:
        return [rest] if rest else [], False
    if name == "ARG":
        return _quoted_words(rest, escape), False
    if name in {"ENV", "LABEL"}:
        return _settings(name, rest, escape), False
    # What stands behind a name that nobody knows is not read.
    return [""] if name not in _LEAST else re.split(_BLANKS, rest) if rest else [], False


def _trigger(rest: str, escape: str) -> tuple[list[str], bool]:
    below = _read_instruction(rest, escape)
    return [below.name, *below.flags, *below.arguments], below.is_exec


def _health(rest: str, _: str) -> tuple[list[str], bool]:
    kind, *command = re.split(r"\s+", rest, maxsplit=1, flags=re.ASCII)
    listed = _listed("".join(command))
    return [kind, *(command if listed is None else listed)], listed is not None


def _listed(text: str) -> list[str] | None:
    """Read the list of the exec form; None for other text."""
    if not text.startswith("["):
        return None
    try:
        listed = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(each, str) for each in listed):
        raise ValueError(f"{text}: a list takes texts only; put each into double quotes")
    return list(listed)


def _no_constant(text: str) -> None:
    raise ValueError(text)


def _settings(name: str, rest: str, escape: str) -> list[str]:
    """Read NAME=VALUE …, or the older NAME VALUE."""
    words = _quoted_words(rest, escape)
    if words and "=" not in words[0]:
        key, blanks, value = _parted(rest)
        if not blanks:
            raise ValueError(f"{name} {rest} has no value; write {name} {rest}=VALUE")
        return [key, value, ""]
    if wrong := next((word for word in words if "=" not in word), None):
        raise ValueError(f"{name}: {wrong} has no =; write NAME=VALUE, with quotes around a value that has blanks")
    return [part for word in words for part in (word.partition("=")[0], word.partition("=")[2], "=")]


def _quoted_words(text: str, escape: str) -> list[str]:
    """Split at white space outside of quotes; quotes and escapes stay."""
    words: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        character = text[at]
        if character in SPACE and not quote:
            words += [word] if word else []
            word = ""
        elif character == escape and quote != "'":
            if at + 1 < len(text):
                word += text[at : at + 2]
            at += 1
        else:
            quote = "" if character == quote else character if not quote and character in "'\"" else quote
            word += character
        at += 1
    return [*words, word] if word else words


def _problem(step: Instruction) -> str | None:
    """Say what BuildKit refuses about an instruction's arguments. Flags are left to it: each version knows more."""
    name, count = step.name, len(step.arguments)
    if name not in _LEAST:
        return f"{name} is no instruction of a Dockerfile; correct its name, or end the line before it with a backslash"
    if count < _LEAST[name]:
        return f"{name} lacks arguments; write at least {_LEAST[name]}"
    problem = _PROBLEMS.get(name)
    return problem(step) if problem else None


def _name_problem(step: Instruction) -> str | None:
    names = [each.partition("=")[0] for each in step.arguments[:: 1 if step.name == "ARG" else 3]]
    return f"{step.name}: a name is empty; write NAME=VALUE" if "" in names else None


def _copy_problem(step: Instruction) -> str | None:
    if _document(step.arguments[-1]):
        return f"{step.name} {step.text}: a here-document is no destination; write the file's path behind it"
    return None


def _shell_problem(step: Instruction) -> str | None:
    return None if step.is_exec else f'SHELL {step.text} is no list; write SHELL ["/bin/bash", "-c"]'


def _from_problem(step: Instruction) -> str | None:
    alias = list(step.arguments[1:])
    if not step.arguments or (alias and [each.lower() for each in alias[:-1]] != ["as"]):
        return f"FROM {step.text}: write FROM IMAGE, or FROM IMAGE AS NAME"
    if alias and not re.fullmatch("[a-z][a-z0-9-_.]*", alias[-1].lower()):
        return f"FROM {step.text}: a stage's name starts with a letter and has letters, digits and - _ . only"
    return None


def _trigger_problem(step: Instruction) -> str | None:
    if step.arguments[0] in {"ONBUILD", "MAINTAINER", "FROM"}:
        return f"ONBUILD {step.arguments[0]} is not allowed; write another instruction behind ONBUILD"
    return None


def _health_problem(step: Instruction) -> str | None:
    kind, rest = step.arguments[0], step.arguments[1:]
    if (kind.upper() == "NONE" and not rest) or (kind.upper() == "CMD" and rest):
        return None
    return f"HEALTHCHECK {step.text}: write HEALTHCHECK CMD and a command, or HEALTHCHECK NONE"


_PROBLEMS: Final[Mapping[str, Callable[[Instruction], str | None]]] = {
    **dict.fromkeys(["ARG", "ENV", "LABEL"], _name_problem),
    **dict.fromkeys(["ADD", "COPY"], _copy_problem),
    "FROM": _from_problem,
    "HEALTHCHECK": _health_problem,
    "ONBUILD": _trigger_problem,
    "SHELL": _shell_problem,
}
