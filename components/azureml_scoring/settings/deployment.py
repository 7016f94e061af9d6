"""Settings of a deployment: its machines or share of a cluster, what runs in it, and how it is probed."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from azureml_scoring.settings import rules
from azureml_scoring.settings.endpoint import enabled, is_enabled
from azureml_scoring.settings.image import CodeSettings, EnvironmentSettings, ImageSettings, ModelSettings
from azureml_scoring.settings.section import Arm, In, Only, Section

DEPLOYMENT: Final = "OnlineDeployment"
ENVIRONMENT: Final = "EnvironmentVersion"
AUTOSCALE: Final = "Microsoft.Insights/autoscaleSettings"
_ROUTES: Final = "properties.inferenceConfig"


class RouteSettings(Section):
    """Where the server inside the image listens; the defaults are azureml-inference-server-http's."""

    port: Annotated[
        rules.Port,
        Arm(ENVIRONMENT, *(f"{_ROUTES}.{route}Route.port" for route in ("scoring", "liveness", "readiness"))),
    ] = 5001
    """Port of all routes."""
    liveness: Annotated[rules.Route, Arm(ENVIRONMENT, f"{_ROUTES}.livenessRoute.path", argument="livenessPath")] = "/"
    """Path that says whether the server lives."""
    readiness: Annotated[rules.Route, Arm(ENVIRONMENT, f"{_ROUTES}.readinessRoute.path", argument="readinessPath")] = (
        "/"
    )
    """Path that says whether the server takes requests."""
    scoring: Annotated[rules.Route, Arm(ENVIRONMENT, f"{_ROUTES}.scoringRoute.path", argument="scoringPath")] = "/score"
    """Path that scores."""


class ProbeSettings(Section):
    """How Azure ML probes a container; Azure's own values by default (ARM `ProbeSettings`)."""

    initial_delay: rules.Duration | None = None
    """Wait before the first probe, ISO 8601."""
    period: rules.Interval | None = None
    """Time between probes, ISO 8601."""
    timeout: rules.Interval | None = None
    """Time that one probe may take, ISO 8601."""
    failure_threshold: Annotated[int, Field(ge=1), rules.NotBool] | None = None
    """Failures in a row that count as down."""
    success_threshold: Annotated[int, Field(ge=1), rules.NotBool] | None = None
    """Successes in a row that count as up."""


class RequestSettings(Section):
    """Limits of scoring requests; Azure's own values by default (ARM `OnlineRequestSettings`)."""

    max_concurrent_requests_per_instance: Annotated[int, Field(ge=1), rules.NotBool] | None = None
    """Requests that one instance works on at a time."""
    request_timeout: rules.Interval | None = None
    """Time that a request may take, ISO 8601: at most PT180S, on Kubernetes PT300S."""
    max_queue_wait: rules.Duration | None = None
    """Time that a request may wait for its turn, ISO 8601."""


class ResourceSettings(Section):
    """Resources of one container of a Kubernetes deployment (ARM `ContainerResourceSettings`)."""

    cpu: rules.Cpu | None = None
    """Cores: `"2"`, `"0.5"` or `500m`."""
    memory: rules.Memory | None = None
    """Memory: `2Gi`."""
    gpu: Annotated[int, Field(ge=0, le=64), rules.NotBool] | None = None
    """Whole GPUs."""


class ResourcesSettings(Section):
    """Resources that one container of a Kubernetes deployment requests, and their limits."""

    requests: ResourceSettings = ResourceSettings()
    """What it is guaranteed."""
    limits: ResourceSettings = ResourceSettings()
    """What it gets at most."""


class ScaleSettings(Section):
    """How the cluster sets the number of containers (ARM `TargetUtilizationScaleSettings`)."""

    min_instances: Annotated[int, Field(ge=1), rules.NotBool] = 1
    """Containers at least."""
    max_instances: Annotated[int, Field(ge=1), rules.NotBool]
    """Containers at most."""
    target_utilization_percentage: Annotated[int, Field(ge=1, le=100), rules.NotBool] = 70
    """Utilization that the cluster aims at, in percent."""
    polling_interval: rules.Interval = "PT1S"
    """Time between two measurements, ISO 8601."""


class AutoscaleRuleSettings(Section):
    """When Azure Monitor changes the number of instances, and by how many."""

    metric: Annotated[rules.AutoscaleMetric, Arm(AUTOSCALE, "metricTrigger.metricName")]
    """A metric of the deployment, or of the endpoint."""
    of: Annotated[Literal["deployment", "endpoint"], Arm(AUTOSCALE, "metricTrigger.metricResourceUri")] = "deployment"
    """Whose metric it is: `ConnectionsActive`, `NetworkBytes`, `NewConnectionsPerSecond` and `RequestLatency` are the
    endpoint's, requests and latencies either's, utilizations the deployment's."""
    above: Annotated[float | None, Field(ge=0), rules.NotBool, Arm(AUTOSCALE, "metricTrigger.threshold")] = None
    """Changes when the metric's average is above this; either this or `below`."""
    below: Annotated[float | None, Field(ge=0), rules.NotBool, Arm(AUTOSCALE, "metricTrigger.threshold")] = None
    """Changes when the metric's average is below this."""
    change: Annotated[int, rules.NotBool, Arm(AUTOSCALE, "scaleAction.value")]
    """Instances to add, or with a minus to take away."""
    window: Annotated[rules.Duration, Arm(AUTOSCALE, "metricTrigger.timeWindow")] = "PT5M"
    """Time that the average is taken over, ISO 8601: PT5M to PT12H."""
    cooldown: Annotated[rules.Duration, Arm(AUTOSCALE, "scaleAction.cooldown")] = "PT5M"
    """Time without a further change, ISO 8601: PT1M to PT168H."""


