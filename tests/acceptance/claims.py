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
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from azureml_scoring.plan.reference import Reference
from azureml_scoring.plan.roles import ACR_PULL
from azureml_scoring.provider.lookup import VAULTS_API, deleted_vault, workspaces
from azureml_scoring.provider.registry_client import base_url, resolve_digest
from azureml_scoring.provider.role_assignment import AUTHORIZATION_API

from tests.acceptance.stack import API, WORD, Stack

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


CLAIMS: list[Claim] = []


def claim(source: str, *, tried: str = "no") -> Callable[[Callable[[Stack], None]], None]:
    """Declare the function as a claim."""

    def declare(check: Callable[[Stack], None]) -> None:
        sentence = " ".join((check.__doc__ or "").split())
        CLAIMS.append(Claim(check.__name__, sentence, source, check, tried))

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
    password = stack.secret("azuread:index/applicationPassword:ApplicationPassword", "value")
    challenge = httpx.get(f"{base_url(server)}/v2/").headers["www-authenticate"]
    answer = httpx.get(
        challenge.partition('realm="')[2].partition('"')[0],
        params={"service": server, "scope": "repository:acceptance:pull,push"},
        auth=(stack.outputs["principal"]["clientId"], password),
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
    endpoint = f"{stack.outputs['workspaceId']}/onlineEndpoints/{stack.outputs['endpointName']}"
    query = {"$filter": f"principalId eq '{stack.read(endpoint)['identity']['principalId']}'"}
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments"
    found = stack.arm.list_all(path, AUTHORIZATION_API, query)
    return [each["properties"]["roleDefinitionId"].rpartition("/")[2] for each in found]


@claim(f"{_LEARN}/machine-learning/how-to-deploy-custom-container")
def the_deployment_runs_the_image_by_digest(stack: Stack) -> None:
    """An environment version keeps the digest of its image, and the deployment its environment version."""
    endpoint = f"{stack.outputs['workspaceId']}/onlineEndpoints/{stack.outputs['endpointName']}"
    deployment = stack.read(f"{endpoint}/deployments/blue")
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
    if not stack.arm.cloud.public:
        raise NotTriedError("needs CLOUD=azure: the local Azure need not reach the internet")
    digest = resolve_digest(stack.arm, Reference.parse("docker.io/library/python:3.11-slim-bookworm"))
    assert digest is not None
    assert digest.startswith("sha256:"), digest


@claim(f"{_LEARN}/machine-learning/how-to-safely-rollout-online-endpoints")
def mirrored_requests_are_counted(stack: Stack) -> None:
    """Mirrored requests count in Azure Monitor's `RequestsPerMinute` of the mirrored deployment."""
    del stack
    raise NotTriedError("needs a second deployment, and Azure Monitor's minutes")


@claim(f"{_LEARN}/machine-learning/how-to-attach-kubernetes-to-workspace")
def kubernetes_endpoints_pull_with_one_of_two_identities(stack: Stack) -> None:
    """On Kubernetes the identity of the endpoint or of the compute pulls the image."""
    del stack
    raise NotTriedError("needs a cluster with the Azure ML extension")


@claim("https://learn.microsoft.com/rest/api/azureml/online-endpoints/create-or-update")
def kubernetes_endpoints_refuse_to_be_private(stack: Stack) -> None:
    """Azure refuses `publicNetworkAccess: Disabled` on a Kubernetes endpoint."""
    del stack
    raise NotTriedError("needs a cluster with the Azure ML extension")


@claim(f"{_LEARN}/container-registry/container-registry-import-images")
def an_image_of_another_registry_is_imported_with_a_password(stack: Stack) -> None:
    """`importImage` takes user name and password of a registry that is not Azure's."""
    del stack
    raise NotTriedError("needs a private registry that is not Azure's, and its password")


@claim(f"{_LEARN}/machine-learning/how-to-manage-environments-v2")
def an_environment_is_built_with_conda(stack: Stack) -> None:
    """Azure ML builds an environment with a conda file when a deployment first names it."""
    del stack
    raise NotTriedError("needs a second deployment, and conda's channels")
