"""Debian's Chromium, for the tests of the local Azure's page."""

from tools import debian
from tools.shell import say, which

PROGRAM = "chromium"


def ensure() -> None:
    """Find it, or install it as root on Debian; without it the tests of the page are skipped."""
    if which(PROGRAM):
        return
    if debian.can_install():
        debian.install([PROGRAM], reason="a browser for the tests of the page")
    else:
        say(f"{PROGRAM} is not on PATH: the tests of the page are skipped; install it to run them")
