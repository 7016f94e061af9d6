import copy
import re
import stat
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from azureml_scoring.endpoint import ScoringEndpoint
from azureml_scoring.plan.content import Content, read_content
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.image import ImageSettings

from tests.components.cloud import DIGEST, PASSWORD, SUBSCRIPTION, Cloud, arguments, context, run, up
from tests.provider.fake_azure import WORKSPACE, FakeAzure

GROUP = f"{SUBSCRIPTION}/resourceGroups/shared/providers"
ACR = f"{GROUP}/Microsoft.ContainerRegistry/registries/sharedacr"
OLD = f"{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.MachineLearningServices/workspaces/oldml"
IDENTITY = f"{GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/theirs"
PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
STORAGE_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
SECRET_KEY = "4dabf18193072939515e22adb298388d"
ELSEWHERE = f"mcr.microsoft.com/azureml/served@sha256:{'cd' * 32}"


@pytest.fixture
def usual(tmp_path: Path) -> dict[str, Any]:
    return arguments(tmp_path / "context")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """What the usual stack has made, for the tests that only read it."""
    return up(arguments(tmp_path_factory.mktemp("usual") / "context"))


# -- order -------------------------------------------------------------------------------------------------------------


def test_the_steps_come_in_the_order_registry_identity_image_endpoint(cloud: Cloud) -> None:
    registry = next(made for made in cloud.made if made.name == "scoring-registry")
    at = cloud.made.index
    assert at(registry) < cloud.order("index:RoleAssignment") < cloud.order("OnlineDeployment")
    assert at(registry) < cloud.order("ImageBuild") < cloud.order("EnvironmentVersion")
    assert cloud.order("EnvironmentVersion") < cloud.order("OnlineDeployment") < cloud.order("EndpointTraffic")


def test_a_deployment_waits_for_the_role_of_its_endpoint(cloud: Cloud) -> None:
    assert cloud.order("OnlineEndpoint") < cloud.order("index:RoleAssignment") < cloud.order("OnlineDeployment")
    assert cloud.inputs("OnlineDeployment")["pullGrant"] == "scoring-endpoint-role-id"


def test_traffic_comes_after_every_deployment(tmp_path: Path) -> None:
    two = {name: {"instance_type": "Standard_DS3_v2"} for name in ("blue", "green")}
    cloud = up(arguments(tmp_path, deployments=two, endpoint={"traffic": {"blue": 80, "green": 20}}))
    last = max(cloud.made.index(made) for made in cloud.all("OnlineDeployment"))
    assert last < cloud.order("EndpointTraffic")
    assert cloud.inputs("EndpointTraffic")["traffic"] == {"blue": 80, "green": 20}


# -- registry and workspace --------------------------------------------------------------------------------------------


def test_every_registry_has_no_admin_and_no_anonymous_reader(cloud: Cloud) -> None:
    registries = cloud.all("Registry")
    assert {made.name for made in registries} == {"scoring-registry", "scoring-own-registry"}
    for made in registries:
        assert made.inputs["adminUserEnabled"] is False
        assert made.inputs["anonymousPullEnabled"] is False


def test_the_workspace_always_gets_a_registry_so_that_azure_makes_none(cloud: Cloud) -> None:
    workspace = next(made for made in cloud.made if made.name == "scoring-workspace")
    own = next(made for made in cloud.made if made.name == "scoring-own-registry")
    assert workspace.inputs["containerRegistry"].endswith(own.inputs["registryName"])
    assert workspace.inputs["identity"] == {"type": "SystemAssigned"}
    assert all(workspace.inputs[key] for key in ("keyVault", "storageAccount", "applicationInsights"))


def test_the_vault_is_opened_by_roles_only(cloud: Cloud) -> None:
    properties = cloud.inputs("Vault")["properties"]
    assert properties["enableRbacAuthorization"] is True
    assert properties["tenantId"] == "the-tenant"
    assert "enablePurgeProtection" not in properties
    assert "accessPolicies" not in properties


def test_purge_protection_is_a_choice(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, workspace={"purge_protection": True, "soft_delete_days": 30}))
    properties = cloud.inputs("Vault")["properties"]
    assert (properties["enablePurgeProtection"], properties["softDeleteRetentionInDays"]) == (True, 30)


def test_an_existing_registry_is_read_and_never_made(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, registry={"mode": "standalone", "id": ACR}))
    registry = next(made for made in cloud.all("Registry") if made.name == "scoring-registry")
    assert registry.resource_id == ACR
    assert {made.inputs["scope"] for made in cloud.all("RoleAssignment")} == {ACR}
    assert cloud.inputs("ImageBuild")["loginServer"] == "sharedacr.azurecr.io"


def test_an_existing_resource_group_is_used_and_never_made(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, workspace={"resource_group": "theirs", "resource_group_exists": True}))
    assert cloud.all("ResourceGroup") == []
    assert cloud.inputs("Vault")["resourceGroupName"] == "theirs"


