"""The endpoint that answers: environments, endpoint, grant, deployments and traffic, in that order.

Owns the environment versions (named from the image's digest, because Azure never lets one change), the endpoint,
its own identity's role where Azure ML gives it none, the deployments, who scales them, and the split of traffic.
Refuses to own the image and the credentials it is pulled with.
https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces/onlineendpoints
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NotRequired, TypedDict, cast

import pulumi

from azureml_scoring.assets import Asset, Assets
from azureml_scoring.compute import compute_of
from azureml_scoring.hosting import hosting
from azureml_scoring.image import pinned, plan_image, short, tell
from azureml_scoring.monitoring import logged, scaled
from azureml_scoring.plan.environment import plan_environment
from azureml_scoring.plan.names import Names, environment_name
from azureml_scoring.plan.reference import Reference
from azureml_scoring.principal import assign_pull_role
from azureml_scoring.provider.fields import CONTENT_TAG
from azureml_scoring.sdk import (
    EndpointTraffic,
    EndpointTrafficArgs,
    EnvironmentVersion,
    EnvironmentVersionArgs,
    OnlineDeployment,
    OnlineDeploymentArgs,
    OnlineEndpoint,
    OnlineEndpointArgs,
)
from azureml_scoring.settings.types import (
    CodeSettings,
    DeploymentSettings,
    EndpointSettings,
    EnvironmentSettings,
    ImageSettings,
    LimitSettings,
    ModelSettings,
    RegistryLogin,
    RouteSettings,
    require,
)
from azureml_scoring.settings.validation import AUTH_MODES, default_traffic
from azureml_scoring.workspace_context import WorkspaceContext

_DEFAULT_ROUTES: Final = {"port": 5001, "liveness": "/", "readiness": "/", "scoring": "/score"}
"""Where azureml-inference-server-http listens."""


class ScoringEndpointArgs(TypedDict):
    """Inputs of `ScoringEndpoint`."""

    workspace_id: pulumi.Input[str]
    """The workspace it lives in."""
    location: str
    """Azure region, short form."""
    endpoint: NotRequired[EndpointSettings]
    """Name, authentication and traffic."""
    deployments: dict[str, DeploymentSettings]
    """What runs behind it, by name."""
    image: pulumi.Input[str]
    """host/repository@sha256:…"""
    image_tag: pulumi.Input[str]
    """A short name of the image's content, known in preview."""
    repository: str
    """Names the environment."""
    environment: NotRequired[EnvironmentSettings]
    """What Azure ML builds and runs where a deployment names no image of its own; `image` is not used then."""
    model: NotRequired[ModelSettings]
    """What is mounted where a deployment names no model of its own."""
    code: NotRequired[CodeSettings]
    """What is mounted where a deployment names no code of its own."""
    login: NotRequired[RegistryLogin | None]
    """Who reads a private registry in which a deployment's tag is looked up."""
    pull_grant: NotRequired[pulumi.Input[str]]
    """What must be there before an image can be pulled."""
    pull_identity_id: NotRequired[pulumi.Input[str]]
    """User-assigned identity that pulls; without it the endpoint's identity is its own."""
    pull_registry_id: NotRequired[pulumi.Input[str]]
    """Registry that the endpoint's own identity shall be allowed to read."""
    role_assignment_mode: NotRequired[str]
    """`rbac` (the default) or `abac`: how that registry reads role assignments."""
    log_workspace_id: NotRequired[pulumi.Input[str]]
    """Log Analytics workspace that the endpoint's logs go to, where `endpoint.diagnostics` names none."""
    name_seed: NotRequired[str]
    """Any text; another one gives another name of the endpoint."""
    tags: NotRequired[dict[str, str]]
    """Tags of everything that is made."""


