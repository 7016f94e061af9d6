"""The azure-native provider's fake: a table of resource types over the local Azure's ARM dispatcher.

Owns how each type's properties travel between the SDK and ARM: path parameters, what stays at the envelope, flattening.
What a type demands and does is the service's (emulator/services). Where a type is missing here, add a row to `TYPES`.
https://www.pulumi.com/registry/packages/azure-native/ - checked against the provider's source where behaviour matters.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from emulator.core.azure import Azure, Request, Response
from emulator.core.errors import AzureError
from emulator.core.rbac import Principal
from emulator.protocols.providers.base import (
    UNKNOWN,
    Change,
    CheckFailure,
    FakeProvider,
    Function,
    InitFailed,
    Path,
    Properties,
    ProviderError,
    ResourceHandler,
    Step,
    Values,
    client,
    error_text,
)
from emulator.services.keyvault import data as keyvault
from emulator.services.network import access as network

_NOT_FOUND = 404
_HALF_MADE = "it exists but its provisioning failed"
_COMMON = frozenset({"id", "name", "type", "systemData", "azureApiVersion"})
_RANDOM_DIGITS = 8
_RULES = "networkRuleSet"
_ADDRESS = ("iPAddressOrRange", "value")
"""How the SDK (`x-ms-client-name`) and ARM call the address of such a rule."""
_SECRET = "azure-native:keyvault:Secret"  # noqa: S105 - a type token
_WHOLE_IDS = frozenset({"scope", "resourceUri"})
"""Path parameters that are ids of their own."""


@dataclass(frozen=True)
class ResourceSpec:
    """One azure-native type: where it lives in ARM, and how its properties travel."""

    token: str
    path: str
    """The id, with the SDK's names of the path parameters in braces."""
    version: str
    """The API version that the SDK's default module uses."""
    envelope: frozenset[str] = frozenset({"location", "tags"})
    """Inputs that are siblings of `properties` in ARM."""
    flat: bool = True
    """Whether the SDK lifts ARM's `properties` to the top."""
    computed: frozenset[str] = frozenset()
    """Outputs that are no inputs, besides those that every type has."""
    read_only: tuple[Path, ...] = ()
    """What Azure alone fills in inside an input: no drift, and nothing that an import takes over."""
    replaces: frozenset[str] = frozenset({"location"})
    """Inputs, besides the path parameters, whose change replaces the resource: those at the top that the specification
    of the API marks `x-ms-mutability: create, read`, and those in the provider's own list. Any other is written in
    place, whether Azure takes it or not.
    https://github.com/pulumi/pulumi-azure-native/blob/master/provider/pkg/gen/replacement.go
    https://github.com/pulumi/pulumi-azure-native/blob/master/provider/pkg/gen/properties.go (forceNew)"""
    secret: frozenset[Path] = frozenset()
    private: frozenset[str] = frozenset()
    """Inputs at the top of `properties` that Azure takes and never gives back."""
    spelled: tuple[str, ...] = ()
    """Properties that ARM spells `Like_This`, where the SDK says `likeThis`."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Properties with another name in ARM: the SDK's and ARM's."""
    wrapped: frozenset[str] = frozenset()
    """Lists whose entries have `properties` of their own in ARM, which the SDK lifts (`x-ms-client-flatten`)."""
    getter: str = ""
    """The function that reads it, such as `getRegistry`; derived from the token by default."""
    parameters: tuple[str, ...] = field(init=False)

    @property
    def arm_names(self) -> dict[str, str]:
        """ARM's spelling by the SDK's."""
        return {name[0].lower() + name[1:].replace("_", ""): name for name in self.spelled} | dict(self.renamed)

    def __post_init__(self) -> None:
        """Find the path's parameters."""
        object.__setattr__(self, "parameters", tuple(re.findall(r"{(\w+)}", self.path)))


_GROUP = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
_WORKSPACE = _GROUP + "/providers/Microsoft.MachineLearningServices/workspaces/{workspaceName}"

_NETWORK = _GROUP + "/providers/Microsoft.Network"
_ZONE = _NETWORK + "/privateDnsZones/{privateZoneName}"


def _spec(token: str, path: str, version: str, **more: Any) -> ResourceSpec:  # noqa: ANN401 - the fields of ResourceSpec
    sets: dict[str, Any] = {key: frozenset(value) if isinstance(value, set) else value for key, value in more.items()}
    return ResourceSpec(f"azure-native:{token}", path, version, **sets)


