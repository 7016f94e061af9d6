"""What a check of an image has found, and how a stack changes its level.

Owns the finding that one line says. Refuses to own ids and levels (`settings/requirements.py`) and the checks
themselves (`before.py`, `after.py`). Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from azureml_scoring.settings.requirements import LEVELS, RULES, Level


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    id: str
    level: Level
    text: str
    """One line: what is found, and the remedy."""

    def __str__(self) -> str:
        """Tell it on one line."""
        return f"{self.id} {self.text}"


def levelled(found: Iterable[tuple[str, str]], levels: Mapping[str, str] | None = None) -> list[Finding]:
    """Give each (id, text) its level, the stack's before the rule's; what is off is not told, the worst comes first."""
    findings = []
    for id_, text in dict.fromkeys(found):
        level = _level((levels or {}).get(id_, RULES[id_].level))
        if level != "off":
            findings.append(Finding(id_, level, text))
    return sorted(findings, key=lambda finding: (LEVELS.index(finding.level), finding.id))


def _level(text: str) -> Level:
    return next((level for level in LEVELS if level == text), "error")
