"""What no stack may do: pure functions of a resource's type and inputs, so that they are tested without an engine.

Owns the rules and their wording. Refuses to own what they measure by (`settings.yaml`), and imports nothing of the
project or of Pulumi: a rule that shares the program's code would share its mistakes.
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
class Exempt:
    """A rule that does not see one resource, why, and until when."""

    rule: str
    resource: str
    reason: str
    until: dt.date


@dataclass(frozen=True)
class Settings:
    """What the rules measure by."""

    production: frozenset[str] = frozenset({"prod"})
    required_tags: tuple[str, ...] = ()
    ceilings: Mapping[str, int] = field(default_factory=dict)
    exceptions: tuple[Exempt, ...] = ()


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


def settings(given: object) -> Settings:
    """Read `settings.yaml`; an exception without reason or date is refused."""
    if not isinstance(given, Mapping):
        raise SettingsError("settings.yaml: write fields and values")
    unknown = set(given) - {"production", "requiredTags", "ceilings", "exceptions"}
    if unknown:
        raise SettingsError(f"settings.yaml: {min(unknown)} is no field")
    return Settings(
        frozenset(given.get("production") or ()),
        tuple(given.get("requiredTags") or ()),
        dict(given.get("ceilings") or {}),
        tuple(_exempt(number, each) for number, each in enumerate(given.get("exceptions") or ())),
    )


def _exempt(number: int, given: Mapping[str, Any]) -> Exempt:
    where = f"settings.yaml: exceptions[{number}]"
    for name in ("rule", "resource", "reason", "until"):
        if not given.get(name):
            raise SettingsError(f"{where}.{name} is missing: an exception says for what, why and until when")
    if given["rule"] not in {*(rule.name for rule in RULES), ONE_ROLE}:
        raise SettingsError(f"{where}.rule = {given['rule']!r}: no rule has this name")
    if type(given["until"]) is not dt.date:
        raise SettingsError(f"{where}.until = {given['until']!r}: write a date such as 2026-12-31")
    return Exempt(str(given["rule"]), str(given["resource"]), str(given["reason"]), given["until"])


def violations(rule: Rule, resource: Resource, measures: Settings, today: dt.date) -> list[str]:
    """What is wrong with a resource by one rule, without what is excepted today."""
    return _unexcepted(rule.name, resource.name, rule.check(resource, measures), measures, today)


def _unexcepted(rule: str, name: str, found: Iterable[str], measures: Settings, today: dt.date) -> list[str]:
    told = list(found)
    for each in measures.exceptions if told else ():
        if (each.rule, each.resource) == (rule, name):
            if today <= each.until:
                return []
            return [f"{line} (the exception ended on {each.until})" for line in told]
    return told


# -- the rules ---------------------------------------------------------------------------------------------------------


def _no_admin_account(resource: Resource, _: Settings) -> Iterator[str]:
    if (
        resource.kind == "azure-native:containerregistry:Registry"
        and resource.props.get("adminUserEnabled") is not False
    ):
        yield "adminUserEnabled is not false: the admin account can push and cannot be told apart; turn it off"


def _no_anonymous_pull(resource: Resource, _: Settings) -> Iterator[str]:
    if resource.kind == "azure-native:containerregistry:Registry" and resource.props.get("anonymousPullEnabled"):
        yield "anonymousPullEnabled is true: anybody can read the images; turn it off"


def _images(resource: Resource) -> Iterator[tuple[str, str]]:
    """Every place where a resource names an image that runs."""
    if resource.kind == f"{_OWN}:EnvironmentVersion":
        yield "image", str(resource.props.get("image") or "")
    elif resource.kind == f"{_ML}:EnvironmentVersion":
        inner = resource.props.get("environmentVersionProperties") or {}
        yield "environmentVersionProperties.image", str(inner.get("image") or "")


def _no_latest(resource: Resource, _: Settings) -> Iterator[str]:
    places = list(_images(resource))
    if resource.kind == f"{_OWN}:ImageBuild":
        arguments = resource.props.get("buildArguments") or {}
        places += [(f"buildArguments.{name}", str(value)) for name, value in arguments.items()]
    for where, image in places:
        if _LATEST.search(image):
            yield f"{where} = {image!r}: latest is another image tomorrow; name a version or a digest"


def _digest_only(resource: Resource, _: Settings) -> Iterator[str]:
    for where, image in _images(resource):
        if not _DIGEST.search(image):
            yield f"{where} = {image!r}: tags move; name the image by @sha256:…"


def _reads_only(resource: Resource, _: Settings) -> Iterator[str]:
    if not _on_registry(resource):
        return
    role = str(resource.props.get("roleDefinitionId") or "").rsplit("/", 1)[-1].lower()
    if role not in READERS:
        yield f"roleDefinitionId ends in {role!r}: on a registry give {' or '.join(READERS.values())}, which only read"


def _on_registry(resource: Resource) -> bool:
    scope = str(resource.props.get("scope") or "").lower()
    return (
        resource.kind == "azure-native:authorization:RoleAssignment"
        and "/providers/microsoft.containerregistry/registries/" in scope
    )


def _no_keys_in_production(resource: Resource, measures: Settings) -> Iterator[str]:
    if resource.stack not in measures.production:
        return
    if resource.kind == f"{_OWN}:OnlineEndpoint" and resource.props.get("authMode", "Key") == "Key":
        yield "authMode = 'Key': keys do not end and name nobody; take AMLToken or AADToken"
    elif resource.kind == f"{_ML}:OnlineEndpoint":
        inner = resource.props.get("onlineEndpointProperties") or {}
        if inner.get("authMode") == "Key":
            yield "onlineEndpointProperties.authMode = 'Key': keys do not end and name nobody; take a token"


_NETWORKED = {
    f"{_OWN}:OnlineEndpoint",
    "azure-native:containerregistry:Registry",
    "azure-native:storage:StorageAccount",
    "azure-native:keyvault:Vault",
    f"{_ML}:Workspace",
}


def _no_public_network_in_production(resource: Resource, measures: Settings) -> Iterator[str]:
    if resource.stack not in measures.production or resource.kind not in _NETWORKED:
        return
    inner = resource.props.get("properties") if resource.kind.endswith(":Vault") else resource.props
    access = (inner or {}).get("publicNetworkAccess")
    # What is not said is open: that is Azure's default for all of these. Who reaches an endpoint on Kubernetes is the
    # cluster's to say.
    if "compute" in resource.props:
        return
    if str(access or "Enabled").lower() != "disabled":
        yield f"publicNetworkAccess = {access!r}: it answers from the internet; disable it, or except it"


def _instance_ceiling(resource: Resource, measures: Settings) -> Iterator[str]:
    ceiling = measures.ceilings.get(resource.stack, measures.ceilings.get("default"))
    if ceiling is None:
        return
    for name, count in _counts(resource):
        if count > ceiling:
            yield f"{name} = {count:g}: {resource.stack} takes {ceiling} at most; raise ceilings in settings.yaml"


def _counts(resource: Resource) -> Iterator[tuple[str, float]]:
    """Tell how many instances there may come to be: set by us, by the cluster or by Azure Monitor."""
    if resource.kind == f"{_OWN}:OnlineDeployment":
        scale = resource.props.get("scaleSettings") or {}
        if scale:
            yield "scaleSettings.maxInstances", scale.get("maxInstances") or 1
        else:
            yield "instanceCount", resource.props.get("instanceCount") or 1
    elif resource.kind == _AUTOSCALE:
        for profile in resource.props.get("profiles") or []:
            yield "capacity.maximum", float(profile["capacity"]["maximum"])


def _required_tags(resource: Resource, measures: Settings) -> Iterator[str]:
    if resource.kind in _TAGGED:
        tags = resource.props.get("tags") or {}
        missing = [name for name in measures.required_tags if not tags.get(name)]
        if missing:
            yield f"tags: {', '.join(missing)} missing; set scoring:tags in the stack's config"


RULES = (
    Rule("no-admin-account", "Registries have the admin account off.", _no_admin_account),
    Rule("no-anonymous-pull", "Registries give images to nobody unknown.", _no_anonymous_pull),
    Rule("no-latest", "No image is named :latest.", _no_latest),
    Rule("digest-only", "What runs is named by digest.", _digest_only),
    Rule("read-only-on-registries", "Roles on registries only read.", _reads_only),
    Rule("no-keys-in-production", "Endpoints in production take no keys.", _no_keys_in_production),
    Rule("no-public-network-in-production", "Nothing in production is public.", _no_public_network_in_production),
    Rule("instance-ceiling", "Deployments stay below the stack's ceiling.", _instance_ceiling),
    Rule("required-tags", "Everything that can have tags has the required ones.", _required_tags),
)

ONE_ROLE = "one-role-per-principal"


def one_role_per_principal(resources: Iterable[Resource], measures: Settings, today: dt.date) -> list[tuple[str, str]]:
    """Name and line of every role assignment on a registry beyond its principal's first."""
    found: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    for resource in resources:
        principal = resource.props.get("principalId")
        if not principal or not _on_registry(resource):
            continue
        if principal in first:
            line = f"principalId = {principal!r} has a role by {first[principal]!r} already; give it one"
            told = _unexcepted(ONE_ROLE, resource.name, [line], measures, today)
            found += [(resource.name, each) for each in told]
        first.setdefault(principal, resource.name)
    return found
