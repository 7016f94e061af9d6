"""What a stack chooses: one frozen, closed model of `Pulumi.<stack>.yaml`, and the lines said when it is wrong.

Owns the fields, their defaults and the error lines. Refuses to own the rules of single texts
(`settings/types.py`) and what may go together (`settings/validation.py`). Nothing is asked of a provider before
all of it is fine.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast, get_args

import pulumi
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from azureml_scoring.assets import check_assets
from azureml_scoring.plan.content import check_context
from azureml_scoring.plan.environment import plan_environment
from azureml_scoring.plan.requirements import RequirementId, RequirementLevel
from azureml_scoring.settings import types
from azureml_scoring.settings.types import SettingsError, error_line
from azureml_scoring.settings.validation import default_principal, refusals
from azureml_scoring.stack import ScoringStackArgs

NAMESPACE: Final = "scoring"

_IN_PLAIN_TEXT: Final = "it is in plain text; change it where it came from, then `pulumi config set --secret --path {}`"
_SECRET: Final = re.compile(r"(?i)registry\..*(pass|pwd|secret|token)|image\.build_?secrets")
"""Fields whose values are not shown, misspelt ones included."""


class _Section(BaseModel):
    """Frozen and closed; written in camelCase."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)


class Registry(_Section):
    """Which registry holds the image."""

    mode: Literal["workspace", "standalone", "public", "private"] = "standalone"
    id: types.RegistryId | None = None
    login_server: types.RegistryAddress | None = None
    address: types.RegistryAddress | None = None
    username: Annotated[str, Field(min_length=1)] | None = None
    password: Annotated[SecretStr, Field(min_length=1)] | None = None
    """The password of `username`, a secret: `pulumi config set --secret --path scoring:registry.password`."""
    password_secret: types.VaultSecretId | None = None
    name: types.RegistryName | None = None
    sku: Literal["Basic", "Standard", "Premium"] | None = None
    role_assignment_mode: Literal["rbac", "abac"] | None = None


class Workspace(_Section):
    """The workspace and what Azure demands beside it."""

    id: types.WorkspaceId | None = None
    name: types.WorkspaceName | None = None
    resource_group: types.ResourceGroupName | None = None
    resource_group_exists: bool | None = None
    vault: types.VaultName | None = None
    storage_account: types.StorageAccountName | None = None
    purge_protection: bool | None = None
    soft_delete_days: Annotated[int, Field(ge=7, le=90)] | None = None


class Password(_Section):
    """One password of the service principal."""

    expires: types.Moment | None = None


class Principal(_Section):
    """Who pulls the image."""

    kind: Literal["service-principal", "managed-identity", "none"] | None = None
    passwords: dict[types.PasswordName, Password] | None = None
    current: types.PasswordName | None = None


class Image(_Section):
    """What to build, or which image to use."""

    reference: types.ImageReference | None = None
    promote: types.PinnedImage | None = None
    context: Annotated[str, Field(min_length=1)] | None = None
    dockerfile: Annotated[str, Field(min_length=1)] | None = None
    repository: types.Repository | None = None
    builder: Literal["acr", "docker"] | None = None
    build_arguments: dict[types.VariableName, str] | None = None
    base_digest: types.Digest | None = None
    platform: types.Platform | None = None
    target: Annotated[str, Field(min_length=1)] | None = None
    build_secrets: dict[types.VariableName, Annotated[SecretStr, Field(min_length=1)]] | None = None
    """What a step of the Dockerfile may read by `RUN --mount=type=secret,id=NAME`, by name; never part of the image.
    Secrets: `pulumi config set --secret --path scoring:image.buildSecrets.NAME`. Builder acr only."""
    requirements: dict[RequirementId, RequirementLevel] | None = None


class Cluster(_Section):
    """A Kubernetes cluster that is attached to the workspace."""

    id: types.ClusterId
    namespace: types.Namespace | None = None
    identity: types.IdentityId | None = None


class Diagnostics(_Section):
    """Which logs of the endpoint go to Log Analytics."""

    logs: Annotated[list[Literal["console", "traffic", "events"]], Field(min_length=1)] | None = None
    metrics: bool | None = None
    log_workspace: types.LogWorkspaceId | None = None


