"""What a killed run left in the state, and what becomes of it. Pure.

An exported state and what Azure answers go in; a plan and the mended state come out. Owns which operations can be
judged, and the mended state. Refuses to own looking at Azure and running Pulumi (`recover.py`), and to judge what it
does not know: that is left to whoever runs it.

A pending creation has the resource as it would stand in the state, but for id and outputs. Physical names are pure
functions of the stack (`plan/names.py`), so its inputs say under which id Azure has it, if it has it.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_GROUP: Final = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
_ML: Final = _GROUP + "/providers/Microsoft.MachineLearningServices/workspaces/{workspaceName}"

ARM: Final[Mapping[str, tuple[str, str]]] = {
    "resources:ResourceGroup": (_GROUP, "2024-03-01"),
    "storage:StorageAccount": (_GROUP + "/providers/Microsoft.Storage/storageAccounts/{accountName}", "2023-05-01"),
    "keyvault:Vault": (_GROUP + "/providers/Microsoft.KeyVault/vaults/{vaultName}", "2023-07-01"),
    "keyvault:Secret": (_GROUP + "/providers/Microsoft.KeyVault/vaults/{vaultName}/secrets/{secretName}", "2023-07-01"),
    "operationalinsights:Workspace": (
        _GROUP + "/providers/Microsoft.OperationalInsights/workspaces/{workspaceName}",
        "2023-09-01",
    ),
    "applicationinsights:Component": (_GROUP + "/providers/Microsoft.Insights/components/{resourceName}", "2020-02-02"),
    "containerregistry:Registry": (
        _GROUP + "/providers/Microsoft.ContainerRegistry/registries/{registryName}",
        "2023-07-01",
    ),
    "machinelearningservices:Workspace": (_ML, "2024-10-01"),
    "machinelearningservices:WorkspaceConnection": (_ML + "/connections/{connectionName}", "2024-10-01"),
    "managedidentity:UserAssignedIdentity": (
        _GROUP + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{resourceName}",
        "2023-01-31",
    ),
    "authorization:RoleAssignment": (
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
        "2022-04-01",
    ),
    "machinelearningservices:Compute": (_ML + "/computes/{computeName}", "2024-10-01"),
    "monitor:AutoscaleSetting": (
        _GROUP + "/providers/Microsoft.Insights/autoscaleSettings/{autoscaleSettingName}",
        "2022-10-01",
    ),
    "monitor:DiagnosticSetting": (
        "{resourceUri}/providers/Microsoft.Insights/diagnosticSettings/{name}",
        "2021-05-01-preview",
    ),
}
"""By azure-native type: where it lives, with the SDK's names of the inputs in braces, and a version to read it by."""

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
"""Operations on what the state knows already, and why they can be dropped."""

REDO: Final = "adopted after a killed run: the next up writes it once more, so that it is as declared"
"""Why an adopted resource counts as unfinished (the engine's `initErrors`)."""


class StateError(ValueError):
    """The state cannot be read or mended; one line."""


@dataclass(frozen=True)
class Operation:
    """One pending operation."""

    kind: str
    """`creating`, `updating`, `deleting`, `reading` or `importing`."""
    resource: Mapping[str, Any] = field(repr=False)

    @property
    def urn(self) -> str:
        """The resource's name in the whole world of Pulumi."""
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
        found = (self.resource.get("inputs") or {}).get(key)
        if not isinstance(found, str) or not found:
            raise StateError(f"its {key} is not in the state as a text")
        return found


@dataclass(frozen=True)
class Look:
    """What to look for on Azure, for one operation. One of the first three is set."""

    arm_id: str = ""
    version: str = ""
    """An API version that knows the type."""
    application: str = ""
    """An Entra application by its display name."""
    principal_of: str = ""
    """A service principal by its application's client id."""
    password: str = ""
    """With this display name, passwords of `owner` that the state does not know: their values are lost."""
    owner: str = ""
    """Object id of the application."""
    known: frozenset[str] = frozenset()
    """Ids of this type that the state has."""


@dataclass(frozen=True)
class Answer:
    """What Azure says: an id where it is there, the key ids of lost passwords, or why nobody can tell."""

    id: str = ""
    note: str = ""
    lost: tuple[str, ...] = ()
    unclear: str = ""


