import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest import mock

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from emulator.core.azure import ResourceType
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.protocols import providers
from emulator.protocols.providers import azure_native, docker
from emulator.protocols.providers.azure_native import ArmHandler, AzureNative, ResourceSpec
from emulator.protocols.providers.azuread import AzureAd
from emulator.protocols.providers.base import UNKNOWN, Properties, Step, Values, differences, listen, refreshed_inputs
from emulator.services.graph import access as entra
from emulator.services.graph import data as graph
from tests.emulator.conftest import InProcessAzure
from tests.registries import OWNED_BY

Stub = provider_pb2_grpc.ResourceProviderStub
GROUP = "azure-native:resources:ResourceGroup"
IDENTITY = "azure-native:managedidentity:UserAssignedIdentity"
ASSIGNMENT = "azure-native:authorization:RoleAssignment"
VAULT = "azure-native:keyvault:Vault"
SECRET = "azure-native:keyvault:Secret"
STORAGE = "azure-native:storage:StorageAccount"
APPLICATION = "azuread:index/application:Application"
PRINCIPAL = "azuread:index/servicePrincipal:ServicePrincipal"
PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
IMAGE = "docker:index/image:Image"
ROLES = "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions"
ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def urn(token: str, name: str = "thing") -> str:
    return f"urn:pulumi:stack::project::some:index:Parent${token}::{name}"


def struct(values: Values, *secrets: str) -> struct_pb2.Struct:
    return Properties(values, frozenset((name,) for name in secrets)).encode()


def plain(found: struct_pb2.Struct) -> Values:
    return Properties.decode(found).values


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    text = str(caught.value.details())
    assert "\n" not in text
    return text


