"""What a command of `azureml-scoring` returns and reports."""

from enum import IntEnum


class CommandError(Exception):
    """A command cannot be carried out: one line that names the thing, the value and the remedy, and holds no secret."""


class ExitCode(IntEnum):
    """How a command ends."""

    OK = 0
    FAILED = 1  # a step failed, something is wrong, or a question was answered with no
    USAGE = 2  # arguments or files are wrong; nothing was done
    WAITING = 3  # a stack of a rollout waits for approval
    LOCKED = 4  # another run holds the stack; nothing was undone
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it