@dataclass(frozen=True)
class Step:
    """What becomes of one operation: `adopt`, `drop`, or `leave` where that is not for us to say."""

    operation: Operation
    fate: str
    why: str
    id: str = ""
    owner: str = ""
    lost: tuple[str, ...] = ()
    """Key ids of passwords of the application `owner`, to be removed."""

    def __str__(self) -> str:
        """One line for whoever is asked."""
        return f"{self.fate:<8} {self.operation.name} ({self.operation.type.rpartition(':')[2]}): {self.why}"


@dataclass(frozen=True)
class Decisions:
    """What a user has said of operations, by logical name or URN."""

    adopt: Mapping[str, str] = field(default_factory=dict)
    """The id under which it is there."""
    drop: frozenset[str] = frozenset()
    """It is not there."""


def operations(state: Mapping[str, Any]) -> list[Operation]:
    """Read the pending operations of an exported state."""
    try:
        found = state["deployment"].get("pending_operations") or []
        return [Operation(str(each["type"]), each["resource"]) for each in found]
    except (KeyError, TypeError, AttributeError) as error:
        raise StateError(f"the state is not as `pulumi stack export` writes it ({error!r})") from None


def judge(state: Mapping[str, Any], operation: Operation, subscription: str) -> Step | Look:
    """Return what becomes of an operation, or what to look for first. `subscription` is the deployer's default."""
    if why := _needless(state, operation):
        return Step(operation, "drop", why)
    try:
        return _look(state, operation, subscription)
    except StateError as error:
        return Step(operation, "leave", str(error))


def _needless(state: Mapping[str, Any], operation: Operation) -> str:
    """Say why nobody needs to look for what an operation was about; empty where somebody must."""
    if operation.kind != "creating":
        return _NOT_CREATING.get(operation.kind, "")
    if not operation.resource.get("custom") or operation.type.startswith("pulumi:"):
        return "it is nothing on Azure"
    if operation.type.startswith(_OWN):
        return "up finds by itself what is there"
    if operation.type.startswith("docker:"):
        return "up builds and pushes once more, to the same name"
    live = _live(state, operation.urn)
    return f"the state has it, as {live['id']}" if live else ""


def _look(state: Mapping[str, Any], operation: Operation, subscription: str) -> Look:
    if operation.kind != "creating":
        raise StateError(f"an operation of kind {operation.kind!r} is not known here")
    known = frozenset(str(each.get("id")) for each in _resources(state) if each["type"] == operation.type)
    if operation.type == _APPLICATION:
        return Look(application=operation.text("displayName"), known=known)
    if operation.type == _PRINCIPAL:
        return Look(principal_of=operation.text("clientId"))
    if operation.type == _PASSWORD:
        owner = operation.text("applicationId").rpartition("/")[2]
        return Look(password=operation.text("displayName"), owner=owner, known=known)
    package, _, token = operation.type.partition(":")
    if f"{package}:" != _NATIVE or token not in ARM:
        raise StateError("this type is not known here")
    path, version = ARM[token]
    provider = next((each for each in _resources(state) if each["urn"] == _provider(operation.resource)), {})
    ours = (provider.get("inputs") or {}).get("subscriptionId") or subscription

    def fill(found: re.Match[str]) -> str:
        if found[1] != "subscriptionId":
            return operation.text(found[1]).strip("/")
        if not ours:
            raise StateError("nobody says in which subscription; set ARM_SUBSCRIPTION_ID")
        return str(ours)

    return Look(f"/{re.sub('{([a-zA-Z]+)}', fill, path).strip('/')}", version)


def conclude(operation: Operation, look: Look, answer: Answer) -> Step:
    """Return what becomes of an operation, now that Azure has answered."""
    if answer.unclear:
        return Step(operation, "leave", answer.unclear)
    if look.password:
        lost = f"; removes {len(answer.lost)} whose value nobody knows" if answer.lost else ""
        return Step(operation, "drop", f"up makes a new password{lost}", owner=look.owner, lost=answer.lost)
    if answer.id:
        return Step(operation, "adopt", f"Azure has it, as {answer.id}{answer.note}", id=answer.id)
    return Step(operation, "drop", "Azure does not have it")