def test_in_mode_workspace_one_registry_serves_both_and_nobody_gets_a_password(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, registry={"mode": "workspace"}))
    registry = cloud.one("Registry")
    workspace = next(made for made in cloud.made if made.name == "scoring-workspace")
    assert workspace.inputs["containerRegistry"].endswith(registry.inputs["registryName"])
    assert not [made for made in cloud.made if made.typ.startswith("azuread:")]
    assert cloud.all("WorkspaceConnection") == []


def test_in_mode_workspace_azure_ml_itself_grants_the_role_and_a_second_grant_is_not_tried(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, registry={"mode": "workspace"}))
    assert cloud.all("RoleAssignment") == []
    assert cloud.inputs("OnlineEndpoint")["identityType"] == "SystemAssigned"


def test_a_workspaces_abac_registry_is_opened_to_the_endpoints_own_identity_before_the_first_pull(
    tmp_path: Path,
) -> None:
    registry = {"mode": "workspace", "role_assignment_mode": "abac"}
    cloud = up(arguments(tmp_path, registry=registry, workspace={"id": OLD}, image={"reference": ELSEWHERE}))
    role = cloud.inputs("RoleAssignment")
    assert role["principalId"] == "object-of-endpoint"
    assert role["scope"] == cloud.attached
    assert role["roleDefinitionId"].endswith("/b93aa761-3e63-49ed-ac28-beffa264f7ac")
    assert cloud.order("OnlineEndpoint") < cloud.order("RoleAssignment") < cloud.order("OnlineDeployment")
    assert cloud.inputs("OnlineDeployment")["pullGrant"] == "scoring-role-id"


def test_in_mode_public_nobody_is_asked_who_pulls(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, registry={"mode": "public"}, image={"reference": ELSEWHERE}))
    assert cloud.one("Registry").name == "scoring-own-registry"
    assert cloud.all("RoleAssignment") == []
    assert cloud.all("ImageBuild") == []
    assert "pullGrant" not in cloud.inputs("OnlineDeployment")
    assert cloud.inputs("EnvironmentVersion")["image"] == ELSEWHERE
    assert re.fullmatch(r"(cd){6}-[0-9a-f]{6}", cloud.inputs("EnvironmentVersion")["version"])


def test_an_existing_workspace_brings_its_registry_and_vault(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, registry={"mode": "workspace"}, workspace={"id": OLD}))
    assert cloud.one("Registry").resource_id == Cloud().attached
    assert cloud.all("Vault") == []
    assert cloud.inputs("OnlineEndpoint")["workspaceId"] == OLD


def test_an_existing_workspace_without_a_registry_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as told:
        up(arguments(tmp_path, registry={"mode": "workspace"}, workspace={"id": OLD}), Cloud(attached=None))
    assert str(told.value).startswith(f'workspace.id = "{OLD}": it has no container registry yet')
    assert "\n" not in str(told.value)


# -- identity ----------------------------------------------------------------------------------------------------------


def test_the_principal_has_one_role_that_reads_on_the_registry_and_nowhere_else(cloud: Cloud) -> None:
    role = cloud.inputs("authorization:RoleAssignment")
    assert role["scope"].endswith(f"/registries/{_named(cloud, 'scoring-registry')['registryName']}")
    assert role["roleDefinitionId"].endswith("/7f951dda-4ed3-4680-a7ca-43fe172d538d")
    assert role["principalId"] == "object-of-principal"
    assert role["principalType"] == "ServicePrincipal"


def test_an_abac_registry_gets_the_repository_reader_role(tmp_path: Path) -> None:
    registry = {"mode": "standalone", "id": ACR, "role_assignment_mode": "abac"}
    cloud = up(arguments(tmp_path, registry=registry, image={"reference": ELSEWHERE}))
    roles = {made.inputs["principalId"]: made.inputs["roleDefinitionId"] for made in cloud.all("RoleAssignment")}
    assert set(roles) == {"object-of-principal", "object-of-endpoint"}
    assert all(role.endswith("/b93aa761-3e63-49ed-ac28-beffa264f7ac") for role in roles.values())


def test_the_endpoints_own_identity_may_read_a_registry_beside_the_workspace(cloud: Cloud) -> None:
    role = cloud.inputs("index:RoleAssignment")
    assert role["principalId"] == "object-of-endpoint"
    assert role["scope"].endswith(f"/registries/{_named(cloud, 'scoring-registry')['registryName']}")
    assert role["roleDefinitionId"].endswith(PULL)


def test_with_principal_none_nobody_but_the_endpoint_may_read_the_registry(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, principal={"kind": "none"}))
    assert cloud.one("RoleAssignment").inputs["principalId"] == "object-of-endpoint"
    assert cloud.all("WorkspaceConnection") == []


