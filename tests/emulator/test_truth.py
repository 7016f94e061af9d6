"""The local Azure refuses what Azure refuses: real clients drive it unchanged, and each rule of the design has a test.

Docker's client with the token of `az acr login` has its tests in tests/security/test_registry_access.py, the registry's
in tests/emulator/services/test_registry.py, Entra's in tests/emulator/protocols/test_rest_entra.py; what every type
demands of its input in tests/emulator/test_inputs.py.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistry import models as acr
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient
from azure.mgmt.machinelearningservices import models as ml

from emulator.core.errors import AzureError
from emulator.core.rbac import ASSIGNMENTS
from tests.conftest import Cloud
from tests.emulator.conftest import InProcessAzure
from tests.ml import BLUE, ENDPOINT, Model, scene
from tests.registries import PULL, LocalRegistry, ServicePrincipal, assign, service_principal
from tests.scoring import workspace_body

IMAGE = "team/scorer@sha256:" + "1" * 64
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
ROUTE = ml.Route(path="/", port=8080)


@dataclass(frozen=True)
class Real:
    """A workspace with a registry, made by the real clients, and these."""

    cloud: Cloud
    group: str
    workspace: str
    client: MachineLearningServicesMgmtClient
    registries: ContainerRegistryManagementClient
    registry: LocalRegistry
    puller: ServicePrincipal
    """Offered by the workspace's connection."""

    @property
    def place(self) -> tuple[str, str]:
        """Where everything stands."""
        return self.group, self.workspace

    def environment(self, version: str, image: str) -> ml.EnvironmentVersion:
        """Register an environment version."""
        routes = ml.InferenceContainerProperties(liveness_route=ROUTE, readiness_route=ROUTE, scoring_route=ROUTE)
        body = ml.EnvironmentVersion(properties=ml.EnvironmentVersionProperties(image=image, inference_config=routes))
        return self.client.environment_versions.create_or_update(*self.place, "scorer", version, body)

    def endpoint(self, name: str, **properties: Any) -> ml.OnlineEndpoint:  # noqa: ANN401 - a model's fields
        """PUT an endpoint and wait."""
        body = ml.OnlineEndpoint(
            location="westeurope",
            identity=ml.ManagedServiceIdentity(type="SystemAssigned"),
            properties=ml.OnlineEndpointProperties(auth_mode="Key", **properties),
        )
        return self.client.online_endpoints.begin_create_or_update(*self.place, name, body).result()

    def deploy(self, endpoint: str, environment: str | None) -> ml.OnlineDeployment:
        """PUT the deployment blue and wait."""
        body = ml.OnlineDeployment(
            location="westeurope",
            sku=ml.Sku(name="Default", capacity=1),
            properties=ml.ManagedOnlineDeployment(environment_id=environment, instance_type="Standard_DS3_v2"),
        )
        return self.client.online_deployments.begin_create_or_update(*self.place, endpoint, "blue", body).result()


def _client(kind: Callable[..., Any], cloud: Cloud) -> Any:  # noqa: ANN401 - one of two clients
    return kind(
        cloud.credential(),
        cloud.environment["ARM_SUBSCRIPTION_ID"],
        base_url=cloud.url,
        credential_scopes=[f"{cloud.url}/.default"],
        connection_verify=cloud.environment["REQUESTS_CA_BUNDLE"],
        polling_interval=0.05,
    )


@pytest.fixture(scope="module")
def real(azure: Cloud) -> Iterator[Real]:
    name = f"truth{uuid.uuid4().hex[:10]}"
    base = azure.put(f"resourceGroups/{name}", {"location": "westeurope"})["id"]
    linked = workspace_body(azure, f"{base}/providers", name)["properties"]
    with (
        _client(MachineLearningServicesMgmtClient, azure) as machine_learning,
        _client(ContainerRegistryManagementClient, azure) as registries,
    ):
        body = acr.Registry(location="westeurope", sku=acr.Sku(name="Standard"))
        registry = registries.registries.begin_create(name, name, body).result()
        workspace = ml.Workspace(
            location="westeurope",
            identity=ml.ManagedServiceIdentity(type="SystemAssigned"),
            storage_account=linked["storageAccount"],
            key_vault=linked["keyVault"],
            application_insights=linked["applicationInsights"],
        )
        machine_learning.workspaces.begin_create_or_update(name, "work", workspace).result()
        puller = service_principal(azure)
        assign(azure, registry.id, puller.object_id, PULL)
        connection = ml.UsernamePasswordAuthTypeWorkspaceConnectionProperties(
            category="ContainerRegistry",
            target=registry.properties.login_server,
            credentials=ml.WorkspaceConnectionUsernamePassword(username=puller.app_id, password=puller.secret),
        )
        machine_learning.workspace_connections.create(
            name, "work", "registry", ml.WorkspaceConnectionPropertiesV2BasicResource(properties=connection)
        )
        registry = LocalRegistry(azure, registry.id, registry.properties.login_server)
        yield Real(azure, name, "work", machine_learning, registries, registry, puller)
    azure.finish(azure.ask("DELETE", base))


