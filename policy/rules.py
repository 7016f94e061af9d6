"""Rules that every stack must obey: pure functions of a resource's type and inputs, tested without an engine.

Owns the rules and their wording. Refuses to own their settings (`settings.yaml`), and imports nothing of the project or
of Pulumi: a rule that shares the program's code would share its mistakes.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Props = Mapping[str, Any]

READERS = {
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "b93aa761-3e63-49ed-ac28-beffa264f7ac": "Container Registry Repository Reader",
}
"""Roles that read images and do nothing else.
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers"""

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_LATEST = re.compile(r"(^|/)[^/@]+:latest(@|$)", re.IGNORECASE)
_OWN = "azureml-scoring:index"
_AUTOSCALE = "azure-native:monitor:AutoscaleSetting"
_ML = "azure-native:machinelearningservices"
_TAGGED = {
    "azure-native:resources:ResourceGroup",
    "azure-native:containerregistry:Registry",
    "azure-native:storage:StorageAccount",
    "azure-native:keyvault:Vault",
    "azure-native:operationalinsights:Workspace",
    "azure-native:applicationinsights:Component",
    "azure-native:managedidentity:UserAssignedIdentity",
    "azure-native:containerregistry:AgentPool",
    "azure-native:network:VirtualNetwork",
    "azure-native:network:PrivateEndpoint",
    "azure-native:privatedns:PrivateZone",
    f"{_ML}:Workspace",
    f"{_ML}:OnlineEndpoint",
    f"{_ML}:OnlineDeployment",
    f"{_OWN}:OnlineEndpoint",
    f"{_OWN}:OnlineDeployment",
    f"{_OWN}:EnvironmentVersion",
}


class SettingsError(ValueError):
    """Settings that cannot be used; one line that says why."""


@dataclass(frozen=True)
class PolicyException:
    """One resource that a rule skips, why, and until when."""

    rule: str
    resource: str
    reason: str
    until: dt.date


@dataclass(frozen=True)
class Settings:
    """Limits, and what is exempt."""

    production: frozenset[str] = frozenset({"prod"})
    required_tags: tuple[str, ...] = ()
    ceilings: Mapping[str, int] = field(default_factory=dict)
    exceptions: tuple[PolicyException, ...] = ()


@dataclass(frozen=True)
class Resource:
    """One resource of a stack, as the engine shows it."""

    type: str
    name: str
    stack: str
    props: Props

    @property
    def kind(self) -> str:
        """The type token without an API version: `azure-native:keyvault/v20230701:Vault` is `…:keyvault:Vault`."""
        package, module, name = (*self.type.split(":"), "", "")[:3]
        return f"{package}:{module.split('/')[0]}:{name}"


@dataclass(frozen=True)
class Rule:
    """A rule on one resource at a time: yields a line for each thing that is wrong."""

    name: str
    description: str
    check: Callable[[Resource, Settings], Iterable[str]]


def parse_settings(document: object) -> Settings:
    """Read `settings.yaml`; an exception without reason or date is refused."""
    if not isinstance(document, Mapping):
        raise SettingsError("settings.yaml: write fields and values")
    unknown = set(document) - {"production", "requiredTags", "ceilings", "exceptions"}
    if unknown:
        raise SettingsError(f"settings.yaml: {min(unknown)} is not a field")
    return Settings(
        frozenset(document.get("production") or ()),
        tuple(document.get("requiredTags") or ()),
        dict(document.get("ceilings") or {}),
        tuple(_exception(number, each) for number, each in enumerate(document.get("exceptions") or ())),
    )


def _exception(number: int, document: Mapping[str, Any]) -> PolicyException:
    where = f"settings.yaml: exceptions[{number}]"
    for name in ("rule", "resource", "reason", "until"):
        if not document.get(name):
            raise SettingsError(f"{where}.{name} is missing; an exception has a rule, a resource, a reason and a date")
    if document["rule"] not in {*(rule.name for rule in RULES), ONE_ROLE}:
        raise SettingsError(f"{where}.rule = {document['rule']!r}: no such rule")
    if type(document["until"]) is not dt.date:
        raise SettingsError(f"{where}.until = {document['until']!r}: write a date such as 2026-12-31")
    return PolicyException(str(document["rule"]), str(document["resource"]), str(document["reason"]), document["until"])


def violations(rule: Rule, resource: Resource, settings: Settings, today: dt.date) -> list[str]:
    """Return how a resource breaks one rule, unless it is exempt today."""
    return _not_exempt(rule.name, resource.name, rule.check(resource, settings), settings, today)


def _not_exempt(rule: str, name: str, lines: Iterable[str], settings: Settings, today: dt.date) -> list[str]:
    lines = list(lines)
    for each in settings.exceptions if lines else ():
        if (each.rule, each.resource) == (rule, name):
            if today <= each.until:
                return []
            return [f"{line} (the exception ended on {each.until})" for line in lines]
    return lines


# -- the rules ---------------------------------------------------------------------------------------------------------


def _no_admin_account(resource: Resource, _: Settings) -> Iterator[str]:
    if (
        resource.kind == "azure-native:containerregistry:Registry"
        and resource.props.get("adminUserEnabled") is not False
    ):
        yield "adminUserEnabled is not false: the admin account can push, and logs name no person; turn it off"


def _no_anonymous_pull(resource: Resource, _: Settings) -> Iterator[str]:
    if resource.kind == "azure-native:containerregistry:Registry" and resource.props.get("anonymousPullEnabled"):
        yield "anonymousPullEnabled is true: everyone can read the images; turn it off"


def _images(resource: Resource) -> Iterator[tuple[str, str]]:
    """Yield each property that names an image that runs."""
    if resource.kind == f"{_OWN}:EnvironmentVersion":
        yield "image", str(resource.props.get("image") or "")
    elif resource.kind == f"{_ML}:EnvironmentVersion":
        inner = resource.props.get("environmentVersionProperties") or {}
        yield "environmentVersionProperties.image", str(inner.get("image") or "")


def _no_latest(resource: Resource, _: Settings) -> Iterator[str]:
    images = list(_images(resource))
    if resource.kind == f"{_OWN}:ImageBuild":
        arguments = resource.props.get("buildArguments") or {}
        images += [(f"buildArguments.{name}", str(value)) for name, value in arguments.items()]
    for where, image in images:
        if _LATEST.search(image):
            yield f"{where} = {image!r}: latest changes without notice; name a version or a digest"


def _digest_only(resource: Resource, _: Settings) -> Iterator[str]:
    for where, image in _images(resource):
        if not _DIGEST.search(image):
            yield f"{where} = {image!r}: tags move; name the image by @sha256:…"


def _reads_only(resource: Resource, _: Settings) -> Iterator[str]:
    if not _on_registry(resource):
        return
    role = str(resource.props.get("roleDefinitionId") or "").rsplit("/", 1)[-1].lower()
    if role not in READERS:
        yield f"roleDefinitionId ends in {role!r}: on a registry, assign {' or '.join(READERS.values())}"


def _on_registry(resource: Resource) -> bool:
    scope = str(resource.props.get("scope") or "").lower()
    return (
        resource.kind in {"azure-native:authorization:RoleAssignment", f"{_OWN}:RoleAssignment"}
        and "/providers/microsoft.containerregistry/registries/" in scope
    )


def _no_keys_in_production(resource: Resource, settings: Settings) -> Iterator[str]:
    if resource.stack not in settings.production:
        return
    mode = None
    if resource.kind == f"{_OWN}:OnlineEndpoint":
        mode = resource.props.get("authMode", "Key")
    elif resource.kind == f"{_ML}:OnlineEndpoint":
        mode = (resource.props.get("onlineEndpointProperties") or {}).get("authMode")
    if mode == "Key":
        yield "authMode = 'Key': keys do not expire and name no caller; set AMLToken or AADToken"


_NETWORKED = {
    f"{_OWN}:OnlineEndpoint",
    "azure-native:containerregistry:Registry",
    "azure-native:storage:StorageAccount",
    "azure-native:keyvault:Vault",
    f"{_ML}:Workspace",
}


def _no_public_network_in_production(resource: Resource, settings: Settings) -> Iterator[str]:
    if resource.stack not in settings.production or resource.kind not in _NETWORKED:
        return
    inner = resource.props.get("properties") if resource.kind.endswith(":Vault") else resource.props
    access = (inner or {}).get("publicNetworkAccess")
    # Azure's default for all of these is public. Access to an endpoint on Kubernetes is the cluster's matter.
    if "compute" in resource.props:
        return
    if str(access or "Enabled").lower() != "disabled":
        yield f"publicNetworkAccess = {access!r}: it answers from the internet; disable it, or add an exception"


def _instance_ceiling(resource: Resource, settings: Settings) -> Iterator[str]:
    ceiling = settings.ceilings.get(resource.stack, settings.ceilings.get("default"))
    if ceiling is None:
        return
    for name, count in _counts(resource):
        if count > ceiling:
            yield f"{name} = {count:g}: stack {resource.stack} may have {ceiling}; raise ceilings in settings.yaml"


def _counts(resource: Resource) -> Iterator[tuple[str, float]]:
    """Yield the most instances that the program, the cluster or Azure Monitor may start."""
    if resource.kind == f"{_OWN}:OnlineDeployment":
        scale = resource.props.get("scaleSettings") or {}
        if scale:
            yield "scaleSettings.maxInstances", scale.get("maxInstances") or 1
        else:
            yield "instanceCount", resource.props.get("instanceCount") or 1
    elif resource.kind == _AUTOSCALE:
        for profile in resource.props.get("profiles") or []:
            yield "capacity.maximum", float(profile["capacity"]["maximum"])


def _required_tags(resource: Resource, settings: Settings) -> Iterator[str]:
    if resource.kind in _TAGGED:
        tags = resource.props.get("tags") or {}
        missing = [name for name in settings.required_tags if not tags.get(name)]
        if missing:
            yield f"tags: {', '.join(missing)} missing; set scoring:tags in the stack's config"


RULES = (
    Rule("no-admin-account", "Registries have the admin account off.", _no_admin_account),
    Rule("no-anonymous-pull", "Registries need credentials for pulls.", _no_anonymous_pull),
    Rule("no-latest", "No image is named :latest.", _no_latest),
    Rule("digest-only", "Images that run are named by digest.", _digest_only),
    Rule("read-only-on-registries", "Roles on registries only read.", _reads_only),
    Rule("no-keys-in-production", "Endpoints in production do not accept keys.", _no_keys_in_production),
    Rule("no-public-network-in-production", "Nothing in production is public.", _no_public_network_in_production),
    Rule("instance-ceiling", "Deployments have at most the stack's ceiling of instances.", _instance_ceiling),
    Rule("required-tags", "Everything that can have tags has the required ones.", _required_tags),
)

ONE_ROLE = "one-role-per-principal"


def one_role_per_principal(resources: Iterable[Resource], settings: Settings, today: dt.date) -> list[tuple[str, str]]:
    """Return name and line of each role assignment on a registry beyond its principal's first."""
    result: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    for resource in resources:
        principal = resource.props.get("principalId")
        if not principal or not _on_registry(resource):
            continue
        if principal in first:
            line = f"principalId = {principal!r} has a role by {first[principal]!r} already; assign one"
            lines = _not_exempt(ONE_ROLE, resource.name, [line], settings, today)
            result += [(resource.name, each) for each in lines]
        first.setdefault(principal, resource.name)
    return result
