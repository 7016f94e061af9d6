"""Which packages commands and files ask for: pip, conda and apt, pinned or not.

Owns the reading of command lines, requirements files and conda environments. Refuses to own where they come from and
what is thought of them. Pure.
https://pip.pypa.io/en/stable/reference/requirements-file-format and
https://docs.conda.io/projects/conda/en/latest/user-guide/concepts/pkg-specs.html
"""

import codecs
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

import yaml
from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

Kind = Literal["pip", "conda", "apt", "file", "unknown"]


@dataclass(frozen=True)
class Package:
    """One package that is asked for; of kind `file`, a file that lists more; of kind `unknown`, a source of others."""

    kind: Kind
    name: str
    version: str = ""
    """The version when it is one; empty when it is a range, or none is said."""
    pinned: bool = False


_VALUED: Final = frozenset(
    """-r --requirement -c --constraint -e --editable -i --index-url --extra-index-url -f --find-links -t --target
    --prefix --root --platform --python-version --only-binary --no-binary --progress-bar --timeout --retries
    --trusted-host --cert --python --cache-dir --root-user-action --upgrade-strategy --client-cert --proxy --log
    --config-settings --abi --implementation --src --report
    -n --name -p --channel --file --default-release -o --option""".split()  # noqa: SIM905 - read as a list of words
)
"""Options that take the next word with them."""
_FILES: Final = frozenset({"-r", "--requirement", "--file"})
_PROJECT_INSTALLS: Final = {
    "conda-lock": {"install"},
    "flit": {"install"},
    "make": None,
    "pdm": {"add", "install", "sync"},
    "pipenv": {"install", "sync"},
    "pixi": {"add", "install"},
    "poetry": {"add", "install", "sync"},
    "rye": {"add", "sync"},
    "setup.py": {"develop", "install"},
    "uv": {"add", "run", "sync"},
}
"""Commands that install what a project names, which cannot be known from the command; None: any of the program."""
_INSTALLER: Final = re.compile("(mini|ana)(conda|forge)|mambaforge", re.IGNORECASE)
"""Scripts that are known to bring conda alone."""
_ENCODINGS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before UTF-16, whose mark starts it.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CODING: Final = re.compile(rb"#.*coding[:=]\s*([-\w.]+)")
_PYTHONS: Final = tuple(f"3.{minor}" for minor in range(6, 20))
_SEPARATORS: Final = frozenset({"&&", "||", ";", "|", "&", "(", ")", ";;", "|&", "then", "do", "else", "{", "}"})


def commands(text: str) -> Iterator[list[str]]:
    """Split a shell text into its simple commands."""
    for line in text.split("\n"):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
        lexer.whitespace_split = True
        lexer.commenters = ""
        try:
            words = list(lexer)
        except ValueError:
            words = line.split()
        command: list[str] = []
        for word in words:
            if word in _SEPARATORS:
                if command:
                    yield command
                command = []
            else:
                command.append(word)
        if command:
            yield command


def asked(command: list[str]) -> Iterator[Package]:
    """List what one command installs."""
    if script := _script(command):
        yield Package("unknown", script)
    for place, word in enumerate(command):
        program = PurePosixPath(word).name
        following = command[place + 1 :]
        verb = next((each for each in following if not each.startswith("-")), "")
        if program in _PROJECT_INSTALLS and ((verbs := _PROJECT_INSTALLS[program]) is None or verb in verbs):
            yield Package("unknown", f"{program} {verb}")
        elif program == "pip-sync" or (program == "pip" and verb == "sync"):
            files = [each for each in following if not each.startswith("-") and each != "sync"]
            yield from (Package("file", each) for each in files or ["requirements.txt"])
        elif re.fullmatch(r"pip(\d[\d.]*)?", program) and "install" in following:
            yield from _given(following[following.index("install") + 1 :], "pip")
        elif program in {"conda", "mamba", "micromamba"} and following:
            verbs = {"install", "create", *(["update"] if "env" in following else [])}
            if verb := next((each for each in following if each in verbs), ""):
                yield from _given(following[following.index(verb) + 1 :], "conda")
        elif program in {"apt-get", "apt", "apt-fast"} and "install" in following:
            yield from _given(following[following.index("install") + 1 :], "apt")
        else:
            continue
        return


def _script(command: list[str]) -> str:
    """Name the shell script that a command runs; it may install anything."""
    words = [word for word in command if not word.startswith("-") and not re.match(r"\w+=|sudo$|exec$", word)]
    if words and re.fullmatch("(ba|da|z)?sh|source|\\.", PurePosixPath(words[0]).name):
        words = words[1:]
    name = words[0] if words else ""
    return name if name.endswith(".sh") and not _INSTALLER.search(name) else ""


def _given(words: list[str], kind: Kind) -> Iterator[Package]:
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in _FILES or (kind == "conda" and option == "-f"):
            yield Package("file", value if equals else next(rest, ""))
        elif kind == "pip" and (near := re.fullmatch("-r(.+)", word)):
            yield Package("file", near[1])
        elif kind == "pip" and option in {"-e", "--editable", "--group"}:
            yield _source(value if equals else next(rest, ""))
        elif word.startswith("-"):
            # -y, -q and the like stand alone; for conda -c names a channel, for apt -t a release.
            if not equals and (option in _VALUED):
                next(rest, "")
        elif re.match(r"\d*[<>]", word):
            continue
        elif package := one(word, kind):
            yield package