@pytest.mark.parametrize("mode", ["standalone", "workspace"])
def test_an_existing_identity_is_the_endpoints_and_may_read_registry_and_storage(tmp_path: Path, mode: str) -> None:
    registry = {"mode": mode}
    cloud = up(arguments(tmp_path, registry=registry, principal={"kind": "none"}, endpoint={"identity": IDENTITY}))
    endpoint = cloud.inputs("OnlineEndpoint")
    assert (endpoint["identityType"], endpoint["userAssignedIdentities"]) == ("UserAssigned", [IDENTITY])
    assert cloud.one("UserAssignedIdentity").resource_id == IDENTITY
    roles = {made.inputs["roleDefinitionId"].rpartition("/")[2]: made for made in cloud.all("index:RoleAssignment")}
    assert set(roles) == {PULL, STORAGE_READER}
    assert all(made.inputs["principalId"] == "object-of-identity" for made in roles.values())
    assert "/registries/" in roles[PULL].inputs["scope"]
    waited = cloud.inputs("OnlineDeployment")["pullGrant"].split(" ")
    assert waited == ["scoring-identity-registry-role-id", "scoring-identity-storage-role-id"]


def test_a_service_principal_and_an_existing_identity_go_together(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, endpoint={"identity": IDENTITY}))
    assert cloud.inputs("authorization:RoleAssignment")["principalId"] == "object-of-principal"
    assert {made.inputs["principalId"] for made in cloud.all("index:RoleAssignment")} == {"object-of-identity"}


@pytest.mark.parametrize("given", [{}, {"identity": IDENTITY}])
@pytest.mark.parametrize("mode", ["standalone", "workspace"])
def test_a_cluster_that_is_attached_may_read_the_registry_too(tmp_path: Path, mode: str, given: dict[str, str]) -> None:
    cluster = {"id": f"{GROUP}/Microsoft.ContainerService/managedClusters/aks01", **given}
    endpoint = {"kind": "kubernetes", "compute": "aks", "cluster": cluster}
    cloud = up(arguments(tmp_path, registry={"mode": mode}, endpoint=endpoint, deployments={"blue": {}}))
    role = _named(cloud, "scoring-compute-role")
    assert role["principalId"] == ("object-of-identity" if given else "of-compute")
    assert role["roleDefinitionId"].endswith(PULL)
    assert "/registries/" in role["scope"]
    assert "scoring-compute-role-id" in cloud.inputs("OnlineDeployment")["pullGrant"]


def test_the_password_travels_only_as_a_secret(cloud: Cloud) -> None:
    seen = [made for made in cloud.made if PASSWORD in str(made.inputs)]
    assert {made.name for made in seen} == {"scoring-secret", "scoring-connection"}
    for made in seen:
        assert SECRET in made.inputs["properties"].values()


def test_the_connection_offers_client_id_and_password_for_the_registry(cloud: Cloud) -> None:
    properties = cloud.inputs("WorkspaceConnection")["properties"]["value"]
    assert properties["category"] == "ContainerRegistry"
    assert properties["authType"] == "UsernamePassword"
    assert properties["target"] == f"{_named(cloud, 'scoring-registry')['registryName']}.azurecr.io"
    assert properties["credentials"]["username"] == "client-of-application"


def test_two_passwords_overlap_and_the_current_one_is_offered(tmp_path: Path) -> None:
    passwords = {"old": {"expires": "2099-01-01T00:00:00Z"}, "new": {"expires": "2100-01-01T00:00:00Z"}}
    principal = {"kind": "service-principal", "passwords": passwords, "current": "new"}
    cloud = up(arguments(tmp_path, principal=principal))
    assert {made.name for made in cloud.all("ApplicationPassword")} == {"scoring-password-old", "scoring-password-new"}
    ends = {made.inputs["endDate"] for made in cloud.all("ApplicationPassword")}
    assert ends == {"2099-01-01T00:00:00Z", "2100-01-01T00:00:00Z"}
    offered = cloud.inputs("WorkspaceConnection")["properties"]["value"]["credentials"]["password"]
    assert offered == cloud.inputs("Secret")["properties"]["value"]["value"] == f"{PASSWORD}-scoring-password-new"


@pytest.mark.parametrize(
    ("end", "is_told"),
    [
        ("2040-01-01T00:00:00Z", False),
        ("2039-12-30T00:00:00Z", False),
        ("2039-01-01T00:00:00Z", True),
        ("2041-01-01T00:00:00Z", True),
    ],
)
def test_an_end_that_is_no_longer_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, end: str, *, is_told: bool
) -> None:
    up(arguments(tmp_path), Cloud(password_end=end))
    assert ("principal.passwords.first.expires: it is not written any more" in caplog.text) is is_told


