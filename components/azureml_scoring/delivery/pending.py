"""Pending operations of a killed run: what Azure is asked about each, how each is resolved, the repaired state. Pure.

Owns which operations can be judged. Refuses to own asking Azure and running Pulumi (`recover.py`), and to judge types
that it does not know: those are left to the user.

A pending creation has the resource as it would stand in the state, but for id and outputs. Physical names are pure
functions of the stack (`plan/names.py`), so its inputs say under which id Azure has it, if it has it.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from azureml_scoring.delivery.changes import UNKNOWN
from azureml_scoring.delivery.redaction import HIDDEN
from azureml_scoring.errors import CommandError

_GROUP: Final = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
_WORKSPACE: Final = "MachineLearningServices/workspaces/{workspaceName}"
_PRIVATE_ENDPOINT: Final = "Network/privateEndpoints/{privateEndpointName}"
_ZONE: Final = "Network/privateDnsZones/{privateZoneName}"
_TYPES: Final = {
    "storage:StorageAccount": ("Storage/storageAccounts/{accountName}", "2023-05-01"),
    "keyvault:Vault": ("KeyVault/vaults/{vaultName}", "2023-07-01"),
    "keyvault:Secret": ("KeyVault/vaults/{vaultName}/secrets/{secretName}", "2023-07-01"),
    "operationalinsights:Workspace": ("OperationalInsights/workspaces/{workspaceName}", "2023-09-01"),
    "applicationinsights:Component": ("Insights/components/{resourceName}", "2020-02-02"),
    "containerregistry:Registry": ("ContainerRegistry/registries/{registryName}", "2023-07-01"),
    "machinelearningservices:Workspace": (_WORKSPACE, "2024-10-01"),
    "machinelearningservices:WorkspaceConnection": (f"{_WORKSPACE}/connections/{{connectionName}}", "2024-10-01"),
    "machinelearningservices:Compute": (f"{_WORKSPACE}/computes/{{computeName}}", "2024-10-01"),
    "machinelearningservices:ManagedNetworkSettingsRule": (f"{_WORKSPACE}/outboundRules/{{ruleName}}", "2024-10-01"),
    "containerregistry:AgentPool": (
        "ContainerRegistry/registries/{registryName}/agentPools/{agentPoolName}",
        "2019-06-01-preview",
    ),
    "network:VirtualNetwork": ("Network/virtualNetworks/{virtualNetworkName}", "2024-05-01"),
    "network:PrivateEndpoint": (_PRIVATE_ENDPOINT, "2024-05-01"),
    "network:PrivateDnsZoneGroup": (
        f"{_PRIVATE_ENDPOINT}/privateDnsZoneGroups/{{privateDnsZoneGroupName}}",
        "2024-05-01",
    ),
    "privatedns:PrivateZone": (_ZONE, "2024-06-01"),
    "privatedns:VirtualNetworkLink": (f"{_ZONE}/virtualNetworkLinks/{{virtualNetworkLinkName}}", "2024-06-01"),
    "managedidentity:UserAssignedIdentity": ("ManagedIdentity/userAssignedIdentities/{resourceName}", "2023-01-31"),
    "monitor:AutoscaleSetting": ("Insights/autoscaleSettings/{autoscaleSettingName}", "2022-10-01"),
}
_SCOPED: Final = {
    "resources:ResourceGroup": (_GROUP, "2024-03-01"),
    "authorization:RoleAssignment": (
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
        "2022-04-01",
    ),
    "monitor:DiagnosticSetting": (
        "{resourceUri}/providers/Microsoft.Insights/diagnosticSettings/{name}",
        "2021-05-01-preview",
    ),
}
ARM: Final = _SCOPED | {
    token: (f"{_GROUP}/providers/Microsoft.{path}", version) for token, (path, version) in _TYPES.items()
}
"""Id template, with the SDK's input names in braces, and an API version to read it by; by azure-native type."""

_NATIVE: Final = "azure-native:"
_OWN: Final = "azureml-scoring:"
_APPLICATION: Final = "azuread:index/application:Application"
_PRINCIPAL: Final = "azuread:index/servicePrincipal:ServicePrincipal"
_PASSWORD: Final = "azuread:index/applicationPassword:ApplicationPassword"  # noqa: S105 - a type's name
_NOT_CREATING: Final = {
    "updating": "the refresh reads how far the update came",
    "deleting": "the refresh reads whether it is gone",
    "reading": "nothing was to be changed",
    "importing": "nothing was to be changed",
}
"""Operations on resources that the state has already, and why they can be dropped."""