class Limits(_Section):
    """What a deployment may not exceed while traffic shifts to it."""

    error_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    latency_milliseconds: Annotated[float, Field(gt=0)] | None = None


class Endpoint(_Section):
    """The endpoint and how its traffic is split."""

    name: types.EndpointName | None = None
    kind: Literal["managed", "kubernetes"] | None = None
    compute: Annotated[str, Field(min_length=1)] | None = None
    cluster: Cluster | None = None
    diagnostics: Diagnostics | None = None
    auth: Literal["key", "aml-token", "aad-token"] | None = None
    public_network_access: bool | None = None
    description: Annotated[str, Field(max_length=256)] | None = None
    traffic: dict[types.DeploymentName, types.Percent] | None = None
    mirror: dict[types.DeploymentName, types.Percent] | None = None
    traffic_steps: list[Annotated[int, Field(ge=1, le=100)]] | None = None
    bake_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None
    probe: dict[str, Any] | None = None
    mirror_first: Annotated[int, Field(ge=0, le=50)] | None = None
    limits: Limits | None = None


class Routes(_Section):
    """Where the server inside the image listens."""

    port: types.Port | None = None
    liveness: types.Route | None = None
    readiness: types.Route | None = None
    scoring: types.Route | None = None


class Probe(_Section):
    """How a container is asked whether it lives or is ready."""

    initial_delay: types.Duration | None = None
    period: types.Duration | None = None
    timeout: types.Duration | None = None
    failure_threshold: Annotated[int, Field(ge=1)] | None = None
    success_threshold: Annotated[int, Field(ge=1)] | None = None


class Requests(_Section):
    """Limits of scoring requests."""

    max_concurrent_requests_per_instance: Annotated[int, Field(ge=1)] | None = None
    request_timeout: types.Duration | None = None
    max_queue_wait: types.Duration | None = None


class Environment(_Section):
    """What Azure ML builds by itself."""

    base: types.BaseImage
    conda_file: Annotated[str, Field(min_length=1)] | None = None
    requirements_file: Annotated[str, Field(min_length=1)] | None = None
    python: types.PythonVersion | None = None
    name: types.EnvironmentName | None = None


class Model(_Section):
    """Which model is mounted."""

    path: Annotated[str, Field(min_length=1)] | None = None
    reference: types.ModelReference | None = None
    name: types.AssetName | None = None
    type: Literal["custom", "mlflow", "triton"] | None = None
    mount_path: types.MountPath | None = None


class Code(_Section):
    """The folder with the entry script."""

    path: Annotated[str, Field(min_length=1)]
    entry_script: types.EntryScript
    name: types.AssetName | None = None


class Resources(_Section):
    """What one container of a Kubernetes deployment may have."""

    cpu: types.Cpu | None = None
    memory: types.Memory | None = None
    gpu: Annotated[int, Field(ge=0, le=64)] | None = None


class ContainerResources(_Section):
    """What one container of a Kubernetes deployment gets for sure, and at most."""

    requests: Resources | None = None
    limits: Resources | None = None


class Scale(_Section):
    """How the cluster sets the number of containers."""

    min_instances: Annotated[int, Field(ge=1)] | None = None
    max_instances: Annotated[int, Field(ge=1)]
    target_utilization_percentage: Annotated[int, Field(ge=1, le=100)] | None = None
    polling_interval: types.Duration | None = None


class AutoscaleRule(_Section):
    """When Azure Monitor changes the number of instances, and by how many."""

    metric: types.AutoscaleMetric
    above: Annotated[float, Field(ge=0)] | None = None
    below: Annotated[float, Field(ge=0)] | None = None
    change: int
    window: types.Duration | None = None
    cooldown: types.Duration | None = None


class Autoscale(_Section):
    """How Azure Monitor sets the number of instances of a managed deployment."""

    min: Annotated[int, Field(ge=1)]
    max: Annotated[int, Field(ge=1)]
    default: Annotated[int, Field(ge=1)] | None = None
    rules: Annotated[list[AutoscaleRule], Field(min_length=1, max_length=10)] | None = None


class Collection(_Section):
    """How much of one collection is kept."""

    sampling_rate: Annotated[float, Field(ge=0, le=1)] | None = None