def test_a_managed_identity_needs_no_password_and_is_the_endpoints(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, principal={"kind": "managed-identity"}))
    assert not [made for made in cloud.made if made.typ.startswith("azuread:")]
    assert cloud.all("Secret") == []
    roles = {made.name: made.inputs["roleDefinitionId"].rpartition("/")[2] for made in cloud.all("RoleAssignment")}
    assert roles == {"scoring-identity-role": PULL, "scoring-storage-role": STORAGE_READER}
    assert {made.inputs["principalId"] for made in cloud.all("RoleAssignment")} == {"object-of-identity"}
    waited = cloud.inputs("OnlineDeployment")["pullGrant"].split(" ")
    assert waited == ["scoring-identity-role-id", "scoring-storage-role-id"]
    endpoint = cloud.inputs("OnlineEndpoint")
    assert endpoint["identityType"] == "UserAssigned"
    (identity,) = endpoint["userAssignedIdentities"]
    assert identity.endswith(f"/userAssignedIdentities/{cloud.inputs('UserAssignedIdentity')['resourceName']}")


# -- image -------------------------------------------------------------------------------------------------------------


def test_the_build_is_named_by_its_content(cloud: Cloud, usual: dict[str, Any]) -> None:
    key = read_content(Path(usual["image"]["context"]), ImageSettings()).key
    build = cloud.inputs("ImageBuild")
    assert build["contentKey"] == key
    assert build["repository"] == "scoring/sklearn"
    assert cloud.inputs("OnlineDeployment")["tags"]["image"] == key[:12]


def test_builder_docker_pushes_the_same_content_to_the_same_place(tmp_path: Path) -> None:
    settings = arguments(tmp_path / "context")
    settings["image"]["builder"] = "docker"
    settings["push_username"], settings["push_password"] = "deployer", "deployers-secret"
    cloud = up(settings)
    assert cloud.all("ImageBuild") == []
    image = cloud.inputs("Image")
    key = read_content(tmp_path / "context", ImageSettings()).key
    assert re.fullmatch(rf"azureml\w+\.azurecr\.io/scoring/sklearn:{key[:12]}", image["imageName"])
    assert SECRET in image["registry"].values()
    assert cloud.inputs("EnvironmentVersion")["image"].endswith(f"/scoring/sklearn@{DIGEST}")


def test_builder_docker_takes_the_same_content_from_any_folder_and_with_any_umask(tmp_path: Path) -> None:
    settings = [arguments(tmp_path / name) for name in ("one", "two")]
    (tmp_path / "two" / "score.py").chmod(0o664)
    builds = []
    for each in settings:
        each["image"]["builder"] = "docker"
        builds.append(up(each).inputs("Image")["build"])
    assert builds[0] == builds[1]
    folder = Path(builds[0]["context"])
    assert folder.name == read_content(tmp_path / "one", ImageSettings()).key
    assert (folder / "score.py").read_text() == (tmp_path / "one" / "score.py").read_text()
    assert stat.filemode((folder / "score.py").stat().st_mode) == "-rw-r--r--"


def test_a_build_without_a_digest_is_not_deployed(tmp_path: Path) -> None:
    settings = arguments(tmp_path / "context")
    settings["image"]["builder"] = "docker"
    with pytest.raises(SettingsError, match="the build yielded no digest but <none>@<none>; build again by `pulumi up"):
        up(settings, Cloud(digest="<none>@<none>"))


def test_builder_docker_build_seals_its_secrets_and_leaves_the_image_to_the_registry(tmp_path: Path) -> None:
    settings = arguments(tmp_path / "context")
    more = {"build_secrets": {"TOKEN": "very-secret"}, "platforms": ["linux/amd64", "linux/arm64"]}
    settings["image"] |= {"builder": "docker-build", **more}
    settings["push_username"], settings["push_password"] = "deployer", "deployers-secret"
    cloud = up(settings)
    image = cloud.inputs("Image")
    key = read_content(tmp_path / "context", ImageSettings.model_validate(more)).key
    assert [tag.rpartition(":")[2] for tag in image["tags"]] == [key[:12]]
    assert (image["platforms"], image["buildOnPreview"]) == (more["platforms"], False)
    assert SECRET in image["secrets"].values()
    assert image["ignoreSecretsInDiffCalculation"] == ["TOKEN"]
    assert all(cache[0]["registry"]["ref"].endswith(":cache") for cache in (image["cacheFrom"], image["cacheTo"]))
    assert cloud.inputs("EnvironmentVersion")["image"].endswith(f"/scoring/sklearn@{DIGEST}")


def test_builder_docker_build_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pulumi_docker_build", None)
    settings = arguments(tmp_path / "context")
    settings["image"]["builder"] = "docker-build"
    with pytest.raises(SettingsError, match=re.escape("`pip install azureml-scoring[docker-build]`")):
        up(settings)


