"""Mixtures of settings that Azure cannot do, each with one line: which field, why, what to use instead.

Owns what may go together across sections. Refuses to own what a single text may look like (`types.py`) and a
stack's fields (`settings/stack_file.py`). Pure, and called before the first resource, so that nothing is half-made.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from azureml_scoring.settings.endpoint_kinds import kind_refusals
from azureml_scoring.settings.types import error_line

REGISTRY_MODES: Final = ("workspace", "standalone", "public", "private")
PRINCIPAL_KINDS: Final = ("service-principal", "managed-identity", "none")
BUILDERS: Final = ("acr", "docker")
AUTH_MODES: Final = {"key": "Key", "aml-token": "AMLToken", "aad-token": "AADToken"}
"""How Azure ML spells each way of signing in at an endpoint."""

_BUILD_FIELDS: Final = {
    "context": "context",
    "dockerfile": "dockerfile",
    "repository": "repository",
    "builder": "builder",
    "build_arguments": "buildArguments",
    "base_digest": "baseDigest",
    "platform": "platform",
    "target": "target",
}
_WORKSPACE_FIELDS: Final = {
    "name": "name",
    "resource_group": "resourceGroup",
    "resource_group_exists": "resourceGroupExists",
    "vault": "vault",
    "storage_account": "storageAccount",
    "purge_protection": "purgeProtection",
    "soft_delete_days": "softDeleteDays",
}
_READ_ONLY: Final = ("public", "private")
"""Modes in which the registry is somebody else's: nothing is made there."""
_NAMES_IT: Final = {"id": "registry.id", "login_server": "registry.loginServer"}
_PRIVATE_FIELDS: Final = {"address": "address", "username": "username", "password_secret": "passwordSecret"}
_PRIVATE: Final = {
    "address": "which registry? write its host, such as ghcr.io",
    "username": "who reads it? write a user name",
}
_PASSWORDS_AT_ONCE: Final = 2
_MIRROR_LIMIT: Final = 50
_WHOLE: Final = 100

Section = Mapping[str, Any]


def default_principal(mode: str) -> str:
    """Choose who pulls when nobody says: only a registry beside the workspace needs somebody."""
    return "service-principal" if mode == "standalone" else "none"


def default_traffic(deployments: Section) -> dict[str, int]:
    """Give everything to a deployment that is alone; with several, somebody has to say."""
    return dict.fromkeys(deployments, _WHOLE) if len(deployments) == 1 else {}


def refusals(settings: Section, now: datetime | None = None) -> list[str]:
    """List what cannot be done, one line each. `settings` has the sections of `ScoringStackArgs`."""
    registry: Section = settings["registry"]
    image: Section = settings.get("image") or {}
    principal: Section = settings.get("principal") or {"kind": default_principal(registry["mode"])}
    return [
        *_registry(registry, settings.get("workspace") or {}),
        *_elsewhere(registry, image, password="registry_password" in settings),
        *_workspace(settings.get("workspace") or {}),
        *_principal(registry["mode"], principal, now or datetime.now(UTC)),
        *(_environment(settings) if "environment" in settings else _image(registry, image)),
        *_build_secrets(image, settings.get("build_secrets") or {}),
        *_endpoint(settings.get("endpoint") or {}, settings["deployments"]),
        *_assets(settings),
        *kind_refusals(settings),
    ]


def _registry(registry: Section, workspace: Section) -> Iterator[str]:
    mode = registry["mode"]
    if mode not in REGISTRY_MODES:
        yield error_line("registry.mode", mode, f"one of {', '.join(REGISTRY_MODES)}")
        return
    yield from _existing(registry, workspace)
    existing = bool({"id", "login_server"} & registry.keys()) or (mode == "workspace" and "id" in workspace)
    for field in ("name", "sku"):
        if field not in registry:
            continue
        if mode in _READ_ONLY:
            yield error_line(f"registry.{field}", registry[field], f"mode {mode} makes no registry; take it out")
        elif existing:
            named = next((word for key, word in _NAMES_IT.items() if key in registry), "workspace.id")
            yield error_line(
                f"registry.{field}", registry[field], f"{named} names a registry that exists; take out one"
            )
    if registry.get("role_assignment_mode") == "abac" and not existing:
        remedy = "only an existing registry can be in it; name that by registry.id, or take this out"
        yield error_line("registry.roleAssignmentMode", "abac", remedy)