class DataCollector(_Section):
    """What Azure ML keeps of requests and replies in the workspace's storage."""

    collections: Annotated[dict[types.CollectionName, Collection], Field(min_length=1)]
    rolling_rate: Literal["minute", "hour", "day", "month", "year"] | None = None
    capture_headers: list[Annotated[str, Field(min_length=1)]] | None = None


class Deployment(_Section):
    """One deployment behind the endpoint."""

    instance_type: Annotated[str, Field(min_length=1)] | None = None
    instance_count: Annotated[int, Field(ge=1)] | None = None
    autoscale: Autoscale | None = None
    scale: Scale | None = None
    resources: ContainerResources | None = None
    egress_public_network_access: bool | None = None
    data_collector: DataCollector | None = None
    image: types.ImageReference | None = None
    model: Model | None = None
    code: Code | None = None
    environment: dict[types.VariableName, str] | None = None
    routes: Routes | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    request_settings: Requests | None = None
    app_insights: bool | None = None


class Check(_Section):
    """A request, and the reply that a good version gives to it."""

    request: Annotated[str, Field(min_length=1, description="A file with the request, seen from the project's root.")]
    reply: Annotated[str, Field(min_length=1, description="A file with the reply that is expected.")]


class Rollout(_Section):
    """What a version must show before it serves. Read by `azureml-scoring rollout`, not by the program."""

    checks: Annotated[list[Check], Field(description="Requests that a version is tested with, and its replies.")] = []
    tolerance: Annotated[
        float, Field(ge=0, le=1, description="How far numbers of a reply may be off, relative to the larger one.")
    ] = 0.00001
    approval: Annotated[
        Literal["required", "none"], Field(description="Whether somebody must say yes before this stack changes.")
    ] = "none"


class Config(_Section):
    """All that a stack chooses."""

    location: types.Location
    registry: Registry = Registry()
    workspace: Workspace = Workspace()
    principal: Principal = Principal()
    image: Image | None = None
    environment: Environment | None = None
    model: Model | None = None
    code: Code | None = None
    endpoint: Endpoint = Endpoint()
    deployments: Annotated[dict[types.DeploymentName, Deployment], Field(max_length=20)]
    tags: Annotated[dict[types.TagName, types.TagValue], Field(max_length=50)] = {}
    name_seed: Annotated[str, Field(max_length=64)] = ""
    rollout: Rollout = Rollout()
    """What a version must show before it serves."""

    def settings(self) -> ScoringStackArgs:
        """Return the same as settings of the components, with only what was said."""
        found = self.model_dump(exclude_none=True, exclude={"rollout"})
        found["principal"].setdefault("kind", default_principal(self.registry.mode))
        if (password := found["registry"].pop("password", None)) is not None:
            found["registry_password"] = password.get_secret_value()
        if secrets := found.get("image", {}).pop("build_secrets", None):
            found["build_secrets"] = {name: value.get_secret_value() for name, value in secrets.items()}
        return cast("ScoringStackArgs", found)


def load(root: Path) -> ScoringStackArgs:
    """Read the stack's config from Pulumi and check all of it, files included; raise its errors, one a line."""
    settings = parse(_given(), root)
    if "registry_password" in settings:
        _demand_sealed("registry.password")
        settings["registry_password"] = pulumi.Output.secret(settings["registry_password"])
    if "build_secrets" in settings:
        for name in settings["build_secrets"]:
            _demand_sealed(f"image.buildSecrets.{name}")
        settings["build_secrets"] = {
            name: pulumi.Output.secret(value) for name, value in settings["build_secrets"].items()
        }
    return settings


def _demand_sealed(path: str) -> None:
    """Refuse a secret in plain text; Pulumi only tells whether anything in a section is sealed."""
    field = f"{NAMESPACE}:{path}"
    if not pulumi.runtime.is_config_secret(field.partition(".")[0]):
        raise SettingsError(error_line(field, "[hidden]", _IN_PLAIN_TEXT.format(field)))


