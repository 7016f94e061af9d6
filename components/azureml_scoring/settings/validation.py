"""What may not go together in the settings of a stack, each with one line: which field, why, what to write instead.

Owns the rules over several fields, Azure's limits that depend on the endpoint kind among them. Refuses to own what a
single field may hold (its type says that). Pure, and called before the first resource, so that nothing is half-made.
https://learn.microsoft.com/azure/machine-learning/concept-endpoints-online#managed-online-endpoints-vs-kubernetes-online-endpoints
https://learn.microsoft.com/azure/machine-learning/how-to-manage-quotas#azure-machine-learning-online-endpoints-and-batch-endpoints
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from pydantic import SecretStr

from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import HIDDEN, SettingsError
from azureml_scoring.settings.image import PLATFORM
from azureml_scoring.settings.network_validation import network_problems
from azureml_scoring.settings.rules import (
    METRICS,
    MIRROR_LIMIT,
    RULES,
    WHOLE,
    seconds_of,
)
from azureml_scoring.settings.section import Only, marker
from azureml_scoring.settings.stack import StackSettings

_WORKSPACES_OWN: Final = ("workspace", "private")
"""Modes in which images lie in the workspace's own registry."""
_READ_ONLY: Final = ("public", "private")
"""Modes in which the registry belongs to others: nothing is created there."""
_PASSWORDS_AT_ONCE: Final = 2
_INSTANCES: Final = 50
"""Azure's limit for one managed deployment."""
_REQUEST_SECONDS: Final = {"managed": 180, "kubernetes": 300}
_WINDOW: Final = (300, 12 * 3600)
_COOLDOWN: Final = (60, 7 * 24 * 3600)
_PAYLOADS: Final = ("request", "response")
"""Collections that hold payloads."""
_AUTOSCALE_TAGS: Final = 15
_STORAGE_TAG: Final = 128
_ACR_PLATFORM: Final = re.compile("linux/(amd64|386|arm|arm64)(/v[678])?")
"""https://learn.microsoft.com/rest/api/containerregistry/runs/list#architecture"""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
"""No password of an HTTP sign-in has such a character: https://www.rfc-editor.org/rfc/rfc7617#section-2"""
_FACTORS: Final = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} | {
    f"{letter}i": 1024.0**power for power, letter in enumerate("KMGT", start=1)
}


def validate(settings: StackSettings, now: datetime | None = None) -> None:
    """Raise a `SettingsError` with one line for each thing that cannot be done."""
    if problems := [*_problems(At.root(settings), now or datetime.now(UTC))]:
        raise SettingsError("\n".join(problems))


def default_principal(mode: str) -> str:
    """Choose who pulls when nobody says: only a registry beside the workspace needs an identity."""
    return "service-principal" if mode == "standalone" else "none"


def default_traffic(deployments: Mapping[str, object]) -> dict[str, int]:
    """Send everything to a deployment that is alone; with several, the settings must say."""
    return dict.fromkeys(deployments, WHOLE) if len(deployments) == 1 else {}


def amount(quantity: str) -> float:
    """Turn a Kubernetes quantity of CPU or memory into a number of cores or bytes."""
    number = quantity.rstrip("mkKMGTi")
    unit = quantity[len(number) :]
    return float(number) / 1000 if unit == "m" else float(number) * _FACTORS[unit]


def _problems(settings: At, now: datetime) -> Iterator[str]:
    yield from _registry(settings)
    yield from _private_registry(settings)
    yield from _workspace(settings.workspace)
    yield from _principal(settings, now)
    yield from _sources(settings)
    yield from _tags(settings)
    yield from _endpoint(settings)
    yield from _models(settings)
    yield from _endpoint_kind(settings)
    yield from network_problems(settings)


