"""Docker's own readers: what BuildKit, its client and the reference library make of the same input."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from tools import toolchain


def ask(kind: str, items: Sequence[object]) -> list[Any]:
    """Return what is read from each, in order; `{"error": …}` where it is refused."""
    done = subprocess.run([toolchain.reader()], input=json.dumps({kind: items}), stdout=-1, text=True, check=True)
    answers: list[Any] = json.loads(done.stdout)[kind]
    assert len(answers) == len(items)
    return answers
