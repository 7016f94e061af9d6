"""What was asked of this Azure, in order: which request, by whom, when, how long it took, and why it was refused.

Owns the entries of this process; a restart forgets them. Bodies and queries are not kept: secrets stand there.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from emulator.core.errors import AzureError
from emulator.core.operations import Operation

_MOST = 5000
_UNEXPECTED = 500


@dataclass
class Entry:
    """One request: `at` in seconds since 1970, `seconds` until its answer; `operation` where work went on after it."""

    service: str
    method: str
    target: str
    client: str = ""
    number: int = 0
    at: float = 0.0
    seconds: float = 0.0
    status: int = 200
    error: str = ""
    operation: Operation | None = None

    @property
    def failure(self) -> str:
        """Why it failed, at once or in its operation; empty where it did not."""
        failed = self.operation.error if self.operation else None
        return self.error or (f"{failed.code}: {failed.message}" if failed else "")


class Journal:
    """The latest requests, and where the present run began. Thread-safe."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_MOST)
        self._lock = threading.Lock()
        self.count = 0
        self._run = 0

    def add(self, entry: Entry) -> None:
        """Add what has been answered."""
        with self._lock:
            self.count += 1
            self._entries.append(replace(entry, number=self.count, at=entry.at or time.time()))

    @contextmanager
    def noting(self, entry: Entry) -> Iterator[Entry]:
        """Add a request when it has been answered; a refusal is noted and raised on."""
        begun, entry.at = time.monotonic(), time.time()
        try:
            yield entry
        except AzureError as error:
            entry.status, entry.error = error.status, str(error)
            raise
        except Exception:
            entry.status = _UNEXPECTED
            raise
        finally:
            entry.seconds = time.monotonic() - begun
            self.add(entry)

    def begin_run(self) -> None:
        """Let a run begin here: what follows is what one `up` asks for."""
        self._run = self.count

    def entries(self) -> list[Entry]:
        """All that are kept, oldest first."""
        with self._lock:
            return list(self._entries)

    def run(self) -> list[Entry]:
        """Those of the present run, oldest first."""
        return [entry for entry in self.entries() if entry.number > self._run]