def _existing(registry: Section, workspace: Section) -> Iterator[str]:
    """Check how an existing registry is named: by one thing, and where a mode takes one."""
    mode = registry["mode"]
    if "id" in registry and mode == "workspace" and "id" not in workspace:
        remedy = "mode workspace takes none unless workspace.id names an existing one; write registry.mode: standalone"
        yield error_line("registry.id", registry["id"], remedy)
    elif "id" in registry and mode not in {"standalone", "workspace"}:
        yield error_line("registry.id", registry["id"], f"mode {mode} takes none; write registry.mode: standalone")
    if "login_server" in registry and mode != "standalone":
        remedy = f"mode {mode} takes none; write registry.mode: standalone"
        yield error_line("registry.loginServer", registry["login_server"], remedy)
    elif "login_server" in registry and "id" in registry:
        remedy = "registry.id names the registry already; take out one of them"
        yield error_line("registry.loginServer", registry["login_server"], remedy)


def _elsewhere(registry: Section, image: Section, *, password: bool) -> Iterator[str]:
    """Check the fields of a private registry: all of them there, none of them anywhere else."""
    mode = registry["mode"]
    if mode != "private":
        for field, shown in _PRIVATE_FIELDS.items():
            if field in registry:
                remedy = f"mode {mode} takes none; write registry.mode: private"
                yield error_line(f"registry.{shown}", registry[field], remedy)
        if password:
            yield error_line("registry.password", "[hidden]", f"mode {mode} takes none; write registry.mode: private")
        return
    for field, remedy in _PRIVATE.items():
        if field not in registry:
            yield error_line(f"registry.{field}", "", remedy)
    secret = registry.get("password_secret")
    if not password and not secret:
        remedy = (
            "write it by `pulumi config set --secret --path scoring:registry.password`, or name the vault secret that "
            "has it by registry.passwordSecret"
        )
        yield error_line("registry.password", "", remedy)
    elif password and secret:
        yield error_line("registry.passwordSecret", secret, "registry.password is written too; take out one of them")
    address = registry.get("address")
    if address and "reference" in image and not image["reference"].startswith(f"{address}/"):
        remedy = f"the credentials are for registry.address {address}; name an image there"
        yield error_line("image.reference", image["reference"], remedy)


def _workspace(workspace: Section) -> Iterator[str]:
    if "id" in workspace:
        for field, shown in _WORKSPACE_FIELDS.items():
            if field in workspace:
                remedy = "workspace.id names a workspace that exists; take out one of them"
                yield error_line(f"workspace.{shown}", workspace[field], remedy)
    elif workspace.get("resource_group_exists") and "resource_group" not in workspace:
        yield error_line(
            "workspace.resourceGroupExists",
            workspace["resource_group_exists"],
            "which one? write workspace.resourceGroup too",
        )


def _principal(mode: str, principal: Section, now: datetime) -> Iterator[str]:
    kind = principal["kind"]
    if kind not in PRINCIPAL_KINDS:
        yield error_line("principal.kind", kind, f"one of {', '.join(PRINCIPAL_KINDS)}")
    elif mode == "public" and kind != "none":
        yield error_line("principal.kind", kind, "a public registry is read without one; take out principal")
    elif mode == "private" and kind != "none":
        yield error_line("principal.kind", kind, "registry.username reads a private registry; take out principal")
    elif mode == "workspace" and kind == "service-principal":
        remedy = "the workspace's own registry takes no credentials; write none, or managed-identity"
        yield error_line("principal.kind", kind, remedy)
    elif mode == "standalone" and kind == "none":
        remedy = "a standalone registry is private; write service-principal or managed-identity"
        yield error_line("principal.kind", kind, remedy)
    yield from _passwords(kind, principal, now)


