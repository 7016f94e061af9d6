"""Domain types: what a name, an id, a route or a duration may look like, and the settings that components take.

Owns the rules Azure has for each kind of text, and the one line that is said when a text breaks one. Refuses to own
physical names (`names.py`), which fields a stack has and their defaults (`settings/stack_file.py`), and what may go
together (`mixtures.py`). Pure: imports no Pulumi resource. Rules:
https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal, NotRequired, TypedDict

import pulumi
from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class SettingsError(pulumi.RunError):
    """Settings that cannot be carried out: a line each, with field, value and remedy. No traceback is shown."""


@dataclass(frozen=True)
class Rule:
    """How a kind of text must look, in code and in words."""

    what: str
    """The kind, as a reader would call it."""
    pattern: str
    """The whole text must match this."""
    minimum: int
    maximum: int
    words: str
    """What is allowed, and what to write instead."""
    example: str

    def problem(self, text: str) -> str | None:
        """What is wrong with a text, in words; None when it is fine."""
        if self.minimum <= len(text) <= self.maximum and re.fullmatch(self.pattern, text):
            return None
        return f"{self.what} takes {self.words}; for instance {self.example}"


_LONG: Final = 200
"""Characters of a value that an error shows."""

_UUID: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_GROUP = r"[\w().-]{0,89}[\w()-]"
_PART = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]{1,5})?"
_IMAGE_HOST: Final = rf"(?=[^/]*[.:]|localhost/){_HOST}"
"""As docker has it: without a dot or a port, the first word is a folder of Docker Hub."""

RULES: Mapping[str, Rule] = {
    "resourceGroup": Rule(
        "a resource group", _GROUP, 1, 90, "1 to 90 letters, digits and . _ - ( ), no . at the end", "scoring-dev"
    ),
    "registry": Rule("a registry name", "[a-zA-Z0-9]+", 5, 50, "5 to 50 letters and digits, no dash", "scoringdev"),
    "storageAccount": Rule("a storage account", "[a-z0-9]+", 3, 24, "3 to 24 small letters and digits", "scoringdev"),
    "vault": Rule(
        "a key vault",
        "[a-zA-Z](-?[a-zA-Z0-9])*",
        3,
        24,
        "3 to 24 letters, digits and single dashes, a letter first",
        "scoring-dev",
    ),
    "workspace": Rule(
        "a workspace", "[a-zA-Z0-9][a-zA-Z0-9_-]*", 3, 33, "3 to 33 letters, digits, - and _", "scoring-dev"
    ),
    "logs": Rule(
        "a log analytics workspace",
        "[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]",
        4,
        63,
        "4 to 63 letters, digits and dashes, none at an end",
        "scoring-dev",
    ),
    "insights": Rule(
        "an Application Insights component", r"[\w().-]*[\w()-]", 1, 260, "letters, digits and . _ - ( )", "scoring-dev"
    ),
    "identity": Rule(
        "a managed identity",
        "[a-zA-Z0-9][a-zA-Z0-9_-]*",
        3,
        128,
        "3 to 128 letters, digits, - and _",
        "scoring-dev-pull",
    ),
    "connection": Rule(
        "a workspace connection", "[a-zA-Z0-9][a-zA-Z0-9_-]*", 3, 33, "3 to 33 letters, digits, - and _", "scoring-pull"
    ),
    "secret": Rule("a vault secret", "[a-zA-Z0-9-]+", 1, 127, "1 to 127 letters, digits and dashes", "pull-password"),
    "endpoint": Rule(
        "an endpoint",
        "[a-zA-Z][a-zA-Z0-9-]*[a-zA-Z0-9]",
        3,
        32,
        "3 to 32 letters, digits and dashes, a letter first",
        "scoring-dev",
    ),
    "deployment": Rule(
        "a deployment",
        "[a-zA-Z][a-zA-Z0-9-]*[a-zA-Z0-9]",
        3,
        32,
        "3 to 32 letters, digits and dashes, a letter first",
        "blue",
    ),
    "environment": Rule(
        "an environment", "[a-zA-Z0-9][a-zA-Z0-9._-]*", 1, 255, "up to 255 letters, digits and . _ -", "sklearn-scoring"
    ),
    "password": Rule(
        "a password's name",
        "[a-z0-9]([a-z0-9-]*[a-z0-9])?",
        1,
        32,
        "1 to 32 small letters, digits and dashes",
        "2026-07",
    ),
    "repository": Rule(
        "a repository",
        f"{_PART}(/{_PART})*",
        1,
        255,
        "small letters and digits, parted by . _ - or /, without a tag",
        "scoring/sklearn",
    ),
    "location": Rule("a location", "[a-z]+[0-9]?", 3, 40, "Azure's short form: small letters, no blank", "westeurope"),
    "instanceType": Rule(
        "an instance type", "Standard_[A-Za-z0-9_]+", 10, 64, "a size's full name with Standard_", "Standard_DS3_v2"
    ),
    "route": Rule("a route", r"/[A-Za-z0-9._~/%-]*", 1, 256, "a path that starts with /", "/score"),
    "duration": Rule(
        "a duration", r"PT(?=\d)(\d+H)?(\d+M)?(\d+S)?", 4, 16, "ISO 8601: PT, then hours, minutes, seconds", "PT10S"
    ),
    "platform": Rule("a platform", "linux/[a-z0-9]+(/[a-z0-9]+)?", 8, 32, "linux/ and an architecture", "linux/amd64"),
    "digest": Rule("a digest", "sha256:[0-9a-f]{64}", 71, 71, "sha256: and 64 hexadecimal digits", "sha256:3f0c…"),
    "imageReference": Rule(
        "an image reference",
        rf"{_IMAGE_HOST}/{_PART}(/{_PART})*(:\w[\w.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?",
        1,
        512,
        "host/repository:tag, host/repository@sha256:… or both; the host with its dot or port",
        "mcr.microsoft.com/azureml/curated/sklearn:12",
    ),
    "pinnedImage": Rule(
        "an image to promote",
        rf"{_IMAGE_HOST}/{_PART}(/{_PART})*@sha256:[0-9a-f]{{64}}",
        1,
        512,
        "host/repository@sha256:…, because tags move; `docker buildx imagetools inspect IMAGE` tells the digest",
        "scoringdev.azurecr.io/scoring/sklearn@sha256:3f0c…",
    ),
    "vaultSecret": Rule(
        "a vault secret's id",
        r"https://([a-zA-Z0-9-]+\.vault\.(azure\.net|azure\.cn|usgovcloudapi\.net)|localhost:\d+)"
        r"/secrets/[a-zA-Z0-9-]+(/[0-9a-f]{32})?",
        1,
        512,
        "https://VAULT.vault.azure.net/secrets/NAME, with /VERSION where it shall stay one",
        "what `az keyvault secret show --vault-name VAULT --name NAME --query id` prints",
    ),
    "registryId": Rule(
        "a registry's ARM id",
        f"/subscriptions/{_UUID}/resourceGroups/{_GROUP}/providers/Microsoft.ContainerRegistry/registries/[a-zA-Z0-9]+",
        1,
        512,
        "/subscriptions/…/resourceGroups/…/providers/Microsoft.ContainerRegistry/registries/NAME",
        "what `az acr show --name NAME --query id` prints",
    ),
    "registryAddress": Rule(
        "a registry's address",
        _HOST,
        1,
        255,
        "a host name, with a port where it has one, without https:// and path",
        "ghcr.io",
    ),
    "compute": Rule(
        "an attached compute",
        "[a-zA-Z][a-zA-Z0-9-]*[a-zA-Z0-9]",
        2,
        16,
        "2 to 16 letters, digits and dashes, a letter first",
        "scoring-aks",
    ),
    "computeId": Rule(
        "a compute's ARM id",
        f"/subscriptions/{_UUID}/resourceGroups/{_GROUP}"
        "/providers/Microsoft.MachineLearningServices/workspaces/[a-zA-Z0-9][a-zA-Z0-9_-]*/computes/[a-zA-Z0-9-]+",
        1,
        512,
        "/subscriptions/…/workspaces/NAME/computes/NAME",
        "what `az ml compute show --name NAME --query id` prints",
    ),
    "clusterId": Rule(
        "a cluster's ARM id",
        f"/subscriptions/{_UUID}/resource[gG]roups/{_GROUP}/providers"
        r"/(Microsoft\.ContainerService/managedClusters|Microsoft\.Kubernetes/connectedClusters)/[a-zA-Z0-9_-]+",
        1,
        512,
        "/subscriptions/…/Microsoft.ContainerService/managedClusters/NAME, or …Kubernetes/connectedClusters/NAME",
        "what `az aks show --name NAME --resource-group GROUP --query id` prints",
    ),
    "identityId": Rule(
        "a managed identity's ARM id",
        f"/subscriptions/{_UUID}/resource[gG]roups/{_GROUP}"
        "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/[a-zA-Z0-9][a-zA-Z0-9_-]*",
        1,
        512,
        "/subscriptions/…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/NAME",
        "what `az identity show --name NAME --resource-group GROUP --query id` prints",
    ),
    "logWorkspaceId": Rule(
        "a log analytics workspace's ARM id",
        f"/subscriptions/{_UUID}/resource[gG]roups/{_GROUP}"
        "/providers/[mM]icrosoft.[oO]perational[iI]nsights/workspaces/[a-zA-Z0-9][a-zA-Z0-9-]*",
        1,
        512,
        "/subscriptions/…/providers/Microsoft.OperationalInsights/workspaces/NAME",
        "what `az monitor log-analytics workspace show --name NAME --resource-group GROUP --query id` prints",
    ),
    "namespace": Rule(
        "a Kubernetes namespace",
        "[a-z0-9]([a-z0-9-]*[a-z0-9])?",
        1,
        63,
        "1 to 63 small letters, digits and dashes, none at an end",
        "scoring",
    ),
    "kubernetesInstanceType": Rule(
        "an instance type of a cluster",
        "[a-z0-9]([a-z0-9.-]*[a-z0-9])?",
        1,
        253,
        "the name of an InstanceType resource: small letters, digits, dashes and dots",
        "defaultinstancetype",
    ),
    "cpu": Rule(
        "an amount of CPU", r"[0-9]{1,4}(\.[0-9]{1,3})?|[0-9]{1,7}m", 1, 8, "cores, or thousandths with m", "500m"
    ),
    "memory": Rule(
        "an amount of memory",
        r"[0-9]{1,6}(\.[0-9]{1,3})?([KMGT]i|[kMGT])",
        2,
        12,
        "a number with Ki, Mi, Gi, Ti or k, M, G, T",
        "2Gi",
    ),
    "collection": Rule(
        "a data collection", "[A-Za-z0-9][A-Za-z0-9_-]*", 1, 255, "letters, digits, _ and -", "model_inputs"
    ),
    "workspaceId": Rule(
        "a workspace's ARM id",
        f"/subscriptions/{_UUID}/resourceGroups/{_GROUP}"
        "/providers/Microsoft.MachineLearningServices/workspaces/[a-zA-Z0-9][a-zA-Z0-9_-]*",
        1,
        512,
        "/subscriptions/…/resourceGroups/…/providers/Microsoft.MachineLearningServices/workspaces/NAME",
        "what `az ml workspace show --name NAME --query id` prints",
    ),
    "asset": Rule(
        "a model's or code's name", "[a-zA-Z0-9][a-zA-Z0-9_-]*", 1, 255, "up to 255 letters, digits, - and _", "iris"
    ),
    "modelReference": Rule(
        "a registered model",
        f"azureml:[a-zA-Z0-9][a-zA-Z0-9_-]*:[1-9][0-9]*|/subscriptions/{_UUID}/resourceGroups/{_GROUP}"
        "/providers/Microsoft.MachineLearningServices/workspaces/[^/]+/models/[a-zA-Z0-9][a-zA-Z0-9_-]*"
        "/versions/[1-9][0-9]*",
        1,
        512,
        "azureml:NAME:VERSION with a whole number, or a version's ARM id",
        "azureml:iris:3",
    ),
    "mountPath": Rule(
        "a mount path", r"/(?!.*\.\.)[\w./-]+", 2, 255, "an absolute path in the container, without ..", "/var/models"
    ),
    "entryScript": Rule(
        "an entry script",
        r"(?!/)(?!.*\.\.)[\w./ -]+\.py",
        4,
        255,
        "a Python file's path seen from the code's folder",
        "score.py",
    ),
    "baseImage": Rule(
        "a base image",
        f"{_HOST}/{_PART}(/{_PART})*(:[\\w][\\w.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?|{_PART}(:[\\w][\\w.-]{{0,127}})?",
        1,
        512,
        "host/repository:tag or host/repository@sha256:…",
        "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260901.v1",
    ),
    "python": Rule("a Python version", r"3\.\d{1,2}(\.\d{1,2})?", 3, 7, "its numbers, in quotes", '"3.11"'),
    "variable": Rule(
        "an environment variable",
        "[A-Za-z_][A-Za-z0-9_]*",
        1,
        255,
        "letters, digits and _, no digit first",
        "LOG_LEVEL",
    ),
    "tagName": Rule("a tag's name", r"[^<>%&\\?/]+", 1, 512, "up to 512 characters, none of <>%&\\?/", "owner"),
    "tagValue": Rule("a tag's value", r"[\s\S]*", 0, 256, "up to 256 characters", "data-team"),
    "date": Rule(
        "a date",
        r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z",
        20,
        20,
        "a moment in UTC as RFC 3339",
        "2027-01-31T00:00:00Z",
    ),
}
"""Each kind of text that Azure limits, by the name the code uses for it."""


def checked(kind: str, text: str) -> str:
    """Return the text when it obeys its rule; else raise a ValueError that says what the rule is."""
    problem = RULES[kind].problem(text)
    if problem:
        raise ValueError(problem)
    return text


def require(kind: str, field: str, text: str) -> str:
    """Return the text when it obeys its rule; else raise the one line for a component's user."""
    problem = RULES[kind].problem(text)
    if problem:
        raise SettingsError(error_line(field, text, problem))
    return text


