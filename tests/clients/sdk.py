"""Journeys with Azure's own Python libraries: `sdk.py REPORT`, by the Python of their virtual environment.

A journey is a function below. Importing the libraries takes longest: one process runs all. The environment has `STACK`,
the outputs of the stack that the program made, and `ADDRESSES`, both JSON; who signs in is said by ARM's variables.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from azure.ai.ml import MLClient
from azure.ai.ml.entities import CodeConfiguration, Environment, ManagedOnlineDeployment, Model
from azure.ai.ml.entities._assets import Code
from azure.containerregistry import ContainerRegistryClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.identity import AzureCliCredential, ClientSecretCredential
from azure.keyvault.secrets import SecretClient
from azure.storage.blob import BlobServiceClient, ContainerClient, ContainerSasPermissions, generate_container_sas
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphRequestAdapter, GraphServiceClient

STACK = json.loads(os.environ["STACK"])
ADDRESSES = json.loads(os.environ["ADDRESSES"])
CLOUD = ADDRESSES.get("cloud")
"""Where the local Azure is; None on Azure, which the libraries find by themselves."""
_ROLES_HOLD = 900.0
"""Seconds until a role is honoured at the latest: on Azure ten minutes."""
_SERVER = "azureml-inference-server-http==1.5.1"
_SCORE = "def init():\n    pass\n\n\ndef run(data):\n    return 'from conda'\n"


def _credential() -> TokenCredential:
    if not (secret := os.environ.get("ARM_CLIENT_SECRET")):
        return AzureCliCredential()
    local = {"authority": CLOUD, "disable_instance_discovery": True} if CLOUD else {}
    return ClientSecretCredential(os.environ["ARM_TENANT_ID"], os.environ["ARM_CLIENT_ID"], secret, **local)


def _ml() -> MLClient:
    local = {}
    if CLOUD:
        os.environ["ARM_CLOUD_METADATA_URL"] = f"{CLOUD}/metadata/endpoints?api-version=2019-05-01"
        local = {"cloud": "LocalAzure"}
    names = (STACK["workspaceId"].split("/")[2], STACK["resourceGroupName"], STACK["workspaceName"])
    return MLClient(_credential(), *names, enable_telemetry=False, **local)


def _when_allowed(call: Callable[[], object]) -> None:
    """Call, again and again while the role for it is not honoured yet."""
    end = time.monotonic() + _ROLES_HOLD
    while True:
        try:
            call()
        except HttpResponseError as error:
            if error.status_code != 403 or time.monotonic() > end:
                raise
            time.sleep(5)
        else:
            return


def _folder(**files: str) -> Path:
    folder = Path(tempfile.mkdtemp()) / "files"
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def ml_reads_back_what_the_program_made() -> None:
    ml = _ml()
    assert ml.workspaces.get(STACK["workspaceName"]).location == os.environ["LOCATION"]
    endpoint = ml.online_endpoints.get(STACK["endpointName"])
    assert (endpoint.auth_mode, endpoint.traffic) == ("key", {"blue": 100})
    assert [each.name for each in ml.online_endpoints.list()] == [STACK["endpointName"]]
    deployment = ml.online_deployments.get("blue", STACK["endpointName"])
    assert deployment.provisioning_state == "Succeeded"
    name, version = deployment.environment.split("/")[-3], deployment.environment.split("/")[-1]
    assert ml.environments.get(name, version).image == STACK["image"]
    assert [each.name for each in ml.connections.list()]
    assert ml.datastores.get_default().name == "workspaceblobstore"


def ml_invokes_and_reads_keys_and_logs() -> None:
    ml, endpoint = _ml(), STACK["endpointName"]
    assert ml.online_endpoints.get_keys(endpoint).primary_key == STACK["endpointKey"]
    request = _folder(request="{}") / "request"
    for deployment in (None, "blue"):
        assert "word" in json.loads(
            ml.online_endpoints.invoke(endpoint, request_file=request, deployment_name=deployment)
        )
    assert "GET /" in ml.online_deployments.get_logs("blue", endpoint, lines=50)
    assert "GET /" not in ml.online_deployments.get_logs("blue", endpoint, 50, container_type="storage-initializer")


def ml_deploys_model_and_code_from_folders() -> None:
    ml, endpoint = _ml(), STACK["endpointName"]
    version = str(int(datetime.now(UTC).timestamp()))
    weights = _folder(weights="1", more__weights="2")
    model = ml.models.create_or_update(Model(path=str(weights), name="journey", version=version))
    assert model.path.startswith("azureml://")
    ml.models.download("journey", version, download_path=str(weights.parent / "back"))
    assert [each.read_text() for each in sorted((weights.parent / "back").rglob("weights"))] == ["2", "1"]
    environment = Environment(name="journey", version=version, image=STACK["image"])
    assert ml.environments.create_or_update(environment).image == STACK["image"]
    code = _folder(**{"score.py": "print()"})
    assert ml._code.create_or_update(Code(path=str(code))).id
    deployment = ManagedOnlineDeployment(
        name="green",
        endpoint_name=endpoint,
        model=model,
        environment=ml.environments.get("journey", version),
        code_configuration=CodeConfiguration(code=str(code), scoring_script="score.py"),
        instance_type="Standard_DS1_v2",
        instance_count=1,
    )
    made = ml.online_deployments.begin_create_or_update(deployment).result()
    assert made.provisioning_state == "Succeeded"
    mounted = ml.online_deployments.get_logs("green", endpoint, 50, container_type="storage-initializer")
    assert "journey" in mounted
    ml.online_deployments.begin_delete("green", endpoint).result()


def ml_builds_an_environment_with_conda_and_serves_with_it() -> None:
    ml, endpoint, version = _ml(), STACK["endpointName"], str(int(datetime.now(UTC).timestamp()))
    conda = f"name: journey\ndependencies:\n- python=3.11\n- pip\n- pip: [{_SERVER}]\n"
    files = _folder(**{"conda.yml": conda, "score.py": _SCORE, "request": "{}"})
    environment = Environment(
        name="conda", version=version, image=os.environ["CONDA_BASE"], conda_file=str(files / "conda.yml")
    )
    deployment = ManagedOnlineDeployment(
        name="conda",
        endpoint_name=endpoint,
        environment=ml.environments.create_or_update(environment),
        code_configuration=CodeConfiguration(code=str(files), scoring_script="score.py"),
        instance_type="Standard_DS1_v2",
        instance_count=1,
    )
    try:
        ml.online_deployments.begin_create_or_update(deployment).result()
        answer = ml.online_endpoints.invoke(endpoint, request_file=files / "request", deployment_name="conda")
        assert "from conda" in answer
    finally:
        ml.online_deployments.begin_delete("conda", endpoint).result()


def blobs_by_key_signature_and_role() -> None:
    account, key = os.environ["ACCOUNT"], os.environ["ACCOUNT_KEY"]
    url, container = ADDRESSES["blob"], f"journey{uuid.uuid4().hex[:8]}"
    by_key = BlobServiceClient(url, credential=key).create_container(container)
    by_key.upload_blob("a folder/ä.txt", b"one", metadata={"kind": "text"})
    until = datetime.now(UTC) + timedelta(hours=1)
    permission = ContainerSasPermissions(read=True, list=True, write=True, create=True, delete=True)
    signature = generate_container_sas(account, container, account_key=key, permission=permission, expiry=until)
    by_signature = ContainerClient(url, container, credential=signature)
    by_role = ContainerClient(url, container, credential=_credential())
    _when_allowed(lambda: by_role.upload_blob("other", b"one"))
    for client in (by_key, by_signature, by_role):
        client.upload_blob("other", b"two", overwrite=True)
        assert client.download_blob("a folder/ä.txt").readall() == b"one"
        assert client.get_blob_client("a folder/ä.txt").get_blob_properties().metadata == {"kind": "text"}
        assert [each.name for each in client.list_blobs()] == ["a folder/ä.txt", "other"]
        client.delete_blob("other")
        assert [each.name for each in client.list_blobs(name_starts_with="o")] == []


def registry_lists_its_repositories() -> None:
    registry = f"https://{STACK['registry']['loginServer']}"
    with ContainerRegistryClient(registry, _credential(), audience="https://management.azure.com") as client:
        assert "acceptance" in list(client.list_repository_names())
        digests = {each.name: each.digest for each in client.list_tag_properties("acceptance")}
        manifest = client.get_manifest("acceptance", STACK["imageTag"])
    assert STACK["image"].endswith(digests[STACK["imageTag"]])
    assert manifest.digest == digests[STACK["imageTag"]]


def vault_opens_with_the_default_checks() -> None:
    vault = SecretClient(ADDRESSES["vault"], _credential())
    (name,) = [each.name for each in vault.list_properties_of_secrets()]
    assert vault.get_secret(name).value
    vault.set_secret("journey", "said")
    assert vault.get_secret("journey").value == "said"
    vault.begin_delete_secret("journey").wait()


def graph_knows_the_principal() -> None:
    graph = ADDRESSES["graph"]
    provider = AzureIdentityAuthenticationProvider(
        _credential(), scopes=[f"{graph}/.default"], allowed_hosts=["localhost", urlsplit(graph).netloc]
    )
    adapter = GraphRequestAdapter(provider)
    adapter.base_url = f"{graph}/v1.0"
    client, client_id = GraphServiceClient(request_adapter=adapter), STACK["principal"]["clientId"]

    async def look() -> None:
        application = await client.applications_with_app_id(client_id).get()
        assert application.app_id == client_id
        principal = await client.service_principals.by_service_principal_id(STACK["principal"]["principalId"]).get()
        assert principal.app_id == client_id

    asyncio.run(look())


JOURNEYS = {
    name: value
    for name, value in list(globals().items())
    if getattr(value, "__module__", "") == __name__ and callable(value) and not name.startswith("_")
}


def main() -> None:
    """Run the journeys; write into a file, as JSON, what went wrong in each (empty: nothing)."""
    told = {}
    for name, journey in JOURNEYS.items():
        try:
            journey()
            told[name] = ""
        except Exception:  # noqa: BLE001 - the report tells it
            told[name] = traceback.format_exc()
    Path(sys.argv[1]).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