class Provider:
    """One fake, spoken to as the engine does."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub

    def check(self, token: str, news: Values, olds: Values | None = None, seed: bytes = b"\x01\x02\x03\x04") -> Any:  # noqa: ANN401
        request = provider_pb2.CheckRequest(urn=urn(token), news=struct(news), olds=struct(olds or {}), randomSeed=seed)
        return self.stub.Check(request)

    def create(self, token: str, news: Values, *secrets: str) -> tuple[str, Values]:
        made = self.stub.Create(provider_pb2.CreateRequest(urn=urn(token), properties=struct(news, *secrets)))
        return made.id, plain(made.properties)

    def preview(self, token: str, news: Values) -> Values:
        made = self.stub.Create(provider_pb2.CreateRequest(urn=urn(token), properties=struct(news), preview=True))
        assert made.id == ""
        return plain(made.properties)

    def diff(self, token: str, olds: Values, news: Values) -> Any:  # noqa: ANN401
        return self.stub.Diff(provider_pb2.DiffRequest(urn=urn(token), old_inputs=struct(olds), news=struct(news)))

    def read(self, token: str, id_: str, state: Values | None = None, inputs: Values | None = None) -> Any:  # noqa: ANN401
        return self.stub.Read(
            provider_pb2.ReadRequest(
                urn=urn(token), id=id_, properties=struct(state or {}), inputs=struct(inputs or {})
            )
        )

    def update(self, token: str, id_: str, olds: Values, news: Values, *, preview: bool = False) -> Values:
        request = provider_pb2.UpdateRequest(
            urn=urn(token), id=id_, olds=struct(olds), news=struct(news), preview=preview
        )
        return plain(self.stub.Update(request).properties)

    def delete(self, token: str, id_: str) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(urn=urn(token), id=id_))

    def invoke(self, token: str, args: Values | None = None) -> Any:  # noqa: ANN401
        return getattr(self.stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=struct(args or {}))), "return")


@pytest.fixture
def fakes(local: Any) -> Iterator[providers.FakeProviders]:  # noqa: ANN401
    found = providers.serve(local.azure)
    yield found
    found.stop()


@pytest.fixture
def spoken_to(fakes: providers.FakeProviders) -> Iterator[Callable[[str], Provider]]:
    channels: list[grpc.Channel] = []

    def speak(name: str) -> Provider:
        channels.append(grpc.insecure_channel(f"127.0.0.1:{fakes.ports[name]}"))
        return Provider(Stub(channels[-1]))

    yield speak
    for channel in channels:
        channel.close()


@pytest.fixture
def arm(spoken_to: Callable[[str], Provider]) -> Provider:
    return spoken_to("azure-native")


@pytest.fixture
def directory(spoken_to: Callable[[str], Provider]) -> Provider:
    return spoken_to("azuread")


@pytest.fixture
def images(spoken_to: Callable[[str], Provider]) -> Provider:
    return spoken_to("docker")


# -- all fakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["azure-native", "azuread", "docker"])
def test_each_reports_the_version_that_the_sdk_expects(name: str, spoken_to: Callable[[str], Provider]) -> None:
    stub = spoken_to(name).stub
    module = f"pulumi_{name.replace('-', '_')}"
    expected = json.loads(files(module).joinpath("pulumi-plugin.json").read_text())["version"]
    assert stub.GetPluginInfo(empty_pb2.Empty()).version == expected
    schema = json.loads(stub.GetSchema(provider_pb2.GetSchemaRequest()).schema)
    assert (schema["name"], schema["version"]) == (name, expected)


@pytest.mark.parametrize("name", ["azure-native", "azuread", "docker"])
def test_the_engine_can_attach_configure_and_cancel(name: str, spoken_to: Callable[[str], Provider]) -> None:
    stub = spoken_to(name).stub
    assert stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1")) == empty_pb2.Empty()
    told = stub.Configure(provider_pb2.ConfigureRequest())
    assert told.acceptSecrets
    assert told.supportsPreview
    assert stub.Cancel(empty_pb2.Empty()) == empty_pb2.Empty()


def test_ports_stay_the_same_over_a_restart(local: Any, fakes: providers.FakeProviders) -> None:  # noqa: ANN401
    before = fakes.attach
    fakes.stop()
    again = providers.serve(local.azure)
    again.stop()
    assert again.attach == before


def test_an_unknown_type_and_an_unknown_function_are_named(arm: Provider) -> None:
    assert "azure-native:compute:Toaster" in refusal(lambda: arm.create("azure-native:compute:Toaster", {}))
    assert "azure-native:compute:getToaster" in refusal(lambda: arm.invoke("azure-native:compute:getToaster"))


def test_secrets_survive_the_way_through_and_back() -> None:
    given = Properties({"a": {"b": ["x", "y"]}, "n": 2, "h": 0.5}, frozenset({("a", "b", 1), ("n",)}))
    assert Properties.decode(given.encode()) == given


def test_differences_name_paths_and_kinds() -> None:
    old = {"a": {"x": 1, "y": [1, 2]}, "gone": True}
    new = {"a": {"x": 2, "y": [1]}, "new": UNKNOWN}
    found = {change.path: (change.kind, change.replaces) for change in differences(old, new, {"a.x", "new"})}
    assert found == {
        "a.x": ("UPDATE", True),
        "a.y[1]": ("DELETE", False),
        "gone": ("DELETE", False),
        "new": ("ADD", True),
    }


def test_what_is_still_unknown_counts_as_changed() -> None:
    assert [change.path for change in differences({"a": "x"}, {"a": UNKNOWN})] == ["a"]


def test_a_refresh_carries_drift_to_the_inputs_and_no_defaults() -> None:
    inputs = {"tags": {"a": "1"}, "sku": {"name": "Basic"}}
    before = {"tags": {"a": "1"}, "sku": {"name": "Basic", "tier": "Basic"}, "adminUserEnabled": False}
    now = {"tags": {"a": "2"}, "sku": {"name": "Basic", "tier": "Basic"}, "adminUserEnabled": True}
    before, now = {**before, "policies": {"a": 1, "b": 1}}, {**now, "policies": {"a": 1, "b": 2}}
    assert refreshed_inputs(inputs, before, now) == {
        "tags": {"a": "2"},
        "sku": {"name": "Basic"},
        "adminUserEnabled": True,
        "policies": {"b": 2},
    }
    assert refreshed_inputs(inputs, before, before) == inputs


# -- azure-native ------------------------------------------------------------------------------------------------------


def test_what_exists_is_not_created_again(arm: Provider) -> None:
    text = refusal(lambda: arm.create(GROUP, {"resourceGroupName": "rg", "location": "westeurope"}))
    assert text.startswith("cannot create already existing resource '/subscriptions/")


def test_a_made_resource_shows_id_name_type_and_flattened_properties(arm: Provider) -> None:
    given = {"resourceGroupName": "rg", "resourceName": "puller", "location": "westeurope"}
    id_, outputs = arm.create(IDENTITY, given)
    assert id_.endswith("/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller")
    assert outputs["name"] == "puller"
    assert outputs["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities"
    assert outputs["clientId"]
    assert "properties" not in outputs
    assert "resourceName" not in outputs


def test_a_preview_knows_no_computed_output(arm: Provider) -> None:
    given = {"resourceGroupName": "rg", "resourceName": "puller", "location": "westeurope"}
    outputs = arm.preview(IDENTITY, given)
    assert outputs["location"] == "westeurope"
    assert {outputs[name] for name in ("clientId", "principalId", "tenantId", "name", "type", "tags")} == {UNKNOWN}


def test_a_preview_of_an_update_knows_name_and_location_only(arm: Provider) -> None:
    given = {"resourceGroupName": "rg", "resourceName": "puller", "location": "westeurope"}
    id_, state = arm.create(IDENTITY, given)
    outputs = arm.update(IDENTITY, id_, state, {**given, "tags": {"a": "b"}}, preview=True)
    assert (outputs["name"], outputs["location"], outputs["tags"]) == ("puller", "westeurope", {"a": "b"})
    assert outputs["clientId"] == UNKNOWN


def test_a_refused_preview_writes_nothing(arm: Provider, local: Any) -> None:  # noqa: ANN401
    before = dict(local.azure.counts)
    arm.preview(IDENTITY, {"resourceGroupName": "rg", "resourceName": "puller", "location": "westeurope"})
    assert dict(local.azure.counts) == before


def test_each_write_is_counted_by_its_arm_type(arm: Provider, local: Any) -> None:  # noqa: ANN401
    local.azure.counts.clear()
    given = {"resourceGroupName": "rg", "resourceName": "puller", "location": "westeurope"}
    id_, state = arm.create(IDENTITY, given)
    arm.update(IDENTITY, id_, state, {**given, "tags": {"a": "b"}})
    assert local.azure.counts == {"Microsoft.ManagedIdentity/userAssignedIdentities": 2}


def test_another_name_takes_a_new_resource_and_other_tags_do_not(arm: Provider) -> None:
    old = {"resourceGroupName": "rg", "location": "westeurope", "tags": {"a": "b"}}
    diff = arm.diff(GROUP, old, {"resourceGroupName": "other", "location": "westeurope", "tags": {"a": "c"}})
    kinds = {path: provider_pb2.PropertyDiff.Kind.Name(each.kind) for path, each in diff.detailedDiff.items()}
    assert kinds == {"resourceGroupName": "UPDATE_REPLACE", "tags.a": "UPDATE"}
    assert list(diff.replaces) == ["resourceGroupName"]
    assert diff.deleteBeforeReplace


#: Of each type: what its path does not name, and takes a new resource. All else is written in place, as azure-native's
#: metadata have it, and Azure refuses what cannot be.
REPLACING = {
    GROUP: {"location"},
    IDENTITY: {"location"},
    ASSIGNMENT: {"principalId"},
    VAULT: set(),
    STORAGE: {"location", "isHnsEnabled"},
    "azure-native:applicationinsights:Component": {"location", "applicationType"},
    "azure-native:operationalinsights:Workspace": {"location"},
    "azure-native:containerregistry:Registry": {"location"},
    "azure-native:machinelearningservices:Workspace": set(),
    "azure-native:machinelearningservices:Compute": set(),
    "azure-native:monitor:AutoscaleSetting": {"location"},
}
CHANGED = (
    *("location", "tags", "sku", "kind", "identity", "properties", "managedBy", "isHnsEnabled", "applicationType"),
    *("ingestionMode", "workspaceResourceId", "keyVault", "storageAccount", "containerRegistry", "principalId"),
    *("principalType", "roleDefinitionId", "targetResourceUri", "workspaceId"),
)


@pytest.mark.parametrize("token", REPLACING)
def test_only_what_azure_native_marks_so_takes_a_new_resource(arm: Provider, token: str) -> None:
    old, new = dict.fromkeys(CHANGED, "westeurope"), dict.fromkeys(CHANGED, "northeurope")
    assert set(arm.diff(token, old, new).replaces) == REPLACING[token]


def test_azure_refuses_in_place_what_azure_native_does_not_replace(arm: Provider, local: Any) -> None:  # noqa: ANN401
    given = {
        "roleAssignmentName": "0a1b2c3d-0000-4000-8000-000000000002",
        "scope": local.group,
        "principalId": local.service_principal().object_id,
        "principalType": "ServicePrincipal",
        "roleDefinitionId": f"{ROLES.format(local.azure.subscription)}/{ACR_PULL}",
    }
    id_, state = arm.create(ASSIGNMENT, given)
    other = {**given, "roleDefinitionId": f"{ROLES.format(local.azure.subscription)}/{READER}"}
    assert "RoleAssignmentUpdateNotPermitted" in refusal(lambda: arm.update(ASSIGNMENT, id_, state, other))


def test_spelling_a_location_otherwise_is_no_difference(arm: Provider) -> None:
    old = {"resourceGroupName": "rg", "location": "West Europe"}
    diff = arm.diff(GROUP, old, {"resourceGroupName": "rg", "location": "westeurope"})
    assert diff.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_check_names_what_has_no_name_and_takes_the_groups_location(arm: Provider) -> None:
    checked = plain(arm.check(IDENTITY, {"resourceGroupName": "rg"}).inputs)
    assert checked == {"resourceGroupName": "rg", "resourceName": "thing01020304", "location": "westeurope"}


def test_check_names_the_parent_that_is_missing(arm: Provider) -> None:
    failures = arm.check(SECRET, {"resourceGroupName": "rg", "properties": {"value": "x"}}).failures
    assert [(failure.property, failure.reason) for failure in failures] == [
        ("vaultName", "missing required property 'vaultName'")
    ]


def test_check_does_not_touch_what_is_not_known_yet(arm: Provider) -> None:
    given = {"resourceGroupName": UNKNOWN, "resourceName": "puller"}
    assert plain(arm.check(IDENTITY, given).inputs) == given


def test_reading_what_is_gone_tells_so_and_deleting_it_is_fine(arm: Provider) -> None:
    given = {"resourceGroupName": "rg", "resourceName": "puller", "location": "westeurope"}
    id_, _ = arm.create(IDENTITY, given)
    arm.delete(IDENTITY, id_)
    assert arm.read(IDENTITY, id_).id == ""
    arm.delete(IDENTITY, id_)


def test_an_import_finds_the_inputs_in_the_id_and_the_body(arm: Provider) -> None:
    given = {"resourceGroupName": "rg", "resourceName": "puller", "location": "westeurope", "tags": {"a": "b"}}
    id_, _ = arm.create(IDENTITY, given)
    assert plain(arm.read(IDENTITY, id_).inputs) == given


def test_a_refresh_shows_what_somebody_changed_behind_the_programs_back(arm: Provider, local: Any) -> None:  # noqa: ANN401
    given = {"resourceGroupName": "rg", "resourceName": "puller", "location": "westeurope", "tags": {"a": "b"}}
    id_, state = arm.create(IDENTITY, given)
    assert plain(arm.read(IDENTITY, id_, state, given).inputs) == given
    local.ask("PUT", id_, {"location": "westeurope", "tags": {"a": "c"}})
    assert plain(arm.read(IDENTITY, id_, state, given).inputs) == {**given, "tags": {"a": "c"}}


def test_a_refusal_is_azures_code_and_message_on_one_line(arm: Provider) -> None:
    given = {"resourceGroupName": "nowhere", "resourceName": "puller", "location": "westeurope"}
    text = refusal(lambda: arm.create(IDENTITY, given))
    assert text.startswith('Status=404 Code="ResourceGroupNotFound" Message="')


def test_a_vault_keeps_its_properties_together_and_a_secret_never_shows_its_value(arm: Provider, local: Any) -> None:  # noqa: ANN401
    properties = {
        "sku": {"family": "A", "name": "standard"},
        "tenantId": local.azure.tenant,
        "enableRbacAuthorization": True,
        "enableSoftDelete": True,
        "softDeleteRetentionInDays": 7,
    }
    vault = {"resourceGroupName": "rg", "vaultName": "kvtest", "location": "westeurope", "properties": properties}
    _, outputs = arm.create(VAULT, vault)
    assert outputs["properties"]["vaultUri"]
    assert arm.preview(VAULT, vault)["properties"] == UNKNOWN
    secret = {"resourceGroupName": "rg", "vaultName": "kvtest", "secretName": "pull", "properties": {"value": "s3cret"}}
    made = arm.stub.Create(provider_pb2.CreateRequest(urn=urn(SECRET), properties=struct(secret)))
    assert "s3cret" not in str(made.properties)
    assert plain(made.properties)["properties"]["secretUri"]


def test_a_role_can_be_given_and_taken_again(arm: Provider, local: Any) -> None:  # noqa: ANN401
    principal = local.service_principal()
    given = {
        "roleAssignmentName": "0a1b2c3d-0000-4000-8000-000000000001",
        "scope": local.group,
        "principalId": principal.object_id,
        "principalType": "ServicePrincipal",
        "roleDefinitionId": f"/subscriptions/{local.azure.subscription}"
        f"/providers/Microsoft.Authorization/roleDefinitions/{ACR_PULL}",
    }
    id_, outputs = arm.create(ASSIGNMENT, given)
    assert outputs["scope"].lower() == local.group.lower()
    assert plain(arm.read(ASSIGNMENT, id_, outputs, given).inputs) == given
    assert set(arm.diff(ASSIGNMENT, given, {**given, "principalId": "other"}).replaces) == {"principalId"}
    arm.delete(ASSIGNMENT, id_)
    assert arm.read(ASSIGNMENT, id_).id == ""


def test_a_storage_account_says_https_only_by_arms_own_name(arm: Provider, local: Any) -> None:  # noqa: ANN401
    given = {
        "accountName": "stone",
        "resourceGroupName": "rg",
        "location": "westeurope",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "enableHttpsTrafficOnly": False,
    }
    id_, outputs = arm.create("azure-native:storage:StorageAccount", given)
    assert outputs["enableHttpsTrafficOnly"] is False
    assert local.ask("GET", id_)["properties"]["supportsHttpsTrafficOnly"] is False
    assert "enableHttpsTrafficOnly" not in local.ask("GET", id_)["properties"]


def test_read_only_properties_are_not_sent() -> None:
    spec = next(each for each in azure_native.TYPES if each.token.endswith(":UserAssignedIdentity"))
    handler = ArmHandler(mock.Mock(), mock.Mock(), spec, {})
    assert "properties" not in handler._body({"resourceName": "puller", "location": "westeurope"})


def test_identities_travel_as_a_list_here_and_as_a_map_there(local: Any) -> None:  # noqa: ANN401
    spec = next(each for each in azure_native.TYPES if each.token.endswith("machinelearningservices:Workspace"))
    kind = ArmHandler(local.azure, local.deployer, spec, {})
    body = kind._body({"identity": {"type": "UserAssigned", "userAssignedIdentities": ["/a", "/b"]}})
    assert body["identity"]["userAssignedIdentities"] == {"/a": {}, "/b": {}}


def test_the_client_config_is_the_deployers(arm: Provider, local: Any) -> None:  # noqa: ANN401
    assert plain(arm.invoke("azure-native:authorization:getClientConfig")) == {
        "clientId": local.deployer.app_id,
        "objectId": local.deployer.object_id,
        "subscriptionId": local.azure.subscription,
        "tenantId": local.azure.tenant,
    }


def test_a_resource_can_be_looked_up(arm: Provider) -> None:
    given = {"resourceGroupName": "rg", "resourceName": "puller"}
    _, outputs = arm.create(IDENTITY, {**given, "location": "westeurope"})
    found = plain(arm.invoke("azure-native:managedidentity:getUserAssignedIdentity", given))
    assert found["clientId"] == outputs["clientId"]


class Kiln(ResourceType):
    """A type whose provisioning fails after Azure has taken the request."""

    type = "Microsoft.Pottery/kilns"
    long = True

    def provision(self, new: Document, old: Document | None) -> Document:  # noqa: ARG002
        raise AzureError(500, "Cracked", "the bowl\ncracked")


def test_what_azure_took_but_could_not_finish_is_kept_in_the_engines_state(local: Any) -> None:  # noqa: ANN401
    local.azure.serve([Kiln])
    path = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Pottery/kilns/{name}"
    spec = ResourceSpec("azure-native:pottery:Kiln", path, "2020-01-01")
    fake = AzureNative(local.azure, local.deployer)
    fake.handlers = {spec.token: ArmHandler(local.azure, local.deployer, spec, {})}
    listening = listen(fake)
    try:
        given = struct({"resourceGroupName": "rg", "name": "k1", "location": "westeurope"})
        request = provider_pb2.CreateRequest(urn=urn(spec.token), properties=given)
        with grpc.insecure_channel(f"127.0.0.1:{listening.port}") as channel, pytest.raises(grpc.RpcError) as caught:
            Stub(channel).Create(request)
    finally:
        listening.stop()
    metadata = dict(caught.value.trailing_metadata())
    status, detail = status_pb2.Status(), provider_pb2.ErrorResourceInitFailed()
    status.ParseFromString(metadata["grpc-status-details-bin"])
    assert status.details[0].Unpack(detail)
    assert detail.id.endswith("/kilns/k1")
    assert 'Code="Cracked" Message="the bowl cracked"' in detail.reasons[0]
    assert plain(detail.properties)["provisioningState"] == "Failed"


def test_every_type_of_the_table_is_one_that_the_sdk_knows() -> None:
    for spec in azure_native.TYPES:
        _, module, name = spec.token.split(":")
        known = __import__(f"pulumi_azure_native.{module}", fromlist=[name])
        text = Path(getattr(known, name).__init__.__code__.co_filename).read_text()
        assert f"'{spec.token}'" in text
        assert f"Uses Azure REST API version {spec.version}" in text, f"{spec.token}: the SDK uses another version"


# -- azuread -----------------------------------------------------------------------------------------------------------


def test_a_password_is_secret_and_proves_who_one_is(directory: Provider, local: Any) -> None:  # noqa: ANN401
    application, shown = directory.create(APPLICATION, {"displayName": "puller"})
    directory.create(PRINCIPAL, {"clientId": shown["clientId"]})
    request = provider_pb2.CreateRequest(
        urn=urn(PASSWORD), properties=struct({"applicationId": application, "endDateRelative": "240h30m"})
    )
    made = directory.stub.Create(request).properties
    assert ("value",) in Properties.decode(made).secrets
    assert entra.verify_secret(local.azure, shown["clientId"], plain(made)["value"]) is not None


def test_a_change_of_a_password_makes_the_new_one_before_the_old_one_goes(directory: Provider) -> None:
    old = {"applicationId": "/applications/1", "rotateWhenChanged": {"on": "1"}}
    diff = directory.diff(PASSWORD, old, {**old, "rotateWhenChanged": {"on": "2"}})
    assert list(diff.replaces) == ["rotateWhenChanged"]
    assert not diff.deleteBeforeReplace


def test_the_end_of_a_password_that_is_no_longer_named_stays_without_a_difference(directory: Provider) -> None:
    old = {"applicationId": "/applications/1", "endDate": "2099-01-01T00:00:00Z"}
    assert not directory.diff(PASSWORD, old, {"applicationId": "/applications/1"}).diffs
    assert list(directory.diff(PASSWORD, old, {**old, "endDate": "2098-01-01T00:00:00Z"}).replaces) == ["endDate"]


def test_the_caller_stays_an_owner_only_where_the_owners_name_it(local: Any) -> None:  # noqa: ANN401
    caller = local.service_principal()
    entra.grant_right(local.azure, caller.object_id, OWNED_BY)
    kind = AzureAd(local.azure, caller).handlers[APPLICATION]
    left, outputs = kind.create(Step("", "x"), {"displayName": "puller"})
    assert outputs["owners"] == []
    with pytest.raises(AzureError, match="Authorization_RequestDenied"):
        kind.delete(left, outputs)
    mine, outputs = kind.create(Step("", "x"), {"displayName": "puller", "owners": [caller.object_id]})
    assert outputs["owners"] == [caller.object_id]
    kind.delete(mine, outputs)


def test_owners_are_changed_where_the_program_changes_them(directory: Provider, local: Any) -> None:  # noqa: ANN401
    first, second = (local.service_principal().object_id for _ in range(2))
    given = {"displayName": "puller", "owners": [first]}
    application, state = directory.create(APPLICATION, given)
    assert directory.update(APPLICATION, application, state, {**given, "owners": [second]})["owners"] == [second]
    graph.add_owner(local.azure, graph.APPLICATIONS, application.rpartition("/")[2], first)
    assert plain(directory.read(APPLICATION, application, state, given).properties)["owners"] == [second, first]


def test_a_removed_password_is_gone_and_its_application_may_be_too(directory: Provider) -> None:
    application, _ = directory.create(APPLICATION, {"displayName": "puller"})
    password, _ = directory.create(PASSWORD, {"applicationId": application})
    directory.delete(PASSWORD, password)
    assert directory.read(PASSWORD, password).id == ""
    directory.delete(APPLICATION, application)
    directory.delete(APPLICATION, application)
    directory.delete(PASSWORD, password)
    assert directory.read(APPLICATION, application).id == ""


def test_a_refresh_of_a_password_keeps_its_value_and_shows_no_difference(directory: Provider) -> None:
    application, _ = directory.create(APPLICATION, {"displayName": "puller"})
    given = {"applicationId": application, "endDate": "2099-01-01T00:00:00Z"}
    password, state = directory.create(PASSWORD, given)
    found = directory.read(PASSWORD, password, state, given)
    assert plain(found.properties)["value"] == state["value"]
    assert plain(found.inputs) == given


def test_an_application_is_renamed_in_place(directory: Provider) -> None:
    application, state = directory.create(APPLICATION, {"displayName": "puller"})
    assert not directory.diff(APPLICATION, {"displayName": "puller"}, {"displayName": "fetcher"}).replaces
    changed = directory.update(APPLICATION, application, state, {"displayName": "fetcher"})
    assert (changed["displayName"], changed["clientId"]) == ("fetcher", state["clientId"])


def test_an_application_without_a_name_is_refused_by_check(directory: Provider) -> None:
    assert [failure.property for failure in directory.check(APPLICATION, {}).failures] == ["displayName"]


def test_a_duration_that_is_none_is_named(directory: Provider) -> None:
    application, _ = directory.create(APPLICATION, {"displayName": "puller"})
    text = refusal(lambda: directory.create(PASSWORD, {"applicationId": application, "endDateRelative": "a year"}))
    assert "'a year'" in text


def test_writing_in_the_directory_takes_a_right_there(local: Any) -> None:  # noqa: ANN401
    kind = AzureAd(local.azure, local.service_principal()).handlers[APPLICATION]
    with pytest.raises(AzureError, match="Authorization_RequestDenied"):
        kind.create(Step("", "x"), {"displayName": "puller"})


# -- docker ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY a.txt /\n")
    (folder / ".dockerignore").write_text("*.log\n")
    (folder / "a.txt").write_text("a")
    return folder


def wanted(context: Path, **more: Any) -> Values:  # noqa: ANN401
    build = {"context": str(context), "dockerfile": str(context / "Dockerfile"), "platform": "linux/amd64"}
    return {"imageName": "localhost:5/app:1", "build": build, **more}


def digest(images: Provider, given: Values) -> str:
    return str(plain(images.check(IMAGE, given).inputs)["build"]["contextDigest"])


def test_the_digest_of_a_context_follows_its_content_and_nothing_else(images: Provider, context: Path) -> None:
    before = digest(images, wanted(context))
    (context / "ignored.log").write_text("noise")
    os.utime(context / "a.txt", (0, 0))
    assert digest(images, wanted(context)) == before
    (context / "a.txt").write_text("b")
    assert digest(images, wanted(context)) != before


def test_another_password_builds_no_other_image(images: Provider, context: Path) -> None:
    old = wanted(context, registry={"server": "localhost:5", "username": "u", "password": "p"})
    new = wanted(context, registry={"server": "localhost:5", "username": "v", "password": "q"})
    assert images.diff(IMAGE, old, new).changes == provider_pb2.DiffResponse.DIFF_NONE
    new = wanted(context, registry={"server": "localhost:6", "username": "u", "password": "p"})
    assert not images.diff(IMAGE, old, new).replaces
    assert set(images.diff(IMAGE, old, new).diffs) == {"registry"}


def test_a_dockerfile_that_is_not_there_is_named(images: Provider, context: Path) -> None:
    (context / "Dockerfile").unlink()
    failures = images.check(IMAGE, wanted(context)).failures
    assert failures[0].property == "build.dockerfile"
    assert str(context / "Dockerfile") in failures[0].reason


def test_a_preview_knows_no_digest(images: Provider, context: Path) -> None:
    assert images.preview(IMAGE, wanted(context))["repoDigest"] == UNKNOWN


DIGEST = "ab" * 32
FAKE_DOCKER = """#!/bin/sh
case "$1 $2" in
  "--version "*) echo "Docker version 20.10.24, build x" ;;
  *) echo "$*" >> "RECORD/arguments"; cat "$DOCKER_CONFIG/config.json" >> "RECORD/configs"
     echo "$DOCKER_CONFIG" > "RECORD/folder"; echo "$TOKEN_ARGUMENT" >> "RECORD/environment"
     if [ "$1" = push ]; then echo "1: digest: sha256:DIGEST size: 528"; fi ;;