# -- real clients ------------------------------------------------------------------------------------------------------


def test_the_client_of_azure_ml_makes_lists_changes_and_deletes(real: Real) -> None:
    client, place = real.client, real.place
    assert client.workspaces.get(*place).provisioning_state == "Succeeded"
    tags = ml.WorkspaceUpdateParameters(tags={"a": "b"})
    assert client.workspaces.begin_update(*place, tags).result().tags == {"a": "b"}
    assert [each.name for each in client.workspaces.list_by_resource_group(real.group)] == ["work"]
    found: Any = client.workspace_connections.get(*place, "registry")
    assert found.as_dict()["properties"] == {
        "auth_type": "UsernamePassword",
        "category": "ContainerRegistry",
        "target": real.registry.login_server,
    }, "credentials are never shown"
    assert [each.name for each in client.workspace_connections.list(*place)] == ["registry"]
    made: Any = real.endpoint("listed-one")
    assert made.properties.provisioning_state == "Succeeded"
    assert made.properties.scoring_uri.endswith("/score")
    assert made.identity.principal_id
    assert "listed-one" in [each.name for each in client.online_endpoints.list(*place)]
    keys = client.online_endpoints.list_keys(*place, "listed-one")
    renew = ml.RegenerateEndpointKeysRequest(key_type="Primary")
    client.online_endpoints.begin_regenerate_keys(*place, "listed-one", renew).result()
    again = client.online_endpoints.list_keys(*place, "listed-one")
    assert (again.primary_key != keys.primary_key, again.secondary_key) == (True, keys.secondary_key)
    told = ml.PartialMinimalTrackedResourceWithIdentity(tags={"x": "y"})
    assert client.online_endpoints.begin_update(*place, "listed-one", told).result().tags == {"x": "y"}
    client.online_endpoints.begin_delete(*place, "listed-one").result()
    with pytest.raises(ResourceNotFoundError) as gone:
        client.online_endpoints.get(*place, "listed-one")
    assert gone.value.error is not None
    assert gone.value.error.code == "ResourceNotFound"


