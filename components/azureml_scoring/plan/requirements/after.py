"""What the built image tells.

Owns the checks on a probe. Refuses to own the probing (`provider/image_inspection.py`). Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from azureml_scoring.plan.requirements import support
from azureml_scoring.plan.requirements.before import DATASETS, FUSE, SERVERS, Checks, is_root
from azureml_scoring.plan.requirements.findings import Finding, levelled
from azureml_scoring.plan.requirements.server import PORT, Start, judge_start


@dataclass(frozen=True)
class ImageInspection:
    """What is known of a built image."""

    user: str = ""
    start: Start = field(default_factory=Start)
    ports: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    system: str = ""
    """`ID` of os-release."""
    system_version: str = ""
    """`VERSION_ID` of os-release."""
    python: str = ""
    """The version of the first Python on PATH."""
    conda: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Python distributions by normalised name, with their versions."""
    fuse: bool = False
    """Whether a fuse library or program is installed."""
    whole: bool = True
    """Whether every layer was read; otherwise nothing is said to be missing."""


_STACK: Final = ("runsvdir", "runit")
"""How Azure ML's own base images start their inference stack."""


def after(probe: ImageInspection, checks: Checks | None = None) -> list[Finding]:
    """Judge a built image."""
    checks = checks or Checks()
    return levelled(_findings(probe, checks.today), checks.levels)


def _findings(probe: ImageInspection, today: date) -> support.Findings:
    yield from support.system_findings(probe.system, probe.system_version, today)
    yield from support.python_findings(probe.python, today)
    yield from support.conda_findings(probe.conda)
    if probe.whole and not probe.python and not probe.conda:
        remedy = "install Python 3, unless a server in another language answers"
        yield "AML-IMG-006", f"the image has neither Python nor conda, and Azure ML's server needs it; {remedy}"
    used = sorted(probe.packages.keys() & DATASETS)
    if probe.whole and used and not probe.fuse:
        text = f"{', '.join(used)} mounts datasets, which takes libfuse; add RUN apt-get install -y libfuse-dev"
        yield "AML-IMG-007", text
    if is_root(probe.user):
        said = f'user "{probe.user}"' if probe.user else "no user"
        yield "AML-IMG-011", f"the image has {said}: the server runs as root; end the Dockerfile with USER 10001"
    yield from judge_start(probe.start, probe.ports)
    yield from support.defaults_findings(probe.packages.get("azureml-defaults", ""))
    own = probe.start.words and not probe.start.is_azmlinfsrv
    stack = any(word in " ".join(probe.start.words) for word in _STACK)
    missing = not SERVERS & probe.packages.keys()
    if probe.whole and missing and (probe.python or probe.conda) and (stack or not own):
        remedy = "pip install azureml-inference-server-http"
        yield "AML-IMG-014", f"the image lacks Azure ML's inference server, which listens on {PORT}; {remedy}"


def is_fuse(package: str) -> bool:
    """Tell whether a Debian package brings fuse."""
    return FUSE.fullmatch(package) is not None