class CapacitySettings(Section):
    """How many instances there may be (ARM `ScaleCapacity`)."""

    min: Annotated[int, Field(ge=1), rules.NotBool, Arm(AUTOSCALE, "capacity.minimum")]
    """Instances at least."""
    max: Annotated[int, Field(ge=1), rules.NotBool, Arm(AUTOSCALE, "capacity.maximum")]
    """Instances at most."""
    default: Annotated[int | None, Field(ge=1), rules.NotBool, Arm(AUTOSCALE, "capacity.default")] = None
    """Instances while there are no metrics; `min` by default."""

    @property
    def first(self) -> int:
        """Instances while there are no metrics."""
        return self.default or self.min


class ScheduleSettings(CapacitySettings):
    """Hours of the week with other limits; between them those of the autoscale setting hold."""

    days: Annotated[list[rules.Weekday], Field(min_length=1), Arm(AUTOSCALE, "recurrence.schedule.days")]
    """Days of the week."""
    start: Annotated[rules.TimeOfDay, Arm(AUTOSCALE, "recurrence.schedule.hours")] = "00:00"
    """Begin on each of the days, in quotes."""
    end: Annotated[rules.TimeOfDay, Arm(AUTOSCALE, "recurrence.schedule.hours")] = "23:59"
    """End on the same day."""
    time_zone: Annotated[rules.Text, Arm(AUTOSCALE, "recurrence.schedule.timeZone")] = "UTC"
    """Time zone as Windows names it: `W. Europe Standard Time`."""
    rules: Annotated[list[AutoscaleRuleSettings], Field(max_length=10)] = []
    """When the number changes; the rules of the autoscale setting by default."""


class AutoscaleSettings(CapacitySettings):
    """How Azure Monitor sets the number of instances of a managed deployment, which begins with `default`."""

    schedules: Annotated[dict[rules.DeploymentName, ScheduleSettings], Field(max_length=9), rules.Distinct] = {}
    """Hours of the week with other limits, by name; 9 at most, since Azure Monitor takes 20 profiles."""
    rules: Annotated[list[AutoscaleRuleSettings], Field(min_length=1, max_length=10)] = [
        AutoscaleRuleSettings(metric="CpuUtilizationPercentage", above=70, change=1),
        AutoscaleRuleSettings(metric="CpuUtilizationPercentage", below=30, change=-1),
    ]
    """When it changes; by default one more above 70 percent of CPU, one less below 30."""

    @property
    def most(self) -> int:
        """Instances at most, at any time."""
        return max(self.max, *(schedule.max for schedule in self.schedules.values()), 0)


class CollectionSettings(Section):
    """How much of one collection is stored (ARM `Collection`)."""

    sampling_rate: Annotated[float, Field(ge=0, le=1), rules.NotBool] = 1
    """Share of the requests: 0 to 1."""
    data: rules.CollectedData | None = None
    """Where it is stored: a folder of a datastore, azureml://datastores/NAME/paths/FOLDER, which gets registered as a
    data asset, or a registered data asset, azureml:NAME:VERSION or its ARM id. By default
    modelDataCollector/ENDPOINT/DEPLOYMENT/COLLECTION of the workspace's default datastore. Elsewhere the endpoint's
    identity needs the role Storage Blob Data Contributor."""


class DataCollectorSettings(Section):
    """What Azure ML stores of requests and replies in the workspace's storage (ARM `DataCollector`)."""

    collections: Annotated[dict[rules.CollectionName, CollectionSettings], Field(min_length=1)]
    """By name: `request` and `response` are payloads; others are what the entry script collects."""
    rolling_rate: Literal["minute", "hour", "day", "month", "year"] = "hour"
    """How often a new folder is begun."""
    capture_headers: rules.Headers = []
    """Headers that are stored with the payloads."""


def _resources(resources: ResourcesSettings) -> dict[str, dict[str, str]] | None:
    parts = {"containerResourceRequests": resources.requests, "containerResourceLimits": resources.limits}
    amounts = {name: {key: str(value) for key, value in part.wire().items()} for name, part in parts.items()}
    return {name: part for name, part in amounts.items() if part} or None


def _resources_of(requirements: Mapping[str, Any]) -> dict[str, Any]:
    parts = {name: requirements.get(f"containerResource{name.capitalize()}") or {} for name in ("requests", "limits")}
    return {
        name: {key: int(value) if key == "gpu" else value for key, value in part.items()}
        for name, part in parts.items()
        if part
    }


