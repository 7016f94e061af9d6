"""What a Dockerfile tells before anything is built.

Owns the checks on the Dockerfile and on the requirements files that it names. Refuses to own what only the built image
shows (`after.py`), and to guess: of a base image that is not known by its name, nothing is said. Pure.
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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
_FOREIGN: Final = frozenset(
    {"alpine", "centos", "fedora", "rockylinux", "almalinux", "amazonlinux", "opensuse", "arch"}
)
SERVERS: Final = frozenset({"azureml-inference-server-http", "azureml-defaults"})
DATASETS: Final = frozenset({"azureml-dataset-runtime", "azureml-dataprep", "azureml-fsspec", "mltable"})
FUSE: Final = re.compile(r"(lib)?fuse\d?(-dev|-\d.*)?")
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
    stages = reader.chain(reader.read(dockerfile, arguments, checks.platform), checks.target)
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
        sources = [source for step in stage.instructions for source in _sources(step)]
        for package in _asked(stage):
            if package.kind != "file" or not package.name:
                continue
            base = PurePosixPath(package.name).name
            found = [source for source in sources if PurePosixPath(source).name == base]
            for path in (*found, package.name, base):
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
    for package in _all((package for stage in stages for package in _asked(stage)), requirements or {}):
        name = package.name if package.kind == "pip" else f"{package.kind} {package.name}"
        versions.setdefault(name, set()).add(package.version or "any")
    return list(bases), {name: ", ".join(sorted(versions[name])) for name in sorted(versions)}


def _sources(step: reader.Instruction) -> Iterator[str]:
    """Name the files that COPY, ADD or a bind mount takes from the context."""
    flags = dict(step.flags)
    if step.name in {"COPY", "ADD"} and "from" not in flags:
        yield from step.words[:-1]
    for name, value in step.flags:
        if step.name == "RUN" and name == "mount" and "type=bind" in value and "from=" not in value:
            yield from re.findall(r"(?:source|src)=([^,]+)", value)


def _asked(stage: reader.Stage) -> Iterator[Package]:
    for step in stage.instructions:
        if step.name == "RUN":
            lists = [step.words] if step.is_exec else packages.commands(step.text)
            for command in (*lists, *packages.commands(step.body)):
                yield from packages.asked(command)


def _all(asked: Iterable[Package], files: Mapping[str, str]) -> Iterator[Package]:
    """Add what requirements files list; files by their last name, since images have other folders."""
    by_name = {PurePosixPath(path).name: (path, text) for path, text in files.items()}
    read: set[str] = set()
    waiting = list(asked)
    while waiting:
        package = waiting.pop(0)
        if package.kind != "file":
            yield package
            continue
        path, text = by_name.get(PurePosixPath(package.name).name, ("", ""))
        if path and path not in read:
            read.add(path)
            waiting += packages.listed(path, text)


def _findings(stages: list[reader.Stage], files: Mapping[str, str], checks: Checks) -> support.Findings:
    base = stages[0].base
    asked = list(_all((package for stage in stages for package in _asked(stage)), files))
    yield from _base(base, checks.today)
    yield from _versions(stages, asked, checks.today)
    yield from _pins(asked)
    names = {package.name for package in asked}
    if names & DATASETS and not any(package.kind == "apt" and FUSE.fullmatch(package.name) for package in asked):
        used = ", ".join(sorted(names & DATASETS))
        yield "AML-IMG-007", f"{used} mounts datasets, which takes libfuse; add RUN apt-get install -y libfuse-dev"
    bare = _name(base) in _BARE
    yield from _user(stages, bare=bare)
    yield from _serving(stages, names, bare=bare, empty=base == "scratch")


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
    if name == "alpine" or "alpine" in tag:
        return "alpine", "".join(re.findall(r"alpine-?([\d.]*)", text)[:1])
    if name in _FOREIGN:
        return name, tag
    found = re.search(r"ubuntu-?(\d\d\.\d\d)", text)
    codename = next((word for word in re.split(r"[-_.]", tag) if word in support.UBUNTU_NAMES), "")
    if found or codename:
        return "ubuntu", found[1] if found else support.UBUNTU_NAMES[codename]
    codename = next((word for word in re.split(r"[-_.]", tag) if word in support.DEBIAN_NAMES), "")
    if codename:
        return "debian", support.DEBIAN_NAMES[codename]
    found = re.match(r"(\d+)", tag)
    return ("debian", found[1]) if name == "debian" and found else ("", "")


def python_of(base: str) -> str:
    """Read Python's version off an image's name; empty when it does not tell."""
    found = re.match(r"(\d+\.\d+)", _tag(base)) if _name(base) == "python" else None
    if found:
        return found[1]
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
                condas[:0] = re.findall(r"Miniconda\d-(\d+\.\d+[\d.]*)-Linux", f"{step.text}\n{step.body}")
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


def _serving(stages: list[reader.Stage], names: set[str], *, bare: bool, empty: bool) -> support.Findings:
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
    if bare and not empty and not names & SERVERS and (not start.words or start.is_azmlinfsrv):
        remedy = "pip install azureml-inference-server-http"
        yield "AML-IMG-014", f"nothing installs Azure ML's inference server, which listens on {PORT}; {remedy}"
