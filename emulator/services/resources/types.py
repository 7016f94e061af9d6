"""Subscriptions, resource groups, and what Resource Manager lists of both: resources, providers, locations.

Owns Microsoft.Resources/subscriptions (two, made with the state: the deployer's, and another one) and
Microsoft.Resources/resourceGroups. What a group's deletion takes along is the core's business.
https://learn.microsoft.com/rest/api/resources/resource-groups
"""

import re
from typing import Any, ClassVar

from emulator.core import api_versions
from emulator.core.azure import Azure, Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.locations import REGIONS
from emulator.core.soft_delete import RecycleBin
from emulator.core.store import Document

SUBSCRIPTIONS = "Microsoft.Resources/subscriptions"
GROUPS = "Microsoft.Resources/resourceGroups"
_WITHOUT_TYPES = ("Microsoft.Cdn", "Microsoft.PolicyInsights")
"""Providers that others need registered, and of which nothing is served here."""
_LISTED = ("id", "name", "type", "location", "tags", "kind", "sku", "identity", "managedBy", "plan", "zones")
_FILTERS = ("resourceType", "name", "resourceGroup", "location", "tagName", "tagValue")
_TERM = re.compile(r"(\w+) eq '([^']*)'")
_TOP_LEVEL = len(("namespace", "type", "name"))
_GROUP_NAME = re.compile(r"[-\w._()]{0,89}[-\w_()]")


def make_subscription(azure: Azure, subscription: str = "", title: str = "Local Azure") -> ResourceId:
    """A subscription (the deployer's unless another is named), made where it does not exist."""
    subscription = subscription or azure.subscription
    id_ = ResourceId.parse(f"/subscriptions/{subscription}")
    if azure.store.get(id_) is None:
        body = {
            "id": id_.path,
            "subscriptionId": subscription,
            "tenantId": azure.tenant,
            "displayName": title,
            "state": "Enabled",
            "authorizationSource": "RoleBased",
            "subscriptionPolicies": {"spendingLimit": "Off", "quotaId": "Local_2014-09-01"},
        }
        azure.store.put(Document(id_, body))
    return id_


def quota_id(azure: Azure) -> str:
    """The offer of the subscriptions."""
    return str(azure.faults.get("quota-id") or "Local_2014-09-01")


class Subscription(ResourceType):
    """Microsoft.Resources/subscriptions: can be read.

    Fault: `quota-id` (the offer, such as FreeTrial_2014-09-01).
    https://learn.microsoft.com/rest/api/resources/subscriptions/get
    """

    type = SUBSCRIPTIONS

    def show(self, document: Document) -> dict[str, Any]:
        """With the offer that the fault `quota-id` sets."""
        policies = document.body["subscriptionPolicies"]
        return {**document.body, "subscriptionPolicies": {**policies, "quotaId": quota_id(self.azure)}}

    def check_envelope(self, id_: ResourceId, body: dict[str, Any]) -> dict[str, Any]:
        """Refuse every PUT and PATCH."""
        raise AzureError(
            405, "MethodNotAllowed", f"The subscription '{id_.name}' cannot be written ({len(body)} fields)."
        )

    def check_delete(self, document: Document) -> None:
        """Refuse every DELETE."""
        raise AzureError(405, "MethodNotAllowed", f"The subscription '{document.id.name}' cannot be deleted.")

    def action(self, document: Document, name: str, request: Request) -> Response:
        """No POST is known."""
        del request
        raise AzureError(405, "MethodNotAllowed", f"The subscription '{document.id.name}' has no action '{name}'.")


class ResourceGroup(ResourceType):
    """Microsoft.Resources/resourceGroups."""

    type = GROUPS
    system_data = False
    long_delete = True
    required: ClassVar[tuple[str, ...]] = ("location",)

    def check(self, new: Document, old: Document | None) -> Document:  # noqa: ARG002 - a group has nothing that stays
        """Names as Azure allows them."""
        name = new.id.name
        if not _GROUP_NAME.fullmatch(name):
            raise AzureError(
                400,
                "InvalidResourceGroup",
                f"The provided resource group name '{name}' has these invalid characters or a dot at its end, or is"
                " longer than 90 characters: it can have letters, digits, '_', '-', '(', ')' and '.'.",
            )
        return Document(new.id, {**new.body, "properties": {}}, new.private)

    def check_location(self, old: Document, location: str) -> None:
        """Refuse to move a group, with a code of its own."""
        if old.body["location"] != location:
            raise AzureError(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{location}'. The Resource group already exists in"
                f" location '{old.body['location']}'.",
            )


class Resources(ResourceType):
    """All resources of a subscription, as Resource Manager lists them.

    https://learn.microsoft.com/rest/api/resources/resources/list
    """

    type = f"{SUBSCRIPTIONS}/resources"
    filtered = True

    def collection(self, scope: ResourceId, query: dict[str, str]) -> dict[str, Any]:
        """A page of the resources that fit `$filter`; children of resources are not listed."""
        terms = _terms(query.get("$filter", ""))
        listed = [
            {name: document.body[name] for name in _LISTED if document.body.get(name) is not None}
            for document in self.azure.store.everything()
            if document.id.key.startswith(scope.key + "/") and _is_listed(document) and _fits(document, terms)
        ]
        return self.azure.page(listed, scope, self.type, query)


