"""What every type demands of its input: required fields, enumerations and limits, refused as Azure refuses them.

The enumerations of Azure ML and of registries are compared with those of the real clients' models, so that neither a
value is missing here nor one is made up.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

import pytest
from azure.mgmt.containerregistry import models as acr
from azure.mgmt.machinelearningservices import models as ml

from emulator.catalogue import TYPES
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from tests.emulator.conftest import InProcessAzure
from tests.ml import (
    CONNECTION,
    ENDPOINT,
    ENVIRONMENT,
    PLACE,
    WORKSPACE,
    deployment_body,
    endpoint_body,
    make_workspace,
    on_kubernetes,
    scene,
    workspace_body,
)
from tests.registries import PULL
from tests.scoring import ROUTES

GUID = "11111111-1111-1111-1111-111111111111"
NOBODY_WRITES = {
    "Microsoft.Authorization/permissions",
    "Microsoft.Authorization/roleDefinitions",
    "Microsoft.MachineLearningServices/locations/usages",
    "Microsoft.MachineLearningServices/locations/vmSizes",
    "Microsoft.Insights/metrics",
    "Microsoft.KeyVault/deletedVaults",
    "Microsoft.KeyVault/locations/deletedVaults",
    "Microsoft.Resources/resourceGroups/resources",
    "Microsoft.Resources/subscriptions",
    "Microsoft.Resources/subscriptions/locations",
    "Microsoft.Resources/subscriptions/providers",
    "Microsoft.Resources/subscriptions/resources",
    "Microsoft.ContainerRegistry/registries/runs",
    "Microsoft.ContainerRegistry/registries/privateEndpointConnections",
    "Microsoft.KeyVault/vaults/privateEndpointConnections",
    "Microsoft.Storage/storageAccounts/privateEndpointConnections",
    "Microsoft.MachineLearningServices/workspaces/privateEndpointConnections",
}
"""Types that come with others, or are only read."""
DIGEST = "shop.azurecr.io/a@sha256:" + "1" * 64
URI = "azureml://datastores/workspaceblobstore/paths/model"
_MISSING = object()
AKS = "providers/Microsoft.ContainerService/managedClusters/aks01"
_PROFILE = "properties.profiles.0"

Body = dict[str, Any]


def _assignment(local: InProcessAzure) -> Body:
    role = f"/subscriptions/{local.azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{PULL}"
    return {"properties": {"principalId": local.service_principal().object_id, "roleDefinitionId": role}}


def _vault(local: InProcessAzure) -> Body:
    given = {"tenantId": local.azure.tenant, "sku": {"family": "A", "name": "standard"}}
    return {**PLACE, "properties": {**given, "enableRbacAuthorization": True}}


def _secret(local: InProcessAzure) -> Body:
    local.ask("PUT", "providers/Microsoft.KeyVault/vaults/kvtest", _vault(local))
    return {"properties": {"value": "x"}}


def _insights(local: InProcessAzure) -> Body:
    logs = "providers/Microsoft.OperationalInsights/workspaces/logs-test"
    local.ask("PUT", logs, {**PLACE, "properties": {"sku": {"name": "PerGB2018"}}})
    given = {"Application_Type": "web", "WorkspaceResourceId": f"{local.group}/{logs}"}
    return {**PLACE, "kind": "web", "properties": given}


def _in_workspace(body: Body) -> Callable[[InProcessAzure], Body]:
    def make(local: InProcessAzure) -> Body:
        make_workspace(local)
        return copy.deepcopy(body)

    return make


def _with(body: Body) -> Callable[[InProcessAzure], Body]:
    return lambda _: copy.deepcopy(body)


def _compute(local: InProcessAzure) -> Body:
    on_kubernetes(local)
    cluster = f"{local.group}/{AKS}"
    return {**PLACE, "properties": {"computeType": "Kubernetes", "resourceId": cluster}}


def _extension(local: InProcessAzure) -> Body:
    on_kubernetes(local)
    return {"properties": {"extensionType": "Microsoft.AzureML.Kubernetes"}}


def _autoscale(local: InProcessAzure) -> Body:
    deployment = f"{local.group}/{ENDPOINT}/deployments/blue"
    standing = {"properties": {"endpointComputeType": "Managed"}}
    local.azure.store.put(Document(ResourceId.parse(deployment), standing))
    trigger = {
        "metricName": "CpuUtilizationPercentage",
        "metricResourceUri": deployment,
        "timeGrain": "PT1M",
        "statistic": "Average",
        "timeWindow": "PT5M",
        "timeAggregation": "Average",
        "operator": "GreaterThan",
        "threshold": 70,
    }
    action = {"direction": "Increase", "type": "ChangeCount", "value": "1", "cooldown": "PT5M"}
    limits = {"minimum": "1", "maximum": "4", "default": "2"}
    profile = {"name": "default", "capacity": limits, "rules": [{"metricTrigger": trigger, "scaleAction": action}]}
    return {**PLACE, "properties": {"targetResourceUri": deployment, "profiles": [profile]}}


def _diagnostics(local: InProcessAzure) -> Body:
    make_workspace(local)
    local.azure.store.put_fact("scoring-port", 0)
    local.ask("PUT", ENDPOINT, endpoint_body())
    logs = f"{local.group}/providers/Microsoft.OperationalInsights/workspaces/logs-test"
    sent = [{"category": "AmlOnlineEndpointConsoleLog", "enabled": True}]
    return {"properties": {"workspaceId": logs, "logs": sent}}


def _after(path: str, made: Body, body: Body) -> Callable[[InProcessAzure], Body]:
    """A body that needs something else first."""

    def make(local: InProcessAzure) -> Body:
        local.ask("PUT", path, made)
        return copy.deepcopy(body)

    return make


def _link(local: InProcessAzure) -> Body:
    local.ask("PUT", ZONE, {"location": "global"})
    local.ask("PUT", VNET, NETWORK)
    return {"location": "global", "properties": {"virtualNetwork": {"id": f"{local.group}/{VNET}"}}}


def _private_endpoint(local: InProcessAzure) -> Body:
    local.ask("PUT", VNET, NETWORK)
    local.ask("PUT", f"{VNET}/subnets/links", SUBNET)
    local.ask("PUT", ACCOUNT, STORAGE)
    target = {"privateLinkServiceId": f"{local.group}/{ACCOUNT}", "groupIds": ["blob"]}
    connections = [{"name": "blob", "properties": target}]
    subnet = {"id": f"{local.group}/{VNET}/subnets/links"}
    return {**PLACE, "properties": {"subnet": subnet, "privateLinkServiceConnections": connections}}


def _zone_group(local: InProcessAzure) -> Body:
    local.ask("PUT", PRIVATE, _private_endpoint(local))
    local.ask("PUT", ZONE, {"location": "global"})
    zone = {"name": "blob", "properties": {"privateDnsZoneId": f"{local.group}/{ZONE}"}}
    return {"properties": {"privateDnsZoneConfigs": [zone]}}


def _outbound_rule(local: InProcessAzure) -> Body:
    body = workspace_body(local)
    body["properties"]["managedNetwork"] = {"isolationMode": "AllowOnlyApprovedOutbound"}
    local.ask("PUT", WORKSPACE, body)
    return {"properties": {"type": "FQDN", "destination": "packages.example.com"}}


VNET = "providers/Microsoft.Network/virtualNetworks/hub"
ZONE = "providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
ACCOUNT = "providers/Microsoft.Storage/storageAccounts/stone"
PRIVATE = "providers/Microsoft.Network/privateEndpoints/blob"
NETWORK = {**PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}}
SUBNET = {"properties": {"addressPrefix": "10.1.0.0/24"}}
_CONNECTION = "properties.privateLinkServiceConnections.0"
CLUSTER = {
    **PLACE,
    "identity": {"type": "SystemAssigned"},
    "properties": {"dnsPrefix": "aks02", "agentPoolProfiles": [{"name": "one", "mode": "System"}]},
}
CONNECTED = {**PLACE, "identity": {"type": "SystemAssigned"}, "properties": {"agentPublicKeyCertificate": "MII"}}
DATASTORE = {
    "datastoreType": "AzureBlob",
    "accountName": "sttest",
    "containerName": "logs",
    "credentials": {"credentialsType": "None"},
}
STORAGE = {**PLACE, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
REGISTRY = {**PLACE, "sku": {"name": "Premium"}}
LOGS = {**PLACE, "properties": {"sku": {"name": "PerGB2018"}}}
VERSION = {"properties": {"image": DIGEST, "inferenceConfig": ROUTES}}
WELL: Mapping[str, tuple[str, Callable[[InProcessAzure], Body]]] = {
    "Microsoft.Resources/resourceGroups": ("/subscriptions/{subscription}/resourceGroups/rg2", _with(dict(PLACE))),
    "Microsoft.Authorization/roleAssignments": (
        f"providers/Microsoft.Authorization/roleAssignments/{GUID}",
        _assignment,
    ),
    "Microsoft.ManagedIdentity/userAssignedIdentities": (
        "providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller",
        _with(dict(PLACE)),
    ),
    "Microsoft.Storage/storageAccounts": ("providers/Microsoft.Storage/storageAccounts/stone", _with(STORAGE)),
    "Microsoft.KeyVault/vaults": ("providers/Microsoft.KeyVault/vaults/kv-one", _vault),
    "Microsoft.KeyVault/vaults/secrets": ("providers/Microsoft.KeyVault/vaults/kvtest/secrets/one", _secret),
    "Microsoft.OperationalInsights/workspaces": (
        "providers/Microsoft.OperationalInsights/workspaces/logs-one",
        _with(LOGS),
    ),
    "Microsoft.Insights/components": ("providers/Microsoft.Insights/components/insights", _insights),
    "Microsoft.ContainerRegistry/registries": (
        "providers/Microsoft.ContainerRegistry/registries/shop1",
        _with(REGISTRY),
    ),
    "Microsoft.MachineLearningServices/workspaces": (WORKSPACE, workspace_body),
    "Microsoft.MachineLearningServices/workspaces/connections": (
        f"{WORKSPACE}/connections/registry",
        _in_workspace({"properties": CONNECTION}),
    ),
    "Microsoft.MachineLearningServices/workspaces/environments": (ENVIRONMENT, _in_workspace({"properties": {}})),
    "Microsoft.MachineLearningServices/workspaces/environments/versions": (
        f"{ENVIRONMENT}/versions/1",
        _in_workspace(VERSION),
    ),
    "Microsoft.MachineLearningServices/workspaces/models": (
        f"{WORKSPACE}/models/wine",
        _in_workspace({"properties": {}}),
    ),
    "Microsoft.MachineLearningServices/workspaces/models/versions": (
        f"{WORKSPACE}/models/wine/versions/1",
        _in_workspace({"properties": {"modelUri": URI}}),
    ),
    "Microsoft.MachineLearningServices/workspaces/codes": (
        f"{WORKSPACE}/codes/code",
        _in_workspace({"properties": {}}),
    ),
    "Microsoft.MachineLearningServices/workspaces/codes/versions": (
        f"{WORKSPACE}/codes/code/versions/1",
        _in_workspace({"properties": {"codeUri": URI}}),
    ),
    "Microsoft.MachineLearningServices/workspaces/data": (
        f"{WORKSPACE}/data/seen",
        _in_workspace({"properties": {"dataType": "uri_folder"}}),
    ),
    "Microsoft.MachineLearningServices/workspaces/data/versions": (
        f"{WORKSPACE}/data/seen/versions/1",
        _in_workspace({"properties": {"dataType": "uri_folder", "dataUri": URI}}),
    ),
    "Microsoft.MachineLearningServices/workspaces/datastores": (
        f"{WORKSPACE}/datastores/logs",
        _in_workspace({"properties": DATASTORE}),
    ),
    "Microsoft.MachineLearningServices/workspaces/onlineEndpoints": (ENDPOINT, _in_workspace(endpoint_body())),
    "Microsoft.MachineLearningServices/workspaces/computes": (f"{WORKSPACE}/computes/aks", _compute),
    "Microsoft.ContainerService/managedClusters": (
        "providers/Microsoft.ContainerService/managedClusters/aks02",
        _with(CLUSTER),
    ),
    "Microsoft.Kubernetes/connectedClusters": (
        "providers/Microsoft.Kubernetes/connectedClusters/arc01",
        _with(CONNECTED),
    ),
    "Microsoft.KubernetesConfiguration/extensions": (
        f"{AKS}/providers/Microsoft.KubernetesConfiguration/extensions/second",
        _extension,
    ),
    "Microsoft.Insights/autoscaleSettings": ("providers/Microsoft.Insights/autoscaleSettings/blue", _autoscale),
    "Microsoft.Insights/diagnosticSettings": (
        f"{ENDPOINT}/providers/Microsoft.Insights/diagnosticSettings/scoring",
        _diagnostics,
    ),
    "Microsoft.Network/virtualNetworks": (VNET, _with(NETWORK)),
    "Microsoft.Network/virtualNetworks/subnets": (f"{VNET}/subnets/links", _after(VNET, NETWORK, SUBNET)),
    "Microsoft.Network/privateDnsZones": (ZONE, _with({"location": "global"})),
    "Microsoft.Network/privateDnsZones/A": (
        f"{ZONE}/A/stone",
        _after(ZONE, {"location": "global"}, {"properties": {"aRecords": [{"ipv4Address": "10.1.0.4"}]}}),
    ),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": (f"{ZONE}/virtualNetworkLinks/hub", _link),
    "Microsoft.Network/privateEndpoints": (PRIVATE, _private_endpoint),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": (f"{PRIVATE}/privateDnsZoneGroups/default", _zone_group),
    "Microsoft.ContainerRegistry/registries/agentPools": (
        "providers/Microsoft.ContainerRegistry/registries/shop1/agentPools/inside",
        _after("providers/Microsoft.ContainerRegistry/registries/shop1", REGISTRY, {**PLACE, "properties": {}}),
    ),
    "Microsoft.MachineLearningServices/workspaces/outboundRules": (
        f"{WORKSPACE}/outboundRules/packages",
        _outbound_rule,
    ),
}
"""A path and a right body of each type, but for deployments: those need an endpoint that stands."""
DEPLOYMENTS = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments"

WRONG: Mapping[str, tuple[tuple[str, Any, str], ...]] = {
    "Microsoft.Resources/resourceGroups": (
        ("location", _MISSING, "location"),
        ("location", "moon", "location 'moon' is not available"),
        ("tags", {"a": 1}, "tags"),
        ("tags", {str(n): "x" for n in range(51)}, "at most 50"),
    ),
    "Microsoft.Authorization/roleAssignments": (
        ("properties.principalId", _MISSING, "principalId"),
        ("properties.principalId", "nobody", "principalId|PrincipalId"),
        ("properties.roleDefinitionId", _MISSING, "roleDefinitionId"),
        ("properties.roleDefinitionId", f"/x/{GUID}", "does not exist"),
        ("properties.principalType", "Robot", "principal type 'Robot'"),
    ),
    "Microsoft.ManagedIdentity/userAssignedIdentities": (("location", _MISSING, "location"),),
    "Microsoft.Storage/storageAccounts": (
        ("location", _MISSING, "location"),
        ("sku", _MISSING, "sku"),
        ("sku.name", "Standard_XRS", "sku.name"),
        ("kind", _MISSING, "kind"),
        ("kind", "StorageV3", "kind"),
        ("properties.minimumTlsVersion", "TLS0_9", "minimumTlsVersion"),
        ("properties.publicNetworkAccess", "Maybe", "publicNetworkAccess"),
        ("properties.accessTier", "Warm", "accessTier"),
        ("properties.allowSharedKeyAccess", "no", "allowSharedKeyAccess"),
        ("properties.networkAcls", {"defaultAction": "Perhaps"}, "defaultAction"),
        ("properties.networkAcls", {"defaultAction": "Deny", "ipRules": [{"value": "here"}]}, "no IPv4"),
        ("properties.networkAcls", {"defaultAction": "Deny", "ipRules": [{"value": "10.0.0.0/24"}]}, "is private"),
    ),
    "Microsoft.KeyVault/vaults": (
        ("location", _MISSING, "location"),
        ("properties.tenantId", _MISSING, "tenantId"),
        ("properties.sku", _MISSING, "sku"),
        ("properties.sku.name", "gold", "sku.name"),
        ("properties.sku.family", "B", "sku.family"),
        ("properties.softDeleteRetentionInDays", 6, "softDeleteRetentionInDays"),
        ("properties.softDeleteRetentionInDays", 91, "softDeleteRetentionInDays"),
        ("properties.enableSoftDelete", False, "enableSoftDelete"),
        ("properties.publicNetworkAccess", "perhaps", "publicNetworkAccess"),
        ("properties.networkAcls", {"defaultAction": "Perhaps"}, "defaultAction"),
        ("properties.networkAcls", {"defaultAction": "Deny", "ipRules": [{"value": "here"}]}, "no IPv4"),
        ("properties.networkAcls", {"defaultAction": "Deny", "ipRules": [{"value": "10.0.0.0/24"}]}, "is private"),
    ),
    "Microsoft.KeyVault/vaults/secrets": (
        ("properties.value", _MISSING, "value"),
        ("properties.value", "x" * 25_601, "longer than 25600"),
        ("properties.attributes", {"nbf": 20, "exp": 10}, "'exp' is before its 'nbf'"),
    ),
    "Microsoft.OperationalInsights/workspaces": (
        ("location", _MISSING, "location"),
        ("properties.sku", {"name": "Gold"}, "sku.name"),
        ("properties.retentionInDays", 29, "retentionInDays"),
        ("properties.retentionInDays", 731, "retentionInDays"),
        ("properties.publicNetworkAccessForQuery", "No", "publicNetworkAccessForQuery"),
    ),
    "Microsoft.Insights/components": (
        ("location", _MISSING, "location"),
        ("kind", _MISSING, "kind"),
        ("properties.Application_Type", _MISSING, "Application_Type"),
        ("properties.Application_Type", "mobile", "Application_Type"),
        ("properties.IngestionMode", "Never", "IngestionMode"),
        ("properties.WorkspaceResourceId", _MISSING, "WorkspaceResourceId"),
        ("properties.RetentionInDays", 31, "RetentionInDays"),
        ("properties.SamplingPercentage", 101, "SamplingPercentage"),
    ),
    "Microsoft.ContainerRegistry/registries": (
        ("location", _MISSING, "location"),
        ("sku", _MISSING, "sku|SKU"),
        ("sku.name", "Gold", "SKU 'Gold'"),
        ("properties.adminUserEnabled", "no", "adminUserEnabled"),
        ("properties.publicNetworkAccess", "Maybe", "publicNetworkAccess"),
        ("properties.networkRuleBypassOptions", "All", "networkRuleBypassOptions"),
        ("properties.zoneRedundancy", "Maybe", "zoneRedundancy"),
        ("properties.roleAssignmentMode", "Abac", "roleAssignmentMode"),
        ("properties.networkRuleSet", {"defaultAction": "Perhaps"}, "defaultAction"),
        ("properties.networkRuleSet", {"defaultAction": "Deny", "ipRules": [{"value": "here"}]}, "no IPv4"),
        ("properties.networkRuleSet", {"defaultAction": "Deny", "ipRules": [{"value": "10.0.0.0/24"}]}, "is private"),
        ("properties.policies", {"retentionPolicy": {"status": "on"}}, "retentionPolicy"),
        ("properties.policies", {"retentionPolicy": {"status": "enabled", "days": 366}}, "retentionPolicy.days"),
    ),
    "Microsoft.MachineLearningServices/workspaces": (
        ("location", _MISSING, "location"),
        ("identity", _MISSING, "identity"),
        ("identity.type", "Own", "identity type 'Own'"),
        ("properties.storageAccount", _MISSING, "Missing dependent resources"),
        ("properties.keyVault", _MISSING, "Missing dependent resources"),
        ("properties.applicationInsights", _MISSING, "Missing dependent resources"),
        ("properties.keyVault", "/nowhere", "keyVault"),
        ("properties.publicNetworkAccess", "Maybe", "publicNetworkAccess"),
        ("properties.managedNetwork", {"isolationMode": "Strict"}, "isolationMode"),
        ("properties.managedNetwork.outboundRules", {"a": {"type": "FQDN", "destination": "b.c"}}, "managed network"),
    ),
    "Microsoft.MachineLearningServices/workspaces/connections": (
        ("properties.category", _MISSING, "category"),
        ("properties.category", "Fridge", "category 'Fridge'"),
        ("properties.authType", _MISSING, "authType"),
        ("properties.authType", "Smile", "authType 'Smile'"),
        ("properties.target", _MISSING, "target"),
        ("properties.credentials", _MISSING, "credentials.username"),
        ("properties.credentials.password", _MISSING, "credentials.password"),
    ),
    "Microsoft.MachineLearningServices/workspaces/environments": (("properties", [], "properties"),),
    "Microsoft.MachineLearningServices/workspaces/environments/versions": (
        ("properties.image", _MISSING, "needs 'image' or 'build'"),
        ("properties.image", "https://shop/a", "is not a reference"),
        ("properties.osType", "MacOS", "osType"),
        ("properties.inferenceConfig.scoringRoute", _MISSING, "scoringRoute"),
        ("properties.inferenceConfig.scoringRoute.port", 70_000, "is not a port"),
        ("properties.inferenceConfig.scoringRoute.path", "score", "does not begin with '/'"),
    ),
    "Microsoft.MachineLearningServices/workspaces/models": (("properties", [], "properties"),),
    "Microsoft.MachineLearningServices/workspaces/models/versions": (
        ("properties.modelUri", _MISSING, "modelUri"),
        ("properties.modelUri", "C:\\model", "modelUri"),
        ("properties.modelType", "paper", "modelType 'paper'"),
    ),
    "Microsoft.MachineLearningServices/workspaces/codes": (("properties", [], "properties"),),
    "Microsoft.MachineLearningServices/workspaces/codes/versions": (
        ("properties.codeUri", _MISSING, "codeUri"),
        ("properties.codeUri", "C:\\code", "codeUri"),
    ),
    "Microsoft.MachineLearningServices/workspaces/data": (
        ("properties", [], "properties"),
        ("properties.dataType", "paper", "dataType 'paper'"),
    ),
    "Microsoft.MachineLearningServices/workspaces/data/versions": (
        ("properties.dataType", _MISSING, "dataType 'None'"),
        ("properties.dataUri", "C:\\data", "dataUri"),
    ),
    "Microsoft.MachineLearningServices/workspaces/datastores": (
        ("properties.datastoreType", "Tape", "datastoreType 'Tape'"),
        ("properties.accountName", "stnone", "'stnone' of datastore 'logs' does not exist"),
        ("properties.containerName", _MISSING, "needs 'containerName'"),
        ("properties.credentials", _MISSING, "needs 'credentials'"),
    ),
    "Microsoft.MachineLearningServices/workspaces/onlineEndpoints": (
        ("location", _MISSING, "location"),
        ("properties.authMode", _MISSING, "authMode"),
        ("properties.authMode", "Password", "authMode 'Password'"),
        ("properties.publicNetworkAccess", "Maybe", "publicNetworkAccess 'Maybe'"),
        ("properties.traffic", {"blue": 101}, "traffic"),
        ("properties.mirrorTraffic", {"blue": 51}, "at most 50"),
        ("identity", {"type": "Own"}, "identity type 'Own'"),
        ("identity", {"type": "UserAssigned"}, "userAssignedIdentities"),
        ("kind", "AKS", "kind 'AKS'"),
        ("kind", "Kubernetes", "is none that is attached to the workspace"),
        ("properties.compute", "/x", "compute '/x' of endpoint 'score' is none that is attached"),
    ),
    "Microsoft.MachineLearningServices/workspaces/computes": (
        ("location", _MISSING, "location"),
        ("properties.computeType", _MISSING, "computeType"),
        ("properties.computeType", "Cloud", "computeType"),
        ("properties.computeType", "AmlCompute", "attaches Kubernetes only"),
        ("properties.resourceId", "/nowhere", "is not a cluster that exists"),
        ("properties.resourceId", _MISSING, "is not a cluster that exists"),
        ("properties.properties", {"namespace": "Upper"}, "namespace 'Upper'"),
        ("properties.properties", {"defaultInstanceType": "huge"}, "defaultInstanceType 'huge'"),
    ),
    "Microsoft.ContainerService/managedClusters": (
        ("location", _MISSING, "location"),
        ("identity", _MISSING, "identity"),
        ("properties.dnsPrefix", _MISSING, "dnsPrefix"),
        ("properties.agentPoolProfiles", [], "system pool"),
        ("properties.agentPoolProfiles", [{"mode": "Best"}], "agentPoolProfiles.mode"),
    ),
    "Microsoft.Kubernetes/connectedClusters": (
        ("location", _MISSING, "location"),
        ("identity", _MISSING, "identity"),
        ("properties.agentPublicKeyCertificate", _MISSING, "agentPublicKeyCertificate"),
    ),
    "Microsoft.KubernetesConfiguration/extensions": (
        ("properties.extensionType", _MISSING, "extensionType"),
        ("properties.scope", {"galaxy": {}}, "properties.scope"),
    ),
    "Microsoft.Insights/autoscaleSettings": (
        ("location", _MISSING, "location"),
        ("tags", {str(n): "x" for n in range(16)}, "more than 15 tags"),
        ("properties.targetResourceUri", _MISSING, "targetResourceUri"),
        ("properties.targetResourceUri", "/nowhere", "names no online deployment"),
        ("properties.profiles", [], "1 to 20"),
        (f"{_PROFILE}.name", _MISSING, "lacks 'name'"),
        (f"{_PROFILE}.capacity.default", "5", "the default must lie between"),
        (f"{_PROFILE}.capacity.minimum", "one", "minimum 'one'"),
        (f"{_PROFILE}.rules.0.metricTrigger.metricName", "Cpu", "metricName 'Cpu'"),
        (f"{_PROFILE}.rules.0.metricTrigger.metricResourceUri", "/nothing", "names nothing that has metrics"),
        (f"{_PROFILE}.rules.0.metricTrigger.threshold", "70", "threshold '70'"),
        (f"{_PROFILE}.rules.0.metricTrigger.operator", "Above", "metricTrigger.operator"),
        (f"{_PROFILE}.rules.0.metricTrigger.statistic", _MISSING, "metricTrigger.statistic"),
        (f"{_PROFILE}.rules.0.metricTrigger.timeAggregation", "Mean", "timeAggregation"),
        (f"{_PROFILE}.rules.0.metricTrigger.timeWindow", "PT1M", "timeWindow 'PT1M'"),
        (f"{_PROFILE}.rules.0.metricTrigger.timeGrain", "P1D", "timeGrain 'P1D'"),
        (f"{_PROFILE}.rules.0.scaleAction.direction", "Up", "scaleAction.direction"),
        (f"{_PROFILE}.rules.0.scaleAction.type", "Change", "scaleAction.type"),
        (f"{_PROFILE}.rules.0.scaleAction.value", "0", "scaleAction.value '0'"),
        (f"{_PROFILE}.rules.0.scaleAction.cooldown", "PT30S", "cooldown 'PT30S'"),
    ),
    "Microsoft.Insights/diagnosticSettings": (
        ("properties.workspaceId", _MISSING, "has no destination"),
        ("properties.workspaceId", "/subscriptions/x/resourceGroups/y", "is no Log Analytics workspace"),
        ("properties.logs", [], "sends nothing"),
        ("properties.logs", [{"category": "AuditEvent", "enabled": True}], "'AuditEvent'"),
        ("properties.logs", [{"category": "AmlOnlineEndpointConsoleLog"}], "'enabled'"),
        ("properties.logs", [{"categoryGroup": "some", "enabled": True}], "categoryGroup 'some'"),
        ("properties.metrics", [{"category": "Some", "enabled": True}], "'Some'"),
    ),
    "Microsoft.Network/virtualNetworks": (
        ("location", _MISSING, "location"),
        ("properties.addressSpace", _MISSING, "addressPrefixes"),
        ("properties.addressSpace", {"addressPrefixes": ["10.1.0.0/99"]}, "10.1.0.0/99"),
        ("properties.subnets", [{"name": "a", "properties": {"addressPrefix": "10.2.0.0/24"}}], "not valid in"),
        (
            "properties.subnets",
            [{"name": name, "properties": {"addressPrefix": "10.1.0.0/24"}} for name in "ab"],
            "overlaps",
        ),
    ),
    "Microsoft.Network/virtualNetworks/subnets": (
        ("properties.addressPrefix", _MISSING, "not formatted correctly"),
        ("properties.addressPrefix", "192.168.0.0/24", "not valid in"),
        ("properties.privateEndpointNetworkPolicies", "Maybe", "privateEndpointNetworkPolicies"),
    ),
    "Microsoft.Network/privateDnsZones": (
        ("location", _MISSING, "location"),
        ("location", "westeurope", "is 'global'"),
    ),
    "Microsoft.Network/privateDnsZones/A": (("properties.aRecords", [], "aRecords"),),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": (
        ("location", _MISSING, "location"),
        ("properties.virtualNetwork", _MISSING, "was not found"),
        ("properties.registrationEnabled", "yes", "registrationEnabled"),
        ("properties.resolutionPolicy", "Never", "resolutionPolicy"),
    ),
    "Microsoft.Network/privateEndpoints": (
        ("location", _MISSING, "location"),
        ("location", "eastus", "in the same region"),
        ("properties.subnet", _MISSING, "was not found"),
        ("properties.privateLinkServiceConnections", [], "must have one"),
        (f"{_CONNECTION}.name", _MISSING, "'name'"),
        (f"{_CONNECTION}.properties.privateLinkServiceId", "/nowhere", "was not found"),
        (f"{_CONNECTION}.properties.groupIds", ["blob", "file"], "OnlyOneGroupIdPermitted"),
        (f"{_CONNECTION}.properties.groupIds", ["BLOB"], "GroupId: BLOB"),
    ),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": (
        ("properties.privateDnsZoneConfigs", [], "privateDnsZoneConfigs"),
        ("properties.privateDnsZoneConfigs.0.properties.privateDnsZoneId", "/nowhere", "was not found"),
    ),
    "Microsoft.ContainerRegistry/registries/agentPools": (
        ("location", _MISSING, "location"),
        ("properties.tier", "XL", "tier"),
        ("properties.os", "Windows", "os"),
        ("properties.count", -1, "count"),
        ("properties.virtualNetworkSubnetResourceId", "/nowhere", "is not a subnet"),
    ),
    "Microsoft.MachineLearningServices/workspaces/outboundRules": (
        ("properties.type", "Pipe", "type 'Pipe'"),
        ("properties.category", "Odd", "category"),
        ("properties.category", "Required", "Required"),
        ("properties.destination", _MISSING, "destination"),
        ("properties.destination", "https://packages", "fully qualified"),
        ("properties.type", "PrivateEndpoint", "serviceResourceId"),
        ("properties.type", "ServiceTag", "serviceTag"),
    ),
}
"""What is wrong with each: the field, the value instead, and a word of the refusal."""

WRONG_DEPLOYMENTS: tuple[tuple[str, Any, str], ...] = (
    ("location", _MISSING, "location"),
    ("sku.capacity", 0, "sku.capacity '0'"),
    ("properties.endpointComputeType", _MISSING, "endpointComputeType"),
    ("properties.endpointComputeType", "Abacus", "endpointComputeType 'Abacus'"),
    ("properties.environmentId", _MISSING, "environmentId"),
    ("properties.instanceType", _MISSING, "instanceType"),
    ("properties.instanceType", "Standard_Tiny", "instanceType 'Standard_Tiny'"),
    ("properties.egressPublicNetworkAccess", "Maybe", "egressPublicNetworkAccess 'Maybe'"),
    ("properties.scaleSettings", {"scaleType": "Sideways"}, "scaleType 'Sideways'"),
    ("properties.dataCollector", {"collections": {}}, "dataCollector"),
    ("properties.dataCollector", {"collections": {"request": {"samplingRate": 2}}}, "samplingRate '2'"),
    ("properties.dataCollector", {"collections": {"request": {"dataCollectionMode": "On"}}}, "'On'"),
    ("properties.dataCollector", {"collections": {"request": {}}, "rollingRate": "Week"}, "'Week'"),
    ("properties.containerResourceRequirements", {"containerResourceLimits": {"cpu": "1"}}, "are for Kubernetes"),
    ("properties.requestSettings.maxConcurrentRequestsPerInstance", 0, "maxConcurrentRequestsPerInstance '0'"),
    ("properties.requestSettings.requestTimeout", "PT181S", "requestTimeout 'PT181S'"),
    ("properties.livenessProbe", {"failureThreshold": 0}, "livenessProbe.failureThreshold"),
    ("properties.readinessProbe", {"timeout": "soon"}, "readinessProbe.timeout 'soon'"),
    ("properties.environmentVariables", {"A": 1}, "environmentVariables"),
)


@pytest.fixture(autouse=True)
def ended(local: InProcessAzure) -> Iterator[None]:
    """A registry that is taken is a real one."""
    yield
    local.azure.suspend()


def _changed(body: Body, field: str, value: object) -> Body:
    """The body with one field otherwise, or without it."""
    found = copy.deepcopy(body)
    place: Any = found
    *folders, last = field.split(".")
    for name in folders:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    if value is _MISSING:
        del place[last]
    else:
        place[last] = value
    return found


def test_no_type_is_left_out() -> None:
    served = {kind.type for kind in TYPES} - NOBODY_WRITES
    assert {*WELL, DEPLOYMENTS} == served == {*WRONG, DEPLOYMENTS}


@pytest.mark.parametrize("kind", sorted(WRONG))
def test_a_wrong_field_is_refused_by_its_name_and_a_right_body_is_taken(local: InProcessAzure, kind: str) -> None:
    path, make = WELL[kind]
    path, body = path.format(subscription=local.azure.subscription), make(local)
    missed = [
        f"{field} = {'missing' if value is _MISSING else repr(value)[:40]}: {refusal}"
        for field, value, words in WRONG[kind]
        if (refusal := _refusal(local, path, _changed(body, field, value), words))
    ]
    assert missed == []
    local.ask("PUT", path, body)


def test_a_wrong_deployment_is_refused_by_its_fields_name(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        body = deployment_body(local)
        missed = [
            f"{field} = {'missing' if value is _MISSING else repr(value)[:40]}: {refusal}"
            for field, value, words in WRONG_DEPLOYMENTS
            if (refusal := _refusal(local, f"{ENDPOINT}/deployments/blue", _changed(body, field, value), words))
        ]
        assert missed == []
        assert not found.fleet.pools


def _refusal(local: InProcessAzure, path: str, body: Body, words: str) -> str:
    """What is wrong with the refusal; empty where it is as it should be."""
    try:
        local.ask("PUT", path, body)
    except AzureError as error:
        if error.status not in {400, 409} or not any(word in str(error) for word in words.split("|")):
            return f"{error.status} {error}"
        return "" if "\n" not in str(error) else "more than one line"
    return "was taken"


def _values(kind: type[Enum]) -> set[str]:
    return {str(each.value) for each in kind}


MODELLED: tuple[tuple[str, str, type[Enum], frozenset[str]], ...] = (
    (
        "Microsoft.MachineLearningServices/workspaces",
        "properties.publicNetworkAccess",
        ml.PublicNetworkAccess,
        frozenset(),
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
        "properties.authMode",
        ml.EndpointAuthMode,
        frozenset(),
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
        "properties.publicNetworkAccess",
        ml.PublicNetworkAccessType,
        frozenset(),
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/environments/versions",
        "properties.osType",
        ml.OperatingSystemType,
        frozenset(),
    ),
    ("Microsoft.ContainerRegistry/registries", "sku.name", acr.SkuName, frozenset({"Classic"})),
    ("Microsoft.ContainerRegistry/registries", "properties.publicNetworkAccess", acr.PublicNetworkAccess, frozenset()),
    ("Microsoft.ContainerRegistry/registries", "properties.zoneRedundancy", acr.ZoneRedundancy, frozenset()),
    (
        "Microsoft.ContainerRegistry/registries",
        "properties.networkRuleBypassOptions",
        acr.NetworkRuleBypassOptions,
        frozenset(),
    ),
    ("Microsoft.ContainerRegistry/registries", "properties.roleAssignmentMode", acr.RoleAssignmentMode, frozenset()),
)
"""Type, field, the real client's enumeration, and what Azure itself takes no more."""


@pytest.mark.parametrize(("kind", "field", "enumeration", "retired"), MODELLED)
def test_the_values_are_those_of_the_real_client(
    local: InProcessAzure, kind: str, field: str, enumeration: type[Enum], retired: frozenset[str]
) -> None:
    path, make = WELL[kind]
    body = make(local)
    taken = set()
    for n, value in enumerate(sorted(_values(enumeration))):
        # An environment's version is immutable: each value gets a version of its own.
        place = path.replace("/versions/1", f"/versions/{n + 1}")
        with suppress(AzureError):
            local.ask("PUT", place, _changed(body, field, value))
            taken.add(value)
    assert taken == _values(enumeration) - retired