_HIDDEN: Final = frozenset({HIDDEN, UNKNOWN})
"""What a preview shows for secrets, and for what is known only after the update."""

UNFINISHED: Final = "adopted after a killed run: the next up writes it once more, so that it is as declared"
"""Why an adopted resource counts as unfinished (the engine's `initErrors`)."""


class StateError(CommandError):
    """The state cannot be read or repaired; one line."""


@dataclass(frozen=True)
class Operation:
    """One pending operation."""

    kind: str
    """`creating`, `updating`, `deleting`, `reading` or `importing`."""
    resource: Mapping[str, Any] = field(repr=False)

    @property
    def urn(self) -> str:
        """The resource's URN."""
        return str(self.resource["urn"])

    @property
    def type(self) -> str:
        """The type token."""
        return str(self.resource["type"])

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.split("::", 3)[3]

    def text(self, key: str) -> str:
        """Return an input that is a plain text; raise where it is none, or a secret."""
        value = (self.resource.get("inputs") or {}).get(key)
        if not isinstance(value, str) or not value or value in _HIDDEN:
            raise StateError(f"its {key} is not in the state as a text")
        return value


@dataclass(frozen=True)
class Query:
    """What to ask Azure about one operation. One of `arm_id`, `application`, `principal_of` and `password` is set."""

    arm_id: str = ""
    version: str = ""
    """An API version that knows the type."""
    application: str = ""
    """An Entra application by its display name."""
    principal_of: str = ""
    """A service principal by its application's client id."""
    password: str = ""
    """With this display name, passwords of `owner` that the state does not have: their values are lost."""
    owner: str = ""
    """Object id of the application."""
    known: frozenset[str] = frozenset()
    """Ids of this type that the state has."""


@dataclass(frozen=True)
class Result:
    """What Azure answers: an id where the resource exists, key ids of lost passwords, or why the answer is unclear."""

    id: str = ""
    note: str = ""
    lost: tuple[str, ...] = ()
    unclear: str = ""


@dataclass(frozen=True)
class Step:
    """How one operation is resolved; `leave`: the user must decide."""

    operation: Operation
    resolution: Literal["adopt", "drop", "leave"]
    reason: str
    id: str = ""
    owner: str = ""
    lost: tuple[str, ...] = ()
    """Key ids of passwords of the application `owner`, to be removed."""

    def __str__(self) -> str:
        """One line for the user."""
        return f"{self.resolution:<8} {self.operation.name} ({self.operation.type.rpartition(':')[2]}): {self.reason}"


@dataclass(frozen=True)
class Decisions:
    """The user's own resolutions, by logical name or URN."""

    adopt: Mapping[str, str] = field(default_factory=dict)
    """The id under which the resource exists."""
    drop: frozenset[str] = frozenset()
    """The resource does not exist."""


def operations(state: Mapping[str, Any]) -> list[Operation]:
    """Read the pending operations of an exported state."""
    try:
        documents = state["deployment"].get("pending_operations") or []
        return [Operation(str(each["type"]), each["resource"]) for each in documents]
    except (KeyError, TypeError, AttributeError) as error:
        raise StateError(f"the state is not as `pulumi stack export` writes it ({error!r})") from None


def applications(state: Mapping[str, Any]) -> list[Query]:
    """Return what to ask Entra about other applications with the names of the state's own."""
    owned = [each for each in _resources(state) if each["type"] == _APPLICATION and each.get("id")]
    known = frozenset(str(each["id"]) for each in owned)
    names = dict.fromkeys(str((each.get("inputs") or {}).get("displayName") or "") for each in owned)
    return [Query(application=name, known=known) for name in names if name]


