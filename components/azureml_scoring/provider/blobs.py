"""Uploads to Azure Storage by signed URLs, and the signing of a container with its account's key.

Owns how azure-storage-blob is called: with this process' transport, few bytes in memory, and errors on one line that
hold no signature. Refuses to own where a URL or key comes from.
https://learn.microsoft.com/python/api/azure-storage-blob/azure.storage.blob.blobclient
"""

from datetime import UTC, datetime, timedelta
from typing import IO

from azure.core.exceptions import HttpResponseError

from azureml_scoring.provider.arm import CONNECT_SECONDS, OUTAGES, READ_SECONDS, Arm, connection_errors
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.outside import refuse_outside

BLOCK_SIZE = 8 << 20
"""Bytes that are held in memory at a time."""
SAS_HOURS = 12


def upload_blob(arm: Arm, url: str, stream: IO[bytes], title: str) -> None:
    """Upload a file to a signed URL, in blocks; errors name `title`."""
    from azure.storage.blob import BlobClient  # noqa: PLC0415 - it takes a second to import, and few steps upload

    blob = BlobClient.from_blob_url(
        url,
        transport=arm.transport,
        max_single_put_size=BLOCK_SIZE,
        max_block_size=BLOCK_SIZE,
        initial_backoff=1,
        increment_base=2,
    )
    with connection_errors("PUT", url):
        try:
            blob.upload_blob(stream, overwrite=True, connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
        except HttpResponseError as error:
            # The library's own text repeats the response, and the strings that were signed.
            code = getattr(error, "error_code", None) or error.reason
            verb = "did not succeed" if error.status_code in OUTAGES else "was refused"
            reason = f"HTTP {error.status_code} {getattr(code, 'value', code)}"
            refuse_outside(f"the storage of {title}", error.status_code or 0, reason)
            raise ResourceError(f"the upload of {title} {verb}: {reason}; run up again") from None


def container_sas(account: str, container: str, key: str) -> str:
    """Return the query of a service SAS that lets its holder write blobs; `key` is the account's, in base64."""
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas  # noqa: PLC0415 - as above

    return generate_container_sas(
        account,
        container,
        key,
        permission=ContainerSasPermissions(create=True, write=True),
        expiry=datetime.now(UTC) + timedelta(hours=SAS_HOURS),
        protocol="https",
    )