TYPES = (
    _spec(
        "resources:ResourceGroup",
        _GROUP,
        "2024-03-01",
        envelope={"location", "tags", "managedBy"},
        flat=False,
        computed={"properties"},
    ),
    _spec(
        "storage:StorageAccount",
        _GROUP + "/providers/Microsoft.Storage/storageAccounts/{accountName}",
        "2024-01-01",
        envelope={"location", "tags", "sku", "kind", "identity", "extendedLocation"},
        computed={
            "creationTime",
            "keyCreationTime",
            "primaryEndpoints",
            "primaryLocation",
            "privateEndpointConnections",
            "provisioningState",
            "statusOfPrimary",
        },
        replaces={"location", "isHnsEnabled"},
        renamed=(("enableHttpsTrafficOnly", "supportsHttpsTrafficOnly"), ("networkRuleSet", "networkAcls")),
    ),
    _spec(
        "keyvault:Vault",
        _GROUP + "/providers/Microsoft.KeyVault/vaults/{vaultName}",
        "2024-11-01",
        flat=False,
        replaces=set(),
    ),
    _spec(
        "keyvault:Secret",
        _GROUP + "/providers/Microsoft.KeyVault/vaults/{vaultName}/secrets/{secretName}",
        "2024-11-01",
        envelope={"tags"},
        flat=False,
        computed={"location"},
        # https://learn.microsoft.com/rest/api/keyvault/keyvault/secrets/get
        read_only=(
            *(("properties", name) for name in ("secretUri", "secretUriWithVersion")),
            *(("properties", "attributes", name) for name in ("created", "updated")),
        ),
        secret={("properties", "value")},
        private={"value"},
    ),
    _spec(
        "operationalinsights:Workspace",
        _GROUP + "/providers/Microsoft.OperationalInsights/workspaces/{workspaceName}",
        "2023-09-01",
        envelope={"location", "tags", "identity"},
        computed={
            "createdDate",
            "customerId",
            "etag",
            "modifiedDate",
            "privateLinkScopedResources",
            "provisioningState",
        },
    ),
    _spec(
        "applicationinsights:Component",
        _GROUP + "/providers/Microsoft.Insights/components/{resourceName}",
        "2020-02-02",
        envelope={"location", "tags", "kind"},
        computed={
            "appId",
            "applicationId",
            "connectionString",
            "creationDate",
            "etag",
            "hockeyAppToken",
            "instrumentationKey",
            "laMigrationDate",
            "privateLinkScopedResources",
            "provisioningState",
            "tenantId",
        },
        replaces={"location", "applicationType"},
        spelled=(
            *("AppId", "ApplicationId", "Application_Type", "ConnectionString", "CreationDate", "DisableIpMasking"),
            *("DisableLocalAuth", "Flow_Type", "ForceCustomerStorageForProfiler", "HockeyAppId", "HockeyAppToken"),
            *("ImmediatePurgeDataOn30Days", "IngestionMode", "InstrumentationKey", "LaMigrationDate"),
            *("PrivateLinkScopedResources", "Request_Source", "RetentionInDays", "SamplingPercentage", "TenantId"),
            "WorkspaceResourceId",
        ),
    ),
    _spec(
        "containerregistry:Registry",
        _GROUP + "/providers/Microsoft.ContainerRegistry/registries/{registryName}",
        "2023-01-01-preview",
        envelope={"location", "tags", "sku", "identity"},
        computed={
            "creationDate",
            "dataEndpointHostNames",
            "loginServer",
            "privateEndpointConnections",
            "provisioningState",
            "status",
        },
        # https://learn.microsoft.com/azure/templates/microsoft.containerregistry/registries: by the name of the SKU.
        read_only=(("sku", "tier"),),
    ),
    _spec(
        "machinelearningservices:Workspace",
        _WORKSPACE,
        "2025-12-01",
        envelope={"location", "tags", "sku", "kind", "identity"},
        computed={
            "mlFlowTrackingUri",
            "notebookInfo",
            "privateEndpointConnections",
            "privateLinkCount",
            "provisioningState",
            "serviceProvisionedResourceGroup",
            "storageHnsEnabled",
            "tenantId",
            "workspaceId",
        },
        replaces=set(),
    ),
    _spec(
        "machinelearningservices:WorkspaceConnection",
        _GROUP + "/providers/Microsoft.MachineLearningServices/workspaces/{workspaceName}/connections/{connectionName}",
        "2025-12-01",
        envelope=set(),
        flat=False,
        secret={("properties", "credentials")},
        private={"credentials"},
    ),
    _spec(
        "machinelearningservices:EnvironmentVersion",
        _WORKSPACE + "/environments/{name}/versions/{version}",
        "2025-12-01",
        envelope=set(),
        flat=False,
    ),
    _spec(
        "machinelearningservices:OnlineEndpoint",
        _WORKSPACE + "/onlineEndpoints/{endpointName}",
        "2025-12-01",
        envelope={"location", "tags", "sku", "kind", "identity"},
        flat=False,
    ),
    _spec(
        "machinelearningservices:OnlineDeployment",
        _WORKSPACE + "/onlineEndpoints/{endpointName}/deployments/{deploymentName}",
        "2025-12-01",
        envelope={"location", "tags", "sku", "kind", "identity"},
        flat=False,
    ),
    _spec(
        "machinelearningservices:Compute",
        _WORKSPACE + "/computes/{computeName}",
        "2025-12-01",
        envelope={"location", "tags", "sku", "identity"},
        flat=False,
        replaces=set(),
    ),
    _spec(
        "machinelearningservices:ManagedNetworkSettingsRule",
        _WORKSPACE + "/outboundRules/{ruleName}",
        "2025-12-01",
        envelope=set(),
        flat=False,
        read_only=(("properties", "status"),),
    ),
    _spec(
        "containerregistry:AgentPool",
        _GROUP + "/providers/Microsoft.ContainerRegistry/registries/{registryName}/agentPools/{agentPoolName}",
        "2019-06-01-preview",
        computed={"provisioningState"},
    ),
    _spec(
        "network:VirtualNetwork",
        _NETWORK + "/virtualNetworks/{virtualNetworkName}",
        "2024-05-01",
        envelope={"location", "tags", "extendedLocation"},
        computed={"etag", "provisioningState", "resourceGuid"},
        wrapped={"subnets"},
    ),
    _spec(
        "network:Subnet",
        _NETWORK + "/virtualNetworks/{virtualNetworkName}/subnets/{subnetName}",
        "2024-05-01",
        envelope=set(),
        computed={"etag", "privateEndpoints", "provisioningState"},
    ),
    _spec(
        "network:PrivateEndpoint",
        _NETWORK + "/privateEndpoints/{privateEndpointName}",
        "2024-05-01",
        envelope={"location", "tags", "extendedLocation"},
        computed={"customDnsConfigs", "etag", "networkInterfaces", "provisioningState"},
        wrapped={"privateLinkServiceConnections", "manualPrivateLinkServiceConnections"},
    ),
    _spec(
        "network:PrivateDnsZoneGroup",
        _NETWORK + "/privateEndpoints/{privateEndpointName}/privateDnsZoneGroups/{privateDnsZoneGroupName}",
        "2024-05-01",
        envelope=set(),
        computed={"etag", "provisioningState"},
        wrapped={"privateDnsZoneConfigs"},
    ),
    _spec(
        "privatedns:PrivateZone",
        _ZONE,
        "2024-06-01",
        computed={
            "etag",
            "internalId",
            "maxNumberOfRecordSets",
            "maxNumberOfVirtualNetworkLinks",
            "maxNumberOfVirtualNetworkLinksWithRegistration",
            "numberOfRecordSets",
            "numberOfVirtualNetworkLinks",
            "numberOfVirtualNetworkLinksWithRegistration",
            "provisioningState",
        },
    ),
    _spec(
        "privatedns:VirtualNetworkLink",
        _ZONE + "/virtualNetworkLinks/{virtualNetworkLinkName}",
        "2024-06-01",
        computed={"etag", "provisioningState", "virtualNetworkLinkState"},
    ),
    _spec(
        "monitor:AutoscaleSetting",
        _GROUP + "/providers/Microsoft.Insights/autoscaleSettings/{autoscaleSettingName}",
        "2021-05-01-preview",
    ),
    _spec(
        "monitor:DiagnosticSetting",
        "/{resourceUri}/providers/Microsoft.Insights/diagnosticSettings/{name}",
        "2021-05-01-preview",
        envelope=set(),
    ),
    _spec(
        "managedidentity:UserAssignedIdentity",
        _GROUP + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{resourceName}",
        "2023-01-31",
        computed={"clientId", "principalId", "tenantId"},
    ),
    _spec(
        "authorization:RoleAssignment",
        "/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
        "2022-04-01",
        envelope=set(),
        computed={"createdBy", "createdOn", "updatedBy", "updatedOn"},
        replaces={"principalId"},
    ),
)