esac
""".replace("DIGEST", DIGEST)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker command that only writes down how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(FAKE_DOCKER.replace("RECORD", str(folder)))
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_credentials_and_build_arguments_are_no_process_arguments(
    images: Provider, context: Path, recorded: Path
) -> None:
    given = wanted(context, registry={"server": "localhost:5", "username": "u", "password": "s3cret"})
    given["build"]["args"] = {"TOKEN_ARGUMENT": "t0ken"}
    id_, outputs = images.create(IMAGE, given)
    assert (id_, outputs["repoDigest"]) == ("localhost:5/app:1", f"localhost:5/app@sha256:{DIGEST}")
    arguments = (recorded / "arguments").read_text()
    assert "build" in arguments
    assert "push localhost:5/app:1" in arguments
    assert "s3cret" not in arguments
    assert "t0ken" not in arguments
    assert "t0ken" in (recorded / "environment").read_text()
    assert "auth" in (recorded / "configs").read_text()
    assert not Path((recorded / "folder").read_text().strip()).exists(), "the credentials outlived the push"


def test_without_credentials_the_engines_own_login_is_used(
    images: Provider, context: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = recorded / "own"
    own.mkdir()
    (own / "config.json").write_text('{"auths": {"localhost:5": {"auth": "mine"}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(own))
    images.create(IMAGE, wanted(context))
    assert "mine" in (recorded / "configs").read_text()


def test_a_failed_build_is_told_in_one_line(images: Provider, context: Path, recorded: Path) -> None:
    failing = FAKE_DOCKER.replace('echo "$*"', 'echo "failed to solve: no such file" >&2; exit 1; echo "$*"')
    (recorded / "docker").write_text(failing.replace("RECORD", str(recorded)))
    text = refusal(lambda: images.create(IMAGE, wanted(context)))
    assert "failed to solve: no such file" in text


def test_a_real_build_makes_a_real_image(images: Provider, context: Path) -> None:
    name = f"localhost:5/providers-test-{os.getpid()}:1"
    images.create(IMAGE, {**wanted(context), "imageName": name, "skipPush": True})
    try:
        subprocess.run(["docker", "image", "inspect", name], check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "image", "rm", name], check=False, capture_output=True)


def test_the_credentials_folder_is_readable_by_nobody_else(local: InProcessAzure) -> None:
    with docker.signed_in(local.azure, {"server": "s", "username": "u", "password": "p"}) as environment:
        file = Path(environment["DOCKER_CONFIG"]) / "config.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
