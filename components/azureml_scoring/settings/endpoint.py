"""Settings of the endpoint: its kind, who may call it, and how traffic is split and shifted."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from azureml_scoring.settings import rules
from azureml_scoring.settings.section import Arm, Only, Section

ENDPOINT: Final = "OnlineEndpoint"
TRAFFIC: Final = "EndpointTraffic"
COMPUTE: Final = "Microsoft.MachineLearningServices/workspaces/computes"
DIAGNOSTICS: Final = "Microsoft.Insights/diagnosticSettings"
AUTH_MODES: Final = {"key": "Key", "aml-token": "AMLToken", "aad-token": "AADToken"}
"""ARM's `EndpointAuthMode` by the name that settings use."""
_CLUSTER: Final = "a managed endpoint has no cluster; write endpoint.kind: kubernetes, or take it out"
_MIRROR: Final = "Azure mirrors on managed endpoints only; take it out"
_NETWORK: Final = "the cluster's own network decides who reaches it; take it out"


def enabled(value: bool) -> str:  # noqa: FBT001 - the one value that it spells
    """Spell a switch as ARM's `EgressPublicNetworkAccessType` and `PublicNetworkAccessType` do."""
    return "Enabled" if value else "Disabled"


def is_enabled(spelled: str) -> bool:
    """Read such a switch back; case says nothing."""
    return spelled.lower() == "enabled"


def _enforced(value: bool) -> str | None:  # noqa: FBT001 - the one value that it spells
    """Spell the switch as azure-ai-ml does: a property of the endpoint, which is left out where it is off.

    https://learn.microsoft.com/azure/machine-learning/how-to-deploy-online-endpoint-with-secret-injection
    """
    return "enabled" if value else None


class ClusterSettings(Section):
    """A Kubernetes cluster to attach to the workspace."""

    id: Annotated[rules.ClusterId, Arm(COMPUTE, "properties.resourceId")]
    """ARM id of the AKS or Arc cluster; it has the extension `Microsoft.AzureML.Kubernetes`."""
    namespace: Annotated[rules.Namespace, Arm(COMPUTE, "properties.properties.namespace")] = "default"
    """Namespace of the cluster that the endpoint runs in."""
    identity: Annotated[rules.IdentityId | None, Arm(COMPUTE, "identity.userAssignedIdentities")] = None
    """ARM id of the identity that the compute has; a system-assigned one by default."""


class DiagnosticsSettings(Section):
    """Which logs of the endpoint go to Log Analytics."""

    logs: Annotated[list[Literal["console", "traffic", "events"]], Field(min_length=1), Arm(DIAGNOSTICS, "logs")] = [
        "console",
        "traffic",
        "events",
    ]
    """Categories of logs."""
    metrics: Annotated[bool, Arm(DIAGNOSTICS, "metrics")] = False
    """Whether metrics go there too."""
    log_workspace: Annotated[rules.LogWorkspaceId | None, Arm(DIAGNOSTICS, "workspaceId")] = None
    """ARM id of the Log Analytics workspace; the stack's own by default, needed with `workspace.id`."""


class LimitSettings(Section):
    """What a deployment may not exceed, as Azure Monitor measures it, while it is mirrored or shifted to."""

    error_percent: Annotated[
        float | None, Field(ge=0, le=100), rules.NotBool, Arm(TRAFFIC, argument="errorPercent")
    ] = None
    """Percent of its answers that may be other than 2xx and 3xx."""
    latency_milliseconds: Annotated[
        float | None, Field(gt=0), rules.NotBool, Arm(TRAFFIC, argument="latencyMilliseconds")
    ] = None
    """95th percentile of its answers' latency, in milliseconds."""


class TrafficStep(Section):
    """A step of a shift of traffic. A step without minutes is written as its percent alone."""

    percent: rules.Step
    """Percent of the shift that is done at this step."""
    minutes: Annotated[float | None, Field(ge=0, le=1440), rules.NotBool] = None
    """Minutes that the step lasts; `endpoint.bakeSeconds` by default."""


def _step(written: object) -> object:
    """Read a plain number as a step."""
    return {"percent": written} if isinstance(written, int | float) else written


TrafficSteps = list[Annotated[TrafficStep, BeforeValidator(_step, json_schema_input_type=TrafficStep | rules.Step)]]