def error_line(field: str, value: object, remedy: str) -> str:
    """Compose the one line of an error: which field, which value, what to do."""
    return f"{field} = {_shown(value)}: {remedy}"


def _shown(value: object) -> str:
    """Show a value on one short line, as it stands in YAML."""
    match value:
        case str():
            text = " ".join(value.split()) if "\n" in value else value
            return f'"{text}"' if len(text) <= _LONG else f'"{text[:_LONG]}…"'
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case Mapping():
            return "{…}" if value else "{}"
        case list():
            return "[…]" if value else "[]"
        case _:
            return str(value)


@dataclass(frozen=True)
class _of:  # noqa: N801 - reads as a word in the types below
    """A kind of text in a model: checked by its rule, and told by it in a JSON Schema."""

    kind: str

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(partial(checked, self.kind), handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        rule = RULES[self.kind]
        return handler(core) | {
            "pattern": f"^({rule.pattern})$",
            "minLength": rule.minimum,
            "maxLength": rule.maximum,
            "examples": [rule.example],
            # Not in the standard; editors show it instead of the pattern.
            "patternErrorMessage": f"{rule.what} takes {rule.words}",
        }


def seconds_of(duration: str) -> int:
    """Turn a duration that obeys its rule into seconds."""
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", duration)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return hours * 3600 + minutes * 60 + seconds


def at_most(seconds: int) -> Callable[[str], str]:
    """Make the check that a duration is no longer than Azure allows."""

    def check(duration: str) -> str:
        if seconds_of(duration) > seconds:
            raise ValueError(f"Azure allows at most {seconds} seconds; write PT{seconds}S or less")
        return duration

    return check


ResourceGroupName = Annotated[str, _of("resourceGroup")]
RegistryName = Annotated[str, _of("registry")]
StorageAccountName = Annotated[str, _of("storageAccount")]
VaultName = Annotated[str, _of("vault")]
WorkspaceName = Annotated[str, _of("workspace")]
EndpointName = Annotated[str, _of("endpoint")]
DeploymentName = Annotated[str, _of("deployment")]
PasswordName = Annotated[str, _of("password")]
Repository = Annotated[str, _of("repository")]
Location = Annotated[str, _of("location")]
Route = Annotated[str, _of("route")]
Duration = Annotated[str, _of("duration")]
Platform = Annotated[str, _of("platform")]
Digest = Annotated[str, _of("digest")]
ImageReference = Annotated[str, _of("imageReference")]
PinnedImage = Annotated[str, _of("pinnedImage")]
VaultSecretId = Annotated[str, _of("vaultSecret")]
RegistryId = Annotated[str, _of("registryId")]
RegistryAddress = Annotated[str, _of("registryAddress")]
WorkspaceId = Annotated[str, _of("workspaceId")]
AssetName = Annotated[str, _of("asset")]
ModelReference = Annotated[str, _of("modelReference")]
BaseImage = Annotated[str, _of("baseImage")]
PythonVersion = Annotated[str, _of("python")]
EnvironmentName = Annotated[str, _of("environment")]
MountPath = Annotated[str, _of("mountPath")]
EntryScript = Annotated[str, _of("entryScript")]
ClusterId = Annotated[str, _of("clusterId")]
IdentityId = Annotated[str, _of("identityId")]
LogWorkspaceId = Annotated[str, _of("logWorkspaceId")]
Namespace = Annotated[str, _of("namespace")]
Cpu = Annotated[str, _of("cpu")]
Memory = Annotated[str, _of("memory")]
CollectionName = Annotated[str, _of("collection")]
VariableName = Annotated[str, _of("variable")]
TagName = Annotated[str, _of("tagName")]
TagValue = Annotated[str, _of("tagValue")]
Moment = Annotated[str, _of("date")]
AutoscaleMetric = Literal[
    "CpuUtilizationPercentage",
    "CpuMemoryUtilizationPercentage",
    "DiskUtilization",
    "GpuUtilizationPercentage",
    "GpuMemoryUtilizationPercentage",
    "RequestsPerMinute",
    "RequestLatency_P50",
    "RequestLatency_P90",
    "RequestLatency_P95",
    "RequestLatency_P99",
]
"""Metrics of a managed deployment that say how busy it is.
https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/microsoft-machinelearningservices-workspaces-onlineendpoints-deployments-metrics
"""
Percent = Annotated[int, Field(ge=0, le=100)]
Port = Annotated[int, Field(ge=1, le=65535)]


# -- settings: what a caller decides; what components hand to each other is in their Args ----------------------------


class RegistrySettings(TypedDict):
    """Which registry holds the image."""

    mode: str
    """`workspace`: the workspace's own; `standalone`: one beside it; `public`: somebody's, read without credentials;
    `private`: somebody's, read with a user name and a password."""
    id: NotRequired[str]
    """ARM id of an existing standalone registry; without it one is made. In mode workspace, with `workspace.id`: the
    registry that the workspace has, or gets where it has none."""
    login_server: NotRequired[str]
    """Address of an existing standalone Azure registry, instead of its ARM id."""
    address: NotRequired[str]
    """Address of a private registry that is not Azure's, or not ours."""
    username: NotRequired[str]
    """Who reads the private registry."""
    password_secret: NotRequired[str]
    """Id of an existing vault secret with the password, instead of the password itself:
    https://VAULT.vault.azure.net/secrets/NAME. The deployer needs the role Key Vault Secrets User there."""
    name: NotRequired[str]
    """Name of the registry that is made; without it a name is computed."""
    sku: NotRequired[str]
    """Basic, Standard (the default) or Premium, for the registry that is made."""
    role_assignment_mode: NotRequired[str]
    """`rbac` (the default) or `abac`: how an existing registry reads its role assignments."""


class WorkspaceSettings(TypedDict):
    """The Azure ML workspace and what Azure demands beside it."""

    id: NotRequired[str]
    """ARM id of an existing workspace; without it one is made."""
    name: NotRequired[str]
    """Name of the workspace that is made."""
    resource_group: NotRequired[str]
    """Name of the resource group; without it a name is computed."""
    resource_group_exists: NotRequired[bool]
    """Use the resource group that is there instead of making it."""
    vault: NotRequired[str]
    """Name of the key vault that is made."""
    storage_account: NotRequired[str]
    """Name of the storage account that is made."""
    purge_protection: NotRequired[bool]
    """Whether nobody can purge the deleted vault before its time; cannot be taken back once on."""
    soft_delete_days: NotRequired[int]
    """How long a deleted vault and its secrets can be brought back: 7 to 90."""


class PasswordSettings(TypedDict):
    """One password of the service principal."""

    expires: NotRequired[str]
    """Its end, RFC 3339 in UTC; without it Entra's own limit of two years."""


class PrincipalSettings(TypedDict):
    """Who pulls the image."""

    kind: str
    """`service-principal`, `managed-identity` or `none`."""
    passwords: NotRequired[dict[str, PasswordSettings]]
    """The service principal's passwords by name; two while one takes over from the other."""
    current: NotRequired[str]
    """Name of the password in use; needed when there are two."""


class RegistryLogin(TypedDict):
    """Who reads a private registry."""

    address: str
    """The registry's host: to no other is the password told."""
    username: str
    """The user name."""
    password: pulumi.Input[str]
    """The password."""
    secret: NotRequired[str]
    """Id of the vault secret that the password comes from; then no other vault keeps it."""


class ImageSettings(TypedDict):
    """Which image serves: built from a folder, or an existing one by name."""

    reference: NotRequired[str]
    """An existing image: host/repository:tag, host/repository@sha256:… or both. A tag is looked up once and pinned; one
    that has moved since is reported, and taken when its digest is written behind it."""
    promote: NotRequired[str]
    """An image that was built elsewhere, host/repository@sha256:…: it is imported into the registry, not built."""
    context: NotRequired[str]
    """The folder to build from."""
    dockerfile: NotRequired[str]
    """The Dockerfile, seen from the context."""
    repository: NotRequired[str]
    """The repository that the image is pushed to."""
    builder: NotRequired[str]
    """`acr` (ACR Tasks, the default) or `docker` (the local engine)."""
    build_arguments: NotRequired[dict[str, str]]
    """Arguments of the build. They stay visible in the image: no secrets."""
    base_digest: NotRequired[str]
    """Digest of the base image, when a new base shall lead to a new image."""
    platform: NotRequired[str]
    """linux/amd64 unless said otherwise."""
    target: NotRequired[str]
    """The stage of the Dockerfile to build."""
    requirements: NotRequired[dict[str, str]]
    """Levels of the image checks by id, where not the usual ones: error, warning, info or off."""


class ClusterSettings(TypedDict):
    """A Kubernetes cluster that is attached to the workspace."""

    id: str
    """ARM id of the AKS or Arc cluster; it has the Azure ML extension."""
    namespace: NotRequired[str]
    """The cluster's namespace that the endpoint runs in; `default` unless said otherwise."""
    identity: NotRequired[str]
    """ARM id of the identity that the compute has; without it Azure makes it one of its own."""


class DiagnosticsSettings(TypedDict):
    """Which logs of the endpoint go to Log Analytics."""

    logs: NotRequired[list[str]]
    """`console`, `traffic`, `events`; all three unless said otherwise."""
    metrics: NotRequired[bool]
    """Whether metrics go there too; they do not unless said otherwise."""
    log_workspace: NotRequired[str]
    """ARM id of the Log Analytics workspace; the stack's own unless said otherwise."""


class LimitSettings(TypedDict):
    """What a deployment may not exceed at a step, as Azure Monitor measures it."""

    error_percent: NotRequired[float]
    """Answers other than 2xx and 3xx, in percent."""
    latency_milliseconds: NotRequired[float]
    """What 95 % of the answers take at most."""


class EndpointSettings(TypedDict):
    """The endpoint and how its traffic is split."""

    name: NotRequired[str]
    """Name of the endpoint; without it a name is computed."""
    kind: NotRequired[str]
    """`managed` (the default) or `kubernetes`."""
    compute: NotRequired[str]
    """Kubernetes: name or ARM id of the compute that is attached to the workspace, or name of the one that `cluster`
    becomes."""
    cluster: NotRequired[ClusterSettings]
    """Kubernetes: the cluster to attach, where the workspace has no compute of it yet."""
    diagnostics: NotRequired[DiagnosticsSettings]
    """Logs for Log Analytics."""
    auth: NotRequired[str]
    """`key` (the default), `aml-token` or `aad-token`."""
    public_network_access: NotRequired[bool]
    """Whether it answers from the internet."""
    description: NotRequired[str]
    """Shown in the studio."""
    traffic: NotRequired[dict[str, int]]
    """Percent of the requests by deployment, 100 together; not needed with one deployment."""
    mirror: NotRequired[dict[str, int]]
    """Percent of the requests copied to one more deployment, 50 at most."""
    traffic_steps: NotRequired[list[int]]
    """Percents at which a shift of traffic stops to look."""
    bake_seconds: NotRequired[float]
    """How long it looks at each step."""
    mirror_first: NotRequired[int]
    """Percent of the live requests that a newcomer gets as copies before it answers any, 50 at most."""
    limits: NotRequired[LimitSettings]
    """What a deployment may not exceed while traffic shifts to it."""
    probe: NotRequired[dict[str, Any]]
    """A request body that every deployment must answer before it gets traffic."""


class RouteSettings(TypedDict):
    """Where the server inside the image listens."""

    port: NotRequired[int]
    """5001 unless said otherwise."""
    liveness: NotRequired[str]
    """`/` unless said otherwise."""
    readiness: NotRequired[str]
    """`/` unless said otherwise."""
    scoring: NotRequired[str]
    """`/score` unless said otherwise."""


class ProbeSettings(TypedDict):
    """How Azure ML asks a container whether it lives or is ready."""

    initial_delay: NotRequired[str]
    """Wait before the first probe, ISO 8601."""
    period: NotRequired[str]
    """Time between probes, ISO 8601."""
    timeout: NotRequired[str]
    """How long one probe may take, ISO 8601."""
    failure_threshold: NotRequired[int]
    """How many failures in a row count."""
    success_threshold: NotRequired[int]
    """How many successes in a row count."""


class RequestSettings(TypedDict):
    """Limits of scoring requests."""

    max_concurrent_requests_per_instance: NotRequired[int]
    """Requests that one instance works on at a time."""
    request_timeout: NotRequired[str]
    """How long a request may take, ISO 8601, at most PT180S; PT300S on Kubernetes."""
    max_queue_wait: NotRequired[str]
    """How long a request may wait for its turn, ISO 8601."""


class EnvironmentSettings(TypedDict):
    """What Azure ML builds by itself, in the workspace's registry, instead of an image of ours."""

    base: str
    """The image that is built on: host/repository:tag or @sha256:…"""
    conda_file: NotRequired[str]
    """A conda environment's file; its content is installed."""
    requirements_file: NotRequired[str]
    """A pip requirements file instead."""
    python: NotRequired[str]
    """The Python version that goes with `requirements_file`, such as 3.11."""
    name: NotRequired[str]
    """Name of the Azure ML environment; without it the file's own."""


class ModelSettings(TypedDict):
    """Which model is mounted: files from here, or a version that is registered."""

    path: NotRequired[str]
    """A folder or a file, uploaded as it is; its own name stays below AZUREML_MODEL_DIR."""
    reference: NotRequired[str]
    """A registered version instead: azureml:NAME:VERSION, or its ARM id."""
    name: NotRequired[str]
    """Name under which it is registered; without it the folder's or file's own."""
    type: NotRequired[str]
    """`custom` (the default), `mlflow` or `triton`."""
    mount_path: NotRequired[str]
    """Where in the container, instead of /var/azureml-app/azureml-models."""


class CodeSettings(TypedDict):
    """The folder with the entry script, mounted beside the model."""

    path: str
    """The folder; its own name stays below /var/azureml-app."""
    entry_script: str
    """The file with init() and run(), seen from the folder."""
    name: NotRequired[str]
    """Name under which it is registered; without it the folder's own."""


class ResourceSettings(TypedDict):
    """What one container of a Kubernetes deployment may have."""

    cpu: NotRequired[str]
    """Cores: 2, 0.5 or 500m."""
    memory: NotRequired[str]
    """Memory: 2Gi."""
    gpu: NotRequired[int]
    """Whole GPUs."""


class ResourcesSettings(TypedDict):
    """What one container of a Kubernetes deployment gets for sure, and at most."""

    requests: NotRequired[ResourceSettings]
    """What it gets for sure."""
    limits: NotRequired[ResourceSettings]
    """What it gets at most."""


class ScaleSettings(TypedDict):
    """How the cluster sets the number of containers."""

    min_instances: NotRequired[int]
    """At least so many; 1 unless said otherwise."""
    max_instances: int
    """At most so many."""
    target_utilization_percentage: NotRequired[int]
    """How busy they shall be: 1 to 100; 70 unless said otherwise."""
    polling_interval: NotRequired[str]
    """How often it looks, ISO 8601; PT1S unless said otherwise."""


class AutoscaleRuleSettings(TypedDict):
    """When Azure Monitor changes the number of instances, and by how many."""

    metric: str
    """A metric of the deployment, such as CpuUtilizationPercentage."""
    above: NotRequired[float]
    """Changes when the metric is above this; either this or `below`."""
    below: NotRequired[float]
    """Changes when the metric is below this."""
    change: int
    """Instances to add, or with a minus to take away."""
    window: NotRequired[str]
    """How long the metric's average is taken over, ISO 8601; PT5M unless said otherwise."""
    cooldown: NotRequired[str]
    """How long nothing changes afterwards, ISO 8601; PT5M unless said otherwise."""


class AutoscaleSettings(TypedDict):
    """How Azure Monitor sets the number of instances of a managed deployment."""

    min: int
    """At least so many."""
    max: int
    """At most so many."""
    default: NotRequired[int]
    """So many at first, and while there are no metrics; `min` unless said otherwise."""
    rules: NotRequired[list[AutoscaleRuleSettings]]
    """When it changes; without any: one more above 70 percent of CPU, one less below 30."""


class CollectionSettings(TypedDict):
    """How much of one collection is kept."""

    sampling_rate: NotRequired[float]
    """Share of the requests: 0 to 1; 1 unless said otherwise."""


class DataCollectorSettings(TypedDict):
    """What Azure ML keeps of requests and replies in the workspace's storage."""

    collections: dict[str, CollectionSettings]
    """By name: `request` and `response` are payloads; others are what the entry script collects."""
    rolling_rate: NotRequired[str]
    """How often a new folder is begun: minute, hour (the default), day, month, year."""
    capture_headers: NotRequired[list[str]]
    """Headers that are kept with the payloads."""


class DeploymentSettings(TypedDict):
    """One deployment behind the endpoint."""

    instance_type: NotRequired[str]
    """The machine, for instance Standard_DS3_v2; on Kubernetes an instance type of the cluster, or nothing."""
    instance_count: NotRequired[int]
    """How many of them; 1 unless said otherwise."""
    autoscale: NotRequired[AutoscaleSettings]
    """Managed: Azure Monitor sets the count."""
    scale: NotRequired[ScaleSettings]
    """Kubernetes: the cluster sets the count."""
    resources: NotRequired[ResourcesSettings]
    """Kubernetes: what one container may have."""
    egress_public_network_access: NotRequired[bool]
    """Managed: whether it may reach the internet; it may unless said otherwise."""
    data_collector: NotRequired[DataCollectorSettings]
    """What is kept of requests and replies."""
    image: NotRequired[str]
    """Another image than the stack's, written as `image.reference` is."""
    model: NotRequired[ModelSettings]
    """Another model than the stack's."""
    code: NotRequired[CodeSettings]
    """Another code than the stack's."""
    environment: NotRequired[dict[str, str]]
    """Environment variables. They stay visible in Azure: no secrets."""
    routes: NotRequired[RouteSettings]
    """Where the server inside the image listens."""
    liveness_probe: NotRequired[ProbeSettings]
    """Whether it lives."""
    readiness_probe: NotRequired[ProbeSettings]
    """Whether it is ready."""
    request_settings: NotRequired[RequestSettings]
    """Limits of scoring requests."""
    app_insights: NotRequired[bool]
    """Whether logs and metrics go to Application Insights."""
