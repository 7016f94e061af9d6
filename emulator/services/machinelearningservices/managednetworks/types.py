"""The outbound rules of a workspace's managed network, and its provisioning.

Owns Microsoft.MachineLearningServices/workspaces/outboundRules, and what `provisionManagedNetwork` does. What of
containers' requests the rules let out is `approve`'s to say, the way out itself is `backends.isolation`.
https://learn.microsoft.com/rest/api/azureml/managed-network-settings-rule
https://learn.microsoft.com/rest/api/azureml/managed-network-provisions/provision-managed-network

Faults: `managed-network` (seconds until a network is provisioned; on Azure about half an hour), `egress-hosts` (where
names lead that containers ask for, as `{"packages.example.com": "127.0.0.1:8000"}`; else this machine looks them up).
"""

from typing import Any

from emulator.core.azure import Azure, ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.machinelearningservices.managednetworks import rules
from emulator.services.machinelearningservices.managednetworks.rules import DISABLED, OUTBOUND
from emulator.services.network import rules as network_rules

_PORTS = (80, 443)
_WORKSPACES = OUTBOUND.rpartition("/")[0]


class OutboundRule(ResourceType):
    """Microsoft.MachineLearningServices/workspaces/outboundRules."""

    type = OUTBOUND
    long = True
    #: azure-ai-ml takes 200 and 202.
    created = 202
    stateless = True

    def check(self, new: Document, old: Document | None) -> Document:
        """A rule that fits the network's mode; what it leads to exists and takes private endpoints."""
        _refuse_required(old)
        workspace = workspace_of(self.azure, new.id)
        properties = rules.check_rule(new.id.name, new.properties, rules.mode_of(workspace))
        if properties["category"] == "Required":
            raise AzureError(400, "ValidationError", f"Outbound rule '{new.id.name}' cannot be of category Required")
        if properties["type"] == "PrivateEndpoint":
            self._check_target(new.id.name, properties["destination"])
        return Document(new.id, {**new.body, "properties": {**properties, "status": _status(workspace)}}, new.private)

    def check_delete(self, document: Document) -> None:
        """The required ones stay."""
        _refuse_required(document)

    def _check_target(self, name: str, destination: dict[str, Any]) -> None:
        target = self.azure.linked(destination["serviceResourceId"], *network_rules.TARGETS)
        group = destination["subresourceTarget"]
        if target is None or group not in network_rules.TARGETS[target.id.type]:
            raise AzureError(
                400,
                "ValidationError",
                f"Outbound rule '{name}' leads to '{destination['serviceResourceId']}' ({group}), which is no resource"
                " that takes private endpoints of this kind",
            )


def _refuse_required(document: Document | None) -> None:
    if document is not None and document.properties.get("category") == "Required":
        raise AzureError(
            400, "ValidationError", f"Outbound rule '{document.id.name}' is required: it cannot be changed"
        )


def workspace_of(azure: Azure, id_: ResourceId) -> Document:
    """The workspace that a rule, an endpoint or a deployment lies in."""
    return azure.find("/".join(id_.path.split("/")[:9]))


def _status(workspace: Document) -> str:
    return str(workspace.properties["managedNetwork"]["status"]["status"])


def shown(azure: Azure, workspace: Document) -> dict[str, Any]:
    """`managedNetwork` with its rules."""
    described = {
        each.id.name: {name: value for name, value in each.properties.items() if name != "provisioningState"}
        for each in azure.store.of_type(OUTBOUND, workspace.id)
    }
    return {**workspace.properties["managedNetwork"], **({"outboundRules": described} if described else {})}


def begin(azure: Azure, workspace: Document, old: Document | None) -> Document:
    """Write the rules that a workspace's PUT names, and those that come with its network; provision it if asked."""
    if rules.mode_of(workspace) == DISABLED:
        return workspace
    private = {
        each.id.key
        for type_ in network_rules.TARGETS
        for each in azure.store.of_type(type_)
        if each.properties.get("publicNetworkAccess") == "Disabled"
    }
    for name, rule in {**workspace.private["outboundRules"], **rules.required(workspace, private)}.items():
        id_ = workspace.id.child("outboundRules", name)
        body = {"id": id_.path, "name": name, "type": OUTBOUND, "properties": {**rule, "status": _status(workspace)}}
        azure.store.put(Document(id_, {**body, "systemData": workspace.body["systemData"]}))
    if old is None and workspace.properties.get("provisionNetworkNow"):
        azure.store.put(workspace)
        provision(azure, workspace.id)
        return azure.find(workspace.id.path)
    return workspace


def provision(azure: Azure, workspace: ResourceId) -> dict[str, Any]:
    """Provision a managed network; its state."""
    azure.delay("managed-network")
    document = azure.find(workspace.path)
    state = {"status": "Active", "sparkReady": False}
    settings = {**document.properties["managedNetwork"], "status": state}
    azure.store.put(document.having(managedNetwork=settings))
    for each in azure.store.of_type(OUTBOUND, workspace):
        azure.store.put(each.having(status="Active"))
    return state


def demand_provisioned(azure: Azure, deployment: ResourceId) -> None:
    """Refuse a deployment where the workspace has a managed network that nobody has provisioned.

    https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#manually-provision-a-managed-vnet (the
    rule; the words are not Azure's)
    """
    workspace = workspace_of(azure, deployment)
    if rules.mode_of(workspace) != DISABLED and _status(workspace) != "Active":
        raise AzureError(
            400,
            "BadRequest",
            f"The managed network of workspace '{workspace.id.name}' is not provisioned: provision it before an online"
            f" deployment ('{deployment.name}') is created.",
        )


def is_linked(azure: Azure, workspace: Document, target: Document, group: str) -> bool:
    """Whether a managed network has a private endpoint to a resource."""
    return any(
        each.properties["type"] == "PrivateEndpoint"
        and each.properties["status"] == "Active"
        and str(each.properties["destination"]["serviceResourceId"]).lower() == target.id.key
        and each.properties["destination"]["subresourceTarget"] == group
        for each in azure.store.of_type(OUTBOUND, workspace.id)
    )


def isolation_of(azure: Azure, deployment: Document) -> str:
    """The key of the network that a deployment's containers cannot leave; empty where all may go out."""
    workspace = workspace_of(azure, deployment.id)
    shut = rules.mode_of(workspace) == rules.APPROVED
    return str(workspace.properties["managedNetwork"]["networkId"]) if shut else ""


def approve(azure: Azure, network: str, host: str, port: int) -> tuple[str, int] | None:
    """Where a name leads from a managed network; None where no active FQDN rule has it, or for another port.

    https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#limitations (ports 80 and 443)
    """
    names = [
        str(rule.properties["destination"])
        for workspace in azure.store.of_type(_WORKSPACES)
        if (workspace.properties.get("managedNetwork") or {}).get("networkId") == network
        for rule in azure.store.of_type(OUTBOUND, workspace.id)
        if rule.properties["type"] == "FQDN" and rule.properties["status"] == "Active"
    ]
    if port not in _PORTS or not any(rules.matches(each, host) for each in names):
        return None
    there, _, other = str((azure.faults.get("egress-hosts") or {}).get(host, f"{host}:{port}")).rpartition(":")
    return there, int(other)