def decided(steps: Sequence[Step], decisions: Decisions) -> list[Step]:
    """Put a user's word in place of ours; raise where it fits no operation, or more than one."""
    told = {**dict.fromkeys(decisions.drop, ""), **decisions.adopt}
    if both := sorted(decisions.drop & decisions.adopt.keys()):
        raise StateError(f"{both[0]}: to be adopted and to be dropped; say one of them")
    for name in told:
        fitting = [step.operation.urn for step in steps if name in {step.operation.name, step.operation.urn}]
        if len(fitting) != 1:
            names = ", ".join(step.operation.name for step in steps) or "none"
            raise StateError(f"{name}: fits {len(fitting)} pending operations of {names}; give a name or URN of one")
    return [_decided(step, told) for step in steps]


def _decided(step: Step, told: Mapping[str, str]) -> Step:
    operation = step.operation
    name = next((name for name in (operation.urn, operation.name) if name in told), None)
    if name is None:
        return step
    if not told[name]:
        return Step(operation, "drop", "you say so")
    if operation.type == _PASSWORD:
        raise StateError(f"{operation.name}: a password cannot be read back; it can only be dropped")
    return Step(operation, "adopt", f"you say that it is {told[name]}", id=told[name])


def mended(state: Mapping[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    """Return the state without its pending operations, and with what is adopted. Outputs are the refresh's business."""
    if left := [step for step in steps if step.fate == "leave"]:
        raise StateError(f"{left[0].operation.name}: not decided")
    result: dict[str, Any] = copy.deepcopy(dict(state))
    resources: list[dict[str, Any]] = result["deployment"].setdefault("resources", [])
    result["deployment"].pop("pending_operations", None)
    for step in steps:
        if step.fate != "adopt":
            continue
        adopted = {**copy.deepcopy(dict(step.operation.resource)), "id": step.id, "initErrors": [REDO]}
        if _live(result, step.operation.urn) is not None:
            raise StateError(f"{step.operation.name}: the state has it already; it can only be dropped")
        # One that was deleted to make room for this is still there, marked.
        resources[:] = [each for each in resources if not (each["urn"] == adopted["urn"] and _making_room(each))]
        resources.insert(_place(resources, adopted), adopted)
    return result


def redone(refreshed: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a refreshed state in which the next `up` writes once more what was adopted `before`.

    A refresh takes all that Azure fills in for inputs, from which no provider can tell what the program wants; so they
    are put back. And what stands there may be half-made, or not ours: one more PUT of what is declared mends both.
    """
    result: dict[str, Any] = copy.deepcopy(dict(refreshed))
    inputs = {each["urn"]: each.get("inputs") or {} for each in _resources(before) if _adopted(each)}
    for each in _resources(result):
        if each["urn"] in inputs and not each.get("delete"):
            each["inputs"] = copy.deepcopy(inputs[each["urn"]])
            each["initErrors"] = [REDO]
    return result


def unread(state: Mapping[str, Any]) -> list[str]:
    """The names of what was adopted, but not refreshed: a recovery ended in the middle."""
    return [each["urn"].split("::", 3)[3] for each in _resources(state) if _adopted(each) and not each.get("outputs")]


def _adopted(resource: Mapping[str, Any]) -> bool:
    return resource.get("initErrors") == [REDO]


def _resources(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return state["deployment"].get("resources") or []


def _live(state: Mapping[str, Any], urn: str) -> dict[str, Any] | None:
    """The resource that the state has under a URN, but for those about to go."""
    found = (each for each in _resources(state) if each["urn"] == urn)
    return next((each for each in found if not each.get("delete") and not _making_room(each)), None)


def _making_room(resource: Mapping[str, Any]) -> bool:
    return bool(resource.get("pendingReplacement"))


def _provider(resource: Mapping[str, Any]) -> str:
    """The URN in a reference `URN::ID`."""
    return str(resource.get("provider") or "").rpartition("::")[0]


def _place(resources: Sequence[Mapping[str, Any]], adopted: Mapping[str, Any]) -> int:
    """Where a resource may stand: behind all that it needs, before all that may need it."""
    needs = {adopted.get("parent"), _provider(adopted), *(adopted.get("dependencies") or ())}
    needs |= {urn for urns in (adopted.get("propertyDependencies") or {}).values() for urn in urns or ()}
    return max((n + 1 for n, each in enumerate(resources) if each["urn"] in needs), default=0)
