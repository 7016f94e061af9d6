"""What Azure has under a workspace's name and its vault's, held against the settings, before anything is made.

Owns what a workspace keeps for its life, and which names a deleted resource holds. Refuses to own the queries
(`provider/lookup.py`). Pure.
https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces (keyVault and storageAccount
"cannot be changed once the workspace has been created")
https://learn.microsoft.com/azure/machine-learning/concept-soft-delete
https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from azureml_scoring.plan.names import ArmId, Names
from azureml_scoring.settings.errors import error_line
from azureml_scoring.settings.network import ISOLATION_MODES
from azureml_scoring.settings.regions import short_form
from azureml_scoring.settings.registry import VAULT, WORKSPACE, WorkspaceSettings

Document = Mapping[str, Any]
"""A resource as Azure Resource Manager shows it."""


@dataclass(frozen=True)
class PlannedWorkspace:
    """The workspace that a stack creates, and the names of what stays with it."""

    id: ArmId
    location: str
    vault: ArmId
    storage_account: str
    seedless: ArmId
    """Where the workspace is without `nameSeed`: version 0.1.0 left the seed out of its name."""
    settings: WorkspaceSettings
    isolation: str = "none"
    """Isolation of its managed network, by the name that settings use."""
    recovers_vault: bool = False
    """Whether a deleted vault has to be brought back."""

    @classmethod
    def of(
        cls, settings: WorkspaceSettings, names: Names, location: str, subscription: str, isolation: str = "none"
    ) -> "PlannedWorkspace":
        """Compute the names that are not written."""
        group = settings.resource_group or names.of("resourceGroup")
        id_ = ArmId(subscription, group, WORKSPACE, settings.name or names.of("workspace"))
        seedless = Names(names.project, names.stack, names.part).of("workspace")
        return cls(
            id_,
            location,
            ArmId(subscription, group, VAULT, settings.vault or names.of("vault")),
            settings.storage_account or names.of("storageAccount"),
            replace(id_, name=settings.name or seedless),
            settings,
            isolation,
        )

    def keeps(self, workspace: Document) -> bool:
        """Tell whether a workspace of another name is this stack's: it has its vault then."""
        return _linked(workspace, "keyVault").lower() == self.vault.name.lower()

    def kept(self) -> "PlannedWorkspace":
        """Plan the workspace without the seed in its name."""
        return replace(self, id=self.seedless)

    def differences(self, existing: Document) -> Iterator[str]:
        """Name each setting that differs from what the existing workspace keeps for its life."""
        for field, wanted, there in (
            ("location", self.location, short_form(str(existing["location"]))),
            ("workspace.vault", self.vault.name, _linked(existing, "keyVault")),
            ("workspace.storageAccount", self.storage_account, _linked(existing, "storageAccount")),
        ):
            if there and there.lower() != wanted.lower():
                kept = f"workspace {self.id.name} was made with {there} and keeps it for its life"
                yield error_line(field, wanted, f"{kept}; write {there}, or take the stack down first")
        yield from self._isolated(existing)

    def _isolated(self, existing: Document) -> Iterator[str]:
        """Refuse another isolation: Azure takes none back, and demands that all endpoints go before there is one.

        https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#limitations
        """
        mode = (existing["properties"].get("managedNetwork") or {}).get("isolationMode") or ISOLATION_MODES["none"]
        there = next((name for name, each in ISOLATION_MODES.items() if each == mode), mode)
        if there != self.isolation:
            kept = f"workspace {self.id.name} was made with {there}, which Azure does not change under its endpoints"
            yield error_line(
                "network.isolation", self.isolation, f"{kept}; write {there}, or take the stack down first"
            )

    def renamed_from(self, workspaces: Sequence[Document]) -> Iterator[ArmId]:
        """Find workspaces that can be this stack's under another name: they have its vault, or lack its seed."""
        for each in workspaces:
            id_ = ArmId.parse(str(each["id"]))
            if not same(id_, self.id) and (self.keeps(each) or same(id_, self.seedless)):
                yield id_

    def renamed(self, before: ArmId) -> str:
        """Refuse another name, or another group, for this stack's workspace."""
        moved = before.resource_group.lower() != self.id.resource_group.lower()
        field, wanted, there = (
            ("workspace.resourceGroup", self.id.resource_group, before.resource_group)
            if moved
            else ("workspace.name", self.id.name, before.name)
        )
        kept = f"this stack's workspace {before.name} is called and lies as it is for its life"
        return error_line(field, wanted, f"{kept}; write {there}, or take the stack down first")

    def held(self, workspaces: Sequence[Document]) -> Iterator[str]:
        """Refuse the workspace's name where a deleted one holds it: a workspace that is listed, but is not there."""
        if any(same(ArmId.parse(str(each["id"])), self.id) for each in workspaces):
            another = "name" if self.settings.name else "nameSeed"
            remedy = "recover or purge it (portal: Azure Machine Learning, Recently deleted)"
            held = "a deleted workspace holds this name for 14 days"
            yield error_line("workspace.name", self.id.name, f"{held}; {remedy}, or write another {another}")

    def recovers(self, deleted: Document) -> bool:
        """Tell whether the settings bring a deleted vault back: where it was, for Azure knows no other way."""
        vault, there = deleted["properties"]["vaultId"], str(deleted["properties"]["location"])
        return self.settings.recover and same(ArmId.parse(vault), self.vault) and there == self.location

    def held_vault(self, deleted: Document) -> str:
        """Refuse the vault's name, which a deleted one holds."""
        properties = deleted["properties"]
        was_here = same(ArmId.parse(properties["vaultId"]), self.vault) and properties["location"] == self.location
        remedies = ["write workspace.recover: true to bring it back"] if was_here else []
        if not properties.get("purgeProtectionEnabled"):
            remedies.append(f"purge it (az keyvault purge --name {self.vault.name})")
        remedies.append(f"write another {'name' if self.settings.vault else 'nameSeed'}")
        held = f"a deleted vault holds this name until {properties['scheduledPurgeDate']}"
        return error_line("workspace.vault", self.vault.name, f"{held}; {', or '.join(remedies)}")


def same(one: ArmId, other: ArmId) -> bool:
    """Compare ids as Azure does: their case says nothing."""
    return str(one).lower() == str(other).lower()


def _linked(workspace: Document, name: str) -> str:
    """Name the resource that a workspace's property points to; empty where it has none."""
    return str(workspace["properties"].get(name) or "").rpartition("/")[2]
