"""What this project assumes of Azure, claim by claim: each a function that fails where the claim is false.

To add one, write a function below: its name is the claim's name, its docstring the claim, the decorator names where
Azure documents it. It gets a stack that is up, leaves it as it is, and says in its assertion what Azure answered, or
raises `NotTriedError` where it cannot be tried.
`make acceptance` runs them all; the table in docs/verification.md is written by `make acceptance ARGS=--table`.
"""

import hashlib
import json
import uuid
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from azureml_scoring.plan.reference import Reference
from azureml_scoring.plan.roles import ACR_PULL, definition_id
from azureml_scoring.provider.arm import ArmError
from azureml_scoring.provider.endpoint_metrics import measure
from azureml_scoring.provider.lookup import REGISTRIES_API, VAULTS_API, deleted_vault, workspaces
from azureml_scoring.provider.registry_client import base_url, resolve_digest
from azureml_scoring.provider.role_assignment import AUTHORIZATION_API
from azureml_scoring.provider.traffic_split import TrafficSplit, put_traffic

from tests.acceptance.stack import API, WORD, Stack
from tests.project import until

_LEARN = "https://learn.microsoft.com/azure"


class NotTriedError(Exception):
    """A claim cannot be tried here; the text is the reason."""


@dataclass(frozen=True)
class Claim:
    """One sentence about Azure, where it comes from, and how it is tried."""

    name: str
    sentence: str
    source: str
    check: Callable[[Stack], None]
    tried: str
    """The date and result of the last try on Azure."""
    slow: bool
    """Whether it makes what takes a while."""


CLAIMS: list[Claim] = []


def claim(
    source: str, *, tried: str = "no", slow: bool = False
) -> Callable[[Callable[[Stack], None]], Callable[[Stack], None]]:
    """Declare the function as a claim."""

    def declare(check: Callable[[Stack], None]) -> Callable[[Stack], None]:
        sentence = " ".join((check.__doc__ or "").split())
        CLAIMS.append(Claim(check.__name__, sentence, source, check, tried, slow))
        return check

    return declare


@claim(f"{_LEARN}/machine-learning/how-to-authenticate-online-endpoint")
def the_endpoint_answers_with_its_key_only(stack: Stack) -> None:
    """The image serves behind the endpoint: a request with the key is answered, one without it is refused."""
    answer = stack.score(stack.outputs["endpointKey"])
    assert answer.status_code == httpx.codes.OK, answer.text
    refused = stack.score(None)
    assert refused.status_code == httpx.codes.UNAUTHORIZED, refused.text


@claim("https://github.com/Azure/acr-builder")
def acr_tasks_mounts_build_secrets(stack: Stack) -> None:
    """ACR Tasks mounts a volume of secrets into a build step: the image was built with the secret that was sent."""
    answer = stack.score(stack.outputs["endpointKey"])
    assert answer.json() == {"word": hashlib.sha256(WORD.encode()).hexdigest()}, answer.text


@claim("https://www.pulumi.com/docs/iac/cli/commands/pulumi_preview/")
def azure_answers_what_was_written(stack: Stack) -> None:
    """After an `up`, a refresh and a preview find no difference: the nightly drift job stays silent."""
    run = stack.pulumi("preview", "--refresh", "--diff", "--expect-no-changes")
    assert run.code == 0, run.text


@claim(f"{_LEARN}/container-registry/container-registry-roles")
def the_principal_pulls_and_cannot_push(stack: Stack) -> None:
    """The service principal's password opens the registry for pulls, and for nothing else."""
    server = stack.outputs["registry"]["loginServer"]
    challenge = httpx.get(f"{base_url(server)}/v2/").headers["www-authenticate"]
    answer = httpx.get(
        challenge.partition('realm="')[2].partition('"')[0],
        params={"service": server, "scope": "repository:acceptance:pull,push"},
        auth=(stack.outputs["principal"]["clientId"], stack.password),
        timeout=60,
    )
    assert answer.is_success, answer.text
    payload = answer.json()["access_token"].split(".")[1]
    access = json.loads(urlsafe_b64decode(f"{payload}=="))["access"]
    assert [each["actions"] for each in access] == [["pull"]], access