def _passwords(kind: str, principal: Section, now: datetime) -> Iterator[str]:
    passwords: Section = principal.get("passwords") or {}
    current = principal.get("current")
    if kind != "service-principal" and (passwords or current):
        yield error_line(
            "principal.passwords", ", ".join(passwords) or current, f"{kind} has no password; take them out"
        )
        return
    if len(passwords) > _PASSWORDS_AT_ONCE:
        remedy = "two are enough while one takes over; take out those that nobody uses"
        yield error_line("principal.passwords", ", ".join(passwords), remedy)
    if len(passwords) > 1 and current is None:
        yield error_line("principal.current", "", f"which password is in use? one of {', '.join(passwords)}")
    if current is not None and current not in passwords:
        known = ", ".join(passwords) or "none is listed"
        yield error_line("principal.current", current, f"no such password in principal.passwords ({known})")
    for name, password in passwords.items():
        used = name == current or len(passwords) == 1
        if used and "expires" in password and datetime.fromisoformat(password["expires"]) <= now:
            remedy = "it is over; add another password and make it principal.current"
            yield error_line(f"principal.passwords.{name}.expires", password["expires"], remedy)


def _image(registry: Section, image: Section) -> Iterator[str]:
    mode = registry["mode"]
    if "promote" in image:
        yield from _promoted(mode, image)
    elif "reference" in image:
        for field, shown in _BUILD_FIELDS.items():
            if field in image:
                remedy = "image.reference names an image that is built; take out one of them"
                yield error_line(f"image.{shown}", image[field], remedy)
    elif mode in _READ_ONLY:
        remedy = f"a {mode} registry is only read; name the image by image.reference"
        yield error_line("image.context", image.get("context", ""), remedy)
    elif "context" not in image:
        yield error_line("image.context", "", "name the folder to build from, or an existing image by image.reference")
    elif image.get("builder", "acr") not in BUILDERS:
        yield error_line("image.builder", image["builder"], f"one of {', '.join(BUILDERS)}")
    elif registry.get("role_assignment_mode") == "abac" and image.get("builder", "acr") == "acr":
        remedy = "ACR Tasks has no rights in a registry with roleAssignmentMode abac; write docker, or image.reference"
        yield error_line("image.builder", "acr", remedy)


def _promoted(mode: str, image: Section) -> Iterator[str]:
    """Check an image that is brought from elsewhere. Fields of a build may stay; it takes their place."""
    if "reference" in image:
        remedy = "image.reference names an image that is used where it lies; take out one of them"
        yield error_line("image.promote", image["promote"], remedy)
    elif mode in _READ_ONLY:
        remedy = f"a {mode} registry is only read; name the image there by image.reference"
        yield error_line("image.promote", image["promote"], remedy)


def _build_secrets(image: Section, secrets: Section) -> Iterator[str]:
    names = ", ".join(secrets)
    if names and "reference" in image:
        remedy = "image.reference names an image that is built; take out one of them"
        yield error_line("image.buildSecrets", names, remedy)
    elif names and image.get("builder") == "docker":
        yield error_line("image.buildSecrets", names, "pulumi-docker can pass none to a build; write builder: acr")


