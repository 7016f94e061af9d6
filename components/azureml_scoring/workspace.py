"""The Azure ML workspace of a stack, and what Azure demands beside it: storage, vault, logs, insights.

The workspace gets a registry from the start: one that Azure ML creates by itself, later, has the admin account on.
Refuses to own the choice between a new and an existing workspace (`registry.py`).
https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces
"""

from collections.abc import Mapping
from typing import Final

import pulumi
from pulumi_azure_native import (
    applicationinsights,
    authorization,
    keyvault,
    machinelearningservices,
    operationalinsights,
    resources,
    storage,
)

from azureml_scoring.network import PrivatePart
from azureml_scoring.plan.names import Names
from azureml_scoring.plan.network import storage_access, vault_access, workspace_access
from azureml_scoring.plan.workspace import PlannedWorkspace
from azureml_scoring.settings.network import NetworkSettings
from azureml_scoring.settings.registry import WorkspaceSettings
from azureml_scoring.site import Site

_LOG_DAYS: Final = 30


def resource_group(  # noqa: PLR0913, PLR0917 - a site needs the group first
    name: str,
    settings: WorkspaceSettings,
    location: str,
    tags: Mapping[str, str],
    names: Names,
    opts: pulumi.ResourceOptions,
) -> pulumi.Input[str]:
    """Return the name of the resource group, created unless it exists."""
    if settings.resource_group is not None and settings.resource_group_exists:
        return settings.resource_group
    group = resources.ResourceGroup(
        f"{name}-group",
        resource_group_name=settings.resource_group or names.of("resourceGroup"),
        location=location,
        tags=tags,
        opts=opts,
    )
    # By way of the id: a preview of an update knows no output.
    return group.id.apply(lambda id_: id_.rpartition("/")[2])


class OwnedWorkspace:
    """A workspace that the stack creates, with its vault, storage and logs."""

    def __init__(
        self, site: Site, planned: PlannedWorkspace, registry_id: pulumi.Input[str], network: NetworkSettings
    ) -> None:
        self._site = site
        self._planned = planned
        self._network = network
        self.vault = self._vault()
        self.logs = self._logs()
        self.storage = self._storage()
        self.workspace = self._workspace(registry_id)

    @property
    def private_parts(self) -> list[PrivatePart]:
        """What private endpoints lead to."""
        return [
            PrivatePart("vault", "vault", self.vault.id),
            PrivatePart("blob", "blob", self.storage.id),
            PrivatePart("file", "file", self.storage.id),
            PrivatePart("workspace", "amlworkspace", self.workspace.id),
        ]

    def _vault(self) -> "keyvault.Vault":
        """Create the vault, opened by roles only: access policies would be a second list of who may what."""
        site, settings = self._site, self._planned.settings
        config = authorization.get_client_config_output(opts=pulumi.InvokeOutputOptions(parent=site.opts.parent))
        return keyvault.Vault(
            f"{site.name}-vault",
            vault_name=self._planned.vault.name,
            resource_group_name=site.resource_group,
            location=site.location,
            properties=keyvault.VaultPropertiesArgs(
                tenant_id=config.tenant_id,
                sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
                enable_rbac_authorization=True,
                enable_soft_delete=True,
                soft_delete_retention_in_days=settings.soft_delete_days,
                # Azure takes true or nothing here: what is on once can never be turned off.
                enable_purge_protection=True if settings.purge_protection else None,
                # Sent while the vault is deleted, and never again: it says how a vault comes to be, not what it is.
                create_mode=keyvault.CreateMode.RECOVER if self._planned.recovers_vault else None,
                **vault_access(self._network),
            ),
            tags=site.tags,
            opts=site.opts,
        )

    def _logs(self) -> "operationalinsights.Workspace":
        site = self._site
        return operationalinsights.Workspace(
            f"{site.name}-logs",
            workspace_name=site.names.of("logs"),
            resource_group_name=site.resource_group,
            location=site.location,
            sku={"name": "PerGB2018"},
            retention_in_days=_LOG_DAYS,
            tags=site.tags,
            opts=site.opts,
        )

    def _storage(self) -> "storage.StorageAccount":
        site = self._site
        return storage.StorageAccount(
            f"{site.name}-storage",
            account_name=self._planned.storage_account,
            resource_group_name=site.resource_group,
            location=site.location,
            kind="StorageV2",
            sku={"name": "Standard_LRS"},
            allow_blob_public_access=False,
            enable_https_traffic_only=True,
            minimum_tls_version="TLS1_2",
            tags=site.tags,
            opts=site.opts,
            **storage_access(self._network),
        )

    def _insights(self) -> "applicationinsights.Component":
        site = self._site
        return applicationinsights.Component(
            f"{site.name}-insights",
            resource_name_=site.names.of("insights"),
            resource_group_name=site.resource_group,
            location=site.location,
            kind="web",
            application_type="web",
            ingestion_mode="LogAnalytics",
            workspace_resource_id=self.logs.id,
            tags=site.tags,
            opts=site.opts,
        )

    def _workspace(self, registry_id: pulumi.Input[str]) -> "machinelearningservices.Workspace":
        site = self._site
        name = self._planned.id.name
        return machinelearningservices.Workspace(
            f"{site.name}-workspace",
            workspace_name=name,
            resource_group_name=site.resource_group,
            location=site.location,
            identity={"type": "SystemAssigned"},
            friendly_name=name,
            storage_account=self.storage.id,
            key_vault=self.vault.id,
            application_insights=self._insights().id,
            container_registry=registry_id,
            tags=site.tags,
            opts=site.opts,
            **workspace_access(self._network),
        )
