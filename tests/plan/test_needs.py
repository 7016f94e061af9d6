"""What a stack needs of Azure follows from its settings: names, rights, resource providers, machines."""

from typing import Any

import pytest
from azureml_scoring.plan.names import Names
from azureml_scoring.plan.needs import REGISTRIES, Needs, plan_needs
from azureml_scoring.settings.stack_file import parse

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/old/providers"
WORKSPACE = f"{GROUP}/Microsoft.MachineLearningServices/workspaces/ml-old"
REGISTRY = f"{GROUP}/{REGISTRIES}/acrold"
SECRET = "https://kv-one.vault.azure.net/secrets/pull"
NAMES = Names("azureml-scoring", "dev", "scoring")


def needs(registry_id: str = "", **sections: Any) -> Needs:  # noqa: ANN401 - JSON
    config = {
        "location": "westeurope",
        "image": {"context": "app"},
        "deployments": {"blue": {"instanceType": "Standard_DS3_v2"}},
    }
    return plan_needs(parse({**config, **sections}), NAMES, SUBSCRIPTION, registry_id)


def fields(found: Needs) -> list[str]:
    return [name.field for name in found.names]


BESIDE = ["workspace.vault", "workspace.storageAccount", "workspace.name"]


@pytest.mark.parametrize(
    ("sections", "created"),
    [
        ({}, ["registry.name", "nameSeed", *BESIDE]),
        ({"registry": {"mode": "workspace"}}, ["registry.name", *BESIDE]),
        ({"registry": {"id": REGISTRY}}, ["nameSeed", *BESIDE]),
        ({"registry": {"mode": "public"}}, ["nameSeed", *BESIDE]),
        ({"workspace": {"id": WORKSPACE}}, ["registry.name"]),
        ({"workspace": {"id": WORKSPACE}, "registry": {"mode": "workspace"}}, []),
    ],
)
def test_names_are_those_of_what_the_stack_creates(sections: dict[str, Any], created: list[str]) -> None:
    assert fields(needs(**sections)) == created


def test_names_are_those_that_the_program_gives() -> None:
    found = needs(workspace={"vault": "kv-one", "resourceGroup": "mine", "resourceGroupExists": True})
    assert [name.name for name in found.names if name.field == "workspace.vault"] == ["kv-one"]
    assert found.registry.endswith(f"/registries/{NAMES.of('registry')}")
    assert (found.group, found.creates_group) == (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/mine", False)
    assert found.endpoint.endswith(f"/workspaces/{NAMES.of('workspace')}/onlineEndpoints/{NAMES.of('endpoint')}")


def test_a_registry_that_is_named_by_its_address_is_not_created() -> None:
    found = needs(REGISTRY, registry={"loginServer": "acrold.azurecr.io"})
    assert found.registry == REGISTRY
    assert "registry.name" not in fields(found)


COLLECTOR = {"collections": {"request": {"data": "azureml://datastores/logs/paths/seen"}}}


@pytest.mark.parametrize(
    ("sections", "action"),
    [
        ({"principal": {"kind": "managed-identity"}}, "userAssignedIdentities/assign/action"),
        ({"principal": {"kind": "managed-identity"}}, "roleAssignments/write"),
        ({"model": {"path": "model"}}, "datastores/listSecrets/action"),
        ({"code": {"path": "code", "entryScript": "score.py"}}, "codes/versions/startPendingUpload/action"),
        ({"deployments": {"blue": {"dataCollector": COLLECTOR}}}, "data/versions/write"),
        ({"endpoint": {"diagnostics": {}}}, "diagnosticSettings/write"),
        ({"deployments": {"blue": {"autoscale": {"min": 1, "max": 5}}}}, "autoscaleSettings/write"),
        ({"network": {"privateEndpoints": {}}}, "privateEndpoints/privateDnsZoneGroups/write"),
        ({"network": {"privateEndpoints": {}}}, "virtualNetworks/write"),
        ({"network": {"isolation": "internet-outbound"}}, "workspaces/privateEndpointConnections/write"),
    ],
)
def test_a_section_takes_its_rights(sections: dict[str, Any], action: str) -> None:
    assert not any(each.endswith(action) for each in needs().actions)
    assert any(each.endswith(action) for each in needs(**sections).actions)


@pytest.mark.parametrize("network", [{"privateEndpoints": {}}, {"isolation": "approved-outbound"}])
def test_private_endpoints_need_the_provider_of_networks(network: dict[str, Any]) -> None:
    assert "Microsoft.Network" not in needs().providers
    assert "Microsoft.Network" in needs(network=network).providers


def test_a_build_into_a_closed_registry_takes_the_right_to_make_an_agent_pool() -> None:
    closed = {"privateEndpoints": {}, "publicAccess": False}
    assert f"{REGISTRIES}/agentPools/write" in needs(network=closed).registry_actions
    assert f"{REGISTRIES}/agentPools/write" not in needs(network={"privateEndpoints": {}}).registry_actions


def test_only_a_build_by_acr_tasks_takes_their_rights() -> None:
    assert f"{REGISTRIES}/scheduleRun/action" in needs().registry_actions
    for image in ({"context": "app", "builder": "docker"}, {"reference": "docker.io/library/python:3.11"}):
        found = needs(image=image)
        assert not found.builds
        assert found.registry_actions == {"Microsoft.Authorization/roleAssignments/write"}


def test_an_image_of_a_private_registry_is_imported_into_the_workspaces() -> None:
    login = {"mode": "private", "address": "ghcr.io", "username": "me", "passwordSecret": SECRET}
    found = needs(registry=login, image={"reference": "ghcr.io/team/app:1"})
    assert found.registry.endswith(f"/registries/{NAMES.of('ownRegistry')}")
    assert f"{REGISTRIES}/importImage/action" in found.registry_actions


def test_a_deployment_that_scales_needs_machines_for_the_most_it_may_have() -> None:
    (machines,) = needs(
        deployments={"blue": {"instanceType": "Standard_DS3_v2", "autoscale": {"min": 2, "max": 7}}}
    ).machines
    assert machines.instances == 7


def test_a_cluster_needs_no_machines_of_azures() -> None:
    found = needs(workspace={"id": WORKSPACE}, endpoint={"kind": "kubernetes", "compute": "aks"})
    assert found.machines == ()
    assert "Microsoft.Cdn" not in found.providers