def _registry(settings: At) -> Iterator[str]:
    registry, workspace = settings.registry, settings.workspace
    mode = registry.mode()
    yield from _existing_registry(registry, workspace)
    existing = registry.id or registry.login_server or (mode in _WORKSPACES_OWN and workspace.id)
    for field in (registry.name, registry.sku):
        if field and mode in _READ_ONLY:
            yield field.refused(f"mode {mode} makes no registry; take it out")
        elif field and existing:
            named = next((each for each in (registry.id, registry.login_server) if each), workspace.id)
            yield field.refused(f"{named.path_} names a registry that exists; take out one")
    if registry.role_assignment_mode() == "abac" and not existing:
        yield registry.role_assignment_mode.refused(
            "only an existing registry can be in it; name that by registry.id, or take this out"
        )


def _existing_registry(registry: At, workspace: At) -> Iterator[str]:
    """Check how an existing registry is named: by one field, and where a mode takes one."""
    mode = registry.mode()
    if registry.id and mode in _WORKSPACES_OWN and not workspace.id:
        yield registry.id.refused(
            f"mode {mode} takes none unless workspace.id names an existing one; write registry.mode: standalone"
        )
    elif registry.id and mode == "public":
        yield registry.id.refused(f"mode {mode} takes none; write registry.mode: standalone")
    if registry.login_server and mode != "standalone":
        yield registry.login_server.refused(f"mode {mode} takes none; write registry.mode: standalone")
    elif registry.login_server and registry.id:
        yield registry.login_server.refused("registry.id names the registry already; take out one of them")


def _private_registry(settings: At) -> Iterator[str]:
    """Check the fields of a private registry: all of them there, none of them anywhere else."""
    registry, mode = settings.registry, settings.registry.mode()
    password, secret, address = registry.password, registry.password_secret, registry.address
    if mode != "private":
        for field in (address, registry.username, secret, password):
            if field:
                hidden = HIDDEN if field.path_ == password.path_ else None
                yield field.refused(f"mode {mode} takes none; write registry.mode: private", hidden)
        return
    if not address:
        yield address.refused("which registry? write its host, such as ghcr.io")
    if not registry.username:
        yield registry.username.refused("who reads it? write a user name")
    if not password and not secret:
        yield password.refused(
            "write it by `pulumi config set --secret --path scoring:registry.password`, or name the vault secret that "
            "has it by registry.passwordSecret"
        )
    elif password and secret:
        yield secret.refused("registry.password is written too; take out one of them")
    if isinstance(password(), SecretStr) and _CONTROL.search(password().get_secret_value()):
        yield password.refused("it has an end of line or another character of control; write it without", HIDDEN)
    reference = settings.image.reference
    if address and reference and not reference().startswith(f"{address()}/"):
        yield reference.refused(f"the credentials are for registry.address {address()}; name an image there")


def _workspace(workspace: At) -> Iterator[str]:
    if workspace.id:
        for name in workspace().model_fields_set - {"id"}:
            yield getattr(workspace, name).refused("workspace.id names a workspace that exists; take out one of them")
    elif workspace.resource_group_exists() and not workspace.resource_group:
        yield workspace.resource_group_exists.refused("which one? write workspace.resourceGroup too")


def _principal(settings: At, now: datetime) -> Iterator[str]:
    principal, mode = settings.principal, settings.registry.mode()
    kind = principal.kind() or default_principal(mode)
    remedies = {
        ("public", "service-principal"): "a public registry is read without one; take out principal",
        ("private", "service-principal"): "registry.username reads a private registry; take out principal",
        ("workspace", "service-principal"): (
            "the workspace's own registry takes no credentials; write none, or managed-identity"
        ),
    }
    remedies |= {(each, "managed-identity"): remedies[each, "service-principal"] for each in _READ_ONLY}
    if remedy := remedies.get((mode, kind)):
        yield principal.kind.refused(remedy, kind)
    elif settings.endpoint.identity and kind == "managed-identity":
        yield settings.endpoint.identity.refused("principal.kind managed-identity makes one; take out one of them")
    yield from _passwords(principal, kind, now)