@pytest.mark.parametrize("target", ["/etc/hostname", "../elsewhere", "gone"])
def test_a_link_out_of_the_context_is_told_to_builder_docker(tmp_path: Path, target: str) -> None:
    settings = arguments(tmp_path / "context")
    settings["image"]["builder"] = "docker"
    (tmp_path / "context" / "link").symlink_to(target)
    with pytest.raises(SettingsError, match=f"the link link leads to {target}, outside of the build context"):
        up(settings)


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ({"context": "/nowhere"}, 'image.context = "/nowhere": the folder does not exist'),
        (
            {"reference": "scoring:v1"},
            'image.reference = "scoring:v1": an image reference takes host/repository:tag, ',
        ),
        ({"context": "@", "dockerfile": "x/Dockerfile"}, 'image.dockerfile = "x/Dockerfile": no such file'),
        ({"context": "@", "repository": "Scoring"}, 'image.repository = "Scoring": a repository takes small letters'),
    ],
)
def test_an_image_that_cannot_be_made_is_told_before_anything_is_registered(
    tmp_path: Path, image: dict[str, str], line: str
) -> None:
    settings = arguments(tmp_path / "context")
    context = settings["image"]["context"]
    settings["image"] = cast("Any", {**image, **({"context": context} if image.get("context") == "@" else {})})
    cloud = Cloud()
    with pytest.raises(SettingsError) as told:
        up(settings, cloud)
    assert str(told.value).startswith(line)
    assert cloud.made == []


def test_a_mixture_that_azure_cannot_do_is_told_before_anything_is_registered(tmp_path: Path) -> None:
    cloud = Cloud()
    with pytest.raises(SettingsError, match=r"principal\.kind"):
        up(arguments(tmp_path, registry={"mode": "workspace"}, principal={"kind": "service-principal"}), cloud)
    assert cloud.made == []


def test_a_promoted_image_is_imported_and_nothing_is_built(tmp_path: Path) -> None:
    image = {"context": "nowhere", "promote": ELSEWHERE}
    cloud = up(arguments(tmp_path, image=image))
    assert cloud.all("ImageBuild") == []
    brought = cloud.inputs("ImageImport")
    assert brought["source"] == ELSEWHERE
    assert cloud.inputs("EnvironmentVersion")["image"] == f"{brought['loginServer']}/azureml/served@sha256:{'cd' * 32}"


# -- endpoint ----------------------------------------------------------------------------------------------------------


def test_the_environment_is_named_after_the_digest(cloud: Cloud) -> None:
    environment = cloud.inputs("EnvironmentVersion")
    assert environment["environmentName"] == "scoring-sklearn-blue"
    # The place too: the same digest may lie in another registry, and a version never changes.
    assert re.fullmatch(r"(ab){6}-[0-9a-f]{6}", environment["version"])
    assert environment["image"].endswith(DIGEST)


def test_the_inference_servers_routes_are_the_default(cloud: Cloud) -> None:
    environment = cloud.inputs("EnvironmentVersion")
    routes = tuple(environment[key] for key in ("port", "livenessPath", "readinessPath", "scoringPath"))
    assert routes == (5001, "/", "/", "/score")


def test_other_routes_are_another_version_because_azure_lets_none_change(tmp_path: Path) -> None:
    blue = {"instance_type": "Standard_DS3_v2", "routes": {"port": 8080.0, "scoring": "/predict"}}
    environment = up(arguments(tmp_path, deployments={"blue": blue})).inputs("EnvironmentVersion")
    assert re.fullmatch(r"(ab){6}(-[0-9a-f]{6}){2}", environment["version"])
    assert (environment["port"], environment["scoringPath"]) == (8080, "/predict")


def test_a_deployment_keeps_its_environment_when_the_image_that_it_runs_is_pinned(tmp_path: Path) -> None:
    machine = {"instance_type": "Standard_DS3_v2"}
    split = {"traffic": {"blue": 100}}
    both = up(arguments(tmp_path, deployments={"blue": machine, "green": machine}, endpoint=split))
    built = both.all("EnvironmentVersion")[0].inputs["image"]
    pinned = {"blue": {**machine, "image": built}, "green": {**machine, "image": ELSEWHERE}}
    other = up(arguments(tmp_path, deployments=pinned, endpoint=split))
    before, after = ({made.name: made.inputs for made in cloud.all("EnvironmentVersion")} for cloud in (both, other))
    assert before["scoring-blue-environment"] == after["scoring-blue-environment"]
    assert after["scoring-green-environment"]["image"] == ELSEWHERE
    assert {each["environmentName"] for each in before.values()} == {"scoring-sklearn-blue", "scoring-sklearn-green"}
    used = {made.name: made.inputs["environmentId"] for made in other.all("OnlineDeployment")}
    assert used["scoring-blue"] != used["scoring-green"]


def test_probes_and_limits_are_spelt_as_arm_does_and_numbers_from_other_languages_are_whole(tmp_path: Path) -> None:
    blue = {
        "instance_type": "Standard_DS3_v2",
        "instance_count": 2.0,
        "liveness_probe": {"initial_delay": "PT10S", "failure_threshold": 30.0},
        "request_settings": {"max_concurrent_requests_per_instance": 4.0, "request_timeout": "PT60S"},
        "environment_variables": {"LOG_LEVEL": "info"},
    }
    deployment = up(arguments(tmp_path, deployments={"blue": blue})).inputs("OnlineDeployment")
    assert deployment["instanceCount"] == 2
    assert deployment["livenessProbe"] == {"initialDelay": "PT10S", "failureThreshold": 30}
    assert deployment["requestSettings"] == {"maxConcurrentRequestsPerInstance": 4, "requestTimeout": "PT60S"}
    assert deployment["environmentVariables"] == {"LOG_LEVEL": "info"}