def _environment(settings: Section) -> Iterator[str]:
    """Check what Azure ML builds itself: in the workspace's registry, with its own server and an entry script."""
    environment: Section = settings["environment"]
    base, mode = environment["base"], settings["registry"]["mode"]
    if "image" in settings:
        yield error_line("environment.base", base, "image says already what runs; take out one of them")
    if mode != "workspace":
        remedy = "Azure ML builds an environment in the workspace's own registry; write registry.mode: workspace"
        yield error_line("registry.mode", mode, remedy)
    files = [field for field in ("conda_file", "requirements_file") if field in environment]
    if len(files) != 1:
        remedy = "name one file of packages, condaFile or requirementsFile; without any, write image.reference"
        yield error_line("environment.base", base, remedy)
    if "python" in environment and "conda_file" in environment:
        yield error_line(
            "environment.python", environment["python"], "condaFile says which; take it out, or write it there"
        )
    for name, deployment in settings["deployments"].items():
        if "image" in deployment:
            continue
        if "routes" in deployment:
            remedy = "Azure ML's own server has fixed routes; take it out, or build an image with a server of your own"
            yield error_line(f"deployments.{name}.routes", deployment["routes"], remedy)
        if not (deployment.get("code") or settings.get("code")):
            remedy = "the server of environment runs an entry script; name code.path and code.entryScript"
            yield error_line(f"deployments.{name}.code", "", remedy)


def _endpoint(endpoint: Section, deployments: Section) -> Iterator[str]:
    if not deployments:
        yield error_line("deployments", {}, "an endpoint without one answers nothing; describe at least one")
        return
    if endpoint.get("auth", "key") not in AUTH_MODES:
        yield error_line("endpoint.auth", endpoint["auth"], f"one of {', '.join(AUTH_MODES)}")
    traffic: Section = endpoint.get("traffic") or default_traffic(deployments)
    mirror: Section = endpoint.get("mirror") or {}
    for field, split in (("traffic", traffic), ("mirror", mirror)):
        for name in split:
            if name not in deployments:
                known = ", ".join(deployments)
                yield error_line(f"endpoint.{field}.{name}", split[name], f"no such deployment; one of {known}")
    total = sum(traffic.values())
    if not traffic:
        yield error_line("endpoint.traffic", {}, f"say how {', '.join(deployments)} share 100 percent")
    elif total != _WHOLE:
        yield error_line("endpoint.traffic", f"{total} percent together", "Azure takes 100; correct the shares")
    yield from _mirror(traffic, mirror)


def _assets(settings: Section) -> Iterator[str]:
    """Check the models, each with the code that serves it."""
    stack = settings.get("model")
    if stack is not None:
        yield from _model("model", stack)
    for name, deployment in settings["deployments"].items():
        own = deployment.get("model")
        if own is not None:
            yield from _model(f"deployments.{name}.model", own)
        model = own or stack or {}
        if model.get("type") == "mlflow" and not (deployment.get("code") or settings.get("code")):
            place = "model" if own is None else f"deployments.{name}.model"
            remedy = "Azure serves it without code in an image of its own only; name code, or write type: custom"
            yield error_line(f"{place}.type", "mlflow", remedy)


def _model(place: str, model: Section) -> Iterator[str]:
    if "reference" not in model:
        if "path" not in model:
            yield error_line(f"{place}.path", "", "name a folder or file, or a registered version by reference")
        return
    for field in ("path", "name", "type"):
        if field in model:
            remedy = "reference names a version that is registered; take out one of them"
            yield error_line(f"{place}.{field}", model[field], remedy)


def _mirror(traffic: Section, mirror: Section) -> Iterator[str]:
    if len(mirror) > 1:
        yield error_line("endpoint.mirror", ", ".join(mirror), "Azure mirrors to one deployment; take out the others")
    for name, percent in mirror.items():
        if percent > _MIRROR_LIMIT:
            yield error_line(f"endpoint.mirror.{name}", percent, f"Azure mirrors {_MIRROR_LIMIT} percent at most")
        if traffic.get(name):
            remedy = f"it has {traffic[name]} percent of the live traffic; a mirror takes a deployment that has none"
            yield error_line(f"endpoint.mirror.{name}", percent, remedy)
