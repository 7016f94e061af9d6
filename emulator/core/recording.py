"""Each ARM request and its answer as a line of JSON, for tests that hold them against Microsoft's published types.

Bodies stand in the file as they are, secrets too: a local Azure records only where it is told to.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any


class Recording:
    """A file that requests are added to; an empty path: none."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._lock = threading.Lock()

    def add(self, row: dict[str, Any]) -> None:
        """Write one line; the file is its user's alone."""
        if self._path is None:
            return
        line = f"{json.dumps(row)}\n".encode()
        with self._lock:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line)
            finally:
                os.close(file)
