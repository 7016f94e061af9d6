"""What a Dockerfile tells before anything is built.

Owns the checks on the Dockerfile and on the requirements files that it names. Refuses to own what only the built image
shows (`after.py`), and to guess: of a base image that is not known by its name, nothing is said. Pure.
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Final

from azureml_scoring.plan.requirements import dockerfile as reader
from azureml_scoring.plan.requirements import packages, public_images, support
from azureml_scoring.plan.requirements.findings import Finding, levelled
from azureml_scoring.plan.requirements.packages import Package
from azureml_scoring.plan.requirements.server import PORT, Start, judge_start

_BARE: Final = frozenset(
    {"scratch", "ubuntu", "debian", "python", "miniconda3", "miniconda", "anaconda3", "miniforge3", "cuda", "alpine"}
)
"""Images that are known to start no server and to run as root."""
_FAMILIES: Final = {
    "almalinux": "almalinux",
    "alpine": "alpine",
    "amazonlinux": "amzn",
    "archlinux": "arch",
    "azurelinux": "azurelinux",
    "cbl-mariner": "mariner",
    "centos": "centos",
    "fedora": "fedora",
    "leap": "opensuse-leap",
    "oraclelinux": "ol",
    "photon": "photon",
    "rockylinux": "rocky",
    "tumbleweed": "opensuse-tumbleweed",
    "ubi": "rhel",
}
"""`ID` of os-release by the word that names of images have for a system, the number of its version taken off."""
SERVERS: Final = frozenset({"azureml-inference-server-http", "azureml-defaults"})
DATASETS: Final = frozenset({"azureml-dataset-runtime", "azureml-dataprep", "azureml-fsspec", "mltable"})
FUSE: Final = re.compile(r"(lib)?fuse\d?(-dev|-\d.*)?")
_SCRIPT: Final = re.compile(r"(\S*/)?((ba|da|z)?sh\b[^<>|;&]*)?<<")
"""A RUN whose here-document a shell runs."""
_TOLD: Final = 5
"""Names of packages that a line repeats."""


def _now() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class Checks:
    """What a stack says about the checks."""

    levels: Mapping[str, str] = field(default_factory=dict)
    """Levels by id, where they are not the usual ones."""
    target: str | None = None
    platform: str = "linux/amd64"
    today: date = field(default_factory=_now)


def before(
    dockerfile: str,
    requirements: Mapping[str, str] | None = None,
    arguments: Mapping[str, str] | None = None,
    checks: Checks | None = None,
) -> list[Finding]:
    """Judge a Dockerfile; `requirements` has the files that `named` asks for, by the names it gave them."""
    checks = checks or Checks()
    stages = reader.read(dockerfile, arguments, checks.platform)
    if not stages:
        return []
    return levelled(_findings(stages, requirements or {}, checks), checks.levels)


def reference(name: str, levels: Mapping[str, str] | None = None) -> list[Finding]:
    """Judge an existing image by its name."""
    return levelled(_existing(name), levels)


def _existing(name: str) -> support.Findings:
    retired = public_images.finding(name)
    if retired:
        yield retired
    if "@" not in name and not _tag(name):
        remedy = f"write {name}:TAG, with a tag that says which"
        yield "AML-IMG-010", f"{name} has no tag, which means {name}:latest as it is now; {remedy}"


def named(dockerfile: str, arguments: Mapping[str, str] | None = None) -> list[str]:
    """List the files of the context that hold requirements, as paths that may exist there."""
    names: dict[str, None] = {}
    for stage in reader.read(dockerfile, arguments):
        copied = [source for step in stage.instructions for source in _copied(step)]
        for package in _asked(stage):
            if package.kind != "file" or not package.name:
                continue
            base = PurePosixPath(package.name).name
            matching = [source for source in copied if PurePosixPath(source).name == base]
            for path in (*matching, package.name, base):
                if not path.startswith("/") and ".." not in PurePosixPath(path).parts:
                    names[str(PurePosixPath(path))] = None
    return list(names)


def made_of(
    dockerfile: str, requirements: Mapping[str, str] | None = None, arguments: Mapping[str, str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """List the images that all stages stand on, and the packages that are asked for with their versions."""
    stages = reader.read(dockerfile, arguments)
    named = {stage.name for stage in stages if stage.name}
    bases = dict.fromkeys(stage.base for stage in stages if stage.base and stage.base.lower() not in named)
    versions: dict[str, set[str]] = {}
    asked = (package for stage in stages for package in _asked(stage))
    for package in _all(asked, {**(requirements or {}), **_written(stages)}):
        if package.kind == "unknown":
            continue
        name = package.name if package.kind == "pip" else f"{package.kind} {package.name}"
        versions.setdefault(name, set()).add(package.version or "any")
    return list(bases), {name: ", ".join(sorted(versions[name])) for name in sorted(versions)}


def _copied(step: reader.Instruction) -> Iterator[str]:
    """Name the files that COPY, ADD or a bind mount takes from the context."""
    if step.name in {"COPY", "ADD"} and not step.flag("from"):
        yield from step.arguments[:-1]
    for value in step.flag("mount") if step.name == "RUN" else ():
        if "type=bind" in value and "from=" not in value:
            yield from re.findall(r"(?:source|src)=([^,]+)", value)


def _asked(stage: reader.Stage) -> Iterator[Package]:
    for step in stage.instructions:
        if step.name == "RUN":
            for command in _commands(step):
                yield from packages.asked(command)


def _commands(step: reader.Instruction) -> Iterator[list[str]]:
    """List the commands of a RUN, those of a here-document that a shell runs included."""
    yield from [list(step.arguments)] if step.is_exec else packages.commands(step.text)
    if _SCRIPT.match(step.text):
        for document in step.documents[:1]:
            if re.match(r"(?!#!)|#!\S*(/|env\s+)(ba|da|z)?sh\b", document.content):
                yield from packages.commands(document.content)


def _all(asked: Iterable[Package], files: Mapping[str, str]) -> Iterator[Package]:
    """Add what requirements files list; a file that nobody has is unknown."""
    read: set[str] = set()
    waiting = list(asked)
    while waiting:
        package = waiting.pop(0)
        path = _path(package.name, files) if package.kind == "file" else ""
        if package.kind != "file":
            yield package
        elif not path:
            yield replace(package, kind="unknown")
        elif path not in read:
            read.add(path)
            waiting += packages.listed(path, files[path])


def _path(name: str, files: Mapping[str, str]) -> str:
    """Find a file, else one by its last name, since images have other folders."""
    last = PurePosixPath(name).name
    return name if name in files else next((path for path in files if PurePosixPath(path).name == last), "")


def _written(stages: Iterable[reader.Stage]) -> dict[str, str]:
    """Return the files that here-documents write."""
    return {
        f"{step.arguments[-1]}{document.name if step.arguments[-1].endswith('/') else ''}": document.content
        for stage in stages
        for step in stage.instructions
        if step.name in {"COPY", "ADD"}
        for document in step.documents
    }


def _reached(stages: list[reader.Stage], path: list[reader.Stage]) -> tuple[list[reader.Stage], bool]:
    """Add the stages that a path copies from, and those below them; tell whether images are among the sources."""
    reached, images = list(path), False
    for stage in reached:
        for _, source in reader.sources(stages, stage):
            images = images or source is None
            for below in reader.chain(stages, stage=source) if source else ():
                if not any(below is each for each in reached):
                    reached.append(below)
    return reached, images


def _findings(stages: list[reader.Stage], files: Mapping[str, str], checks: Checks) -> support.Findings:
    path = reader.chain(stages, checks.target)
    base = path[0].base
    reached, images = _reached(stages, path)
    files = {**files, **_written(reached)}
    asked = list(_all((package for stage in path for package in _asked(stage)), files))
    # What other stages install may be copied; their system packages are not.
    copied = [package for stage in reached[len(path) :] for package in _asked(stage)]
    asked += [package for package in _all(copied, files) if package.kind != "apt"]
    yield from _base(base, checks.today)
    yield from _versions(path, asked, checks.today)
    yield from _pins(asked)
    names = {package.name for package in asked}
    if names & DATASETS and not any(package.kind == "apt" and FUSE.fullmatch(package.name) for package in asked):
        used = ", ".join(sorted(names & DATASETS))
        yield "AML-IMG-007", f"{used} mounts datasets, which takes libfuse; add RUN apt-get install -y libfuse-dev"
    bare = _name(base) in _BARE
    yield from _user(path, bare=bare)
    # What a project, a script or another image brings is not known before the build: the check after it decides.
    known = bare and base != "scratch" and not images and not any(each.kind == "unknown" for each in asked)
    yield from _serving(path, bare=bare, missing=known and not names & SERVERS)


def _name(base: str) -> str:
    return PurePosixPath(base.partition("@")[0].partition(":")[0] if "/" not in base else _untagged(base)).name


def _untagged(base: str) -> str:
    folder, _, last = base.partition("@")[0].rpartition("/")
    return f"{folder}/{last.partition(':')[0]}"


def _tag(base: str) -> str:
    return base.partition("@")[0].rpartition("/")[2].partition(":")[2]


def system_of(base: str) -> tuple[str, str]:
    """Read the operating system off an image's name, as os-release would say it; empty when it does not tell."""
    name, tag = _name(base), _tag(base)
    text = f"{name}-{tag}"
    words = re.split(r"[-_./:@]", _untagged(base).lower() if "/" in base else name) + re.split(r"[-_.]", tag)
    family = next((_FAMILIES[match] for word in words if (match := word.rstrip("0123456789")) in _FAMILIES), "")
    if family:
        return family, ""
    match = re.search(r"ubuntu-?(\d\d\.\d\d)", text)
    codename = next((word for word in re.split(r"[-_.]", tag) if word in support.UBUNTU_NAMES), "")
    if match or codename:
        return "ubuntu", match[1] if match else support.UBUNTU_NAMES[codename]
    codename = next((word for word in re.split(r"[-_.]", tag) if word in support.DEBIAN_NAMES), "")
    if codename:
        return "debian", support.DEBIAN_NAMES[codename]
    match = re.match(r"(\d+)", tag)
    return ("debian", match[1]) if name == "debian" and match else ("", "")