class ArmHandler(ResourceHandler):
    """A row of the table at work, on behalf of the principal that deploys."""

    def __init__(self, azure: Azure, principal: Principal, spec: ResourceSpec, settings: Mapping[str, Any]) -> None:
        self._azure = azure
        self._principal = principal
        self._settings = settings
        self.spec = spec
        self.computed = _COMMON - {"id"} | spec.computed | (frozenset() if spec.flat else {"properties"})
        self.replaces = frozenset({*spec.parameters, *spec.replaces})
        self.secret = spec.secret

    # -- what the engine asks ------------------------------------------------------------------------------------------

    def check(self, step: Step, old: Values, new: Values) -> Values:
        """Name what has no name, as the real provider does; the location may come from its config or the group."""
        inputs = dict(new)
        *parents, own = (name for name in self.spec.parameters if name != "subscriptionId")
        for name in parents:
            if not inputs.get(name):
                raise CheckFailure(name, f"missing required property '{name}'")
        if not inputs.get(own):
            inputs[own] = old.get(own) or step.name + step.seed.hex()[:_RANDOM_DIGITS]
        if "location" in self.spec.envelope and not inputs.get("location"):
            location = old.get("location") or self._settings.get("location") or self._group_location(inputs)
            inputs |= {"location": location} if location else {}
        return inputs

    def ignored(self, change: Change, old: Values, new: Values) -> bool:
        """Letter case and spaces say nothing in a location."""
        if change.path != "location" or change.kind != "UPDATE":
            return False
        return _location(old["location"]) == _location(new["location"])

    def preview(self, new: Values, old: Values | None) -> Values:
        """What Azure may fill in is unknown; path parameters are no outputs."""
        outputs = {**dict.fromkeys(self.spec.envelope, UNKNOWN), **super().preview(self._without_path(new), old)}
        if not self.spec.flat:
            outputs["properties"] = UNKNOWN
        if isinstance(outputs.get("identity"), dict):
            outputs["identity"] = {**outputs["identity"], "principalId": UNKNOWN, "tenantId": UNKNOWN}
        return outputs

    def create(self, step: Step, new: Values) -> tuple[str, Values]:  # noqa: ARG002
        """PUT, after a GET that must answer 404."""
        id_ = self._id(new)
        if self._get(id_) is not None:
            raise ProviderError(f"cannot create already existing resource '{id_}'")
        body = self._put(id_, new)
        return str(body["id"]), self._outputs(body)

    def read(self, id_: str, outputs: Values) -> Values | None:  # noqa: ARG002
        """GET."""
        body = self._get(id_)
        return None if body is None else self._outputs(body)

    def update(self, step: Step, id_: str, old: Values, new: Values) -> Values:  # noqa: ARG002
        """PUT: what is left out returns to Azure's default."""
        return self._outputs(self._put(id_, new))

    def delete(self, id_: str, outputs: Values) -> None:  # noqa: ARG002
        """DELETE; gone already is fine. Of a secret through its vault's data plane, as the provider's source has it.

        https://github.com/pulumi/pulumi-azure-native/blob/master/provider/pkg/resources/customresources/custom_keyvault.go
        """
        try:
            if self.spec.token == _SECRET:
                vault = self._azure.find(id_.rpartition("/secrets/")[0])
                if not network.is_open(vault):
                    keyvault.pass_firewall(self._azure, vault, self._principal, client())
                keyvault.delete_secret(self._azure, self._principal, vault, id_.rpartition("/")[2])
                return
            self._wait(self._ask("DELETE", id_))
        except AzureError as error:
            if error.status != _NOT_FOUND:
                raise

    def inputs(self, id_: str, outputs: Values) -> Values:
        """The inputs as far as Azure shows them: the path's parts, and the outputs that are not read-only."""
        writable = {name: value for name, value in outputs.items() if name not in self.computed - {"properties"}}
        writable.pop("id", None)
        if self.spec.token.endswith(":ResourceGroup"):
            writable.pop("properties", None)
        identity = writable.get("identity")
        if isinstance(identity, dict):
            assignable = {name: value for name, value in identity.items() if name not in {"principalId", "tenantId"}}
            if isinstance(assignable.get("userAssignedIdentities"), dict):
                assignable["userAssignedIdentities"] = sorted(assignable["userAssignedIdentities"])
            writable["identity"] = assignable
        for path in self.spec.read_only:
            writable = _without(writable, path)
        return {**writable, **self._parts(id_)}

    # -- invokes -------------------------------------------------------------------------------------------------------

    def get(self, arguments: Values) -> Properties:
        """`getThing`: its outputs, by its path parameters."""
        id_ = self._id(arguments)
        body = self._ask("GET", id_).body or {}
        return Properties(self._outputs(body), self.spec.secret)

    def post(self, action: str, arguments: Values) -> Values:
        """An action of a resource, such as `listCredentials`."""
        body = {name: value for name, value in arguments.items() if name not in self.spec.parameters}
        return self._wait(self._ask("POST", f"{self._id(arguments)}/{action}", body)) or {}

    # -- ARM -----------------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: Values | None = None) -> Response:
        query = {"api-version": self.spec.version}
        return self._azure.request(Request(method, path, self._principal, body or {}, query))

    def _wait(self, response: Response) -> Values | None:
        return self._azure.wait(response)

    def _get(self, id_: str) -> Values | None:
        try:
            return self._ask("GET", id_).body
        except AzureError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def _put(self, id_: str, new: Values) -> Values:
        accepted = self._ask("PUT", id_, self._body(new))
        try:
            self._wait(accepted)
            return self._get(id_) or {}  # the provider reads what it made
        except AzureError as error:
            # Azure took the request, so the resource is there: the engine must know of it, or the next update
            # would try to create what exists.
            left = self._get(id_)
            if left is None:
                raise
            raise InitFailed(str(left["id"]), self._outputs(left), f"{_HALF_MADE}: {error_text(error)}") from error

    def _id(self, values: Values) -> str:
        parts = {"subscriptionId": self._azure.subscription, **values}
        if missing := [name for name in self.spec.parameters if not parts.get(name)]:
            raise AzureError(400, "MissingRequiredParameter", f"{self.spec.token} lacks '{missing[0]}'")
        filled = {name: str(parts[name]).strip("/") for name in self.spec.parameters}
        return self.spec.path.format_map(filled)

    def _parts(self, id_: str) -> Values:
        pattern = re.sub(r"{(\w+)}", lambda m: f"(?P<{m[1]}>{'.+' if m[1] in _WHOLE_IDS else '[^/]+'})", self.spec.path)
        match = re.fullmatch(pattern, id_, re.IGNORECASE)
        if match is None:
            raise AzureError(400, "InvalidResourceId", f"'{id_}' is not the id of a {self.spec.token}")
        return {
            name: f"/{value}" if name in _WHOLE_IDS else value
            for name, value in match.groupdict().items()
            if name != "subscriptionId"
        }

    def _without_path(self, values: Values) -> Values:
        return {name: value for name, value in values.items() if name not in self.spec.parameters or name == "scope"}

    def _body(self, new: Values) -> Values:
        inputs = {name: value for name, value in new.items() if name not in self.spec.parameters}
        envelope = {name: value for name, value in inputs.items() if name in self.spec.envelope}
        identity = envelope.get("identity")
        if isinstance(identity, dict) and isinstance(identity.get("userAssignedIdentities"), list):
            # The SDK takes a list of ids; ARM wants a map.
            assigned: Values = {id_: {} for id_ in identity["userAssignedIdentities"]}
            envelope["identity"] = {**identity, "userAssignedIdentities": assigned}
        if not self.spec.flat:
            return {**envelope, "properties": inputs.get("properties") or {}}
        names = self.spec.arm_names
        inputs = _addressed(inputs, *_ADDRESS)
        properties = {names.get(n, n): v for n, v in inputs.items() if n not in self.spec.envelope}
        for name in self.spec.wrapped & properties.keys():
            properties[name] = [_wrapped(each) for each in properties[name]]
        return {**envelope, "properties": properties} if properties else envelope

    def _outputs(self, body: Values) -> Values:
        names = {arm: sdk for sdk, arm in self.spec.arm_names.items()}
        properties = {
            names.get(name, name): value
            for name, value in (body.get("properties") or {}).items()
            if name not in self.spec.private
        }
        properties = _addressed(properties, *reversed(_ADDRESS))
        for name in self.spec.wrapped & properties.keys():
            properties[name] = [_lifted(each) for each in properties[name]]
        outer = {name: value for name, value in body.items() if name not in {"properties", "id"} and value is not None}
        inner = properties if self.spec.flat else {"properties": properties}
        # `id` is the resource's own; the engine keeps it apart from the outputs.
        return {**inner, **outer, "id": body["id"], "azureApiVersion": self.spec.version}

    def _group_location(self, inputs: Values) -> str:
        name = inputs.get("resourceGroupName")
        if not name or name == UNKNOWN:
            return ""
        id_ = _GROUP.format(subscriptionId=self._azure.subscription, resourceGroupName=name)
        try:
            group = self._azure.request(Request("GET", id_, self._principal)).body or {}
        except AzureError:
            return ""
        return str(group.get("location", ""))