def parse(given: Mapping[str, Any], root: Path) -> ScoringStackArgs:
    """Check config that is read already; the build context is seen from the project's root."""
    try:
        config = Config.model_validate(given)
    except ValidationError as error:
        raise SettingsError("\n".join(_lines(error, given))) from None
    settings = config.settings()
    if problems := refusals(settings):
        raise SettingsError("\n".join(f"{NAMESPACE}:{problem}" for problem in problems))
    if (environment := settings.get("environment")) is not None:
        for file in ("conda_file", "requirements_file"):
            if file in environment:
                environment[file] = str((root / environment[file]).resolve())
        plan_environment(environment, f"{NAMESPACE}:environment")
    image = settings.get("image", types.ImageSettings())
    if "context" in image:
        context = (root / image["context"]).resolve()
        check_context(context, image.get("dockerfile", "Dockerfile"), f"{NAMESPACE}:image")
        image["context"] = str(context)
    for section in cast("list[dict[str, Any]]", [settings, *settings["deployments"].values()]):
        for part in (section.get("model", {}), section.get("code", {})):
            if "path" in part:
                part["path"] = str((root / part["path"]).resolve())
    check_assets(settings, f"{NAMESPACE}:")
    return settings


def _given() -> dict[str, Any]:
    """Collect this project's part of the stack's config, with nested values read."""
    prefix = f"{NAMESPACE}:"
    every: Mapping[str, str] = pulumi.runtime.get_config_env()
    given: dict[str, Any] = {}
    for key, text in every.items():
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            given[name] = _read(name, text)
    return given


def _read(name: str, text: str) -> Any:  # noqa: ANN401 - JSON
    """Read a section; a plain text (such as the location) stays one."""
    field = next((field for key, field in Config.model_fields.items() if to_camel(key) == name), None)
    if field is not None and field.annotation is str:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lines(error: ValidationError, given: Mapping[str, Any]) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        yield _line(problem, given)


def _line(problem: ErrorDetails, given: Mapping[str, Any]) -> str:
    """Turn one of pydantic's findings into one line: field, value, remedy."""
    path = [part for part in problem["loc"] if part != "[key]"]
    field = f"{NAMESPACE}:{'.'.join(map(str, path))}"
    value = "[hidden]" if _SECRET.search(field) else problem.get("input", _at(given, path))
    context = problem.get("ctx") or {}
    match problem["type"]:
        case "extra_forbidden":
            return error_line(field, value, _unknown(path))
        case "missing":
            return f"{field} is missing: write it; see {_example(path)}"
        case "literal_error":
            return error_line(field, value, f"one of {context['expected']}".replace("'", "").replace(" or ", ", "))
        case "value_error":
            return error_line(field, value, str(context["error"]))
        case "dict_type" | "model_type" | "model_attributes_type":
            return error_line(field, value, f"this is a section; write its fields below it, as in {_example(path)}")
        case kind:
            return error_line(field, value, _REMEDIES.get(kind) or _plain(problem["msg"]))


_REMEDIES: Final = {
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "string_type": "write a text, in quotes where it looks like a number",
    "string_too_short": "write at least one character, or take it out",
    "list_type": "write a list, such as [10, 50, 100]",
}
"""What to write, by what pydantic finds wrong."""


def _plain(message: str) -> str:
    return message.replace("Input should be", "write").replace("Value should have", "it takes")


def _at(given: object, path: list[str | int]) -> object:
    for part in path:
        if not isinstance(given, Mapping) or part not in given:
            return None
        given = given[part]
    return given


def _unknown(path: list[str | int]) -> str:
    """Name the field that was probably meant."""
    *parents, last = path
    known = [to_camel(key) for key in _model(parents).model_fields]
    close = difflib.get_close_matches(str(last), known, n=1, cutoff=0.6)
    lower = [name for name in known if name.lower() == str(last).lower().replace("_", "").replace("-", "")]
    if lower or close:
        return f"no such field; did you mean {(lower or close)[0]}?"
    return f"no such field; one of {', '.join(known)}"


def _model(path: list[str | int]) -> type[BaseModel]:
    """Follow a path of the config to the section it leads to."""
    model: type[BaseModel] = Config
    for part in path:
        field = next((field for key, field in model.model_fields.items() if to_camel(key) == part), None)
        if field is not None:
            model = next(sections(field.annotation), model)
    return model


def sections(annotation: object) -> Iterator[type[BaseModel]]:
    """Find the sections that a field's type leads to."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from sections(argument)


def _example(path: list[str | int]) -> str:
    return f"Pulumi.local.yaml, {NAMESPACE}:{path[0]}"
