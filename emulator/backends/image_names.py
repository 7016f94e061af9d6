"""References of images: registry host, repository, tag and digest. Pure.

https://pkg.go.dev/github.com/distribution/reference
"""

import re

_PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64})")


def registry_host(image: str) -> str:
    """The registry that a reference names; Docker Hub where it names none, as in Docker."""
    head, separator, _ = image.partition("/")
    return head if separator and (re.search(r"[.:]", head) or head == "localhost") else "docker.io"


def split_reference(image: str) -> tuple[str, str]:
    """A reference's repository, and its digest, else its tag, else `latest` (Docker would fetch every tag)."""
    name, _, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    base, _, tag = last.partition(":")
    return f"{folder}{slash}{base}", digest or tag or "latest"


def pushed_digest(lines: list[str]) -> str | None:
    """The digest that `docker push` printed last."""
    return next((match[1] for line in reversed(lines) if (match := _PUSHED.search(line))), None)