def python_of(base: str) -> str:
    """Read Python's version off an image's name; empty when it does not tell."""
    match = re.match(r"(\d+\.\d+)", _tag(base)) if _name(base) == "python" else None
    if match:
        return match[1]
    short = re.search(r"-py(\d)(\d+)(-|:|$)", base)
    return f"{short[1]}.{short[2]}" if short else ""


def _base(base: str, today: date) -> support.Findings:
    if not base or base == "scratch":
        return
    retired = public_images.finding(base)
    if retired:
        yield retired
    if "@" not in base and _tag(base) in {"", "latest"}:
        remedy = "write a tag that stays, or NAME@sha256:…"
        yield "AML-IMG-010", f"FROM {base} is another image tomorrow; {remedy}"
    yield from support.system_findings(*system_of(base), today)


def _versions(stages: list[reader.Stage], asked: list[Package], today: date) -> support.Findings:
    """Judge Python and conda: the last version that somebody asks for, else the base's."""
    pythons = [package.version for package in asked if package.kind == "conda" and package.name == "python"]
    chosen = next((text for text in reversed(pythons) if support.version(text) != support.UNKNOWN), "")
    yield from support.python_findings(chosen or python_of(stages[0].base), today)
    condas = [package.version for package in asked if package.kind == "conda" and package.name == "conda"]
    for stage in stages:
        for step in stage.instructions:
            if step.name == "RUN":
                text = "\n".join([step.text, *(document.content for document in step.documents)])
                condas[:0] = re.findall(r"Miniconda\d-(\d+\.\d+[\d.]*)-Linux", text)
    yield from support.conda_findings(condas[-1] if condas else "")
    for package in asked:
        if package.kind == "pip" and package.name == "azureml-defaults":
            yield from support.defaults_findings(package.version)