def _addressed(values: Values, old: str, new: str) -> Values:
    """Rename the address in each rule of a registry's or storage account's network."""
    rules = values.get(_RULES)
    if not isinstance(rules, dict) or "ipRules" not in rules:
        return values
    renamed = [{new if name == old else name: each[name] for name in each} for each in rules["ipRules"]]
    return {**values, _RULES: {**rules, "ipRules": renamed}}


def _wrapped(entry: Values) -> Values:
    """Write an entry of a list as ARM has it."""
    outer = {name: value for name, value in entry.items() if name in {"id", "name"}}
    inner = {name: value for name, value in entry.items() if name not in outer}
    return {**outer, "properties": inner} if inner else outer


def _lifted(entry: Values) -> Values:
    """Read an entry of a list as the SDK has it."""
    return {**{name: value for name, value in entry.items() if name != "properties"}, **entry.get("properties", {})}


def _without(values: Values, path: Path) -> Values:
    """Leave out what lies at a path."""
    head, *rest = path
    if not rest:
        return {name: value for name, value in values.items() if name != head}
    inner = values.get(str(head))
    return {**values, str(head): _without(inner, tuple(rest))} if isinstance(inner, dict) else values


def _location(value: object) -> str:
    return str(value).replace(" ", "").lower()


class AzureNative(FakeProvider):
    """azure-native on the local Azure."""

    name: ClassVar[str] = "azure-native"
    module: ClassVar[str] = "pulumi_azure_native"

    def __init__(self, azure: Azure, principal: Principal) -> None:
        super().__init__(azure)
        self._principal = principal
        rows = {spec.token: ArmHandler(azure, principal, spec, self.settings) for spec in TYPES}
        self.handlers = rows
        self.functions = {
            "azure-native:authorization:getClientConfig": self._client_config,
            **dict(_getters(rows.values())),
            **_actions(rows),
        }

    def _client_config(self, arguments: Values) -> Properties:  # noqa: ARG002
        return Properties(
            {
                "clientId": self._principal.app_id,
                "objectId": self._principal.object_id,
                "subscriptionId": self._azure.subscription,
                "tenantId": self._azure.tenant,
            }
        )