@claim(f"{_LEARN}/machine-learning/how-to-troubleshoot-online-endpoints#authorization-error")
def the_endpoints_identity_is_who_pulls(stack: Stack) -> None:
    """The image was pulled from a registry on which the endpoint's identity has one role, and that reads."""
    assert _roles_of_endpoint(stack, stack.outputs["registry"]["id"]) == [ACR_PULL.guid]


@claim(f"{_LEARN}/machine-learning/concept-endpoints-online-auth#automatic-role-assignment-for-endpoint-identity")
def azure_ml_lets_the_endpoint_read_the_workspaces_registry(stack: Stack) -> None:
    """Azure ML itself assigns AcrPull on the workspace's registry to the endpoint's system-assigned identity."""
    own = stack.read(stack.outputs["workspaceId"])["properties"]["containerRegistry"]
    assert ACR_PULL.guid in _roles_of_endpoint(stack, own)


def _roles_of_endpoint(stack: Stack, scope: str) -> list[str]:
    """The roles of the endpoint's identity on a scope, above it or below it: the ids of their definitions."""
    query = {"$filter": f"principalId eq '{_principal(stack, stack.endpoint)}'"}
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments"
    found = stack.arm.list_all(path, AUTHORIZATION_API, query)
    return [each["properties"]["roleDefinitionId"].rpartition("/")[2] for each in found]


@claim(f"{_LEARN}/machine-learning/how-to-deploy-custom-container")
def the_deployment_runs_the_image_by_digest(stack: Stack) -> None:
    """An environment version keeps the digest of its image, and the deployment its environment version."""
    deployment = stack.read(f"{stack.endpoint}/deployments/blue")
    version = stack.read(deployment["properties"]["environmentId"])
    assert version["properties"]["image"] == stack.outputs["image"], version


@claim("https://learn.microsoft.com/rest/api/azureml/environment-versions/create-or-update")
def a_conda_file_comes_back_as_json(stack: Stack) -> None:
    """Azure ML answers the conda file of an environment version as JSON, whatever it was written as."""
    path = f"{stack.outputs['workspaceId']}/environments/conda-{uuid.uuid4().hex[:8]}/versions/1"
    conda = "# a comment\ndependencies:\n  - python=3.11\n"
    image = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
    stack.arm.put(path, API, {"properties": {"image": image, "condaFile": conda}})
    answered = stack.read(path)["properties"]["condaFile"]
    assert json.loads(answered) == {"dependencies": ["python=3.11"]}, answered


@claim("https://learn.microsoft.com/rest/api/azureml/workspace-connections/get")
def a_connection_tells_when_it_was_made(stack: Stack) -> None:
    """A workspace connection is answered with its creation time, which a vault secret is named after."""
    (connection,) = stack.arm.list_all(f"{stack.outputs['workspaceId']}/connections", API)
    assert connection.get("systemData", {}).get("createdAt"), connection


@claim("https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults/list-deleted")
def a_deleted_vault_is_listed_and_comes_back(stack: Stack) -> None:
    """A deleted vault is in the subscription's list, and a PUT with `createMode: recover` brings it back."""
    own = stack.read(stack.read(stack.outputs["workspaceId"])["properties"]["keyVault"], VAULTS_API)
    path = f"{own['id'].rpartition('/')[0]}/kv{uuid.uuid4().hex[:12]}"
    settings = {"tenantId": own["properties"]["tenantId"], "sku": own["properties"]["sku"]}
    body = {"location": own["location"], "properties": {**settings, "enableRbacAuthorization": True}}
    stack.arm.put(path, VAULTS_API, body)
    stack.arm.delete(path, VAULTS_API)
    subscription, name = path.split("/")[2], path.rpartition("/")[2]
    listed = deleted_vault(stack.arm, subscription, name)
    assert listed is not None, f"{name} is not listed"
    assert listed["properties"]["vaultId"].lower() == path.lower(), listed
    body["properties"]["createMode"] = "recover"
    stack.arm.put(path, VAULTS_API, body)
    stack.arm.delete(path, VAULTS_API)
    location = f"/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{own['location']}"
    stack.arm.post(f"{location}/deletedVaults/{name}/purge", VAULTS_API)