def one(spec: str, kind: Kind) -> Package | None:
    """Read one requirement; None for one that is not for Linux, and for a path or address that is none of pip's."""
    spec = re.sub(r"""^(['"])(.*)\1$""", r"\2", spec.strip())
    if not spec or (kind != "pip" and re.match(r"[./~$]|\w+:+//", spec)) or spec.endswith(".deb"):
        return None
    if kind == "pip":
        return _of_pip(spec)
    if kind == "conda":
        spec = spec.rpartition("::")[2]
    match = re.match(r"([A-Za-z0-9][\w.+-]*)(?:\[[^\]]*\])?(?::\w+)?\s*(.*)", spec)
    if not match:
        return None
    exact = re.match(r"={1,3}\s*([^\s,*=]+)", match[2].strip())
    return Package(kind, canonicalize_name(match[1]), exact[1] if exact else "", pinned=exact is not None)


def _of_pip(spec: str) -> Package | None:
    """Read a requirement of pip: https://packaging.python.org/en/latest/specifications/dependency-specifiers."""
    try:
        read = Requirement(spec)
    except InvalidRequirement:
        return _loose(spec)
    if read.marker and not _for_linux(read.marker):
        return None
    name, exact = canonicalize_name(read.name), [each for each in read.specifier if each.operator in {"==", "==="}]
    if read.url or len(read.specifier) != 1 or not exact or exact[0].version.endswith("*"):
        return Package("pip", name, pinned=read.url is not None)
    return Package("pip", name, exact[0].version, pinned=True)


def _loose(spec: str) -> Package:
    """Read what is no plain requirement: a path, an address, or one with a variable that the shell fills in."""
    named = re.match(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*(={2,3}|[<>!~]=?)", spec)
    return Package("pip", canonicalize_name(named[1]), pinned="==" in named[2]) if named else _source(spec)


def _source(spec: str) -> Package:
    """Read a path or an address: pip's own fragment or the name of an archive may tell the package."""
    if egg := re.search(r"#(?:.*&)?egg=([\w.-]+)", spec):
        return Package("pip", canonicalize_name(egg[1]), pinned=True)
    file = PurePosixPath(spec.partition("#")[0].partition("?")[0]).name
    try:
        name, version = parse_wheel_filename(file)[:2] if file.endswith(".whl") else parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return Package("unknown", spec)
    return Package("pip", name, str(version), pinned=True)


def _for_linux(marker: Marker) -> bool:
    """Tell whether a marker holds for some Python on Linux."""
    system = {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "extra": ""}
    pythons = [{"python_version": each, "python_full_version": f"{each}.0"} for each in _PYTHONS]
    return any(
        marker.evaluate({**system, **python, "platform_machine": machine})
        for python in pythons
        for machine in ("x86_64", "aarch64")
    )


# -- files -------------------------------------------------------------------------------------------------------------


def decoded(name: str, data: bytes) -> str:
    """Decode a file as the program that reads it: conda, or pip. Raise a ValueError or LookupError where it cannot.

    https://github.com/pypa/pip/blob/main/src/pip/_internal/req/req_file.py and
    https://github.com/conda/conda/blob/main/conda/env/env.py
    """
    if name.endswith((".yml", ".yaml")):
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("utf-16")
    for mark, encoding in _ENCODINGS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    named = next((match for line in data.split(b"\n")[:2] if (match := _CODING.match(line))), None)
    return data.decode(named[1].decode("ascii") if named else "utf-8")


def lines(text: str) -> Iterator[str]:
    """Return the logical lines of a requirements file: continued ones joined, without comments and empty ones."""
    whole = ""
    for line in text.splitlines():
        comment = re.match(r"\s*#", line) is not None
        # pip joins without a blank; one more beside others keeps the text, and so the version of an environment.
        blank = " " if comment or (whole and (whole[-1:].isspace() or line[:1].isspace())) else ""
        whole += blank + line
        if line.endswith("\\") and not comment:
            whole = whole.rstrip("\\")
            continue
        if plain := _uncommented(whole):
            yield plain
        whole = ""
    if plain := _uncommented(whole):
        yield plain


def _uncommented(line: str) -> str:
    return re.sub(r"(^|\s+)#.*$", "", line).strip()


def listed(name: str, text: str) -> Iterator[Package]:
    """List what a requirements file or a conda environment asks for."""
    if name.endswith((".yml", ".yaml")):
        yield from _environment(text)
        return
    for line in lines(text):
        if file := included(line):
            yield Package("file", posixpath.normpath(posixpath.join(posixpath.dirname(name), file)))
        elif editable := re.match(r"(?:-e|--editable)[\s=]*(\S.*)", line):
            yield _source(editable[1])
        elif not line.startswith("-") and (package := one(re.split(r"\s-", line)[0], "pip")):
            yield package


def included(line: str) -> str:
    """Name the file that a line of a requirements file includes; empty where it includes none."""
    match = re.match(r"(?:-r|--requirement)[\s=]*(\S.*)", line)
    return match[1] if match else ""


def _environment(text: str) -> Iterator[Package]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    if isinstance(document, Mapping):
        yield from of_conda(document)


def of_conda(document: Mapping[str, object]) -> Iterator[Package]:
    """List what a conda environment asks for, pip's part included."""
    dependencies = document.get("dependencies")
    for entry in dependencies if isinstance(dependencies, list) else []:
        if isinstance(entry, str) and (package := one(entry, "conda")):
            yield package
        elif isinstance(entry, Mapping) and isinstance(entry.get("pip"), list):
            for line in entry["pip"]:
                yield from listed("pip", str(line))
