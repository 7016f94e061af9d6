"""What this project assumes of Azure, claim by claim: each a function that fails where the claim is false.

To add one, write a function below: its name is the claim's name, its docstring the claim, the decorator names where
Azure documents it. It gets a stack that is up, leaves it as it is, and says in its assertion what Azure answered.
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
from azureml_scoring.provider.registry_client import base_url, resolve_digest

from tests.acceptance.stack import API, WORD, Stack

_LEARN = "https://learn.microsoft.com/azure"


@dataclass(frozen=True)
class Claim:
    """One sentence about Azure, where it comes from, and how it is tried."""

    name: str
    sentence: str
    source: str
    check: Callable[[Stack], None]
    azure_only: bool
    """Whether the local Azure cannot show it: it needs the internet, or what is not modelled."""
    tried: str
    """The date and result of the last try on Azure."""


CLAIMS: list[Claim] = []


def claim(source: str, *, azure_only: bool = False, tried: str = "no") -> Callable[[Callable[[Stack], None]], None]:
    """Declare the function as a claim."""

    def declare(check: Callable[[Stack], None]) -> None:
        sentence = " ".join((check.__doc__ or "").split())
        CLAIMS.append(Claim(check.__name__, sentence, source, check, azure_only, tried))

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


@claim("https://distribution.github.io/distribution/spec/auth/token/", azure_only=True)
def docker_hub_tells_a_digest_without_credentials(stack: Stack) -> None:
    """A tag on Docker Hub is resolved through its token service."""
    digest = resolve_digest(stack.arm, Reference.parse("docker.io/library/python:3.11-slim-bookworm"))
    assert digest is not None
    assert digest.startswith("sha256:"), digest
