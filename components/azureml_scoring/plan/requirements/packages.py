"""Which packages commands and files ask for: pip, conda and apt, pinned or not.

Owns the reading of command lines, requirements files and conda environments. Refuses to own where they come from and
what is thought of them. Pure.
https://pip.pypa.io/en/stable/reference/requirements-file-format and
https://docs.conda.io/projects/conda/en/latest/user-guide/concepts/pkg-specs.html
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

import yaml
from packaging.utils import canonicalize_name

Kind = Literal["pip", "conda", "apt", "file"]


@dataclass(frozen=True)
class Package:
    """One package that is asked for; of kind `file`, a file that lists more."""

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
    for place, word in enumerate(command):
        program = PurePosixPath(word).name
        following = command[place + 1 :]
        if re.fullmatch(r"pip(\d[\d.]*)?", program) and "install" in following:
            yield from _given(following[following.index("install") + 1 :], "pip")
        elif program in {"conda", "mamba", "micromamba"} and following:
            verbs = ("install", "create", *(["update"] if "env" in following else []))
            if verb := next((verb for verb in verbs if verb in following), ""):
                yield from _given(following[following.index(verb) + 1 :], "conda")
        elif program in {"apt-get", "apt", "apt-fast"} and "install" in following:
            yield from _given(following[following.index("install") + 1 :], "apt")
        else:
            continue
        return


def _given(words: list[str], kind: Kind) -> Iterator[Package]:
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        file = option in _FILES or (kind == "conda" and option == "-f")
        if file:
            yield Package("file", value if equals else next(rest, ""))
        elif word.startswith("-"):
            # -y, -q and the like stand alone; for conda -c names a channel, for apt -t a release.
            if not equals and (option in _VALUED):
                next(rest, "")
        elif re.match(r"\d*[<>]", word):
            continue
        elif package := one(word, kind):
            yield package


def one(spec: str, kind: Kind) -> Package | None:
    """Read one requirement; None for a path, an address, or a variable that the shell fills in."""
    spec = spec.strip().strip("\"'")
    direct = re.match(r"([\w.-]+)(\[[^\]]*\])?\s*@\s*\S", spec)
    if direct:
        return Package(kind, canonicalize_name(direct[1]), pinned=True)
    if not spec or re.match(r"[./~$]|\w+[:+]//|git\+", spec) or spec.endswith((".whl", ".tar.gz", ".zip", ".deb")):
        return None
    if kind == "conda":
        spec = spec.rpartition("::")[2]
    found = re.match(r"([A-Za-z0-9][\w.+-]*)(?:\[[^\]]*\])?(?::\w+)?\s*(.*)", spec.partition(";")[0] or spec)
    if not found:
        return None
    name, rest = found[1], found[2].strip()
    exact = re.match(r"={1,3}\s*([^\s,*=]+)", rest) if kind != "pip" else re.match(r"={2,3}\s*([^\s,*]+)$", rest)
    return Package(kind, canonicalize_name(name), exact[1] if exact else "", pinned=exact is not None)


def listed(name: str, text: str) -> Iterator[Package]:
    """List what a requirements file or a conda environment asks for."""
    if name.endswith((".yml", ".yaml")):
        yield from _environment(text)
        return
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        plain = re.sub(r"(^|\s)#.*", "", line).strip()
        if plain.startswith("-"):
            option, _, value = plain.partition(" ")
            if option in _FILES:
                yield Package("file", value.strip())
        elif plain and (package := one(re.split(r"\s--", plain)[0], "pip")):
            yield package


def _environment(text: str) -> Iterator[Package]:
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    if isinstance(given, Mapping):
        yield from of_conda(given)


def of_conda(given: Mapping[str, object]) -> Iterator[Package]:
    """List what a conda environment asks for, pip's part included."""
    dependencies = given.get("dependencies")
    for entry in dependencies if isinstance(dependencies, list) else []:
        if isinstance(entry, str) and (package := one(entry, "conda")):
            yield package
        elif isinstance(entry, Mapping) and isinstance(entry.get("pip"), list):
            for line in entry["pip"]:
                yield from listed("pip", str(line))