def _passwords(principal: At, kind: str, now: datetime) -> Iterator[str]:
    passwords, current = principal.passwords, principal.current
    names = ", ".join(passwords())
    if kind != "service-principal" and (passwords() or current):
        yield passwords.refused(f"{kind} has no password; take them out", names or current())
        return
    if len(passwords()) > _PASSWORDS_AT_ONCE:
        yield passwords.refused("two are enough while one takes over; take out those that nobody uses", names)
    if len(passwords()) > 1 and not current:
        yield current.refused(f"which password is in use? one of {names}")
    if current and current() not in passwords():
        yield current.refused(f"no such password in principal.passwords ({names or 'none is listed'})")
    for name, password in passwords.entries():
        used = name == current() or len(passwords()) == 1
        if used and password.expires and datetime.fromisoformat(password.expires()) <= now:
            yield password.expires.refused("it is over; add another password and make it principal.current")


def _image(image: At, registry: At) -> Iterator[str]:
    mode, reference = registry.mode(), image.reference.path_
    if image.promote:
        yield from _promoted(image, mode)
    elif image.reference:
        for name in image().model_fields_set - {"reference", "requirements", "build_secrets"}:
            yield getattr(image, name).refused(f"{reference} names an image that is built; take out one of them")
    elif mode in _READ_ONLY:
        yield image.context.refused(f"a {mode} registry is only read; name the image by {reference}")
    elif not image.context:
        yield image.context.refused(f"name the folder to build from, or an existing image by {reference}")
    elif registry.role_assignment_mode() == "abac" and image.builder() == "acr":
        yield image.builder.refused(
            "ACR Tasks has no rights in a registry with roleAssignmentMode abac; write docker or docker-build, or "
            f"{reference}"
        )
    yield from _build_secrets(image)
    yield from _platforms(image)


def _promoted(image: At, mode: str) -> Iterator[str]:
    """Check an image that is imported. Fields of a build may stay; it is imported instead of built."""
    if image.reference:
        yield image.promote.refused(f"{image.reference.path_} names an image that is used where it is; take out one")
    elif mode in _READ_ONLY:
        yield image.promote.refused(f"a {mode} registry is only read; name the image there by {image.reference.path_}")


def _build_secrets(image: At) -> Iterator[str]:
    secrets = image.build_secrets
    names = ", ".join(secrets() or {})
    if names and image.reference:
        yield secrets.refused(f"{image.reference.path_} names an image that is built; take out one of them", names)
    elif names and image.builder() == "docker":
        yield secrets.refused("pulumi-docker can pass none to a build; write builder: acr or docker-build", names)


def _platforms(image: At) -> Iterator[str]:
    platforms = image.platforms
    names = ", ".join(platforms() or ())
    if image and image().acr_builds and not _ACR_PLATFORM.fullmatch(image.platform()):
        yield image.platform.refused("ACR Tasks builds for amd64, 386, arm and arm64; write builder: docker-build")
    if not names or image.reference:
        return
    if image.builder() != "docker-build":
        remedy = f"builder {image.builder()} builds for one; write builder: docker-build, or platform"
        yield platforms.refused(remedy, names)
    elif PLATFORM not in platforms():
        yield platforms.refused(f"Azure ML runs {PLATFORM}; add it", names)
    if image().written("platform"):
        yield image.platform.refused(f"{platforms.path_} names them all; take out one of the two")


def _sources(settings: At) -> Iterator[str]:
    """Check what runs: the stack's image or environment, or those of the deployments."""
    environment = settings.environment
    if environment:
        yield from _environment(environment, settings.registry.mode)
        if settings.image:
            yield _named(environment).refused("image says already what runs; take out one of them")
    elif settings.image or not all(_is_served(each, settings) for _, each in settings.deployments.entries()):
        yield from _image(settings.image, settings.registry)
    for _, deployment in settings.deployments.entries():
        if deployment.image:
            yield from _image(deployment.image, settings.registry)
        if deployment.environment:
            yield from _environment(deployment.environment, settings.registry.mode)
            if deployment.image:
                yield deployment.image.refused("environment says already what runs; take out one of them")
        if not deployment.image and (used := deployment.environment or environment):
            yield from _served_by(used, deployment, settings)


