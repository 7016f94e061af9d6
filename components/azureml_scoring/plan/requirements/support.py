"""How long operating systems and Pythons are supported, and the oldest versions that Azure ML takes.

Owns dates and minimums, and the words about them. Refuses to own where a version was read. Pure: the day is given.
https://ubuntu.com/about/release-cycle, https://www.debian.org/releases, https://devguide.python.org/versions and
https://learn.microsoft.com/azure/machine-learning/v1/how-to-deploy-custom-container (image requirements). v2 has no
demand on the system of a custom container: https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

from packaging.version import Version

UNKNOWN: Final = Version("0")
"""Stands for a text without a version."""
UBUNTU_LEAST: Final = Version("16.04")
DEBIAN_LEAST: Final = Version("9")
"""Debian 9 is as old as Ubuntu 16.04."""
PYTHON_LEAST: Final = Version("3.6")
CONDA_LEAST: Final = Version("4.5")
DEFAULTS_LEAST: Final = Version("1.0.45")

UBUNTU: Final[Mapping[str, date]] = {
    "16.04": date(2021, 4, 30),
    "18.04": date(2023, 5, 31),
    "20.04": date(2025, 5, 31),
    "22.04": date(2027, 6, 30),
    "24.04": date(2029, 5, 31),
    "26.04": date(2031, 5, 31),
}
"""End of standard support of the LTS releases; others live nine months and are not for servers."""
DEBIAN: Final[Mapping[str, date]] = {
    "9": date(2022, 6, 30),
    "10": date(2024, 6, 30),
    "11": date(2026, 8, 31),
    "12": date(2028, 6, 30),
    "13": date(2030, 6, 30),
}
"""End of LTS."""
PYTHON: Final[Mapping[str, date]] = {
    "3.6": date(2021, 12, 23),
    "3.7": date(2023, 6, 27),
    "3.8": date(2024, 10, 7),
    "3.9": date(2025, 10, 31),
    "3.10": date(2026, 10, 31),
    "3.11": date(2027, 10, 31),
    "3.12": date(2028, 10, 31),
    "3.13": date(2029, 10, 31),
    "3.14": date(2030, 10, 31),
}
"""End of security fixes."""

UBUNTU_NAMES: Final = {"xenial": "16.04", "bionic": "18.04", "focal": "20.04", "jammy": "22.04", "noble": "24.04"}
DEBIAN_NAMES: Final = {"stretch": "9", "buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13"}

Findings = Iterator[tuple[str, str]]
"""(id, text) of what is wrong."""


def version(text: str) -> Version:
    """Read the leading number of a version or tag, such as 22.04-slim; UNKNOWN where there is none."""
    match = re.match(r"\D{0,2}(\d+(?:\.\d+)*)", text)
    return Version(match[1]) if match else UNKNOWN


def system_findings(name: str, text: str, today: date) -> Findings:
    """Judge an operating system by its os-release id (ubuntu, debian, alpine, …) and version."""
    family = {"ubuntu": "Ubuntu", "debian": "Debian"}.get(name.lower())
    current = f"use one of {current_systems(today)}"
    if family is None:
        if name:
            remedy = "v2 runs any Linux that serves; image.requirements.AML-IMG-001: off says that this one does"
            yield "AML-IMG-001", f"{name}: Azure ML v1 took Ubuntu and Debian images only; {remedy}"
        return
    release = version(text)
    if release == UNKNOWN:
        return
    short = f"{release.major}.{release.minor:02}" if family == "Ubuntu" else str(release.major)
    if release < (UBUNTU_LEAST if family == "Ubuntu" else DEBIAN_LEAST):
        remedy = f"older than Azure ML v1 took (Ubuntu 16.04, Debian 9); {current}"
        yield "AML-IMG-001", f"{family} {short} is {remedy}"
        return
    end = (UBUNTU if family == "Ubuntu" else DEBIAN).get(short)
    if end is not None and end < today:
        yield "AML-IMG-002", f"{family} {short} gets no security fixes since {end}; {current}"


def python_findings(text: str, today: date) -> Findings:
    """Judge a version of Python."""
    release = version(text)
    if release == UNKNOWN:
        return
    short = f"{release.major}.{release.minor}"
    current = f"use one of {current_pythons(today)}"
    if release < PYTHON_LEAST:
        yield "AML-IMG-003", f"Python {short} is older than Azure ML supports (3.6); {current}"
        return
    end = PYTHON.get(short)
    if end is not None and end < today:
        yield "AML-IMG-004", f"Python {short} gets no security fixes since {end}; {current}"


def conda_findings(text: str) -> Findings:
    """Judge a version of conda."""
    # Miniconda's installers carried conda's version until 4.12; since then py311_23.1.0 and the like.
    if UNKNOWN != version(text) < CONDA_LEAST:
        yield "AML-IMG-005", f"conda {version(text)} is older than Azure ML supports (4.5); install a current one"


def defaults_findings(text: str) -> Findings:
    """Judge a version of azureml-defaults."""
    if UNKNOWN != version(text) < DEFAULTS_LEAST:
        remedy = "take azureml-inference-server-http, or azureml-defaults 1.0.45 or later"
        yield "AML-IMG-015", f"azureml-defaults {version(text)} cannot serve; {remedy}"


def current_systems(today: date) -> str:
    """Name the systems that are supported on a day."""
    ubuntu = [f"Ubuntu {release}" for release, end in UBUNTU.items() if end >= today]
    debian = [f"Debian {release}" for release, end in DEBIAN.items() if end >= today]
    return ", ".join([*ubuntu, *debian])


def current_pythons(today: date) -> str:
    """Name the Pythons that are supported on a day."""
    return ", ".join(release for release, end in PYTHON.items() if end >= today)
