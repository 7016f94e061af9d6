"""The commands of Microsoft's document, and those around it, by the unchanged Azure CLI."""

from pathlib import Path

from tests.acceptance.__main__ import LOCAL_BASE
from tests.clients.conftest import Clients

#: The document's own Dockerfile, as far as it goes without the internet, on another base.
DOCKERFILE = f"""FROM {LOCAL_BASE}
ARG CONDA_VERSION=4.7.12
ARG PYTHON_VERSION=3.7
ENV LANG=C.UTF-8 LC_ALL=C.UTF-8
ENV PATH /opt/miniconda/bin:$PATH
ENV DEBIAN_FRONTEND=noninteractive
RUN useradd --create-home dockeruser
WORKDIR /home/dockeruser
USER dockeruser
RUN mkdir -p ~/miniconda/bin && python3 --version > ~/miniconda/version
ENV PATH="/home/dockeruser/miniconda/bin/:${{PATH}}"
"""


def _text(clients: Clients, *words: str) -> str:
    return clients.run("az", *words, "--output", "tsv").strip()


def test_the_workspace_names_its_registry(clients: Clients) -> None:
    shown = clients.az("resource", "show", "--ids", clients.stack.outputs["workspaceId"])
    assert isinstance(shown, dict)
    assert "/registries/" in shown["properties"]["containerRegistry"]


def test_the_documents_dockerfile_is_built_without_naming_a_resource_group(clients: Clients, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    assert "Login Succeeded" in clients.run("az", "acr", "login", "--name", clients.registry)
    file = ("--file", str(tmp_path / "Dockerfile"))
    built = clients.run(
        "az", "acr", "build", "--image=myimage:v1", "--registry", clients.registry, *file, str(tmp_path)
    )
    assert "was successful after" in built
    assert clients.az("acr", "repository", "list", "--name", clients.registry) == ["acceptance", "myimage"]
    tags = clients.az("acr", "repository", "show-tags", "--name", clients.registry, "--repository", "myimage")
    assert tags == ["v1"]


def test_a_machine_without_docker_gets_a_token(clients: Clients) -> None:
    found = clients.az("acr", "login", "--name", clients.registry, "--expose-token")
    assert isinstance(found, dict)
    assert found["accessToken"]
    assert found["loginServer"] == clients.stack.outputs["registry"]["loginServer"]


def test_resources_are_listed_by_group_and_type(clients: Clients) -> None:
    group = ("--resource-group", clients.stack.outputs["resourceGroupName"])
    kind = ("--resource-type", "Microsoft.KeyVault/vaults")
    assert _text(clients, "resource", "list", *group, *kind, "--query", "[].name") == clients.vault


def test_roles_are_listed_and_assigned_by_name(clients: Clients) -> None:
    registry = clients.stack.outputs["registry"]["id"]
    who = clients.stack.outputs["principal"]["clientId"]
    listed = ("role", "assignment", "list", "--assignee", who, "--scope", registry, "--query", "[].roleDefinitionName")
    assert clients.az(*listed) == ["AcrPull"]
    clients.az("role", "assignment", "create", "--assignee", who, "--role", "Reader", "--scope", registry)
    assert _text(clients, *listed).split() == ["AcrPull", "Reader"]


def test_a_service_principal_for_the_registry_is_made_with_its_role(clients: Clients) -> None:
    registry = clients.stack.outputs["registry"]["id"]
    made = clients.az("ad", "sp", "create-for-rbac", "--name", "journey", "--role", "AcrPull", "--scopes", registry)
    assert isinstance(made, dict)
    assert made["password"]
    assert _text(clients, "ad", "sp", "show", "--id", made["appId"], "--query", "displayName") == "journey"


def test_the_vault_opens_by_its_name(clients: Clients) -> None:
    vault = ("--vault-name", clients.vault)
    name = _text(clients, "keyvault", "secret", "list", *vault, "--query", "[0].name")
    assert "-pull-password" in name
    assert _text(clients, "keyvault", "secret", "show", *vault, "--name", name, "--query", "value")


def test_names_providers_and_locations_are_told(clients: Clients) -> None:
    assert _text(clients, "acr", "check-name", "--name", clients.registry, "--query", "reason") == "AlreadyExists"
    provider = ("provider", "show", "--namespace", "Microsoft.MachineLearningServices", "--query", "registrationState")
    assert _text(clients, *provider) == "Registered"
    assert "westeurope" in _text(clients, "account", "list-locations", "--query", "[].name").split()


def test_the_endpoints_requests_are_counted(clients: Clients) -> None:
    outputs = clients.stack.outputs
    endpoint = f"{outputs['workspaceId']}/onlineEndpoints/{outputs['endpointName']}"
    assert clients.stack.score(outputs["endpointKey"]).is_success
    metrics = ("monitor", "metrics", "list", "--resource", endpoint, "--metrics", "RequestsPerMinute")
    assert _text(clients, *metrics, "--query", "value[].name.value") == "RequestsPerMinute"
