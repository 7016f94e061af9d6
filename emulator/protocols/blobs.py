"""Blobs over https, as far as uploads and the reading of logs need: put (by blocks), get (by range), delete, list.

Serves both kinds: those of Azure's own services (`services/blobs.py`) and those in storage accounts
(`services/storage_data.py`), which differ in what their signatures sign.

https://learn.microsoft.com/rest/api/storageservices/put-blob
"""

import base64
import binascii
import hashlib
import re
import shutil
import uuid
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from emulator.backends import signed_blobs
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.protocols.web import client_of
from emulator.services.storage import access as storage_access
from emulator.services.storage import data as storage_data

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_META = "x-ms-meta-"
_CHUNK = 1 << 20
_VERSION = {"x-ms-version": "2023-11-03"}
#: What a SAS calls the methods.
_PERMISSIONS = {"PUT": "w", "DELETE": "d"}


def routes(azure: Azure) -> list[BaseRoute]:
    """/blob/NAME with a signature in the query; /storage/ACCOUNT/CONTAINER/NAME with a proof of `storage.access`."""

    def find(request: Request) -> tuple[Path, dict[str, str]]:
        """Where a blob lies, and its metadata; refused where nothing allows the request."""
        permission = _PERMISSIONS.get(request.method, "r")
        parameters, query = request.path_params, dict(request.query_params)
        if "account" in parameters:
            _admit(azure, request)
            address = (azure, parameters["account"], parameters["container"], parameters["name"])
            storage_access.demand(*address, _asked(request), permission)
            if request.method != "PUT" and parameters["name"].endswith("/"):
                raise _no_blob()  # clients ask whether a folder is a blob
            path = storage_data.blob_path(*address)
            return path, storage_data.metadata(path)
        signed_blobs.demand(azure, parameters["name"], query, permission)
        return signed_blobs.blob_path(azure, parameters["name"]), signed_blobs.metadata(azure, parameters["name"])

    async def answer(request: Request) -> Response:
        try:
            path, metadata = await run_in_threadpool(find, request)
            if request.method == "DELETE":
                return _delete(path)
            return await _write(azure, request, path) if request.method == "PUT" else _read(request, path, metadata)
        except AzureError as error:
            return _refused(error)

    async def container(request: Request) -> Response:
        try:
            return await run_in_threadpool(_container, azure, request)
        except AzureError as error:
            return _refused(error)

    methods = ["GET", "HEAD", "PUT"]
    return [
        Route("/blob/{name:path}", answer, methods=methods),
        Route("/storage/{account}/{container}", container, methods=methods),
        Route("/storage/{account}/{container}/{name:path}", answer, methods=[*methods, "DELETE"]),
    ]


def _admit(azure: Azure, request: Request) -> None:
    account = storage_data.account_named(azure, request.path_params["account"])
    storage_access.pass_firewall(azure, account, client_of(request, account))


def _described(request: Request) -> dict[str, str]:
    return {key[len(_META) :]: value for key, value in request.headers.items() if key.startswith(_META)}


def _asked(request: Request) -> storage_access.Asked:
    path: bytes = request.scope["raw_path"]  # by an account's own host, without the account
    return storage_access.Asked(request.method, path.decode(), dict(request.headers), dict(request.query_params))


def _refused(error: AzureError) -> Response:
    text = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
    return _xml(text, error.status, {"x-ms-error-code": error.code})


