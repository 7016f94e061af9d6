"""Child processes that end with the local Azure, even where it is killed."""

import shutil


def guarded(command: list[str]) -> list[str]:
    """A command that Linux ends when the thread that started it ends, where the system has `setpriv`."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "TERM", "--", *command] if program else command
