"""Names of images, as Docker reads them.

Owns the patterns of host, repository, tag and digest (hosts and ports are those that can exist, of which Docker asks
less), and what a name that is none was probably meant to be. Refuses to
own which fields take which (`rules.py`). Pure.
https://github.com/distribution/reference/blob/main/regexp.go and normalize.go, which the tests ask
"""

import re
from typing import Final

PORT: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL: Final = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DOMAIN: Final = rf"({_LABEL}\.)*(?![0-9]+([:/]|$)){_LABEL}"
"""Labels of which the last is no number: https://www.rfc-editor.org/rfc/rfc1123#page-13"""
HOST: Final = rf"({_OCTET}(\.{_OCTET}){{3}}|{_DOMAIN}|\[[a-fA-F0-9:]+\])(:{PORT})?"
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
