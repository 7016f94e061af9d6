"""Errors of a step, each a complete line for the user."""


class ResourceError(Exception):
    """A step failed; the text is one line that names the thing, the value and the remedy, and holds no secret."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


class CancelledError(ResourceError):
    """The user ended the update while a step waited for Azure; the step leaves things in order and passes this on."""