def test_steps_of_a_shift_are_told_to_the_traffic_with_their_minutes(tmp_path: Path) -> None:
    endpoint = {"traffic_steps": [10.0, {"percent": 50, "minutes": 15}]}
    steps = up(arguments(tmp_path, endpoint=endpoint)).inputs("EndpointTraffic")["steps"]
    assert steps == [{"percent": 10}, {"percent": 50, "minutes": 15}]


def test_a_deployment_that_is_alone_gets_everything(cloud: Cloud) -> None:
    assert cloud.inputs("EndpointTraffic")["traffic"] == {"blue": 100}


@pytest.mark.parametrize(("auth", "mode"), [("key", "Key"), ("aml-token", "AMLToken"), ("aad-token", "AADToken")])
def test_every_way_to_sign_in_is_spelt_as_azure_does(tmp_path: Path, auth: str, mode: str) -> None:
    assert up(arguments(tmp_path, endpoint={"auth": auth})).inputs("OnlineEndpoint")["authMode"] == mode


# -- all of it ---------------------------------------------------------------------------------------------------------


def test_nothing_is_auto_named(cloud: Cloud) -> None:
    names = {
        "ResourceGroup": "resourceGroupName",
        "Registry": "registryName",
        "StorageAccount": "accountName",
        "Vault": "vaultName",
        "Secret": "secretName",
        "Workspace": "workspaceName",
        "Component": "resourceName",
        "WorkspaceConnection": "connectionName",
        "authorization:RoleAssignment": "roleAssignmentName",
        "index:RoleAssignment": "assignmentName",
        "OnlineEndpoint": "endpointName",
        "OnlineDeployment": "deploymentName",
        "EnvironmentVersion": "environmentName",
        "Application": "displayName",
    }
    for kind, field in names.items():
        assert cloud.all(kind), kind
        for made in cloud.all(kind):
            assert made.inputs.get(field), f"{made.name} has no {field}"


def test_the_same_stack_gets_the_same_names_and_another_stack_others(usual: dict[str, Any]) -> None:
    first, again, other = (up(copy.deepcopy(usual), stack=stack) for stack in ("one", "one", "two"))
    assert _all_named(first) == _all_named(again)
    assert not set(_all_named(first).values()) & set(_all_named(other).values())


def test_everything_that_can_carries_the_tags(cloud: Cloud) -> None:
    untagged = {
        made.typ.rpartition(":")[2]
        for made in cloud.made
        if made.inputs and made.inputs.get("tags", {}).get("owner") != "me"
    }
    assert untagged == {
        "Application",
        "ServicePrincipal",
        "ApplicationPassword",
        "RoleAssignment",
        "Secret",
        "WorkspaceConnection",
        "ImageBuild",
        "EndpointTraffic",
    }


def _named(cloud: Cloud, name: str) -> dict[str, Any]:
    return next(made for made in cloud.made if made.name == name).inputs


def _all_named(cloud: Cloud) -> dict[str, str]:
    fields = ("registryName", "accountName", "vaultName", "endpointName", "roleAssignmentName", "assignmentName")
    return {
        made.name: str(made.inputs[field])
        for made in cloud.made
        for field in fields
        if field in made.inputs and made.typ.rpartition(":")[2] not in {"Secret", "OnlineDeployment"}
    }


def test_the_build_context_is_read_once_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(context: Path, *rest: Any) -> Content:  # noqa: ANN401 - passed on
        read.append(context)
        return read_content(context, *rest)

    monkeypatch.setattr("azureml_scoring.plan.image.read_content", counted)
    two = {name: {"instance_type": "Standard_DS3_v2"} for name in ("blue", "green")}
    up(arguments(tmp_path, deployments=two, endpoint={"traffic": {"blue": 100}}))
    assert read == [tmp_path]


# -- existing images ---------------------------------------------------------------------------------------------------

PRIVATE = {"mode": "private", "address": "ghcr.io", "username": "me"}
HELD = "https://ours.vault.azure.net/secrets/pull"
OWN_IMAGE: dict[str, dict[str, str]] = {"blue": {}, "green": {"image": "ghcr.io/own:2"}}


