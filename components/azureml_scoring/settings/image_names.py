"""Names of images, as Docker reads them.

Owns the patterns of host, repository, tag and digest, and what a name that is none was probably meant to be. Refuses to
own which fields take which (`rules.py`). Pure.
https://github.com/distribution/reference/blob/main/regexp.go and normalize.go, which the tests ask
"""

import re
from typing import Final

_LABEL: Final = "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
HOST: Final = rf"({_LABEL}(\.{_LABEL})*|\[[a-fA-F0-9:]+\])(:[0-9]+)?"
"""A name, an IPv4 address, or an IPv6 address in brackets; with a port or without."""
_EXPLICIT: Final = rf"(?=[^/]*[.:]|localhost/){HOST}"
"""Without a dot or a port, the first word is a folder of Docker Hub."""
PART: Final = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
TAG: Final = "(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?"
DIGEST: Final = "@sha256:[0-9a-f]{64}"
"""Registries of Azure know this algorithm only."""
NAME: Final = rf"{_EXPLICIT}/(?![^:@]{{256}}){PART}(/{PART})*"
"""Host and repository, which has 255 characters at most."""
LONGEST: Final = 255 + 1 + 255 + 1 + 128 + 72
"""Host, repository, tag and digest."""


def full(text: str) -> str:
    """Write a name as Docker would complete it: without a scheme, Docker Hub's with its host, in small letters."""
    name = re.sub(r"^\w+://", "", text.strip())
    host, slash, rest = name.partition("/")
    if not slash or not re.match(_EXPLICIT, f"{host}/"):
        host, rest = "docker.io", name if slash else f"library/{name}"
    repository = re.split("[:@]", rest)[0]
    return f"{host}/{repository.lower()}{rest[len(repository) :]}"