def _is_served(deployment: At, settings: At) -> bool:
    """Tell whether a deployment needs none of the stack's: it has its own, or a model that Azure serves by itself.

    https://learn.microsoft.com/azure/machine-learning/how-to-deploy-mlflow-models-online-endpoints and
    https://learn.microsoft.com/azure/machine-learning/how-to-deploy-with-triton ("no-code deployment")
    """
    model = deployment.model or settings.model
    known = bool(model) and (bool(model.reference) or model.type() != "custom")
    return bool(deployment.image or deployment.environment) or (known and not (deployment.code or settings.code))


def _named(environment: At) -> At:
    """Choose the field that names an environment."""
    return environment.reference or environment.base


def _environment(environment: At, mode: At) -> Iterator[str]:
    """Check what Azure ML builds itself, in the workspace's registry; or that only the reference is written."""
    if environment.reference:
        for name in environment().model_fields_set - {"reference"}:
            yield getattr(environment, name).refused("reference names an environment that exists; take out one of them")
        return
    if not environment.base:
        yield environment.base.refused("name the base image, or a registered environment by reference")
    if mode() != "workspace":
        remedy = "Azure ML builds an environment in the workspace's own registry; write registry.mode: workspace"
        yield mode.refused(remedy)
    if bool(environment.conda_file) == bool(environment.requirements_file):
        yield environment.base.refused(
            "name one file of packages, condaFile or requirementsFile; without any, write image.reference"
        )
    if environment.python and environment.conda_file:
        yield environment.python.refused("condaFile says which; take it out, or write it there")


def _served_by(environment: At, deployment: At, settings: At) -> Iterator[str]:
    """Check a deployment that runs an environment: routes are the environment's, and its server runs Python."""
    if deployment.routes and environment.reference:
        yield deployment.routes.refused("the registered environment has its own; take it out")
    elif deployment.routes:
        yield deployment.routes.refused(
            "Azure ML's own server has fixed routes; take it out, or build an image with a server of your own"
        )
    code = deployment.code or settings.code
    if not code and not environment.reference:
        yield deployment.code.refused(
            "the server of environment runs an entry script; name code.path and code.entryScript"
        )
    elif code and not environment.reference and not code.entry_script().endswith(".py"):
        yield code.entry_script.refused("the server of environment runs Python; name a .py file")


def _endpoint(settings: At) -> Iterator[str]:
    endpoint, deployments = settings.endpoint, settings.deployments
    if not deployments():
        yield deployments.refused("an endpoint without one answers nothing; describe at least one")
        return
    known = ", ".join(deployments())
    for split in (endpoint.traffic, endpoint.mirror):
        for name, share in split.entries():
            if name not in deployments():
                yield share.refused(f"no such deployment; one of {known}")
    traffic = endpoint.traffic() or default_traffic(deployments())
    total = sum(traffic.values())
    if not traffic:
        yield endpoint.traffic.refused(f"say how {known} share 100 percent")
    elif total != WHOLE:
        yield endpoint.traffic.refused("Azure takes 100; correct the shares", f"{total} percent together")
    yield from _mirror(endpoint.mirror, traffic)
    yield from _shift(endpoint)


def _shift(endpoint: At) -> Iterator[str]:
    """Check the steps of a shift: each sends more, and lasts long enough to be measured."""
    percents = [step.percent for step in endpoint.traffic_steps()]
    if any(later <= earlier for earlier, later in pairwise(percents)):
        yield endpoint.traffic_steps.refused(
            "each step sends more than the one before; write them in that order", percents
        )
    lasting = {step.percent for step in endpoint.traffic_steps() if step.minutes}
    is_measured = endpoint.bake_seconds() or (lasting == {*percents, WHOLE} and not endpoint.mirror_first())
    if endpoint.limits().model_dump(exclude_none=True) and not is_measured:
        yield endpoint.bake_seconds.refused(
            "endpoint.limits are measured while a step lasts; write 180 or more, or minutes at each step, 100 percent"
            " included",
            0,
        )