def test_the_client_of_key_vault_versions_disables_deletes_and_recovers(
    azure: Cloud, real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", azure.environment["REQUESTS_CA_BUNDLE"])
    vault = str(real.client.workspaces.get(*real.place).key_vault)
    uri = azure.ask("GET", vault).json()["properties"]["vaultUri"]
    owner = service_principal(azure)
    role = {
        "principalId": owner.object_id,
        "principalType": "ServicePrincipal",
        "roleDefinitionId": f"{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_OFFICER}",
    }
    azure.put(f"{vault}/providers/{ASSIGNMENTS}/{uuid.uuid4()}", {"properties": role})
    with SecretClient(uri, azure.credential(*owner.login), verify_challenge_resource=False) as client:
        with pytest.raises(ResourceNotFoundError):
            client.get_secret("pull")
        first = client.set_secret("pull", "one", tags={"a": "b"}).properties
        client.set_secret("pull", "two")
        assert client.get_secret("pull").value == "two"
        assert client.get_secret("pull", first.version).value == "one"
        assert len(list(client.list_properties_of_secret_versions("pull"))) == 2
        assert client.update_secret_properties("pull", first.version, enabled=False).enabled is False
        with pytest.raises(HttpResponseError, match="disabled"):
            client.get_secret("pull", first.version)
        client.begin_delete_secret("pull", _polling_interval=0.05).wait()
        assert [each.name for each in client.list_deleted_secrets()] == ["pull"]
        with pytest.raises(ResourceExistsError, match="deleted but recoverable"):
            client.set_secret("pull", "three")
        client.begin_recover_deleted_secret("pull", _polling_interval=0.05).wait()
        assert client.get_secret("pull").value == "two"
        client.begin_delete_secret("pull", _polling_interval=0.05).wait()
        client.purge_deleted_secret("pull")
        assert client.set_secret("pull", "four").value == "four"


# -- behaves as Azure does ---------------------------------------------------------------------------------------------


def test_refuses_to_create_what_exists(real: Real) -> None:
    """A registry's name is one of all Azure; what is PUT again is changed. (The engine's provider: test_providers.)"""
    other = f"{real.group}-other"
    real.cloud.put(f"resourceGroups/{other}", {"location": "westeurope"})
    body = acr.Registry(location="westeurope", sku=acr.Sku(name="Basic"))
    with pytest.raises(HttpResponseError) as refused:
        real.registries.registries.begin_create(other, real.group, body)
    assert (refused.value.status_code, refused.value.error and refused.value.error.code) == (409, "AlreadyInUse")
    holder = service_principal(real.cloud)
    real.registry.grant(holder, PULL)
    with pytest.raises(AssertionError, match="RoleAssignmentExists"):
        real.registry.grant(holder, PULL)
    real.cloud.finish(real.cloud.ask("DELETE", f"resourceGroups/{other}"))


def test_traffic_before_a_deployment_is_refused(real: Real) -> None:
    with pytest.raises(HttpResponseError, match="Deployment 'blue' does not exist") as refused:
        real.endpoint("too-early", traffic={"blue": 100})
    assert refused.value.status_code == 400
    with pytest.raises(ResourceNotFoundError):
        real.client.online_endpoints.get(*real.place, "too-early")


def test_empty_traffic_sends_0_percent_everywhere(local: InProcessAzure) -> None:
    with scene(local, Model("blue"), Model("green")) as found:
        found.deploy("blue")
        found.deploy("green")
        found.send({"blue": 90, "green": 10})
        assert found.score().status_code == 200
        found.send({})
        assert found.score().status_code == 404
        assert found.score(azureml_model_deployment="green").status_code == 200, "named, a deployment still answers"


def test_an_environment_version_is_immutable(real: Real) -> None:
    image = f"{real.registry.login_server}/{IMAGE}"
    assert real.environment("1", image).properties.image == image
    assert real.environment("1", image).name == "1", "the same content again is no change"
    with pytest.raises(ResourceExistsError, match="already registered with another 'image'") as refused:
        real.environment("1", image.replace("1", "2"))
    assert refused.value.status_code == 409
    assert real.client.environment_versions.get(*real.place, "scorer", "1").properties.image == image


def test_a_deployment_with_traffic_cannot_be_deleted(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        found.deploy("blue")
        found.send({"blue": 100})
        with pytest.raises(AzureError, match="Cannot delete deployment 'blue'") as refused:
            local.ask("DELETE", BLUE)
        assert refused.value.status == 400
        found.send({"blue": 0})
        local.ask("DELETE", BLUE)
        assert local.ask("GET", ENDPOINT)["properties"]["traffic"] == {}


def test_image_pull_without_the_role_fails(real: Real) -> None:
    environment = real.environment("2", f"{real.registry.login_server}/{IMAGE}")
    real.endpoint("no-role")
    with pytest.raises(HttpResponseError) as failed:
        real.deploy("no-role", environment.id)
    assert failed.value.error is not None
    assert failed.value.error.code == "BadArgument"
    text = str(failed.value)
    own: Any = real.client.online_endpoints.get(*real.place, "no-role").identity
    for part in ("does not have pull permission", "lacks role 'AcrPull'", own.principal_id, real.registry.id):
        assert part in text
    assert real.puller.app_id not in text, "a connection's credentials pull nothing"
    assert real.puller.secret not in text


def test_a_failed_first_provisioning_is_unrecoverable(real: Real) -> None:
    environment = real.environment("3", f"{real.registry.login_server}/{IMAGE}")
    real.endpoint("broken")
    with pytest.raises(HttpResponseError, match="does not have pull permission"):
        real.deploy("broken", environment.id)
    assert real.client.online_deployments.get(*real.place, "broken", "blue").properties.provisioning_state == "Failed"
    with pytest.raises(HttpResponseError, match=r"unrecoverable state\. Delete and re-create\.") as refused:
        real.deploy("broken", environment.id)
    assert refused.value.status_code == 400
    with pytest.raises(HttpResponseError, match="only one that has succeeded can get traffic"):
        real.endpoint("broken", traffic={"blue": 100})
    real.client.online_deployments.begin_delete(*real.place, "broken", "blue").result()
    with pytest.raises(HttpResponseError, match="does not have pull permission"):
        real.deploy("broken", environment.id)


def test_a_fresh_principal_is_unknown_to_rbac_for_a_while(local: InProcessAzure) -> None:
    local.azure.fault("principal-replication", 3600)
    fresh = local.service_principal()
    role = f"/subscriptions/{local.azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{PULL}"
    body: dict[str, Any] = {"properties": {"principalId": fresh.object_id, "roleDefinitionId": role}}
    path = f"providers/{ASSIGNMENTS}/{uuid.uuid4()}"
    with pytest.raises(AzureError, match="PrincipalNotFound") as refused:
        local.ask("PUT", path, body)
    assert refused.value.status == 400
    local.azure.fault("principal-replication", 0)
    assert local.ask("PUT", path, body)["properties"]["principalId"] == fresh.object_id
