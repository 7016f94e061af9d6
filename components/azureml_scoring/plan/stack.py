"""The plan of a stack: everything that files of this machine say, read once before the first resource.

Owns which parts of the settings are planned. Refuses to own how (`image.py`, `environment.py`, `assets.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azureml_scoring.plan.assets import AssetPlan, plan_code, plan_model
from azureml_scoring.plan.checks import plan_checks
from azureml_scoring.plan.environment import EnvironmentPlan, plan_environment
from azureml_scoring.plan.image import ImagePlan, plan_image
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.image import CodeSettings, ModelSettings
from azureml_scoring.settings.rollout import CheckSettings
from azureml_scoring.settings.stack import StackSettings
from azureml_scoring.settings.stack_file import parse, prefixed
from azureml_scoring.settings.validation import validate


@dataclass(frozen=True)
class MountPlan:
    """The model and code of one deployment, its own or the stack's."""

    model: ModelSettings | None = None
    model_files: AssetPlan | None = None
    """Files to upload; none for a registered model."""
    model_owner: str = ""
    """The deployment that names the model; empty where it is the stack's."""
    code: CodeSettings | None = None
    code_files: AssetPlan | None = None
    """Files to upload; none for registered code."""
    code_owner: str = ""


@dataclass(frozen=True)
class EndpointPlan:
    """What files say of an endpoint's deployments."""

    environment: EnvironmentPlan | None = None
    """The stack's, where Azure ML builds it."""
    environments: Mapping[str, EnvironmentPlan] = field(default_factory=dict)
    """What Azure ML builds, by deployment: its own or the stack's."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Registered environments by deployment."""
    images: Mapping[str, ImagePlan] = field(default_factory=dict)
    """Images of the deployments that name one of their own."""
    mounts: Mapping[str, MountPlan] = field(default_factory=dict)
    """Model and code by deployment."""
    checks: Sequence[CheckSettings] = ()
    """Requests and replies by absolute path."""


@dataclass(frozen=True)
class StackPlan:
    """What files say of a whole stack."""

    image: ImagePlan | None
    endpoint: EndpointPlan


def plan_stack(settings: StackSettings) -> StackPlan:
    """Read all files once; raise a `SettingsError` for what cannot be carried out."""
    root = At.root(settings)
    endpoint = plan_endpoint(root)
    return StackPlan(plan_image(root.image) if settings.image is not None else None, endpoint)


def plan_file(values: Mapping[str, Any], root: Path) -> tuple[StackSettings, StackPlan]:
    """Check a stack file and all files that it names; raise a `SettingsError` with a line for each problem."""
    settings = parse(values)
    try:
        validate(settings)
        settings = settings.rooted(root)
        return settings, plan_stack(settings)
    except SettingsError as error:
        raise prefixed(error) from None


def plan_endpoint(settings: At) -> EndpointPlan:
    """Plan the deployments; `settings` has the sections deployments, environment, model, code, rollout."""
    environment = _built(settings.environment)
    model_files = plan_model(settings.model) if settings.model else None
    code_files = plan_code(settings.code) if settings.code else None
    images, environments, references, mounts = {}, {}, {}, {}
    for name, deployment in settings.deployments.entries():
        source = deployment.environment or settings.environment
        if deployment.image:
            images[name] = plan_image(deployment.image)
        elif source and source.reference:
            references[name] = source.reference()
        elif built := _built(deployment.environment) or environment:
            environments[name] = built
        own_model, own_code = bool(deployment.model), bool(deployment.code)
        mounts[name] = MountPlan(
            deployment.model() or settings.model(),
            plan_model(deployment.model) if own_model else model_files,
            name if own_model else "",
            deployment.code() or settings.code(),
            plan_code(deployment.code) if own_code else code_files,
            name if own_code else "",
        )
    return EndpointPlan(environment, environments, references, images, mounts, plan_checks(settings.rollout.checks))


def _built(environment: At) -> EnvironmentPlan | None:
    """Plan an environment that Azure ML builds; None for a registered one, and where there is none."""
    return plan_environment(environment) if environment and not environment.reference else None