@claim("https://github.com/Azure/azure-powershell/issues/28286")
def a_deleted_workspace_is_listed(stack: Stack) -> None:
    """A deleted workspace is in the list of the subscription's workspaces, and a GET does not find it."""
    own = stack.read(stack.outputs["workspaceId"])
    path = f"{own['id'].rpartition('/')[0]}/deleted-{uuid.uuid4().hex[:8]}"
    linked = {name: own["properties"][name] for name in ("storageAccount", "keyVault", "applicationInsights")}
    body = {"location": own["location"], "identity": {"type": "SystemAssigned"}, "properties": linked}
    stack.arm.put(path, API, body)
    stack.arm.delete(path, API)
    try:
        assert stack.arm.get(path, API) is None
        listed = [str(each["id"]).lower() for each in workspaces(stack.arm, path.split("/")[2])]
        assert path.lower() in listed, listed
    finally:
        stack.arm.delete(f"{path}?forceToPurge=true", API)


@claim("https://distribution.github.io/distribution/spec/auth/token/")
def docker_hub_tells_a_digest_without_credentials(stack: Stack) -> None:
    """A tag on Docker Hub is resolved through its token service."""
    if stack.local:
        raise NotTriedError("needs CLOUD=azure: the local Azure need not reach the internet")
    digest = resolve_digest(stack.arm, Reference.parse("docker.io/library/python:3.11-slim-bookworm"))
    assert digest is not None
    assert digest.startswith("sha256:"), digest


@claim(f"{_LEARN}/machine-learning/how-to-safely-rollout-online-endpoints", slow=True)
def mirrored_requests_are_counted(stack: Stack) -> None:
    """Mirrored requests count in Azure Monitor's `RequestsPerMinute` of the mirrored deployment."""
    start, live = datetime.now(UTC), {"blue": 100}
    with _copy_of_blue(stack, stack.endpoint, "mirrored"):
        put_traffic(stack.arm, stack.endpoint, TrafficSplit(live, {"mirrored": 50}))
        try:
            for _ in range(20):
                assert stack.score(stack.outputs["endpointKey"]).is_success
            until(lambda: measure(stack.arm, stack.endpoint, "mirrored", start, datetime.now(UTC)).requests, "a count")
        finally:
            put_traffic(stack.arm, stack.endpoint, TrafficSplit(live))


@claim(f"{_LEARN}/machine-learning/how-to-attach-kubernetes-to-workspace", slow=True)
def kubernetes_endpoints_pull_with_one_of_two_identities(stack: Stack) -> None:
    """On Kubernetes the identity of the endpoint or of the compute pulls the image: without a role it is not pulled."""
    with _attached(stack) as compute, _endpoint_on(stack, compute) as endpoint:
        assert not _serves(stack, endpoint), "it was pulled before anybody had a role"
        registry = stack.outputs["registry"]["id"]
        for principal in (_principal(stack, endpoint), _principal(stack, compute)):
            role = {"principalId": principal, "principalType": "ServicePrincipal"}
            path = f"{registry}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
            body = {"properties": {**role, "roleDefinitionId": definition_id(registry, ACR_PULL)}}
            stack.arm.put(path, AUTHORIZATION_API, body)
        until(lambda: _serves(stack, endpoint), "a deployment that serves")


