"""Uploads to blobs by signed URLs, and the signing with an account's key.

Owns the protocol of a block blob and of a service SAS. Refuses to own where a URL or key comes from.
https://learn.microsoft.com/rest/api/storageservices/put-block-list and
https://learn.microsoft.com/rest/api/storageservices/create-service-sas
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import IO
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from azureml_scoring.provider.arm import Arm, clean
from azureml_scoring.provider.errors import ResourceError

BLOCK = 8 << 20
"""Bytes that are held in memory at a time."""
CREATED = 201
VERSION = "2021-12-02"
_UNSIGNED = ("si", "sip")
_AFTER = ("snapshot", "ses", "rscc", "rscd", "rsce", "rscl", "rsct")
"""Fields of a SAS that we leave empty; they are signed all the same, in this order around the others."""


def put_blob(arm: Arm, url: str, stream: IO[bytes], what: str) -> None:
    """Upload a block blob, a block at a time; `what` is named where it is refused."""
    blocks: list[str] = []
    separator = "&" if "?" in url else "?"
    version = {"x-ms-version": VERSION}

    def put(query: str, content: bytes, headers: Mapping[str, str]) -> None:
        place = f"{url}{separator}{query}" if query else url
        reply = arm.web.send("PUT", place, content=content, headers={**version, **headers})
        if reply.status != CREATED:
            reason = clean(reply.content[:300].decode("utf-8", "replace"))
            msg = f"the upload of {what} was refused: HTTP {reply.status} {reason}; run up again"
            raise ResourceError(msg)

    plain = {"Content-Type": "application/octet-stream"}
    block = stream.read(BLOCK)
    if len(block) < BLOCK:
        put("", block, {**plain, "x-ms-blob-type": "BlockBlob"})
        return
    while block:
        name = base64.b64encode(f"{len(blocks):08}".encode()).decode()
        put(f"comp=block&blockid={name.replace('=', '%3D')}", block, plain)
        blocks.append(name)
        block = stream.read(BLOCK)
    entries = "".join(f"<Latest>{escape(name)}</Latest>" for name in blocks)
    listing = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{entries}</BlockList>'
    put("comp=blocklist", listing.encode(), {"Content-Type": "application/xml"})


def container_sas(account: str, container: str, key: str, expires: str, permissions: str = "cw") -> str:
    """Sign a query that opens a container until a moment (UTC, RFC 3339); `key` is the account's, in base64."""
    given = {"sp": permissions, "se": expires, "spr": "https", "sv": VERSION, "sr": "c"}
    fields = [permissions, "", expires, f"/blob/{account}/{container}", *("" for _ in _UNSIGNED)]
    fields += ["https", VERSION, "c", *("" for _ in _AFTER)]
    signature = hmac.new(base64.b64decode(key), "\n".join(fields).encode(), hashlib.sha256).digest()
    return urlencode({**given, "sig": base64.b64encode(signature).decode()})
