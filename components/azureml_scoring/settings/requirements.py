"""The checks of an image: one id each, its usual level, and the fields that name them.

Owns ids, titles and levels. Refuses to own the checks themselves (`plan/requirements/`). An id never changes its
meaning: stacks name it. Pure.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

Level = Literal["error", "warning", "info", "off"]
LEVELS: Final[tuple[Level, ...]] = ("error", "warning", "info", "off")


@dataclass(frozen=True)
class Rule:
    """One thing that is checked."""

    level: Level
    """Its level unless a stack says otherwise."""
    title: str
    """What it is about, for people."""


RULES: Final[dict[str, Rule]] = {
    "AML-IMG-001": Rule(
        "warning", "operating system that v1 did not take: before Ubuntu 16.04 or Debian 9, or another"
    ),
    "AML-IMG-002": Rule("warning", "operating system out of support"),
    "AML-IMG-003": Rule("error", "Python older than 3.6"),
    "AML-IMG-004": Rule("warning", "Python out of support"),
    "AML-IMG-005": Rule("error", "conda older than 4.5"),
    "AML-IMG-006": Rule("warning", "neither Python nor conda in the image"),
    "AML-IMG-007": Rule("warning", "datasets are used, libfuse is missing"),
    "AML-IMG-008": Rule("warning", "Python or conda packages without a pinned version"),
    "AML-IMG-009": Rule("info", "apt packages without a pinned version"),
    "AML-IMG-010": Rule("warning", "base image without a tag, or with the tag latest"),
    "AML-IMG-011": Rule("warning", "runs as root"),
    "AML-IMG-012": Rule("warning", "another port than 5001"),
    "AML-IMG-013": Rule("warning", "no server is started"),
    "AML-IMG-014": Rule("warning", "no inference server is installed"),
    "AML-IMG-015": Rule("error", "azureml-defaults older than 1.0.45"),
    "AML-IMG-016": Rule("warning", "a retired public image"),
}
"""Every check by its id."""


def _known_id(text: str) -> str:
    if text not in RULES:
        raise ValueError(f"no such check; one of {min(RULES)} to {max(RULES)}, see the documentation of images")
    return text


def _known_level(text: object) -> object:
    # YAML reads a bare `off` as false.
    text = "off" if text is False else text
    if text not in LEVELS:
        raise ValueError(f"a level is one of {', '.join(LEVELS)}")
    return text


RequirementId = Annotated[str, AfterValidator(_known_id), WithJsonSchema({"type": "string", "enum": [*RULES]})]
"""The id of a check."""
RequirementLevel = Annotated[Level, BeforeValidator(_known_level)]
"""How much a finding of it counts."""
