"""What users do with Azure's own clients: the commands of Microsoft's document and those around it by the Azure CLI,
and the journeys of `sdk.py` by Azure's Python libraries.

A journey is a function that takes the signed-in clients of a stack, and leaves nothing outside of the stack.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.clients.clients import LIBRARIES, Clients

#: The document's own Dockerfile, as far as it goes without the internet, on another base.
DOCKERFILE = """FROM {base}
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


@dataclass(frozen=True)
class Journey:
    """One thing that a user does, and how it is tried."""

    name: str
    check: Callable[[Clients], None]
    tried: str = "no"
    """The date and result of the last try on Azure."""

    @property
    def sentence(self) -> str:
        """Its name, to be read."""
        return f"{self.name.replace('_', ' ').capitalize()}."


JOURNEYS: list[Journey] = []


def journey(check: Callable[[Clients], None]) -> Callable[[Clients], None]:
    """Declare the function as a journey."""
    JOURNEYS.append(Journey(check.__name__, check))
    return check


@journey
def the_workspace_names_its_registry(clients: Clients) -> None:
    shown = clients.az("resource", "show", "--ids", clients.stack.outputs["workspaceId"])
    assert isinstance(shown, dict)
    assert "/registries/" in shown["properties"]["containerRegistry"]


@journey
def the_documents_dockerfile_is_built_without_naming_a_resource_group(clients: Clients) -> None:
    context = clients.folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=clients.stack.base))
    assert "Login Succeeded" in clients.run("az", "acr", "login", "--name", clients.registry)
    file = ("--file", str(context / "Dockerfile"))
    built = clients.run("az", "acr", "build", "--image=myimage:v1", "--registry", clients.registry, *file, str(context))
    assert "was successful after" in built
    assert clients.az("acr", "repository", "list", "--name", clients.registry) == ["acceptance", "myimage"]
    tags = clients.az("acr", "repository", "show-tags", "--name", clients.registry, "--repository", "myimage")
    assert tags == ["v1"]


@journey
def a_machine_without_docker_gets_a_token(clients: Clients) -> None:
    found = clients.az("acr", "login", "--name", clients.registry, "--expose-token")
    assert isinstance(found, dict)
    assert found["accessToken"]
    assert found["loginServer"] == clients.stack.outputs["registry"]["loginServer"]


@journey
def resources_are_listed_by_group_and_type(clients: Clients) -> None:
    group = ("--resource-group", clients.stack.outputs["resourceGroupName"])
    kind = ("--resource-type", "Microsoft.KeyVault/vaults")
    assert clients.text("resource", "list", *group, *kind, "--query", "[].name") == clients.vault


@journey
def roles_are_listed_assigned_by_name_and_taken_away(clients: Clients) -> None:
    registry = clients.stack.outputs["registry"]["id"]
    who = ("--assignee", clients.stack.outputs["principal"]["clientId"], "--scope", registry)
    listed = ("role", "assignment", "list", *who, "--query", "[].roleDefinitionName")
    assert clients.az(*listed) == ["AcrPull"]
    clients.az("role", "assignment", "create", "--role", "Reader", *who)
    assert sorted(clients.text(*listed).split()) == ["AcrPull", "Reader"]
    clients.az("role", "assignment", "delete", "--role", "Reader", *who)
    assert clients.az(*listed) == ["AcrPull"]


@journey
def a_service_principal_for_the_registry_is_made_with_its_role(clients: Clients) -> None:
    registry, name = clients.stack.outputs["registry"]["id"], f"{clients.stack.name}-journey"
    made = clients.az("ad", "sp", "create-for-rbac", "--name", name, "--role", "AcrPull", "--scopes", registry)
    assert isinstance(made, dict)
    try:
        assert made["password"]
        assert clients.text("ad", "sp", "show", "--id", made["appId"], "--query", "displayName") == name
    finally:
        clients.az("ad", "app", "delete", "--id", made["appId"])


@journey
def the_vault_opens_by_its_name(clients: Clients) -> None:
    vault = ("--vault-name", clients.vault)
    name = clients.text("keyvault", "secret", "list", *vault, "--query", "[0].name")
    assert "-pull-password" in name
    assert clients.text("keyvault", "secret", "show", *vault, "--name", name, "--query", "value")


@journey
def names_providers_and_locations_are_shown(clients: Clients) -> None:
    assert clients.text("acr", "check-name", "--name", clients.registry, "--query", "reason") == "AlreadyExists"
    provider = ("provider", "show", "--namespace", "Microsoft.MachineLearningServices", "--query", "registrationState")
    assert clients.text(*provider) == "Registered"
    assert clients.stack.location in clients.text("account", "list-locations", "--query", "[].name").split()


@journey
def the_endpoints_requests_are_counted(clients: Clients) -> None:
    assert clients.stack.score(clients.stack.outputs["endpointKey"]).is_success
    metrics = ("monitor", "metrics", "list", "--resource", clients.stack.endpoint, "--metrics", "RequestsPerMinute")
    assert clients.text(*metrics, "--query", "value[].name.value") == "RequestsPerMinute"


def _with_the_library(name: str, clients: Clients) -> None:
    assert not clients.libraries[name], clients.libraries[name]


JOURNEYS += [
    Journey(name, partial(_with_the_library, name))
    for name in re.findall(r"^def ([a-z]\w+)\(\) -> None:", LIBRARIES.read_text(), re.MULTILINE)
    if name != "main"
]
