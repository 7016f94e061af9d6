"""What a rollout tells while it runs: an event for each thing that happens, as a line for people or as JSON. Pure.

Owns the kinds of events, their fields, and how a line of the engine becomes one. Refuses to own when they happen.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from azureml_scoring.provider.smoke_test import is_check_line
from azureml_scoring.provider.traffic_split import read_bake, read_step


class EventKind(StrEnum):
    """What happened."""

    STARTED = "started"  # the turn of a stack began
    PLANNED = "planned"  # what would be done (--dry-run)
    APPROVAL = "approval"  # the stack waits for approval, and the run ends
    WAITING = "waiting"  # another run updates the stack
    BUILD = "build"  # the image is built, and deployed beside the version that serves
    IMPORT = "import"  # the image is imported, and deployed beside the version that serves
    RESOURCE = "resource"  # a line about one resource
    CHECK = "check"  # a deployment answered the requests of rollout.checks
    SHIFT = "shift"  # the deployment gets `percent` of the traffic
    BAKE = "bake"  # the split stays for `seconds`
    DONE = "done"  # the stack serves the version
    UNDONE = "undone"  # the version is taken away; what served before serves on
    FAILED = "failed"  # the run ends
    LOCKED = "locked"  # another run holds the stack; nothing was undone, and the run ends


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    kind: EventKind
    stack: str
    """Empty where no stack's turn had begun."""
    message: str
    """One line without secrets; with blanks before it, where it is the engine's about a resource."""
    percent: int | None = None
    """Share of the traffic that the deployment of the new version gets."""
    seconds: float | None = None
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def text(self) -> str:
        """The line for people; empty where there is none."""
        is_named = self.stack and self.kind not in {EventKind.APPROVAL, EventKind.RESOURCE}
        named = f"{self.stack}: {self.message}" if is_named and not self.message.startswith(" ") else self.message
        if self.kind is EventKind.STARTED:
            return ""
        return f"error: {named}" if self.kind in {EventKind.FAILED, EventKind.LOCKED} else named

    @property
    def json(self) -> str:
        """The event as one line of JSON; fields without a value are left out."""
        document: dict[str, Any] = {
            "time": self.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "stack": self.stack,
            "event": self.kind,
            "percent": self.percent,
            "seconds": self.seconds,
            "message": self.message.strip(),
        }
        return json.dumps({name: value for name, value in document.items() if value is not None})


def engine_event(stack: str, deployment: str, line: str) -> Event:
    """Read a line that the engine reports during an update; `deployment` is the one that gets the traffic."""
    if (split := read_step(line)) is not None:
        return Event(EventKind.SHIFT, stack, line, percent=split.get(deployment, 0))
    if (seconds := read_bake(line)) is not None:
        return Event(EventKind.BAKE, stack, line, seconds=seconds)
    return Event(EventKind.CHECK if is_check_line(line) else EventKind.RESOURCE, stack, line)