class EndpointSettings(Section):
    """The endpoint and how its traffic is split."""

    name: rules.EndpointName | None = None
    """Name of the endpoint, unique in the region; computed by default."""
    kind: Literal["managed", "kubernetes"] = "managed"
    """`managed`: machines that Azure maintains; `kubernetes`: an attached AKS or Arc cluster."""
    compute: Annotated[rules.Text | None, Only("kubernetes", _CLUSTER)] = None
    """Name or ARM id of the compute that is attached to `workspace.id`; with `cluster`, the name that it gets."""
    cluster: Annotated[ClusterSettings | None, Only("kubernetes", _CLUSTER)] = None
    """The cluster to attach, where the workspace has no compute of it yet."""
    diagnostics: DiagnosticsSettings | None = None
    """Logs for Log Analytics."""
    identity: rules.IdentityId | None = None
    """ARM id of an existing user-assigned identity that the endpoint runs as and pulls its image with; an identity of
    its own, system-assigned, by default. It gets the roles that it needs unless it has them."""
    tags: rules.Tags = {}
    """Tags of the endpoint, besides the stack's."""
    enforce_access_to_default_secret_stores: Annotated[
        bool,
        Arm(
            ENDPOINT,
            "properties.properties.enforce_access_to_default_secret_stores",
            argument="enforceAccessToDefaultSecretStores",
            encode=_enforced,
            encoded=Literal["enabled"],
            decode=is_enabled,
        ),
    ] = False
    """Whether the endpoint's own identity may read the secrets of workspace connections and of the workspace's vault.
    Azure sees to it when the endpoint is created; the deployer needs those rights."""
    auth: Annotated[
        Literal["key", "aml-token", "aad-token"],
        Arm(
            ENDPOINT,
            "properties.authMode",
            encode=AUTH_MODES.__getitem__,
            encoded=Literal["Key", "AADToken", "AMLToken"],
            decode={mode: name for name, mode in AUTH_MODES.items()}.__getitem__,
        ),
    ] = "key"
    """How clients sign in; `aad-token` on managed endpoints only."""
    public_network_access: Annotated[
        bool,
        Arm(
            ENDPOINT,
            "properties.publicNetworkAccess",
            encode=enabled,
            encoded=Literal["Enabled", "Disabled"],
            decode=is_enabled,
        ),
    ] = True
    """Whether it answers from the internet; what deployments reach is their `egressPublicNetworkAccess`. Always true
    on Kubernetes, where the cluster's network decides."""
    description: Annotated[rules.Description | None, Arm(ENDPOINT, "properties.description")] = None
    """Description that the studio shows."""
    traffic: Annotated[dict[rules.DeploymentName, rules.Percent], Arm(TRAFFIC, "properties.traffic")] = {}
    """Percent of the requests by deployment, 100 together; all to the only deployment by default."""
    mirror: Annotated[
        dict[rules.DeploymentName, rules.Percent],
        Arm(TRAFFIC, "properties.mirrorTraffic"),
        Only("managed", _MIRROR),
    ] = {}
    """Percent of the requests copied to one deployment without live traffic, 50 at most."""
    traffic_steps: Annotated[TrafficSteps, Arm(TRAFFIC, argument="steps", encode=list, encoded=TrafficSteps)] = []
    """Steps at which a shift of traffic pauses to be checked, rising: percents such as `[10, 50]`, or
    `[{percent: 10, minutes: 15}, 50]`. The last step, 100 percent, needs no entry."""
    bake_seconds: Annotated[float, Field(ge=0, le=3600), rules.NotBool, Arm(TRAFFIC, argument="bakeSeconds")] = 0
    """Seconds that each step lasts that names no minutes. Azure Monitor counts by the minute and is some minutes
    behind: with `limits` let a step last 180 or more on Azure."""
    smoke_test: Annotated[rules.Json | None, Arm(TRAFFIC, argument="probe")] = None
    """A request body that every deployment must answer with 2xx before it gets traffic."""
    mirror_first: Annotated[
        int, Field(ge=0, le=50), rules.NotBool, Arm(TRAFFIC, argument="mirrorFirst"), Only("managed", _MIRROR)
    ] = 0
    """Percent of the live requests that a new deployment gets as copies before it answers any, 50 at most."""
    limits: LimitSettings = LimitSettings()
    """What a deployment may not exceed while traffic shifts to it; else the shift goes back. Every answer other than
    2xx and 3xx counts as an error."""