def _tags(settings: At) -> Iterator[str]:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations."""
    for name, tag in settings.tags.entries():
        if len(name) > _STORAGE_TAG and not settings.workspace.id:
            yield tag.refused(f"a storage account takes tag names of {_STORAGE_TAG} characters at most; shorten it")


def _mirror(mirror: At, traffic: Mapping[str, int]) -> Iterator[str]:
    if len(mirror()) > 1:
        yield mirror.refused("Azure mirrors to one deployment; take out the others", ", ".join(mirror()))
    for name, share in mirror.entries():
        if share() > MIRROR_LIMIT:
            yield share.refused(f"Azure mirrors {MIRROR_LIMIT} percent at most")
        if traffic.get(name):
            yield share.refused(
                f"it has {traffic[name]} percent of the live traffic; a mirror takes a deployment that has none"
            )


def _models(settings: At) -> Iterator[str]:
    """Check the models, each with the code that serves it."""
    if settings.model:
        yield from _model(settings.model)
    if settings.code:
        yield from _code(settings.code)
    for _, deployment in settings.deployments.entries():
        if deployment.model:
            yield from _model(deployment.model)
        if deployment.code:
            yield from _code(deployment.code)
        model, runs = deployment.model or settings.model, deployment.image or deployment.environment
        runs = runs or settings.image or settings.environment
        if runs and model and model.type() == "mlflow" and not (deployment.code or settings.code):
            yield model.type.refused(
                f"Azure serves it without code in an image of its own only; name code, take out {runs.path_}, or write "
                "type: custom"
            )


def _model(model: At) -> Iterator[str]:
    if not model.reference and not model.path:
        yield model.path.refused("name a folder or file, or a registered version by reference")
    for field in (model.path, model.name, model.version, model.type):
        if model.reference and field:
            yield field.refused("reference names a version that is registered; take out one of them")


def _code(code: At) -> Iterator[str]:
    for field in (code.path, code.name):
        if code.reference and field:
            yield field.refused("reference names a version that is registered; take out one of them")


# -- what depends on the endpoint kind ---------------------------------------------------------------------------------


def _endpoint_kind(settings: At) -> Iterator[str]:
    endpoint, workspace = settings.endpoint, settings.workspace
    kind = endpoint.kind()
    if kind == "kubernetes":
        yield from _compute(endpoint, workspace)
        if endpoint.auth() == "aad-token":
            yield endpoint.auth.refused("Entra tokens are for managed endpoints; write key or aml-token")
        if not endpoint.public_network_access():
            remedy = "the cluster's own network decides who reaches it; take it out"
            yield endpoint.public_network_access.refused(remedy)
    yield from _sides(endpoint, kind)
    if endpoint.diagnostics and workspace.id and not endpoint.diagnostics.log_workspace:
        yield endpoint.diagnostics.log_workspace.refused(
            "where to? the stack makes no Log Analytics workspace beside workspace.id; write the ARM id of one"
        )
    for _, deployment in settings.deployments.entries():
        yield from _sides(deployment, kind)
        yield from _deployment(deployment, kind)
        if deployment.autoscale and len(settings.tags()) > _AUTOSCALE_TAGS:
            count = f"{len(settings.tags())} tags"
            yield settings.tags.refused(f"an autoscale setting takes {_AUTOSCALE_TAGS} tags; take some out", count)


def _sides(section: At, kind: str) -> Iterator[str]:
    """Refuse what the endpoint's kind does not have."""
    for name, field in type(section()).model_fields.items():
        only, at = marker(field, Only), getattr(section, name)
        if only is not None and only.kind != kind and at and (at() or at() is False):
            yield at.refused(only.remedy)


def _compute(endpoint: At, workspace: At) -> Iterator[str]:
    compute, name = endpoint.compute, endpoint.compute() or ""
    if not compute:
        yield compute.refused("which one? write the name of a compute that is attached to the workspace")
    elif problem := RULES["computeId" if "/" in name else "compute"].problem(name):
        yield compute.refused(problem)
    elif "/" not in name:
        if not endpoint.cluster and not workspace.id:
            yield compute.refused(
                "the workspace is new and has none; name the cluster to attach by endpoint.cluster.id"
            )
    elif endpoint.cluster:
        yield compute.refused("endpoint.cluster is attached under a plain name; write one")
    elif not name.lower().startswith(f"{workspace.id() or '?'}/computes/".lower()):
        yield compute.refused("it lies in another workspace; name that one by workspace.id")