def _pins(asked: list[Package]) -> support.Findings:
    loose = sorted({package.name for package in asked if not package.pinned and package.kind in {"pip", "conda"}})
    if loose:
        remedy = "write NAME==VERSION (pip) or NAME=VERSION (conda)"
        yield "AML-IMG-008", f"{_several(loose)}: no version is pinned, so builds differ; {remedy}"
    loose = sorted({package.name for package in asked if not package.pinned and package.kind == "apt"})
    if loose:
        yield "AML-IMG-009", f"{_several(loose)}: apt takes what is newest; NAME=VERSION pins it"


def _several(names: list[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return f"{', '.join(names[:_TOLD])}{more}"


def _last(stages: list[reader.Stage], name: str) -> reader.Instruction | None:
    return next(
        (step for stage in reversed(stages) for step in reversed(stage.instructions) if step.name == name), None
    )


def _user(stages: list[reader.Stage], *, bare: bool) -> support.Findings:
    step = _last(stages, "USER")
    if is_root(step.text) if step else bare:
        said = f"USER {step.text}" if step else f"no USER after FROM {stages[0].base}"
        yield "AML-IMG-011", f"{said}: the server runs as root; make a user and end with USER 10001 or its name"


def is_root(user: str) -> bool:
    """Tell whether a USER is root; none at all is."""
    return user.partition(":")[0].strip() in {"", "0", "root"}


def _serving(stages: list[reader.Stage], *, bare: bool, missing: bool) -> support.Findings:
    steps = [step for stage in stages for step in stage.instructions]
    start = Start()
    ports: list[str] = []
    for step in steps:
        if step.name == "ENTRYPOINT":
            # A new entry point takes the old command away.
            start = Start(tuple(step.words), ())
        elif step.name == "CMD":
            start = Start(start.entrypoint, tuple(step.words))
        elif step.name == "EXPOSE":
            ports += step.words
    yield from judge_start(start, ports, known=bare or bool(start.words))
    if missing and (not start.words or start.is_azmlinfsrv):
        remedy = "pip install azureml-inference-server-http"
        yield "AML-IMG-014", f"nothing installs Azure ML's inference server, which listens on {PORT}; {remedy}"