def _xml(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    whole = f'<?xml version="1.0" encoding="utf-8"?>{text}'
    return Response(whole, status, {**(headers or {}), **_VERSION}, "application/xml")


def _container(azure: Azure, request: Request) -> Response:
    """A container: made, looked at, listed. It need not be made, see `storage.data`.

    https://learn.microsoft.com/rest/api/storageservices/list-blobs
    """
    account, name, query = request.path_params["account"], request.path_params["container"], request.query_params
    _admit(azure, request)
    making, listing = request.method == "PUT", query.get("comp") == "list"
    if query.get("restype") != "container" or query.get("comp") not in {None, "list"}:
        raise AzureError(400, "InvalidQueryParameterValue", f"?{query} is not served for a container here")
    storage_access.demand(azure, account, name, "", _asked(request), "w" if making else "l" if listing else "r")
    if not listing:
        return Response(None, 201 if making else 200, _VERSION)
    blobs = "".join(_listed(*each) for each in storage_data.names(azure, account, name, query.get("prefix", "")))
    place = f'ServiceEndpoint="{storage_data.account_url(azure, account)}/" ContainerName="{name}"'
    return _xml(f"<EnumerationResults {place}><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>")


def _listed(name: str, path: Path) -> str:
    about = _about(path)
    properties = (
        f"<Last-Modified>{about['Last-Modified']}</Last-Modified><Etag>{about['ETag'].strip(chr(34))}</Etag>"
        f"<Content-Length>{path.stat().st_size}</Content-Length><BlobType>BlockBlob</BlobType>"
    )
    return f"<Blob><Name>{escape(name)}</Name><Properties>{properties}</Properties></Blob>"


def _delete(path: Path) -> Response:
    _demand_blob(path)
    storage_data.remove(path)
    return Response(None, 202, _VERSION)


def _demand_blob(path: Path) -> None:
    if not path.is_file():
        raise _no_blob()


def _no_blob() -> AzureError:
    return AzureError(404, "BlobNotFound", "The specified blob does not exist.")


async def _write(azure: Azure, request: Request, path: Path) -> Response:
    await run_in_threadpool(_check_conditions, request, path)
    part = request.query_params.get("comp", "")
    if part == "block":
        await _receive(request, _block(path, request.query_params.get("blockid", "")))
    elif part == "blocklist":
        if int(request.headers.get("content-length") or 0) > _CHUNK:
            raise AzureError(413, "RequestBodyTooLarge", "The block list is longer than 1 MiB.")
        await run_in_threadpool(_join, path, _blocks(await request.body()))
        await run_in_threadpool(_complete, azure, path, _described(request))
    elif part == "metadata":
        _demand_blob(path)
        storage_data.describe(path, _described(request))
        return Response(None, 200, {**_VERSION, **_about(path)})
    elif part:
        raise AzureError(400, "InvalidQueryParameterValue", f"comp={part} is not served here")
    else:
        if request.headers.get("x-ms-blob-type", "").lower() != "blockblob":
            raise AzureError(400, "MissingRequiredHeader", "The header x-ms-blob-type must be BlockBlob.")
        await _receive(request, path)
        await run_in_threadpool(_complete, azure, path, _described(request))
    return Response(status_code=201, headers={**_VERSION, **(_about(path) if part != "block" else {})})


def _complete(azure: Azure, path: Path, metadata: dict[str, str]) -> None:
    with azure.writing("uploads"):
        storage_data.describe(path, metadata)


def _check_conditions(request: Request, path: Path) -> None:
    """Refuse a write whose condition is not met.

    https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations
    """
    exists = path.is_file()
    if request.headers.get("if-none-match") == "*" and exists:
        raise AzureError(409, "BlobAlreadyExists", "The specified blob already exists.")
    wanted = request.headers.get("if-match")
    if wanted is not None and not (exists and wanted in {"*", _about(path)["ETag"]}):
        raise AzureError(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")


async def _receive(request: Request, path: Path) -> None:
    """Stream a body to a file that appears only when it is whole."""
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with draft.open("wb") as file:
            async for chunk in request.stream():
                digest.update(chunk)
                await run_in_threadpool(file.write, chunk)
        expected = request.headers.get("content-md5")
        if expected and expected != base64.b64encode(digest.digest()).decode():
            raise AzureError(
                400, "Md5Mismatch", "The MD5 value specified in the request did not match the one calculated."
            )
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _block(path: Path, block_id: str) -> Path:
    try:
        decoded = base64.b64decode(block_id, validate=True)
    except binascii.Error as error:
        raise AzureError(400, "InvalidQueryParameterValue", "blockid is not base64") from error
    if not decoded:
        raise AzureError(400, "InvalidQueryParameterValue", "blockid is missing")
    folder = path.with_name(path.name + ".blocks")
    folder.mkdir(exist_ok=True)
    return folder / decoded.hex()


def _blocks(body: bytes) -> list[str]:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise AzureError(400, "InvalidXmlDocument", "XML specified is not syntactically valid.")
    try:
        return [(each.text or "").strip() for each in ET.fromstring(body)]  # noqa: S314 - no DTD, see above
    except ET.ParseError as error:
        raise AzureError(400, "InvalidXmlDocument", "XML specified is not syntactically valid.") from error


def _join(path: Path, ids: list[str]) -> None:
    parts = [_block(path, each) for each in ids]
    if not all(part.is_file() for part in parts):
        raise AzureError(400, "InvalidBlockList", "The specified block list is invalid.")
    draft = path.with_name(path.name + ".part")
    with draft.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, _CHUNK)
    draft.replace(path)
    shutil.rmtree(path.with_name(path.name + ".blocks"), ignore_errors=True)


def _read(request: Request, path: Path, metadata: dict[str, str]) -> Response:
    _demand_blob(path)
    if request.headers.get("if-none-match") in {"*", _about(path)["ETag"]}:
        return Response(None, 304, {**_about(path), **_VERSION})
    # A growing log may get longer meanwhile: this length is announced and sent.
    size = path.stat().st_size
    start, end, status = 0, size - 1, 200
    headers = {**_about(path), **_VERSION, "Accept-Ranges": "bytes", "x-ms-blob-type": "BlockBlob"}
    headers |= {_META + key: value for key, value in metadata.items()}
    range_ = _RANGE.fullmatch(request.headers.get("x-ms-range") or request.headers.get("range") or "")
    if range_:
        start = int(range_[1])
        end = min(int(range_[2]), end) if range_[2] else end
        if start >= size or start > end:
            raise AzureError(
                416, "InvalidRange", "The range specified is invalid for the current size of the resource."
            )
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    headers["Content-Length"] = str(end - start + 1)
    if request.method == "HEAD":
        return Response(None, status, headers, "application/octet-stream")
    file = path.open("rb")
    return StreamingResponse(_send(file, start, end - start + 1), status, headers, "application/octet-stream")


async def _send(file: BinaryIO, start: int, length: int) -> AsyncIterator[bytes]:
    with file:
        file.seek(start)
        while length > 0:
            chunk = await run_in_threadpool(file.read, min(_CHUNK, length))
            if not chunk:
                return
            length -= len(chunk)
            yield chunk


def _about(path: Path) -> dict[str, str]:
    status = path.stat()
    return {
        "ETag": f'"0x{status.st_mtime_ns:X}{status.st_size:X}"',
        "Last-Modified": formatdate(status.st_mtime, usegmt=True),
    }
