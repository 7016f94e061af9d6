"""The base image of the images that tests make: the example's, without what no server or build of the tests needs.

Each new registry gets its layers, and the engine compresses them anew for each: the example's take four times as long.
"""

import functools
import hashlib
from pathlib import Path

from tools import base_image, engine
from tools.shell import alone, run

_FOLDER = Path(__file__).parent
_SOURCES = ("Dockerfile", "shrink.py")
NAME = (
    "azureml-scoring-tests:"
    + hashlib.sha256(b"".join((_FOLDER / each).read_bytes() for each in _SOURCES)).hexdigest()[:12]
)


@functools.cache
def ensure() -> None:
    """Make it where the engine lacks it. Without an engine there is none: what needs it says so."""
    if engine.has_image(NAME) or not engine.answers():
        return
    with alone("tests-base-image"):
        base_image.ensure()
        base = ("--build-arg", f"BASE={base_image.NAME}")
        run([engine.client(), "build", *base, "--tag", NAME, _FOLDER], what=f"docker build {NAME}", timeout=600)
