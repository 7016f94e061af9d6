"""Makes an endpoint as users of azure-ai-ml do: `endpoint.py FILE`, by the Python of the clients' virtual environment.

FILE has, as JSON, the workspace's ARM id, the endpoint's name, and the arguments of its deployments; the first one gets
all traffic.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    CodeConfiguration,
    DataCollector,
    DeploymentCollection,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    ProbeSettings,
)
from azure.identity import ClientSecretCredential


def _client(workspace: str) -> MLClient:
    cloud = f"https://{os.environ['ARM_METADATA_HOSTNAME']}"
    os.environ["ARM_CLOUD_METADATA_URL"] = f"{cloud}/metadata/endpoints?api-version=2019-05-01"
    who = (os.environ[f"ARM_{name}"] for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"))
    credential = ClientSecretCredential(*who, authority=cloud, disable_instance_discovery=True)
    _, _, subscription, _, group, *_, name = workspace.split("/")
    return MLClient(credential, subscription, group, name, enable_telemetry=False, cloud="LocalAzure")


def _deployment(endpoint: str, arguments: dict[str, Any]) -> ManagedOnlineDeployment:
    probe = ProbeSettings(initial_delay=1, period=1, timeout=5, failure_threshold=120)
    code = arguments.pop("code", None)
    configuration: dict[str, Any] = {"code_configuration": CodeConfiguration(**code)} if code else {}
    if collected := arguments.pop("collected", None):
        collections = {name: DeploymentCollection(enabled="true") for name in collected}
        configuration["data_collector"] = DataCollector(collections, rolling_rate="day", sampling_rate=0.5)
    probes = {"liveness_probe": probe, "readiness_probe": probe}
    return ManagedOnlineDeployment(endpoint_name=endpoint, **arguments, **configuration, **probes)


def main() -> None:
    """Make them."""
    wanted = json.loads(Path(sys.argv[1]).read_text())
    ml, name = _client(wanted["workspace"]), wanted["endpoint"]
    endpoint = ManagedOnlineEndpoint(name=name, auth_mode="key", description="by azure-ai-ml", tags={"team": "ml"})
    endpoint = ml.online_endpoints.begin_create_or_update(endpoint).result()
    for each in wanted["deployments"]:
        ml.online_deployments.begin_create_or_update(_deployment(name, each)).result()
    endpoint.traffic = {wanted["deployments"][0]["name"]: 100}
    ml.online_endpoints.begin_create_or_update(endpoint).result()


if __name__ == "__main__":
    main()
