"""The environment that Azure ML builds: a base image and the packages of a conda or pip file.

Owns the reading of the files, the check that there is a server among the packages, and the version, known in preview.
Refuses to own the build, which is Azure ML's when a deployment first needs it, and what may go together
(`settings/validation.py`).
https://learn.microsoft.com/azure/machine-learning/how-to-manage-environments-v2 (an environment from a conda file) and
https://learn.microsoft.com/azure/machine-learning/how-to-inference-server-http
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from azureml_scoring.plan.requirements import packages, support
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError, error_line
from azureml_scoring.settings.rules import RULES, TAG_LENGTH

SERVER: Final = "azureml-inference-server-http"
_DEFAULTS: Final = "azureml-defaults"
_LEAST: Final = support.DEFAULTS_LEAST
_FILE: Final = re.compile(
    r"(?:-[rcef]|--(?:requirement|constraint|editable|find-links)\b)[\s=]*(?P<option>.*)"
    r"|(?P<path>[./~]\S*|[^\s@]+\.(?:whl|zip|tar\.gz)\b.*|file:.*)|[^@]+@\s*(?P<url>file:.*)"
)
"""Lines of pip's that name a file or a folder."""
_ADDRESS: Final = re.compile(r"(\w+\+)?(?!file:)\w+://")


@dataclass(frozen=True)
class EnvironmentPlan:
    """What a preview knows of an environment."""

    name: str
    version: str
    base: str
    conda: str
    """The conda file, as Azure ML gets it."""


def plan_environment(environment: At) -> EnvironmentPlan:
    """Read which packages are installed; raise a `SettingsError` where they cannot serve."""
    settings = environment()
    file = environment.conda_file or environment.requirements_file
    try:
        text = packages.decoded(
            "conda.yml" if environment.conda_file else "requirements.txt", Path(file()).read_bytes()
        )
    except (OSError, ValueError, LookupError):
        raise SettingsError(file.refused("no such text file; name the file that lists the packages")) from None
    conda = text if environment.conda_file else of_requirements(text, settings.python, file.path_)
    demand_server(conda, file.path_, file())
    name = settings.name or Path(file()).stem
    if problem := RULES["environment"].problem(name):
        raise SettingsError(environment.name.refused(problem, name))
    key = hashlib.sha256(f"{settings.base}\n{conda}".encode()).hexdigest()
    return EnvironmentPlan(name, key[:TAG_LENGTH], settings.base or "", conda)


def of_requirements(text: str, python: str | None, place: str) -> str:
    """Write a conda file that installs a requirements file with pip."""
    lines = [_own(line, place) for line in packages.lines(text)]
    dependencies: list[object] = [f"python={python}"] if python else ["python"]
    conda = {"channels": ["conda-forge"], "dependencies": [*dependencies, "pip", {"pip": lines}]}
    return str(yaml.safe_dump(conda, sort_keys=False, allow_unicode=True))


def _own(line: str, place: str) -> str:
    """Return a line of pip's; raise one line where it names another file of this machine."""
    named = _FILE.match(line)
    if named and not _ADDRESS.match(named["option"] or line):
        remedy = "Azure ML gets this one file only; write the packages themselves into it"
        raise SettingsError(error_line(place, line, remedy))
    return line


def demand_server(conda: str, place: str, path: str) -> None:
    """Raise one line where no server is among the packages that can run an entry script."""
    try:
        document: Any = yaml.safe_load(conda)
    except yaml.YAMLError:
        document = None
    if not isinstance(document, Mapping) or not isinstance(document.get("dependencies"), list):
        raise SettingsError(error_line(place, path, "it is no conda environment; write channels and dependencies"))
    pip = [entry["pip"] for entry in document["dependencies"] if isinstance(entry, Mapping) and entry.get("pip")]
    for line in (str(line).strip() for lines in pip if isinstance(lines, list) for line in lines):
        _own(line, place)
    listed = list(packages.of_conda(document))
    asked = {package.name: package.version for package in listed}
    defaults = asked.get(_DEFAULTS)
    if defaults and support.version(defaults) < support.DEFAULTS_LEAST:
        raise SettingsError(error_line(place, path, f"{_DEFAULTS} {defaults} cannot serve; write {_LEAST} or later"))
    unknown = any(package.kind == "unknown" for package in listed)
    if defaults is None and SERVER not in asked and not unknown:
        remedy = f"no server is among the packages; add {SERVER}, or {_DEFAULTS} {_LEAST} or later, to its pip part"
        raise SettingsError(error_line(place, path, remedy))