def test_a_tag_is_pinned_and_served_by_its_digest(tmp_path: Path) -> None:
    deployments = {
        "blue": {"instance_type": "Standard_DS3_v2"},
        "green": {"instance_type": "Standard_DS3_v2", "image": "mcr.microsoft.com/other:2"},
    }
    traffic = {"traffic": {"blue": 100}}
    image = {"reference": "mcr.microsoft.com/served:1"}
    cloud = up(arguments(tmp_path, registry={"mode": "public"}, image=image, deployments=deployments, endpoint=traffic))
    assert {made.name: made.inputs for made in cloud.all("ImagePin")} == {
        "scoring-image-pin": {"reference": "mcr.microsoft.com/served:1"},
        "scoring-green-pin": {"reference": "mcr.microsoft.com/other:2"},
    }
    served = {made.inputs["environmentName"]: made.inputs["image"] for made in cloud.all("EnvironmentVersion")}
    assert served == {
        "served-blue": f"mcr.microsoft.com/served@{DIGEST}",
        "other-green": f"mcr.microsoft.com/other@{DIGEST}",
    }
    tags = {made.name: made.inputs["tags"]["image"] for made in cloud.all("OnlineDeployment")}
    assert tags == {"scoring-blue": "ab" * 6, "scoring-green": "ab" * 6}


def test_a_private_registrys_password_is_told_to_that_registry_only(tmp_path: Path) -> None:
    deployments = {"blue": {"instance_type": "Standard_DS3_v2", "image": "mcr.microsoft.com/other:2"}}
    registry = {**PRIVATE, "password": PASSWORD}
    settings = arguments(tmp_path, registry=registry, image={"reference": "ghcr.io/served"}, deployments=deployments)
    cloud = up(settings)
    pins = {made.name: made.inputs for made in cloud.all("ImagePin")}
    assert pins["scoring-image-pin"]["username"] == "me"
    assert pins["scoring-image-pin"]["password"] == {SECRET_KEY: SECRET, "value": PASSWORD}
    assert pins["scoring-blue-pin"] == {"reference": "mcr.microsoft.com/other:2"}
    assert [made.name for made in cloud.all("ImageImport")] == ["scoring-image-import"]
    assert cloud.inputs("Secret")["secretName"]
    assert cloud.inputs("WorkspaceConnection")["properties"]["value"]["target"] == "ghcr.io"


def test_a_private_registry_is_asked_with_the_password_for_an_image_by_digest_too(tmp_path: Path) -> None:
    """Else nobody would know of a wrong password before the import."""
    registry, image = {**PRIVATE, "password": PASSWORD}, f"ghcr.io/served@{DIGEST}"
    cloud = up(arguments(tmp_path, registry=registry, image={"reference": image}))
    (pin,) = cloud.all("ImagePin")
    assert (pin.inputs["reference"], pin.inputs["username"]) == (image, "me")
    assert cloud.inputs("ImageImport")["source"] == image


@pytest.mark.parametrize("workspace", [None, OLD])
def test_images_of_a_private_registry_are_imported_into_the_workspaces_and_served_from_there(
    tmp_path: Path, workspace: str | None
) -> None:
    given = arguments(
        tmp_path,
        registry={**PRIVATE, "password": PASSWORD},
        image={"reference": "ghcr.io/served:1"},
        deployments={name: {"instance_type": "Standard_DS3_v2", **more} for name, more in OWN_IMAGE.items()},
        endpoint={"traffic": {"blue": 100}},
    )
    cloud = up({**given, **({"workspace": {"id": workspace}} if workspace else {})})
    registry = cloud.attached if workspace else f"/registries/{_named(cloud, 'scoring-own-registry')['registryName']}"
    for name, repository in (("scoring-image-import", "served"), ("scoring-green-import", "own")):
        brought = _named(cloud, name)
        assert brought["registryId"].endswith(registry)
        assert brought["source"] == f"ghcr.io/{repository}@{DIGEST}"
        assert brought["username"] == "me"
        assert brought["password"] == {SECRET_KEY: SECRET, "value": PASSWORD}
    hosts = {made.inputs["image"].partition("/")[0] for made in cloud.all("EnvironmentVersion")}
    assert hosts == {f"{str(registry).rpartition('/')[2]}.azurecr.io"}
    assert cloud.all("RoleAssignment") == [], (
        "Azure ML itself lets the endpoint's identity read the workspace's registry"
    )


def test_a_password_in_a_vault_is_read_there_and_kept_nowhere_else(tmp_path: Path) -> None:
    azure = FakeAzure()
    azure.on("GET", HELD, lambda _: (200, {}, {"value": PASSWORD}))
    registry = {**PRIVATE, "password_secret": HELD}
    cloud = up(
        arguments(tmp_path, registry=registry, image={"reference": f"ghcr.io/served@{DIGEST}"}), Cloud(azure=azure)
    )
    assert azure.of("GET", HELD)[0].headers["Authorization"] == "Bearer token for https://vault.azure.net/.default"
    assert cloud.all("Secret") == []
    properties = cloud.inputs("WorkspaceConnection")["properties"]
    assert properties[SECRET_KEY] == SECRET
    assert properties["value"]["credentials"] == {"username": "me", "password": PASSWORD}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, None, f'registry.passwordSecret = "{HELD}": no such secret in the vault; correct the id'),
        (
            403,
            {"error": {"code": "Forbidden", "message": "Caller is not authorized"}},
            (
                f'registry.passwordSecret = "{HELD}": HTTP 403; give the deployer the role Key Vault Secrets User on '
                "it; Caller is not authorized"
            ),
        ),
    ],
)
def test_a_vault_that_does_not_tell_is_one_line_before_anything_is_registered(
    tmp_path: Path, status: int, body: object, told: str
) -> None:
    cloud = Cloud()
    cloud.azure.on("GET", HELD, lambda _: (status, {}, body))
    registry = {**PRIVATE, "password_secret": HELD}
    with pytest.raises(SettingsError) as said:
        up(arguments(tmp_path, registry=registry, image={"reference": "ghcr.io/served"}), cloud)
    assert str(said.value) == told
    assert cloud.made == []