@claim("https://learn.microsoft.com/rest/api/azureml/online-endpoints/create-or-update")
def kubernetes_endpoints_refuse_to_be_private(stack: Stack) -> None:
    """Azure refuses `publicNetworkAccess: Disabled` on a Kubernetes endpoint."""
    with (
        _attached(stack) as compute,
        pytest.raises(ArmError, match="publicNetworkAccess"),
        _endpoint_on(stack, compute, publicNetworkAccess="Disabled"),
    ):
        pass


@claim(f"{_LEARN}/container-registry/container-registry-import-images")
def an_image_is_imported_with_a_password(stack: Stack) -> None:
    """`importImage` takes user name and password of the registry that an image comes from, and reads it with these."""
    image, tag = Reference.parse(stack.outputs["image"]), uuid.uuid4().hex[:8]
    own = stack.read(stack.read(stack.outputs["workspaceId"])["properties"]["containerRegistry"], REGISTRIES_API)

    def import_with(password: str) -> None:
        credentials = {"username": stack.outputs["principal"]["clientId"], "password": password}
        from_ = {"registryUri": image.host, "credentials": credentials}
        source = {**from_, "sourceImage": f"{image.repository}@{image.digest}"}
        body = {"source": source, "targetTags": [f"imported:{tag}"], "mode": "Force"}
        stack.arm.post(f"{own['id']}/importImage", REGISTRIES_API, body)

    with pytest.raises(ArmError):
        import_with("wrong")
    import_with(stack.password)
    arrived = Reference(own["properties"]["loginServer"], "imported", tag)
    assert resolve_digest(stack.arm, arrived, "deployer") == image.digest


def _principal(stack: Stack, id_: str) -> str:
    """Object id of a resource's own identity."""
    return str(stack.read(id_)["identity"]["principalId"])


@contextmanager
def _made(stack: Stack, path: str, body: dict[str, Any], query: str = "") -> Iterator[str]:
    """Make a resource, and take it away in the end, made or half made; its ARM id."""
    try:
        stack.arm.put(path, API, body)
        yield path
    finally:
        stack.arm.delete(f"{path}{query}", API)


@contextmanager
def _copy_of_blue(stack: Stack, endpoint: str, name: str, **properties: object) -> Iterator[str]:
    """A deployment like `blue`, but for some properties, behind an endpoint."""
    blue = stack.read(f"{stack.endpoint}/deployments/blue")
    told = {name: value for name, value in blue["properties"].items() if name != "provisioningState"}
    body = {"location": blue["location"], "sku": blue["sku"], "properties": {**told, **properties}}
    with _made(stack, f"{endpoint}/deployments/{name}", body) as made:
        yield made


@contextmanager
def _attached(stack: Stack) -> Iterator[str]:
    """The cluster as a compute of the workspace."""
    if not stack.cluster:
        raise NotTriedError("needs a cluster with the Azure ML extension: ARGS=--cluster=ID names one")
    told = {"computeType": "Kubernetes", "resourceId": stack.cluster, "properties": {"namespace": "default"}}
    body = {"location": stack.location, "identity": {"type": "SystemAssigned"}, "properties": told}
    path = f"{stack.outputs['workspaceId']}/computes/claims"
    with _made(stack, path, body, "?underlyingResourceAction=Detach") as compute:
        yield compute


@contextmanager
def _endpoint_on(stack: Stack, compute: str, **properties: object) -> Iterator[str]:
    """An endpoint on a Kubernetes compute."""
    body = {
        "location": stack.location,
        "kind": "Kubernetes",
        "identity": {"type": "SystemAssigned"},
        "properties": {"authMode": "Key", "compute": compute, **properties},
    }
    path = f"{stack.outputs['workspaceId']}/onlineEndpoints/k8s-{uuid.uuid4().hex[:8]}"
    with _made(stack, path, body) as endpoint:
        yield endpoint


def _serves(stack: Stack, endpoint: str) -> bool:
    """Whether a deployment of the stack's image comes up behind a Kubernetes endpoint."""
    try:
        with _copy_of_blue(stack, endpoint, "blue", endpointComputeType="Kubernetes", instanceType=None):
            return True
    except ArmError:
        return False