class ResourcesOfGroup(Resources):
    """The same of one resource group."""

    type = f"{GROUPS}/resources"


class Locations(ResourceType):
    """The locations of a subscription.

    https://learn.microsoft.com/rest/api/resources/subscriptions/list-locations
    """

    type = f"{SUBSCRIPTIONS}/locations"

    def collection(self, scope: ResourceId, query: dict[str, str]) -> dict[str, Any]:
        """All regions."""
        del query
        return {
            "value": [
                {
                    "id": f"{scope.path}/locations/{name}",
                    "name": name,
                    "type": "Region",
                    "displayName": name,
                    "regionalDisplayName": name,
                    "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
                }
                for name in sorted(REGIONS)
            ]
        }


class Providers(ResourceType):
    """The resource providers of a subscription, all registered at first, and their actions on names.

    https://learn.microsoft.com/rest/api/resources/providers
    """

    type = f"{SUBSCRIPTIONS}/providers"

    def collection(self, scope: ResourceId, query: dict[str, str]) -> dict[str, Any]:
        """All providers that this local Azure has types of."""
        del query
        namespaces = sorted({name.partition("/")[0] for name in self.azure.types} | set(_WITHOUT_TYPES))
        return {"value": [self.provider(scope, namespace) for namespace in namespaces]}

    def provider(self, scope: ResourceId, namespace: str) -> dict[str, Any]:
        """One provider with its types (404 where there is none)."""
        types = [name for name in self.azure.types if name.partition("/")[0].lower() == namespace.lower()]
        known = [*types, *(each for each in _WITHOUT_TYPES if each.lower() == namespace.lower())]
        if not known:
            raise AzureError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
        namespace = known[0].partition("/")[0]
        is_registered = not self.azure.is_unregistered(scope.subscription, namespace)
        return {
            "id": f"{scope.path}/providers/{namespace}",
            "namespace": namespace,
            "registrationState": "Registered" if is_registered else "NotRegistered",
            "registrationPolicy": "RegistrationRequired",
            "resourceTypes": [
                {
                    "resourceType": name.partition("/")[2],
                    "locations": sorted(REGIONS),
                    "apiVersions": list(reversed(api_versions.versions(name))),
                    "capabilities": "None",
                }
                for name in types
            ],
        }

    def perform(self, scope: ResourceId, namespace: str, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """`register`, `unregister`, and `checkNameAvailability` of registries, vaults and storage accounts."""
        if action.lower() in {"register", "unregister"}:
            return self._register(scope, namespace, registered=action.lower() == "register")
        if action.lower() != "checknameavailability":
            raise AzureError(404, "NotFound", f"'{action}' is not an action of {namespace}")
        name, type_ = str(body.get("name") or ""), str(body.get("type") or "")
        taken = any(each.id.name.lower() == name.lower() for each in self.azure.store.of_type(type_))
        taken = taken or RecycleBin(self.azure.store, type_).get(name) is not None
        if not taken:
            return {"nameAvailable": True}
        return {"nameAvailable": False, "reason": "AlreadyExists", "message": f"The name {name} is already in use."}

    def _register(self, scope: ResourceId, namespace: str, *, registered: bool) -> dict[str, Any]:
        """Register a provider, or take that back while the subscription has no resource of it.

        https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types
        """
        provider = self.provider(scope, namespace)
        types = [f"{provider['namespace']}/{each['resourceType']}" for each in provider["resourceTypes"]]
        if not registered and any(self.azure.store.of_type(each, scope) for each in types):
            # The rule is documented, its code is not.
            raise AzureError(
                409, "Conflict", f"The subscription has resources of '{provider['namespace']}'; delete them first."
            )
        self.azure.register(scope.subscription, namespace, registered=registered)
        return self.provider(scope, namespace)


def _is_listed(document: Document) -> bool:
    """Whether a resource is one that a group holds itself."""
    tail = document.id.path.rpartition("/providers/")[2]
    return bool(document.id.group) and len(tail.split("/")) == _TOP_LEVEL and bool(document.body.get("location"))


def _terms(expression: str) -> dict[str, str]:
    """A `$filter` of equalities that are joined by `and` (400 for anything else)."""
    terms = {}
    for part in expression.split(" and ") if expression else []:
        match = _TERM.fullmatch(part.strip())
        if match is None or match[1] not in _FILTERS:
            raise AzureError(
                400, "InvalidFilterInQueryString", f"Invalid $filter '{expression}' specified in the query string."
            )
        terms[match[1]] = match[2]
    return terms


def _fits(document: Document, terms: dict[str, str]) -> bool:
    tags = document.body.get("tags") or {}
    values = {
        "resourceType": document.id.type,
        "name": document.id.name,
        "resourceGroup": document.id.group,
        "location": document.body.get("location", ""),
        "tagName": terms.get("tagName", "") if terms.get("tagName") in tags else "",
        "tagValue": tags.get(terms.get("tagName", ""), ""),
    }
    return all(str(values[name]).lower() == wanted.lower() for name, wanted in terms.items())