def _deployment(deployment: At, kind: str) -> Iterator[str]:
    yield from _instances(deployment, kind)
    timeout, limit = deployment.request_settings.request_timeout, _REQUEST_SECONDS[kind]
    if timeout and seconds_of(timeout()) > limit:
        yield timeout.refused(f"Azure allows at most {limit} seconds; write PT{limit}S or less")
    if deployment.autoscale:
        yield from _autoscale(deployment.autoscale)
    if deployment.scale and deployment.scale.min_instances() > deployment.scale.max_instances():
        most = deployment.scale.max_instances()
        yield deployment.scale.min_instances.refused(f"it is more than maxInstances, {most}; write less")
    if deployment.resources:
        yield from _resources(deployment.resources)
    if deployment.data_collector:
        yield from _collector(deployment.data_collector)


def _instances(deployment: At, kind: str) -> Iterator[str]:
    size, count = deployment.instance_type, deployment.instance_count
    rule = RULES["instanceType" if kind == "managed" else "kubernetesInstanceType"]
    if not size and kind == "managed":
        yield size.refused("which machine? write a size, such as Standard_DS3_v2")
    elif size and (problem := rule.problem(size())):
        yield size.refused(problem)
    if kind == "managed" and count() > _INSTANCES:
        yield count.refused(f"Azure takes {_INSTANCES}; share over two deployments")
    for scaling in ("autoscale", "scale"):
        if count and getattr(deployment, scaling):
            yield count.refused(f"{scaling} says how many; take out one of them")


def _autoscale(autoscale: At) -> Iterator[str]:
    yield from _profile(autoscale)
    for _, schedule in autoscale.schedules.entries():
        yield from _profile(schedule)
        if schedule.start() >= schedule.end():
            yield schedule.end.refused(f"it is not after start, {schedule.start()}; write another schedule")


def _profile(profile: At) -> Iterator[str]:
    """Check the limits and rules that hold at a time."""
    least, most = profile.min(), profile.max()
    if most > _INSTANCES:
        yield profile.max.refused(f"Azure takes {_INSTANCES}; share over two deployments")
    if least > most:
        yield profile.min.refused(f"it is more than max, {most}; write less")
    elif not least <= profile().first <= most:
        yield profile.default.refused(f"it lies outside min and max; write {least} to {most}")
    for _, rule in profile.rules.entries():
        metrics = METRICS[rule.of()]
        if rule.metric() not in metrics:
            yield rule.metric.refused(f"it is no metric of the {rule.of()}; one of {', '.join(metrics)}")
        if (rule.above() is None) == (rule.below() is None):
            yield rule.above.refused("when does it change? write either above or below")
        if rule.change() == 0:
            yield rule.change.refused("it changes nothing; write 1, or -1 for one less")
        for field, (shortest, longest) in ((rule.window, _WINDOW), (rule.cooldown, _COOLDOWN)):
            if not shortest <= seconds_of(field()) <= longest:
                yield field.refused(f"Azure takes {shortest} seconds to {longest // 3600} hours; write PT5M")


def _resources(resources: At) -> Iterator[str]:
    asked, most = resources.requests, resources.limits
    for name in ("cpu", "memory"):
        request, limit = getattr(asked, name), getattr(most, name)
        if request and limit and amount(request()) > amount(limit()):
            yield request.refused(f"it is more than the limit, {limit()}; write less")
    if asked.gpu and asked.gpu() != most.gpu():
        yield asked.gpu.refused(
            "a GPU is never shared, so requests and limits are the same; write it under limits only"
        )


def _collector(collector: At) -> Iterator[str]:
    if collector.capture_headers() and not any(name in collector.collections() for name in _PAYLOADS):
        yield collector.capture_headers.refused(
            "headers are stored with payloads; add the collection request or response",
            ", ".join(collector.capture_headers()),
        )
