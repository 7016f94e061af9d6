"""How far the reading of a large folder is, said in `pulumi up` and `preview`.

Owns how often it is said: of a small folder, nothing. Refuses to own the reading (`content.py`).
"""

from typing import Final

import pulumi

MANY_FILES: Final = 5000
MANY_BYTES: Final = 256 << 20
"""Files and bytes after which it is said again."""


class ProgressLogger:
    """Takes the counts of a reading, and says them when there is much more than the last time."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._files = self._bytes = 0

    def __call__(self, files: int, total: int, size: int) -> None:
        """Take how many files of how many are read, and how many bytes."""
        if files - self._files >= MANY_FILES or size - self._bytes >= MANY_BYTES:
            self._files, self._bytes = files, size
            pulumi.log.info(f"{self._field}: {files} of {total} files, {size >> 20} MB read", ephemeral=True)