def unrecorded(state: Mapping[str, Any], preview: Mapping[str, Any]) -> list[Operation]:
    """Read from a preview what it would create: Azure may have it, from a run whose provider died.

    Then the engine has no answer, reports an error, and records neither the resource nor a pending operation.
    """
    pending = {operation.urn for operation in operations(state)}
    created = (
        {name: value for name, value in step["newState"].items() if name != "outputs"}
        for step in preview.get("steps") or []
        if step.get("newState") and step["urn"] not in pending and _current(state, step["urn"]) is None
    )
    # Of a provider that was never configured nothing exists.
    return [
        Operation("creating", shown(each))
        for each in created
        if str(each.get("provider")).rpartition("::")[2] not in _HIDDEN
    ]


def shown(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Leave out what a preview hides: the next `up` adds it to what is adopted."""
    if isinstance(value, Mapping):
        return {name: shown(item) for name, item in value.items() if not _is_hidden(item)}
    return [shown(item) for item in value if not _is_hidden(item)] if isinstance(value, list) else value


def _is_hidden(value: object) -> bool:
    return isinstance(value, str) and value in _HIDDEN


def resolve_or_query(state: Mapping[str, Any], operation: Operation, subscription: str) -> Step | Query:
    """Resolve an operation, or return what to ask Azure first. `subscription` is the deployer's default."""
    if reason := _reason_to_drop(state, operation):
        return Step(operation, "drop", reason)
    try:
        return _query(state, operation, subscription)
    except StateError as error:
        return Step(operation, "leave", str(error))


def _reason_to_drop(state: Mapping[str, Any], operation: Operation) -> str:
    """Say why Azure need not be asked; empty where it must be."""
    if operation.kind != "creating":
        return _NOT_CREATING.get(operation.kind, "")
    if not operation.resource.get("custom") or operation.type.startswith("pulumi:"):
        return "it is nothing on Azure"
    if operation.type.startswith(_OWN):
        return "up finds by itself what exists"
    if operation.type.startswith(("docker:", "docker-build:")):
        return "up builds and pushes once more, to the same name"
    resource = _current(state, operation.urn)
    return f"the state has it, as {resource['id']}" if resource else ""


def _query(state: Mapping[str, Any], operation: Operation, subscription: str) -> Query:
    if operation.kind != "creating":
        raise StateError(f"operations of kind {operation.kind!r} are not known here")
    known = frozenset(str(each.get("id")) for each in _resources(state) if each["type"] == operation.type)
    if operation.type == _APPLICATION:
        return Query(application=operation.text("displayName"), known=known)
    if operation.type == _PRINCIPAL:
        return Query(principal_of=operation.text("clientId"))
    if operation.type == _PASSWORD:
        owner = operation.text("applicationId").rpartition("/")[2]
        return Query(password=operation.text("displayName"), owner=owner, known=known)
    package, _, token = operation.type.partition(":")
    if f"{package}:" != _NATIVE or token not in ARM:
        raise StateError("this type is not known here")
    template, version = ARM[token]
    provider = next((each for each in _resources(state) if each["urn"] == _provider(operation.resource)), {})
    configured = (provider.get("inputs") or {}).get("subscriptionId") or subscription

    def fill(match: re.Match[str]) -> str:
        if match[1] != "subscriptionId":
            return operation.text(match[1]).strip("/")
        if not configured:
            raise StateError("its subscription is unknown; set ARM_SUBSCRIPTION_ID")
        return str(configured)

    return Query(f"/{re.sub('{([a-zA-Z]+)}', fill, template).strip('/')}", version)


def resolve(operation: Operation, query: Query, result: Result) -> Step:
    """Resolve an operation by Azure's answer."""
    if result.unclear:
        return Step(operation, "leave", result.unclear)
    if query.password:
        lost = f"; removes {len(result.lost)} whose value is lost" if result.lost else ""
        return Step(operation, "drop", f"up creates a new password{lost}", owner=query.owner, lost=result.lost)
    if result.id:
        return Step(operation, "adopt", f"Azure has it, as {result.id}{result.note}", id=result.id)
    return Step(operation, "drop", "Azure does not have it")


def with_decisions(steps: Sequence[Step], decisions: Decisions) -> list[Step]:
    """Put the user's resolutions in place of ours; raise where one fits no operation, or more than one."""
    ids = {**dict.fromkeys(decisions.drop, ""), **decisions.adopt}
    if both := sorted(decisions.drop & decisions.adopt.keys()):
        raise StateError(f"{both[0]}: both --adopt and --drop name it; use one of them")
    for name in ids:
        matches = [step.operation.urn for step in steps if name in {step.operation.name, step.operation.urn}]
        if len(matches) != 1:
            names = ", ".join(step.operation.name for step in steps) or "none"
            raise StateError(f"{name}: fits {len(matches)} pending operations of {names}; give a name or URN of one")
    return [_with_decision(step, ids) for step in steps]


def _with_decision(step: Step, ids: Mapping[str, str]) -> Step:
    operation = step.operation
    name = next((name for name in (operation.urn, operation.name) if name in ids), None)
    if name is None:
        return step
    if not ids[name]:
        return Step(operation, "drop", "by --drop")
    if operation.type == _PASSWORD:
        raise StateError(f"{operation.name}: a password cannot be read back; it can only be dropped")
    return Step(operation, "adopt", f"by --adopt, as {ids[name]}", id=ids[name])


def repaired(state: Mapping[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    """Return the state without its pending operations, and with what is adopted. The refresh reads the outputs."""
    if undecided := [step for step in steps if step.resolution == "leave"]:
        raise StateError(f"{undecided[0].operation.name}: not decided")
    result: dict[str, Any] = copy.deepcopy(dict(state))
    resources: list[dict[str, Any]] = result["deployment"].setdefault("resources", [])
    result["deployment"].pop("pending_operations", None)
    for step in steps:
        if step.resolution != "adopt":
            continue
        adopted = {**copy.deepcopy(dict(step.operation.resource)), "id": step.id, "initErrors": [UNFINISHED]}
        if _current(result, step.operation.urn) is not None:
            raise StateError(f"{step.operation.name}: the state has it already; it can only be dropped")
        # A resource that was deleted to make room for this one is still in the state, marked.
        resources[:] = [each for each in resources if not (each["urn"] == adopted["urn"] and _is_replaced(each))]
        resources.insert(_position(resources, adopted), adopted)
    return result


def marked_unfinished(refreshed: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a refreshed state in which the next `up` writes once more what was adopted `before`.

    A refresh takes all that Azure fills in for inputs, from which no provider can tell what the program wants; so they
    are put back. And the resource may be incomplete, or another one: a PUT of what is declared repairs both.
    """
    result: dict[str, Any] = copy.deepcopy(dict(refreshed))
    inputs = {each["urn"]: each.get("inputs") or {} for each in _resources(before) if _is_adopted(each)}
    for each in _resources(result):
        if each["urn"] in inputs and not each.get("delete"):
            each["inputs"] = copy.deepcopy(inputs[each["urn"]])
            each["initErrors"] = [UNFINISHED]
    return result


def unrefreshed(state: Mapping[str, Any]) -> list[str]:
    """Return the names of what was adopted, but not refreshed: a recovery that was interrupted."""
    return [
        each["urn"].split("::", 3)[3] for each in _resources(state) if _is_adopted(each) and not each.get("outputs")
    ]


def _is_adopted(resource: Mapping[str, Any]) -> bool:
    return resource.get("initErrors") == [UNFINISHED]


def _is_replaced(resource: Mapping[str, Any]) -> bool:
    """Whether it was deleted before its replacement is created."""
    return bool(resource.get("pendingReplacement"))


def _resources(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return state["deployment"].get("resources") or []


def _current(state: Mapping[str, Any], urn: str) -> dict[str, Any] | None:
    """Return the resource of a URN, but for those that are about to be deleted."""
    resources = (each for each in _resources(state) if each["urn"] == urn)
    return next((each for each in resources if not each.get("delete") and not _is_replaced(each)), None)


def _provider(resource: Mapping[str, Any]) -> str:
    """Return the URN in a reference `URN::ID`."""
    return str(resource.get("provider") or "").rpartition("::")[0]


def _position(resources: Sequence[Mapping[str, Any]], adopted: Mapping[str, Any]) -> int:
    """Return where a resource may stand: behind all that it depends on, before all that may depend on it."""
    needs = {adopted.get("parent"), _provider(adopted), *(adopted.get("dependencies") or ())}
    needs |= {urn for urns in (adopted.get("propertyDependencies") or {}).values() for urn in urns or ()}
    return max((n + 1 for n, each in enumerate(resources) if each["urn"] in needs), default=0)
