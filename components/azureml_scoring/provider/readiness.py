"""What can be known of Azure before a stack is made: who is signed in, rights, providers, names, quota, ACR Tasks.

Owns each check, what counts as wrong, and the remedy. Refuses to own what a stack needs (`plan/needs.py`), and changes
nothing.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any, Final, Literal

from azureml_scoring.plan.names import ArmId
from azureml_scoring.plan.needs import (
    ASSIGN_ROLES,
    CREATE_GROUPS,
    PROVIDERS,
    REGISTRIES,
    STORAGE,
    VAULTS,
    WORKSPACES,
    Machines,
    Name,
    Needs,
)
from azureml_scoring.plan.workspace import PlannedWorkspace
from azureml_scoring.provider.arm import ML_API, Arm, ArmError
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.lookup import REGISTRIES_API, SUBSCRIPTIONS_API, VAULTS_API, deleted_vault, workspaces

_RESOURCES_API: Final = "2022-09-01"
_PERMISSIONS_API: Final = "2022-04-01"
_VERSIONS: Final = {REGISTRIES: REGISTRIES_API, VAULTS: VAULTS_API, STORAGE: "2023-05-01", WORKSPACES: ML_API}
_KINDS: Final = {REGISTRIES: "registry", VAULTS: "vault", STORAGE: "storage account"}
_ACTIVE: Final = frozenset({"Enabled", "PastDue"})
"""https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states"""
_REGISTERED: Final = frozenset({"Registered", "Registering"})
"""A provider that is still being registered serves the regions that it is done with.
https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types"""
_FREE_OFFERS: Final = {
    "FreeTrial_2014-09-01": "Free Trial",
    "AzureForStudents_2018-01-01": "Azure for Students",
    "DreamSpark_2015-02-01": "Azure for Students Starter",
    "AzurePass_2014-09-01": "Azure Pass",
}
"""Offers that live on free credits, by quota id.
https://learn.microsoft.com/azure/cost-management-billing/costs/understand-cost-mgt-data
https://learn.microsoft.com/azure/container-registry/container-registry-tasks-overview"""
_UNRESERVED: Final = re.compile(r"(?i)standard_(nc\d+adi?s_[ah]100_v\d|nd\d+(rs_v2|a?m?sr(_a100)?_v4|isr?_h100_v5))")
"""Sizes of which Azure ML reserves nothing for upgrades.
https://learn.microsoft.com/azure/machine-learning/reference-managed-online-endpoints-vm-sku-list"""
_TOTAL: Final = "Total Cluster Dedicated Regional vCPUs"
_DEDICATED: Final = "clusterdedicatedvcpus"
_FORBIDDEN: Final = re.compile(r"perform action '([^']+)'")

Status = Literal["ok", "wrong", "unknown"]