def _getters(handlers: Iterable[ArmHandler]) -> Iterable[tuple[str, Function]]:
    for handler in handlers:
        head, _, own = handler.spec.token.rpartition(":")
        yield f"{head}:{handler.spec.getter or 'get' + own}", handler.get


def _actions(rows: Mapping[str, ArmHandler]) -> dict[str, Function]:
    registry = rows["azure-native:containerregistry:Registry"]
    workspace = rows["azure-native:machinelearningservices:Workspace"]
    endpoint = rows["azure-native:machinelearningservices:OnlineEndpoint"]
    storage = rows["azure-native:storage:StorageAccount"]
    return {
        "azure-native:containerregistry:listRegistryCredentials": lambda arguments: Properties(
            registry.post("listCredentials", arguments), frozenset({("passwords",)})
        ),
        "azure-native:machinelearningservices:listOnlineEndpointKeys": lambda arguments: _all_secret(
            endpoint.post("listKeys", arguments)
        ),
        "azure-native:machinelearningservices:getOnlineEndpointToken": lambda arguments: _all_secret(
            endpoint.post("token", arguments)
        ),
        "azure-native:machinelearningservices:listWorkspaceKeys": lambda arguments: _all_secret(
            workspace.post("listKeys", arguments)
        ),
        "azure-native:storage:listStorageAccountKeys": lambda arguments: Properties(
            storage.post("listKeys", arguments), frozenset({("keys",)})
        ),
    }


def _all_secret(values: Values) -> Properties:
    return Properties(values, frozenset((name,) for name in values))