class ScoringEndpoint(pulumi.ComponentResource):
    """A live scoring endpoint with its deployments and their traffic.

    Owns what is needed to answer; refuses to own the image and who may pull it.
    """

    endpoint_id: pulumi.Output[str]
    """ARM id of the endpoint."""
    endpoint_name: pulumi.Output[str]
    """Its name."""
    scoring_uri: pulumi.Output[str]
    """Where clients post."""
    traffic: pulumi.Output[dict[str, int]]
    """The confirmed split in percent."""
    environment_id: pulumi.Output[str]
    """ARM id of the environment version that the first deployment runs."""

    def __init__(self, name: str, args: ScoringEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("azureml-scoring:index:ScoringEndpoint", name, None, opts)
        settings = args.get("endpoint") or EndpointSettings()
        deployments = args["deployments"]
        tags = args.get("tags") or {}
        endpoint_name = settings.get("name") or Names(
            pulumi.get_project(), pulumi.get_stack(), name, args.get("name_seed", "")
        ).of("endpoint")
        context = WorkspaceContext(args["workspace_id"], args["location"], tags, pulumi.ResourceOptions(parent=self))
        identity = args.get("pull_identity_id")
        compute = compute_of(f"{name}-compute", settings, context)
        endpoint = OnlineEndpoint(
            f"{name}-endpoint",
            OnlineEndpointArgs(
                workspace_id=args["workspace_id"],
                endpoint_name=require("endpoint", "endpoint.name", endpoint_name),
                location=args["location"],
                compute=compute,
                auth_mode=AUTH_MODES[settings.get("auth") or "key"],
                public_network_access="Disabled" if settings.get("public_network_access") is False else "Enabled",
                identity_type="UserAssigned" if identity is not None else "SystemAssigned",
                user_assigned_identities=[identity] if identity is not None else None,
                description=settings.get("description"),
                tags=tags,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        grant = self._grant(name, args, endpoint, endpoint_name)
        images = {key: self._image(name, key, args, each) for key, each in deployments.items()}
        environments = {key: self._environment(name, key, args, each, images[key]) for key, each in deployments.items()}
        assets = Assets(name, args["workspace_id"], tags, self)
        made = []
        for key, deployment in deployments.items():
            image = images[key]
            mounted = _mounted(assets, args, key, deployment)
            made.append(
                online := OnlineDeployment(
                    f"{name}-{key}",
                    OnlineDeploymentArgs(
                        endpoint_id=endpoint.id,
                        deployment_name=require("deployment", "deployments", key),
                        location=args["location"],
                        environment_id=environments[key].id,
                        environment_variables=deployment.get("environment") or {},
                        liveness_probe=_arm(deployment.get("liveness_probe")),
                        readiness_probe=_arm(deployment.get("readiness_probe")),
                        request_settings=_arm(deployment.get("request_settings")),
                        app_insights_enabled=bool(deployment.get("app_insights", False)),
                        model_id=mounted.model.id if mounted.model else None,
                        model_mount_path=mounted.mount_path,
                        code_id=mounted.code.id if mounted.code else None,
                        scoring_script=mounted.script,
                        pull_grant=grant,
                        **hosting(f"deployments.{key}", deployment, kubernetes=compute is not None),
                        tags={
                            **tags,
                            CONTENT_TAG: args["image_tag"] if image is None else image.apply(short),
                            **mounted.tags,
                        },
                    ),
                    # Azure deletes deployments with their endpoint, and refuses to delete one that has traffic.
                    opts=pulumi.ResourceOptions(parent=self, deleted_with=endpoint),
                )
            )
            if "autoscale" in deployment:
                setting, autoscale = f"{endpoint_name}-{key}", deployment["autoscale"]
                scaled(f"{name}-{key}-autoscale", setting, online.id, autoscale, context)
        if "diagnostics" in settings:
            logs = settings["diagnostics"].get("log_workspace") or args.get("log_workspace_id") or ""
            logged(f"{name}-logs-of-endpoint", endpoint.id, logs, settings["diagnostics"], context.opts)
        steps = settings.get("traffic_steps")
        limits = settings.get("limits") or LimitSettings()
        traffic = EndpointTraffic(
            f"{name}-traffic",
            EndpointTrafficArgs(
                endpoint_id=endpoint.id,
                traffic=_whole(settings.get("traffic") or default_traffic(deployments)),
                mirror_traffic=_whole(settings.get("mirror") or {}),
                steps=[int(step) for step in steps] if steps else None,
                bake_seconds=settings.get("bake_seconds"),
                probe=settings.get("probe"),
                mirror_first=int(settings["mirror_first"]) if "mirror_first" in settings else None,
                error_percent=limits.get("error_percent"),
                latency_milliseconds=limits.get("latency_milliseconds"),
            ),
            # Azure refuses traffic to a deployment that is not there yet, and names are all that traffic knows of them.
            opts=pulumi.ResourceOptions(parent=self, depends_on=made, deleted_with=endpoint),
        )
        self.endpoint_id = endpoint.id
        self.endpoint_name = pulumi.Output.from_input(endpoint_name)
        self.scoring_uri = endpoint.scoring_uri
        self.traffic = traffic.traffic.apply(dict)
        self.environment_id = next(iter(environments.values())).id
        self.register_outputs(
            {
                "endpointId": self.endpoint_id,
                "endpointName": self.endpoint_name,
                "scoringUri": self.scoring_uri,
                "traffic": self.traffic,
                "environmentId": self.environment_id,
            }
        )

    def _grant(
        self, name: str, args: ScoringEndpointArgs, endpoint: OnlineEndpoint, endpoint_name: str
    ) -> pulumi.Input[str] | None:
        """Return what deployments wait for; let the endpoint's own identity read a registry first where asked to."""
        registry = args.get("pull_registry_id")
        if registry is None:
            return args.get("pull_grant")
        mode = args.get("role_assignment_mode") or "rbac"
        return assign_pull_role(f"{name}-role", endpoint.principal_id, registry, mode, endpoint_name, self).id

    def _image(
        self, name: str, key: str, args: ScoringEndpointArgs, deployment: DeploymentSettings
    ) -> pulumi.Output[str] | None:
        """Pin the image that a deployment has instead of the stack's."""
        own = deployment.get("image")
        if own is None:
            return None
        field = f"deployments.{key}.image"
        tell(field, plan_image(ImageSettings(reference=own), field), self)
        return pinned(f"{name}-{key}", own, args.get("login"), self)

    def _environment(
        self,
        name: str,
        key: str,
        args: ScoringEndpointArgs,
        deployment: DeploymentSettings,
        image: pulumi.Output[str] | None,
    ) -> EnvironmentVersion:
        """Make the environment version that a deployment runs; each deployment has an environment of its own.

        Its name and number follow from the image alone, not from who names it: when the stack's image is pinned for a
        deployment that runs it already, nothing changes.
        """
        routes = {**_DEFAULT_ROUTES, **(deployment.get("routes") or RouteSettings())}
        own = deployment.get("image")
        if own is None and "environment" in args:
            return self._built(name, key, args, args["environment"])
        repository = Reference.parse(own).repository if own else args["repository"]
        served = pulumi.Output.from_input(args["image"]) if image is None else image
        version = served.apply(_version)
        if routes != _DEFAULT_ROUTES:
            version = pulumi.Output.concat(version, "-", _mark(routes))
        return EnvironmentVersion(
            f"{name}-{key}-environment",
            EnvironmentVersionArgs(
                workspace_id=args["workspace_id"],
                environment_name=environment_name(f"{repository}-{key}"),
                version=version,
                image=served,
                liveness_path=str(routes["liveness"]),
                readiness_path=str(routes["readiness"]),
                scoring_path=str(routes["scoring"]),
                port=int(cast("int", routes["port"])),
                tags=args.get("tags") or {},
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _built(
        self, name: str, key: str, args: ScoringEndpointArgs, settings: EnvironmentSettings
    ) -> EnvironmentVersion:
        """Make the environment version that Azure ML builds an image of."""
        plan = plan_environment(settings)
        return EnvironmentVersion(
            f"{name}-{key}-environment",
            EnvironmentVersionArgs(
                workspace_id=args["workspace_id"],
                environment_name=environment_name(f"{plan.name}-{key}"),
                version=plan.version,
                image=plan.base,
                conda_file=plan.conda,
                tags=args.get("tags") or {},
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )


@dataclass(frozen=True)
class _Mounted:
    """What a deployment holds beside its image."""

    model: Asset | None = None
    mount_path: str | None = None
    code: Asset | None = None
    script: str | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Tags that name both, so that a preview shows what is about to run."""
        return {kind: found.title for kind, found in (("model", self.model), ("code", self.code)) if found}


def _mounted(assets: Assets, args: ScoringEndpointArgs, key: str, deployment: DeploymentSettings) -> _Mounted:
    """Take a deployment's own model and code, or the stack's."""
    model, model_of = (deployment["model"], key) if "model" in deployment else (args.get("model"), "")
    code, code_of = (deployment["code"], key) if "code" in deployment else (args.get("code"), "")
    return _Mounted(
        assets.model(model, model_of) if model else None,
        model.get("mount_path") if model else None,
        assets.code(code, code_of) if code else None,
        code["entry_script"] if code else None,
    )


def _version(image: str) -> str:
    """Name a version by digest and repository: a digest may lie in two registries, and a version never changes."""
    return f"{short(image)}-{_hash(image.partition('@')[0])}"


def _mark(routes: Mapping[str, object]) -> str:
    return _hash("\n".join(f"{key} {value}" for key, value in sorted(routes.items())))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _whole(split: Mapping[str, float]) -> dict[str, int]:
    """Numbers come as floats from other languages."""
    return {name: int(percent) for name, percent in split.items()}


def _arm(settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Spell settings as ARM does: camelCase, whole numbers whole."""
    if not settings:
        return None
    return {_camel(key): int(value) if isinstance(value, float) else value for key, value in settings.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