def _collector(collector: DataCollectorSettings) -> dict[str, Any]:
    headers = {"requestLogging": {"captureHeaders": collector.capture_headers}} if collector.capture_headers else {}
    return {
        "collections": {
            name: {
                "dataCollectionMode": "Enabled",
                "samplingRate": each.sampling_rate,
                **({"dataId": each.data} if each.data else {}),
            }
            for name, each in collector.collections.items()
        },
        "rollingRate": collector.rolling_rate.capitalize(),
        **headers,
    }


def _collector_of(collector: Mapping[str, Any]) -> dict[str, Any]:
    collections = {
        name: {"samplingRate": each.get("samplingRate", 1), **({"data": data} if (data := each.get("dataId")) else {})}
        for name, each in (collector.get("collections") or {}).items()
        if is_enabled(str(each.get("dataCollectionMode")))
    }
    headers = (collector.get("requestLogging") or {}).get("captureHeaders")
    rolling = str(collector.get("rollingRate") or "hour").lower()
    return {"collections": collections, "rollingRate": rolling, **({"captureHeaders": headers} if headers else {})}


def _image(written: object) -> object:
    """Read a plain text as the name of an image that exists."""
    return {"reference": written} if isinstance(written, str) else written


class DeploymentSettings(Section):
    """One deployment behind the endpoint."""

    description: Annotated[rules.Description | None, Arm(DEPLOYMENT, "properties.description")] = None
    """Description that the studio shows."""
    instance_type: Annotated[rules.InstanceType | None, Arm(DEPLOYMENT, "properties.instanceType")] = None
    """Machine size, such as Standard_DS3_v2; on Kubernetes an instance type of the cluster, or none."""
    instance_count: Annotated[
        int, Field(ge=1), rules.NotBool, Arm(DEPLOYMENT, "sku.capacity", argument="instanceCount")
    ] = 1
    """Instances; 50 at most on managed endpoints. Not with `autoscale` or `scale`."""
    autoscale: Annotated[
        AutoscaleSettings | None, Only("managed", "Azure Monitor scales managed deployments only; write scale")
    ] = None
    """Azure Monitor sets the number of instances."""
    scale: Annotated[
        ScaleSettings | None,
        Only("kubernetes", "the cluster's scaling is for endpoint.kind kubernetes; write autoscale"),
        Arm(DEPLOYMENT, "properties.scaleSettings", encode=ScaleSettings.wire, encoded=dict[str, Any]),
    ] = None
    """The cluster sets the number of containers."""
    resources: Annotated[
        ResourcesSettings | None,
        Only("kubernetes", "a managed deployment has its whole machine; choose that by instanceType"),
        Arm(
            DEPLOYMENT,
            "properties.containerResourceRequirements",
            encode=_resources,
            encoded=dict[str, dict[str, str]],
            decode=_resources_of,
        ),
    ] = None
    """Resources of one container."""
    egress_public_network_access: Annotated[
        bool | None,
        Only("managed", "the cluster's own network decides what it reaches; take it out"),
        Arm(
            DEPLOYMENT,
            "properties.egressPublicNetworkAccess",
            encode=enabled,
            encoded=Literal["Enabled", "Disabled"],
            decode=is_enabled,
        ),
    ] = None
    """Whether it may reach the internet; Azure lets it by default."""
    data_collector: Annotated[
        DataCollectorSettings | None,
        Arm(
            DEPLOYMENT,
            "properties.dataCollector",
            encode=_collector,
            encoded=dict[str, Any],
            decode=_collector_of,
        ),
    ] = None
    """What is stored of requests and replies."""
    image: Annotated[
        ImageSettings | None,
        BeforeValidator(_image, json_schema_input_type=ImageSettings | rules.ImageReference | None),
    ] = None
    """Another image than the stack's, written as `image` is; a text is its `reference`. Builds of the same content
    are one."""
    environment: EnvironmentSettings | None = None
    """Another environment than the stack's."""
    model: ModelSettings | None = None
    """Another model than the stack's."""
    code: CodeSettings | None = None
    """Another code than the stack's."""
    environment_variables: Annotated[
        dict[rules.VariableName, In[rules.Lines]], Arm(DEPLOYMENT, "properties.environmentVariables")
    ] = {}
    """Environment variables of the container. They are readable in Azure: no secrets."""
    routes: RouteSettings = RouteSettings()
    """Where the server inside the image listens."""
    liveness_probe: Annotated[ProbeSettings | None, Arm(DEPLOYMENT, "properties.livenessProbe")] = None
    """Whether it lives."""
    readiness_probe: Annotated[ProbeSettings | None, Arm(DEPLOYMENT, "properties.readinessProbe")] = None
    """Whether it takes requests."""
    request_settings: Annotated[RequestSettings | None, Arm(DEPLOYMENT, "properties.requestSettings")] = None
    """Limits of scoring requests."""
    app_insights: Annotated[bool, Arm(DEPLOYMENT, "properties.appInsightsEnabled")] = False
    """Whether requests are logged to Application Insights."""
    tags: rules.Tags = {}
    """Tags of the deployment, besides the stack's."""