@dataclass(frozen=True)
class Finding:
    """What one check says; `unknown` where Azure did not let it look."""

    status: Status
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line: what is, and what to do."""
        return f"{self.text}: {self.remedy}" if self.remedy else self.text


@dataclass(frozen=True)
class Check:
    """One check, by the name that users read."""

    title: str
    find: Callable[[], Iterable[Finding]]

    def findings(self) -> list[Finding]:
        """Carry it out; what cannot be checked is a finding too, so that the other checks go on."""
        try:
            return list(self.find())
        except ArmError as error:
            action = _FORBIDDEN.search(error.message)
            if error.status == HTTPStatus.FORBIDDEN and action:
                return [Finding("unknown", f"not allowed to look: that takes the action {action[1]}")]
            return [Finding("unknown", str(error))]
        except ResourceError as error:
            return [Finding("unknown", str(error))]


def checks(arm: Arm, subscription: str, needs: Needs) -> list[Check]:
    """Return the checks for a stack, the sign-in first; `subscription` is the id of the one it is made in."""
    every = [
        Check("signed in", lambda: signed_in(arm, subscription)),
        Check("providers", lambda: providers(arm, subscription, needs.providers)),
        Check("rights", lambda: rights(arm, needs)),
        Check("names", lambda: names(arm, needs.group, needs.names, needs.workspace)),
    ]
    if needs.machines:
        every.append(Check("quota", lambda: quota(arm, needs)))
    if needs.builds:
        every.append(Check("ACR Tasks", lambda: tasks(arm, needs)))
    return every


def first_checks(arm: Arm, workspace: ArmId, created: Iterable[Name]) -> list[Check]:
    """Return the checks that cost little, for the first `up` of a stack, which creates a workspace and these names."""
    group = f"/subscriptions/{workspace.subscription}/resourceGroups/{workspace.resource_group}"
    return [
        Check("signed in", lambda: signed_in(arm, workspace.subscription)),
        Check("providers", lambda: providers(arm, workspace.subscription, PROVIDERS)),
        Check("names", lambda: names(arm, group, created, None)),
    ]


def signed_in(arm: Arm, subscription: str) -> Iterator[Finding]:
    """Say who is signed in, and that the subscription is visible and active."""
    claims = _claims(arm.token())
    who = str(claims.get("upn") or claims.get("unique_name") or f"application {claims.get('appid', '(unknown)')}")
    tenant = claims.get("tid", "(unknown)")
    document = arm.get(f"/subscriptions/{subscription}", SUBSCRIPTIONS_API)
    identity = f"{who}, object {claims.get('oid', '(unknown)')}, tenant {tenant}"
    if document is None:
        yield Finding(
            "wrong",
            f"{identity}; subscription {subscription} is not visible to it",
            "set ARM_SUBSCRIPTION_ID to another one, or give it a role there",
        )
        return
    state, title = document.get("state", "Enabled"), f"subscription {document.get('displayName')} ({subscription})"
    if state not in _ACTIVE:
        yield Finding("wrong", f"{identity}; {title} is {state}", "have it reactivated by its owner")
        return
    yield Finding("ok", f"{identity}; {title}")


def providers(arm: Arm, subscription: str, namespaces: Iterable[str]) -> Iterator[Finding]:
    """Find resource providers that are not registered."""
    registered, wanted = 0, list(namespaces)
    for namespace in wanted:
        document = arm.get(f"/subscriptions/{subscription}/providers/{namespace}", _RESOURCES_API)
        if document is None:
            yield Finding("unknown", f"{namespace} is not known in this cloud")
        elif (state := document.get("registrationState")) in _REGISTERED:
            registered += 1
        else:
            remedy = f"az provider register --namespace {namespace} --subscription {subscription}"
            yield Finding("wrong", f"{namespace} is {state}", remedy)
    if registered == len(wanted):
        yield Finding("ok", f"{registered} registered")


def rights(arm: Arm, needs: Needs) -> Iterator[Finding]:
    """Find actions that the caller lacks: in the resource group, and on the registry.

    Deny assignments and conditions of roles are not seen.
    https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource-group
    """
    existing = arm.get(needs.group, _RESOURCES_API) is not None
    scope = needs.group if existing else _subscription(needs.group)
    actions = needs.actions | ({CREATE_GROUPS} if needs.creates_group and not existing else frozenset())
    # What the stack creates by itself lies in its group; another registry is a scope of its own.
    if needs.registry in {f"{needs.group}/providers/{name.type}/{name.name}" for name in needs.names}:
        yield _missing(arm, scope, actions | needs.registry_actions)
        return
    yield _missing(arm, scope, actions)
    if needs.registry_actions:
        yield _missing(arm, needs.registry, needs.registry_actions)


def names(arm: Arm, group: str, created: Iterable[Name], planned: PlannedWorkspace | None) -> Iterator[Finding]:
    """Find names that a stack gives, but cannot have: taken by somebody else, or held by something deleted."""
    free, own = [], []
    for name in created:
        if arm.get(f"{group}/providers/{name.type}/{name.name}", _VERSIONS[name.type]) is not None:
            own.append(name.name)
        elif problem := (planned and _held(arm, planned, name)) or _taken(arm, _subscription(group), name):
            yield problem
        else:
            free.append(name.name)
    if free or own:
        parts = [f"{title}: {', '.join(each)}" for title, each in (("free", free), ("there already", own)) if each]
        yield Finding("ok", "; ".join(parts))


def quota(arm: Arm, needs: Needs) -> Iterator[Finding]:
    """Compare the cores that the deployments need with what is left of Azure ML's quota in the region.

    https://learn.microsoft.com/azure/machine-learning/how-to-manage-quotas#virtual-machine-quota-allocation-for-deployment
    """
    location = f"{_subscription(needs.group)}/providers/Microsoft.MachineLearningServices/locations/{needs.location}"
    sizes = {str(size["name"]).lower(): size for size in arm.list_all(f"{location}/vmSizes", ML_API)}
    needed: dict[str, int] = {}
    for machines in needs.machines:
        size = sizes.get(machines.size.lower())
        if size is None:
            yield Finding(
                "wrong",
                f"{machines.size} of deployment {machines.deployment} is not offered in {needs.location}",
                f"another deployments.{machines.deployment}.instanceType, or another location",
            )
            continue
        deployment = f"{needs.endpoint}/deployments/{machines.deployment}"
        cores = _additional(machines, arm.get(deployment, ML_API) or {}) * int(size["vCPUs"])
        needed[size["family"]] = needed.get(size["family"], 0) + cores
    usages = [each for each in arm.list_all(f"{location}/usages", ML_API) if _is_of_subscription(each)]
    if needed:
        yield from (_room(usages, family, cores, needs.location) for family, cores in needed.items())
        yield _room(usages, _TOTAL, sum(needed.values()), needs.location)


def tasks(arm: Arm, needs: Needs) -> Iterator[Finding]:
    """Find why ACR Tasks could not build: an offer that lives on free credits, a registry that shuts it out.

    https://learn.microsoft.com/azure/container-registry/container-registry-tasks-overview
    https://learn.microsoft.com/azure/container-registry/manage-network-bypass-policy-for-tasks
    """
    policies = (arm.get(_subscription(needs.registry), SUBSCRIPTIONS_API) or {}).get("subscriptionPolicies") or {}
    offer = str(policies.get("quotaId", "unknown"))
    if offer in _FREE_OFFERS:
        yield Finding(
            "wrong",
            f"{_FREE_OFFERS[offer]} may not run ACR Tasks (TasksOperationsNotAllowed)",
            "image.builder: docker, or a paid offer",
        )
        return
    name, registry = needs.registry.rpartition("/")[2], arm.get(needs.registry, REGISTRIES_API)
    properties = (registry or {}).get("properties") or {}
    if properties.get("publicNetworkAccess") == "Disabled":
        yield Finding(
            "wrong",
            f"registry {name} has no public network access, which ACR Tasks needs",
            "image.builder: docker on a machine in its network, or enable public network access",
        )
    elif (properties.get("networkRuleSet") or {}).get("defaultAction") == "Deny":
        yield Finding(
            "wrong",
            f"registry {name} denies all but listed addresses, and ACR Tasks with them",
            "allow the addresses of the service tag AzureContainerRegistry, or image.builder: docker",
        )
    else:
        yield Finding("ok", f"offer {offer}; nothing keeps them from the registry")


def _claims(token: str) -> Mapping[str, Any]:
    """Read what an access token says of its holder; nothing is proven by it."""
    payload = [*token.split("."), "", ""][1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def _missing(arm: Arm, scope: str, actions: Iterable[str]) -> Finding:
    wanted = sorted(actions)
    permissions = list(arm.list_all(f"{scope}/providers/Microsoft.Authorization/permissions", _PERMISSIONS_API))
    missing = [action for action in wanted if not any(_grants(each, action) for each in permissions)]
    if not missing:
        return Finding("ok", f"{len(wanted)} actions on {scope}")
    roles = [] if missing == [ASSIGN_ROLES] else ["Contributor"]
    if ASSIGN_ROLES in missing:
        roles.append("Role Based Access Control Administrator")
    return Finding("wrong", f"not allowed on {scope}: {', '.join(missing)}", f"a role such as {' and '.join(roles)}")


def _grants(permission: Mapping[str, Any], action: str) -> bool:
    """Whether one role grants an action: what it takes away, another role may still grant.

    https://learn.microsoft.com/azure/role-based-access-control/role-definitions#notactions
    """

    def matches(patterns: object) -> bool:
        names = patterns if isinstance(patterns, list) else []
        return any(fnmatchcase(action.lower(), str(pattern).lower()) for pattern in names)

    return matches(permission.get("actions")) and not matches(permission.get("notActions"))


def _subscription(path: str) -> str:
    return "/".join(path.split("/")[:3])


def _held(arm: Arm, planned: PlannedWorkspace, name: Name) -> Finding | None:
    """Find a deleted resource that holds a name, unless it is brought back: a vault in all of Azure, a workspace."""
    subscription = planned.id.subscription
    if name.type == WORKSPACES:
        line = next(planned.held(workspaces(arm, subscription)), "")
        return Finding("wrong", line) if line else None
    vault = deleted_vault(arm, subscription, name.name) if name.type == VAULTS else None
    if vault is None:
        return None
    if planned.recovers(vault):
        return Finding("ok", f"{name.name} is brought back")
    return Finding("wrong", planned.held_vault(vault))


def _taken(arm: Arm, base: str, name: Name) -> Finding | None:
    """Find a name that cannot be had: of a workspace, which has its resource group to itself, that is never so.

    https://learn.microsoft.com/rest/api/containerregistry/registries/check-name-availability
    """
    if name.type == WORKSPACES:
        return None
    path = f"{base}/providers/{name.type.partition('/')[0]}/checkNameAvailability"
    answer = arm.post(path, _VERSIONS[name.type], {"name": name.name, "type": name.type})
    if answer.get("nameAvailable", True):
        return None
    reason = str(answer.get("message") or answer.get("reason") or "taken").rstrip(".")
    return Finding("wrong", f"{_KINDS[name.type]} {name.name}: {reason}", _another(name))


def _another(name: Name) -> str:
    return "another nameSeed" if name.field == "nameSeed" else f"write {name.field}, or another nameSeed"


def _additional(machines: Machines, existing: Mapping[str, Any]) -> int:
    """Return the machines that are needed beyond those a deployment has; those that stay need nothing."""
    size = str((existing.get("properties") or {}).get("instanceType", ""))
    held = int((existing.get("sku") or {}).get("capacity", 0)) if size.lower() == machines.size.lower() else 0
    if machines.instances <= held:
        return 0
    return _reserved(machines.size, machines.instances) - _reserved(machines.size, held)


def _reserved(size: str, instances: int) -> int:
    """Return the machines that a quota must have room for: a fifth more than run, but for some sizes."""
    return instances if _UNRESERVED.fullmatch(size) else math.ceil(instances * 12 / 10)


def _is_of_subscription(usage: Mapping[str, Any]) -> bool:
    """Whether a usage counts the whole subscription: workspaces and computes have entries of their own."""
    return "/resourcegroups/" not in str(usage.get("id")).lower()


def _room(usages: Iterable[Mapping[str, Any]], family: str, cores: int, location: str) -> Finding:
    """Compare with the usage of a family: `standardDSv2Family` is `Standard DSv2 Family Cluster Dedicated vCPUs`."""
    key = _letters(family)
    usage = next((each for each in usages if _letters(each["name"]["value"]) in {key, f"{key}{_DEDICATED}"}), None)
    if usage is None:
        return Finding("unknown", f"Azure lists no quota of {family} in {location}; {cores} cores are needed")
    used, limit, title = int(usage["currentValue"]), int(usage["limit"]), usage["name"]["value"]
    text = f"{title}: {cores} more needed, {used} of {'any number' if limit < 0 else limit} in use"
    if limit < 0 or used + cores <= limit:
        return Finding("ok", text)
    remedy = f"ask for {used + cores} at https://ml.azure.com/quota, or fewer or smaller instances, or another location"
    return Finding("wrong", text, remedy)


def _letters(text: object) -> str:
    return re.sub("[^a-z0-9]", "", str(text).lower())
