"""`doctor` on a real local Azure: each check where all is well, and where something stands in a stack's way."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from azureml_scoring.delivery.doctor import DoctorError, doctor
from azureml_scoring.plan.names import Names
from azureml_scoring.plan.needs import WORKSPACES, Machines, Needs
from azureml_scoring.provider import readiness
from azureml_scoring.provider.arm import Arm, find_cloud, find_credential

from tests.conftest import Cloud, local_azure
from tests.registries import registry_in_group, service_principal
from tests.samples import is_printed
from tests.scoring import workspace_body

PLACE = {"location": "westeurope"}
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
NAMES = Names("azureml-scoring", "dev", "scoring")
GROUP = "/subscriptions/s/resourceGroups/g"
CONFIG: dict[str, Any] = {
    "location": "westeurope",
    "image": {"context": "app"},
    "deployments": {"blue": {"instanceType": "Standard_DS3_v2", "instanceCount": 2}},
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One of its own: these tests change what holds for a whole subscription."""
    with local_azure(tmp_path_factory.mktemp("azure")) as started:
        yield started


@dataclass
class Bench:
    """A project with one stack file, looked at by a principal of a local Azure."""

    folder: Path
    cloud: Cloud
    variables: dict[str, str]
    lines: list[str] = field(default_factory=list)

    def doctor(self, *, as_json: bool = False, **changes: Any) -> int:  # noqa: ANN401 - JSON
        """Look at the stack `dev`, with sections of its config replaced."""
        config = {f"scoring:{name}": value for name, value in {**CONFIG, **changes}.items()}
        (self.folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
        self.lines = []
        found = find_cloud(self.variables)
        connected = Arm(found, find_credential(self.variables, found))
        return doctor(self.folder, "dev", self.lines.append, as_json=as_json, arm=lambda: connected)

    def says(self, status: str, check: str) -> str:
        """The lines of a check that have a status."""
        return "\n".join(line for line in self.lines if line.startswith(f"{status:<8} {check:<10} "))


@pytest.fixture
def bench(tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Bench:
    (tmp_path / "Pulumi.yaml").write_text("name: azureml-scoring\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app/Dockerfile").write_text("FROM docker.io/library/python:3.11-slim\n")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", cloud.environment["REQUESTS_CA_BUNDLE"])
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", cloud.environment["ARM_SUBSCRIPTION_ID"])
    return Bench(tmp_path, cloud, dict(cloud.environment))


def signed_in_with(bench: Bench, role: str = "", scope: str = "") -> Bench:
    """The same as a service principal with one role, on the subscription or another scope."""
    principal = service_principal(bench.cloud)
    bench.variables |= {"ARM_CLIENT_ID": principal.app_id, "ARM_CLIENT_SECRET": principal.secret}
    if role:
        definition = f"{bench.cloud.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        properties = {"principalId": principal.object_id, "roleDefinitionId": definition}
        path = f"{scope or bench.cloud.subscription}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        bench.cloud.put(path, {"properties": {**properties, "principalType": "ServicePrincipal"}})
    return bench


def needs(**changes: Any) -> Needs:  # noqa: ANN401 - a field each
    """What a stack needs that needs nothing but these."""
    nothing: dict[str, Any] = {
        **dict.fromkeys(("creates_group", "builds"), False),
        **dict.fromkeys(("endpoint", "registry"), ""),
        "workspace": None,
        **dict.fromkeys(("providers", "names", "machines"), ()),
        **dict.fromkeys(("actions", "registry_actions"), frozenset()),
    }
    return Needs(**{**nothing, "location": "westeurope", "group": GROUP, **changes})


@contextmanager
def group(cloud: Cloud, name: str = "") -> Iterator[str]:
    path = f"{cloud.subscription}/resourceGroups/{name or uuid.uuid4().hex}"
    cloud.put(path, PLACE)
    yield path
    cloud.finish(cloud.ask("DELETE", path))


@contextmanager
def fault(cloud: Cloud, name: str, value: str) -> Iterator[None]:
    cloud.tell("fault", name, value)
    yield
    cloud.tell("fault", name)


# -- all is well


def test_a_fresh_subscription_lets_its_owner_make_the_stack(bench: Bench) -> None:
    assert bench.doctor() == 0
    *checks, ending = bench.lines
    assert all(line.startswith("ok ") for line in checks), checks
    titles = list(dict.fromkeys(line[9:19].strip() for line in checks))
    assert titles == ["signed in", "providers", "rights", "names", "quota", "ACR Tasks"]
    assert ending == "Stack dev: nothing found that stands in its way."


def test_the_findings_are_json_on_request(bench: Bench) -> None:
    assert bench.doctor(as_json=True) == 0
    (text,) = bench.lines
    answer = json.loads(text)
    assert answer["stack"] == "dev"
    assert {"check": "providers", "status": "ok", "text": "9 registered", "remedy": ""} in answer["findings"]


# -- signed in


def test_without_a_sign_in_that_is_the_only_line(bench: Bench) -> None:
    bench.variables["ARM_CLIENT_SECRET"] = "wrong"
    assert bench.doctor() == 1
    assert "signing in to Azure failed" in bench.says("wrong", "signed in")
    assert len(bench.lines) == 2


def test_a_subscription_that_is_not_there_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", str(uuid.UUID(int=1)))
    assert bench.doctor() == 1
    assert f"{uuid.UUID(int=1)} is not visible to it: set ARM_SUBSCRIPTION_ID" in bench.says("wrong", "signed in")


def test_the_subscription_is_the_azure_clis_where_nothing_else_names_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARM_SUBSCRIPTION_ID")
    monkeypatch.setenv("PATH", str(bench.folder))
    with pytest.raises(DoctorError, match="no subscription is chosen; set ARM_SUBSCRIPTION_ID"):
        bench.doctor()
    (bench.folder / "az").write_text(f"#!/bin/sh\necho {bench.cloud.environment['ARM_SUBSCRIPTION_ID']}\n")
    (bench.folder / "az").chmod(0o755)
    assert bench.doctor() == 0


def test_who_is_signed_in_is_said_with_tenant_and_subscription(bench: Bench) -> None:
    bench.doctor()
    line = bench.says("ok", "signed in")
    for name in ("ARM_CLIENT_ID", "ARM_TENANT_ID", "ARM_SUBSCRIPTION_ID"):
        assert bench.cloud.environment[name] in line


# -- providers


def test_a_provider_that_is_not_registered_is_named_with_the_command(bench: Bench) -> None:
    provider = f"{bench.cloud.subscription}/providers/Microsoft.Cdn"
    assert bench.cloud.ask("POST", f"{provider}/unregister", {}).is_success
    assert bench.doctor() == 1
    command = f"az provider register --namespace Microsoft.Cdn --subscription {bench.cloud.subscription[15:]}"
    assert bench.says("wrong", "providers").endswith(f"Microsoft.Cdn is NotRegistered: {command}")
    assert bench.cloud.ask("POST", f"{provider}/register", {}).is_success
    assert bench.doctor() == 0


# -- rights


def test_a_reader_is_told_each_action_that_it_lacks(bench: Bench) -> None:
    assert signed_in_with(bench, READER).doctor() == 1
    line = bench.says("wrong", "rights")
    for action in (
        "Microsoft.Resources/subscriptions/resourceGroups/write",
        "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments/write",
        "Microsoft.ContainerRegistry/registries/scheduleRun/action",
        "Microsoft.KeyVault/vaults/secrets/write",
    ):
        assert action in line
    assert line.endswith("a role such as Contributor and Role Based Access Control Administrator")


def test_a_contributor_cannot_assign_roles(bench: Bench) -> None:
    assert signed_in_with(bench, CONTRIBUTOR).doctor() == 1
    assert bench.says("wrong", "rights").endswith(
        f"not allowed on {bench.cloud.subscription}: Microsoft.Authorization/roleAssignments/write: a role such as"
        " Role Based Access Control Administrator"
    )


def test_rights_are_looked_at_in_the_resource_group_where_it_exists(bench: Bench) -> None:
    with group(bench.cloud, "given") as scope:
        signed_in_with(bench, CONTRIBUTOR, scope)
        workspace = {"resourceGroup": "given", "resourceGroupExists": True}
        assert bench.doctor(workspace=workspace) == 1
        assert f"not allowed on {scope}: Microsoft.Authorization/roleAssignments/write" in bench.says("wrong", "rights")


def test_what_cannot_be_looked_at_says_so_and_the_other_looks_go_on(bench: Bench) -> None:
    with group(bench.cloud, "given") as scope:
        signed_in_with(bench, CONTRIBUTOR, scope)
        bench.doctor(workspace={"resourceGroup": "given", "resourceGroupExists": True})
    needed = "not allowed to look: that takes the action Microsoft.Resources/subscriptions/providers/read"
    assert needed in bench.says("unknown", "providers")
    assert "Microsoft.MachineLearningServices/locations/vmSizes/read" in bench.says("unknown", "quota")
    assert bench.says("wrong", "rights")


def test_nothing_that_could_be_looked_at_is_no_success(bench: Bench) -> None:
    assert signed_in_with(bench).doctor() == 1
    assert bench.lines[-1] == "Stack dev: nothing could be looked at."


# -- names


def test_a_name_that_another_group_has_is_taken(bench: Bench) -> None:
    name = NAMES.of("storageAccount")
    account = {**PLACE, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}}
    with group(bench.cloud) as other:
        bench.cloud.put(f"{other}/providers/Microsoft.Storage/storageAccounts/{name}", account)
        assert bench.doctor() == 1
        line = bench.says("wrong", "names")
        assert f"storage account {name}: The name {name} is already in use: " in line
        assert line.endswith("write workspace.storageAccount, or another nameSeed")
        assert bench.doctor(nameSeed="other") == 0
    with group(bench.cloud, NAMES.of("resourceGroup")) as own:
        bench.cloud.put(f"{own}/providers/Microsoft.Storage/storageAccounts/{name}", account)
        assert bench.doctor() == 0
        assert f"there already: {name}" in bench.says("ok", "names")


def test_a_deleted_vault_holds_its_name(bench: Bench) -> None:
    name = f"kv-{uuid.uuid4().hex[:12]}"
    sku = {"family": "A", "name": "standard"}
    properties = {"tenantId": bench.cloud.environment["ARM_TENANT_ID"], "sku": sku, "enableRbacAuthorization": True}
    with group(bench.cloud) as other:
        bench.cloud.put(f"{other}/providers/Microsoft.KeyVault/vaults/{name}", {**PLACE, "properties": properties})
    assert bench.doctor(workspace={"vault": name}) == 1
    line = bench.says("wrong", "names")
    assert f'workspace.vault = "{name}": a deleted vault holds this name until 20' in line
    assert line.endswith(f"purge it (az keyvault purge --name {name}), or write another name")
    place = {"vault": name, "resourceGroup": other.rpartition("/")[2], "recover": True}
    assert bench.doctor(workspace=place) == 0
    assert f"{name} is brought back" in bench.says("ok", "names")


def test_a_deleted_workspace_holds_its_name(bench: Bench) -> None:
    with group(bench.cloud, "gone") as scope:
        providers = f"{scope}/providers"
        workspace = f"{providers}/{WORKSPACES}/ml-gone"
        bench.cloud.put(workspace, workspace_body(bench.cloud, providers, f"ml{uuid.uuid4().hex[:12]}"))
    assert bench.doctor(workspace={"name": "ml-gone", "resourceGroup": "gone"}) == 1
    assert 'workspace.name = "ml-gone": a deleted workspace holds this name' in bench.says("wrong", "names")


# -- quota


def test_machines_beyond_the_quota_are_counted_with_the_reserve_for_upgrades(bench: Bench) -> None:
    with fault(bench.cloud, "quota", '{"standardDSv2Family": 8}'):
        assert bench.doctor() == 1
        line = bench.says("wrong", "quota")
        assert "Standard DSv2 Family Cluster Dedicated vCPUs: 12 more needed, 0 of 8 in use: ask for 12 at" in line
        assert bench.doctor(deployments={"blue": {"instanceType": "Standard_DS2_v2"}}) == 0
    assert bench.doctor() == 0


def test_a_size_that_the_region_lacks_is_named(bench: Bench) -> None:
    assert bench.doctor(deployments={"blue": {"instanceType": "Standard_M64s"}}) == 1
    assert "Standard_M64s of deployment blue is not offered in westeurope" in bench.says("wrong", "quota")


@dataclass
class Region:
    """A region's sizes and usages, and one deployment, without an Azure."""

    limit: int = 16
    used: int = 8
    held: int = 0
    family: str = "Standard DSv2 Family Cluster Dedicated vCPUs"

    def get(self, path: str, version: str) -> dict[str, Any] | None:
        del path, version
        return {"sku": {"capacity": self.held}, "properties": {"instanceType": "STANDARD_DS3_V2"}}

    def list_all(self, path: str, version: str) -> Iterator[dict[str, Any]]:
        del version
        if path.endswith("/vmSizes"):
            yield {"name": "STANDARD_DS3_V2", "family": "standardDSv2Family", "vCPUs": 4}
            yield {"name": "Standard_NC24ads_A100_v4", "family": "standardNCADSA100v4Family", "vCPUs": 24}
            return
        workspace = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
        for scope, limit in ((workspace, 0), ("/subscriptions/s", self.limit)):
            yield {
                "id": f"{scope}/usages/Standard",
                "name": {"value": self.family},
                "currentValue": self.used,
                "limit": limit,
            }

    def quota(self, size: str, instances: int) -> readiness.Finding:
        machines = (Machines("blue", size, instances),)
        return next(iter(readiness.quota(cast("Arm", self), needs(machines=machines))))


@pytest.mark.parametrize(
    ("held", "instances", "cores"), [(0, 1, 8), (1, 1, 0), (2, 1, 0), (1, 2, 4), (0, 10, 48), (5, 10, 24)]
)
def test_machines_that_a_deployment_has_already_need_no_more(held: int, instances: int, cores: int) -> None:
    assert f": {cores} more needed, " in Region(held=held).quota("Standard_DS3_v2", instances).text


@pytest.mark.parametrize(("limit", "status"), [(16, "ok"), (15, "wrong"), (-1, "ok")])
def test_a_quota_is_kept_to_the_last_core(limit: int, status: str) -> None:
    assert Region(limit=limit).quota("Standard_DS3_v2", 1).status == status


def test_some_sizes_need_no_reserve() -> None:
    region = Region(family="Standard NCADSA100v4 Family Cluster Dedicated vCPUs")
    assert ": 24 more needed, " in region.quota("Standard_NC24ads_A100_v4", 1).text


def test_a_family_without_a_quota_is_unknown() -> None:
    assert Region(family="Standard FSv2 Family Cluster Dedicated vCPUs").quota("Standard_DS3_v2", 1).status == "unknown"


# -- ACR Tasks


@pytest.mark.parametrize("offer", ["FreeTrial_2014-09-01", "AzureForStudents_2018-01-01"])
def test_free_credits_do_not_pay_for_acr_tasks(bench: Bench, offer: str) -> None:
    with fault(bench.cloud, "quota-id", offer):
        assert bench.doctor() == 1
        line = bench.says("wrong", "ACR Tasks")
        assert "may not run ACR Tasks (TasksOperationsNotAllowed): image.builder: docker" in line
        assert bench.doctor(image={"context": "app", "builder": "docker"}) == 0


def test_a_registry_without_public_access_shuts_acr_tasks_out(bench: Bench) -> None:
    with registry_in_group(bench.cloud, "Premium", publicNetworkAccess="Disabled") as registry:
        assert bench.doctor(registry={"id": registry.id}) == 1
        line = bench.says("wrong", "ACR Tasks")
        assert f"registry {registry.id.rpartition('/')[2]} has no public network access" in line
        assert f"actions on {registry.id}" in bench.says("ok", "rights")
        registry.change(publicNetworkAccess="Enabled", networkRuleSet={"defaultAction": "Deny"})
        assert bench.doctor(registry={"id": registry.id}) == 1
        assert "denies all but listed addresses" in bench.says("wrong", "ACR Tasks")


# -- what is shown


def test_the_table_of_the_docs_is_what_is_printed(bench: Bench) -> None:
    provider = f"{bench.cloud.subscription}/providers/Microsoft.Cdn"
    bench.cloud.ask("POST", f"{provider}/unregister", {})
    with (
        fault(bench.cloud, "quota-id", "FreeTrial_2014-09-01"),
        fault(bench.cloud, "quota", '{"standardDSv2Family": 6}'),
    ):
        assert signed_in_with(bench, CONTRIBUTOR).doctor() == 1
    bench.cloud.ask("POST", f"{provider}/register", {})
    assert is_printed("doctor.txt", "\n".join(bench.lines))


def test_a_stack_file_that_is_missing_or_wrong_is_one_line(bench: Bench) -> None:
    with pytest.raises(DoctorError, match=r"Pulumi.prod.yaml does not exist; run `pulumi stack init prod`"):
        doctor(bench.folder, "prod", bench.lines.append)
    with pytest.raises(DoctorError, match="no such field; did you mean location"):
        bench.doctor(locaton="westeurope")
