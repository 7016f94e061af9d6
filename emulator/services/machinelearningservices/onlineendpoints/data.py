"""Payloads of requests and replies, stored in the workspace's storage as Azure ML's data collector does.

Owns which of them are stored, in what form and where: one CloudEvent as JSON a line. What an entry script collects by
itself (azureml-ai-monitoring) is not stored: the agent that takes it belongs to Azure's own containers.
https://learn.microsoft.com/azure/machine-learning/how-to-collect-production-data#collect-payload-data
"""

import json
import logging
import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.machinelearningservices.assets.data import folder_of
from emulator.services.machinelearningservices.onlineendpoints.access import identities
from emulator.services.machinelearningservices.onlineendpoints.rules import parent_of
from emulator.services.machinelearningservices.workspaces.types import DATASTORE, account_of
from emulator.services.storage import data as storage_data

_FOLDERS = {"Minute": "%Y/%m/%d/%H/%M", "Hour": "%Y/%m/%d/%H", "Day": "%Y/%m/%d", "Month": "%Y/%m", "Year": "%Y"}
_CONTAINERS = "/blobServices/default/containers"
_WRITE = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exchange:
    """One request and its reply."""

    number: str
    path: str
    method: str
    headers: Mapping[str, str]
    request: bytes
    status: int
    response: bytes


class Collector:
    """Keeps what deployments' settings say. Thread-safe."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def collect(self, deployment: ResourceId, settings: dict[str, Any], exchange: Exchange) -> None:
        """Store the request, the reply, both or neither; a failure is logged and does not affect scoring."""
        try:
            for name in ("request", "response"):
                collection = (settings.get("collections") or {}).get(name) or {}
                if collection.get("dataCollectionMode") == "Enabled" and self._turn(deployment, name, collection):
                    self._write(deployment, name, settings, _event(deployment, name, settings, exchange))
        except (AzureError, OSError) as error:
            _log.warning("%s: a payload is not stored: %s", deployment.path, error)

    def _turn(self, deployment: ResourceId, name: str, collection: dict[str, Any]) -> bool:
        """Whether it is this one's turn: exactly so many of a hundred as the sampling rate says."""
        rate = float(collection.get("samplingRate", 1))
        key = f"{deployment.key} {name}"
        with self._lock:
            before = self._seen[key]
            self._seen[key] += 1
        return int((before + 1) * rate) > int(before * rate)

    def _write(self, deployment: ResourceId, name: str, settings: dict[str, Any], event: dict[str, Any]) -> None:
        datastore, path = self._folder(deployment, name, settings)
        account, container = account_of(self._azure, datastore), datastore.properties["containerName"]
        self._demand_writer(deployment, datastore, ResourceId.parse(f"{account.id.path}{_CONTAINERS}/{container}"))
        folder = datetime.now(UTC).strftime(_FOLDERS[settings.get("rollingRate", "Hour")])
        blob = f"{path}/{folder}/local.jsonl"
        with self._lock, storage_data.blob_path(self._azure, account.id.name, container, blob).open("a") as file:
            file.write(json.dumps(event) + "\n")

    def _folder(self, deployment: ResourceId, name: str, settings: dict[str, Any]) -> tuple[Document, str]:
        """Where a collection is stored: where its data asset says, else in the workspace's default datastore."""
        if data_id := settings["collections"][name].get("dataId"):
            version = self._azure.find(str(data_id))
            return folder_of(self._azure, version.id, str(version.properties["dataUri"]))
        *_, endpoint, _, own = deployment.path.split("/")
        workspace = deployment.path.partition("/onlineEndpoints/")[0]
        datastore = self._azure.find(f"{workspace}/datastores/{DATASTORE}")
        return datastore, f"modelDataCollector/{endpoint}/{own}/{name}"

    def _demand_writer(self, deployment: ResourceId, datastore: Document, container: ResourceId) -> None:
        """Refuse where the endpoint may not write; the default datastore takes what its workspace's endpoints send.

        https://learn.microsoft.com/azure/machine-learning/how-to-collect-production-data#collect-data-to-a-custom-blob-storage-container
        """
        who = identities(self._azure, self._azure.find(parent_of(deployment).path))
        if datastore.properties["isDefault"] or any(
            self._azure.access.allows(each, _WRITE, container, data=True) for each in who
        ):
            return
        raise AzureError(
            403,
            "AuthorizationPermissionMismatch",
            f"the identity of endpoint '{parent_of(deployment).name}' lacks role 'Storage Blob Data Contributor' on"
            f" '{container.path}': assign it",
        )


def _event(deployment: ResourceId, name: str, settings: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    body = exchange.request if name == "request" else exchange.response
    captured = [each.lower() for each in (settings.get("requestLogging") or {}).get("captureHeaders") or []]
    headers = {key: value for key, value in exchange.headers.items() if key.lower() in captured}
    beside = {"method": exchange.method} if name == "request" else {"statuscode": str(exchange.status)}
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": deployment.path,
        "type": f"azureml.inference.{name}",
        "datacontenttype": "application/json",
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "data": _data(body),
        "path": exchange.path,
        **beside,
        "contentrange": f"bytes 0-{max(0, len(body) - 1)}/*",
        "correlationid": exchange.number,
        "xrequestid": exchange.number,
        **({"headers": headers} if headers else {}),
    }


def _data(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
