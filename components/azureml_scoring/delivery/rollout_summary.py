"""How a rollout went: the final table, and a summary of it for the page of a job in GitHub Actions or Azure Pipelines.

Owns what both show. Refuses to own what is done (`rollout.py`).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from tempfile import mkstemp
from typing import Final

from azureml_scoring.delivery import markdown
from azureml_scoring.delivery.table import table

_HEADER: Final = ("STACK", "VERSION", "DEPLOYMENT", "RESULT", "SECONDS")
_NOT_BEGUN: Final = "not begun"
_MOMENT: Final = "%Y-%m-%d %H:%M:%S"
_MINUTE: Final = 60


@dataclass
class Row:
    """A stack's line in both."""

    stack: str
    version: str = "-"
    deployment: str = "-"
    result: str = _NOT_BEGUN
    seconds: float = 0.0
    shifts: list[tuple[datetime, int]] = field(default_factory=list)
    """When the deployment got which percent of the traffic."""
    ended: datetime | None = None

    @property
    def is_begun(self) -> bool:
        """Whether its turn has come."""
        return self.result != _NOT_BEGUN

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        return (self.stack, self.version, self.deployment, self.result, f"{self.seconds:.0f}")

    @property
    def steps(self) -> list[tuple[int, datetime, datetime]]:
        """Percent, begin and end of each step of the shift."""
        ends = [*self.shifts, *([(self.ended, 0)] if self.ended else [])]
        return [(percent, begin, end) for (begin, percent), (end, _) in pairwise(ends)]


def show(rows: Sequence[Row]) -> list[str]:
    """Write the table for a terminal."""
    return table([_HEADER, *(row.cells for row in rows)])


def write_summary(rows: Sequence[Row], environment: Mapping[str, str] = os.environ) -> str:
    """Add the summary to the page of the job that this runs in, if it does.

    Returns the line that Azure Pipelines must be told on standard output; empty elsewhere.
    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary
    https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands#uploadsummary-add-some-markdown-content-to-the-build-summary
    """
    if page := environment.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write("\n".join([*_table(rows), *_chart(rows), ""]))
    if not environment.get("TF_BUILD"):
        return ""
    # The agent reads it later, and keeps its temporary folder until the job has ended.
    descriptor, name = mkstemp(".md", "rollout-", environment.get("AGENT_TEMPDIRECTORY"))
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join([*_table(rows), ""]))
    return f"##vso[task.uploadsummary]{name}"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "### Rollout"
    yield ""
    yield markdown.row("Stack", "Version", "Deployment", "Traffic", "Result", "Duration")
    yield markdown.row(*["---"] * 6)
    for row in rows:
        steps = ", ".join(
            f"{percent} % for {_duration((end - begin).total_seconds())}" for percent, begin, end in row.steps
        )
        cells = (markdown.code(row.version), row.deployment, steps or "-", markdown.text(row.result))
        yield markdown.row(markdown.text(row.stack), *cells, _duration(row.seconds))


def _chart(rows: Sequence[Row]) -> Iterator[str]:
    """Draw the shift over time, for GitHub; Azure Pipelines does not say that it renders Mermaid there.

    A Gantt chart has a scale of time, where a line chart (xychart) spaces its points evenly.
    https://docs.github.com/get-started/writing-on-github/working-with-advanced-formatting/creating-diagrams
    https://mermaid.js.org/syntax/gantt.html
    """
    if not any(row.steps for row in rows):
        return
    yield from ("", "```mermaid", "gantt", "  title Share of the traffic (UTC)")
    yield from ("  dateFormat YYYY-MM-DD HH:mm:ss", "  axisFormat %H:%M:%S")
    for row in rows:
        if row.steps:
            yield f"  section {markdown.label(row.stack)}"
        for percent, begin, end in row.steps:
            yield f"  {row.deployment} {percent} % :{begin:{_MOMENT}}, {end:{_MOMENT}}"
    yield "```"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), _MINUTE)
    return " ".join([f"{minutes} min"] * bool(minutes) + [f"{rest} s"] * bool(rest or not minutes))