def test_deployments_build_images_of_their_own_and_the_same_content_once(tmp_path: Path) -> None:
    machine = {"instance_type": "Standard_DS3_v2"}
    other = context(tmp_path / "other")
    (other / "score.py").write_text("def run(x): return -x\n")
    usual = {"context": str(context(tmp_path / "usual")), "repository": "scoring/sklearn"}
    deployments = {
        "blue": machine,
        "green": {**machine, "image": {"context": str(other), "target": None}},
        "grey": {**machine, "image": {"context": str(other)}},
        "white": {**machine, "image": {**usual, "dockerfile": "Dockerfile"}},
    }
    cloud = up(
        arguments(tmp_path / "context", image=usual, deployments=deployments, endpoint={"traffic": {"blue": 100}})
    )
    builds = {made.name: made.inputs for made in cloud.all("ImageBuild")}
    assert sorted(builds) == ["scoring-build", "scoring-green-build"]
    assert builds["scoring-green-build"]["repository"] == "other"
    environments = {made.name: made.inputs for made in cloud.all("EnvironmentVersion")}
    images = {key: environments[f"scoring-{key}-environment"]["image"] for key in deployments}
    assert images["blue"] == images["white"] != images["green"] == images["grey"]
    tags = {made.inputs["deploymentName"]: made.inputs["tags"]["image"] for made in cloud.all("OnlineDeployment")}
    assert tags["green"] == builds["scoring-green-build"]["contentKey"][:12] != tags["blue"]


def test_an_endpoint_alone_builds_nothing(tmp_path: Path) -> None:
    blue = {"instance_type": "Standard_DS3_v2", "image": {"context": str(context(tmp_path))}}
    args = {"workspace_id": WORKSPACE, "location": "westeurope", "deployments": {"blue": blue}}
    with pytest.raises(SettingsError, match=r"deployments\.blue\.image = .*ScoringStack builds it"):
        run(lambda: ScoringEndpoint("scoring", args))


# -- models and code ---------------------------------------------------------------------------------------------------


def assets(folder: Path, **sections: object) -> dict[str, Any]:
    """Two deployments: one on the stack's model and code, one on a registered model."""
    (folder / "weights").mkdir()
    (folder / "weights" / "words.txt").write_text("words")
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text("def init(): ...")
    given = arguments(
        folder / "context",
        deployments={
            "blue": {"instance_type": "Standard_DS3_v2"},
            "green": {"instance_type": "Standard_DS3_v2", "model": {"reference": "azureml:iris:3", "mount_path": "/m"}},
        },
        endpoint={"traffic": {"blue": 100}},
        model={"path": str(folder / "weights")},
        code={"path": str(folder / "code"), "entry_script": "score.py"},
    )
    return {**given, **sections}


def test_deployments_share_the_stacks_code_and_may_have_a_model_of_their_own(tmp_path: Path) -> None:
    cloud = up(assets(tmp_path))
    model, code = cloud.inputs("ModelVersion"), cloud.inputs("CodeVersion")
    assert (model["assetName"], code["assetName"]) == ("weights", "code")
    blue, green = (made.inputs for made in sorted(cloud.all("OnlineDeployment"), key=lambda made: made.name))
    assert blue["modelId"] == "scoring-model-id"
    assert blue["codeId"] == green["codeId"] == "scoring-code-id"
    assert blue["scoringScript"] == "score.py"
    assert green["modelId"].endswith("/models/iris/versions/3")
    assert green["modelMountPath"] == "/m"
    assert (blue["tags"]["model"], green["tags"]["model"]) == (f"weights:{model['version']}", "iris:3")


def test_an_environment_is_left_to_azure_ml_to_build(tmp_path: Path) -> None:
    (tmp_path / "conda.yml").write_text("dependencies: [{pip: [azureml-inference-server-http]}]")
    given = assets(
        tmp_path,
        registry={"mode": "workspace"},
        principal={"kind": "none"},
        environment={"base": "a.io/b:1", "conda_file": str(tmp_path / "conda.yml")},
    )
    del given["image"]
    cloud = up(given)
    assert cloud.all("ImageBuild") == []
    environment = cloud.all("EnvironmentVersion")[0].inputs
    assert environment["image"] == "a.io/b:1"
    assert "azureml-inference-server-http" in environment["condaFile"]
    assert "port" not in environment
