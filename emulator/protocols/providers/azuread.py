"""The azuread provider's fake: applications, service principals and passwords of the local Entra.

Owns how their properties travel between the SDK and Graph; who exists and who has proved what is the Entra service's.
https://www.pulumi.com/registry/packages/azuread/
"""

import re
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.rbac import Principal
from emulator.protocols.providers.base import (
    Change,
    FakeProvider,
    Path,
    Properties,
    ResourceHandler,
    Step,
    Values,
)
from emulator.services.graph import access as entra
from emulator.services.graph import data as graph

_NOT_FOUND = 404
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([hms])")


class _Graph(ResourceHandler):
    """What the directory's types share: ids with a leading path, and outputs that an update leaves alone."""

    delete_first = False

    def __init__(self, azure: Azure, principal: Principal) -> None:
        self._azure = azure
        self._principal = principal

    def _demand(self, type_: str = "", id_: str = "") -> None:
        """Writing in the directory takes a right there; ARM's roles do not count."""
        entra.demand_right(self._azure, self._principal, graph.lookup(self._azure, type_, _own(id_)) if id_ else None)

    def _with_owners(self, inputs: Values) -> Values:
        """The body of a POST: the caller is always among the owners that it binds."""
        owners = dict.fromkeys([self._principal.object_id, *(inputs.get("owners") or [])])
        return {**inputs, "owners@odata.bind": [f"directoryObjects/{each}" for each in owners]}

    def _leave(self, type_: str, id_: str, inputs: Values) -> None:
        """After the POST the provider takes the caller out of the owners again, unless `owners` names it.

        https://github.com/hashicorp/terraform-provider-azuread/blob/main/internal/services/applications/application_resource.go
        """
        if self._principal.object_id not in (inputs.get("owners") or []):
            graph.remove_owner(self._azure, type_, id_, self._principal.object_id)

    def _change_owners(self, type_: str, id_: str, old: Values, new: Values) -> None:
        """Add and remove owners where the program's list has changed; no list means that there shall be none."""
        wanted, before = new.get("owners") or [], old.get("owners") or []
        if sorted(wanted) == sorted(before):
            return
        held = [each["id"] for each in graph.owners(self._azure, type_, id_)]
        for owner in wanted:
            if owner not in held:
                entra.demand_right_over_owners(self._azure, self._principal)
                graph.add_owner(self._azure, type_, id_, owner)
        for owner in held:
            if owner not in wanted:
                graph.remove_owner(self._azure, type_, id_, owner)

    def _outputs_with_owners(self, type_: str, body: Values, inputs: Values) -> Values:
        owners = [each["id"] for each in graph.owners(self._azure, type_, body["id"])]
        return {**self._outputs(body, inputs), "owners": owners}

    def _read_outputs(self, type_: str, body: Values, outputs: Values) -> Values:
        """A state that was made before owners were told shows no difference."""
        if "owners" not in outputs:
            return self._outputs(body, outputs)
        return self._outputs_with_owners(type_, body, outputs)

    @staticmethod
    @abstractmethod
    def _outputs(body: Values, inputs: Values) -> Values:
        """Outputs of a directory object."""


class Application(_Graph):
    """`azuread.Application`; its id is `/applications/OBJECT_ID`."""

    required = ("displayName",)
    computed = frozenset(
        {
            "appRoleIds",
            "clientId",
            "disabledByMicrosoft",
            "logoUrl",
            "oauth2PermissionScopeIds",
            "objectId",
            "publisherDomain",
        }
    )
    stable = frozenset({"clientId", "objectId", "publisherDomain"})
    replaces = frozenset({"templateId"})

    def create(self, step: Step, new: Values) -> tuple[str, Values]:  # noqa: ARG002
        """POST /applications."""
        self._demand()
        if new.get("preventDuplicateNames") and any(
            other["displayName"] == new["displayName"] for other in graph.list_applications(self._azure)
        ):
            raise AzureError(409, "ImportAsExistsError", f"an application named '{new['displayName']}' exists already")
        body = graph.create_application(self._azure, self._with_owners(new))
        self._leave(graph.APPLICATIONS, body["id"], new)
        return f"/applications/{body['id']}", self._outputs_with_owners(graph.APPLICATIONS, body, new)

    def read(self, id_: str, outputs: Values) -> Values | None:
        """GET /applications/{id}."""
        body = _found(graph.get_application, self._azure, id_)
        return None if body is None else self._read_outputs(graph.APPLICATIONS, body, outputs)

    def update(self, step: Step, id_: str, old: Values, new: Values) -> Values:  # noqa: ARG002
        """PATCH /applications/{id}."""
        self._demand(graph.APPLICATIONS, id_)
        body = graph.update(self._azure, graph.APPLICATIONS, _own(id_), new)
        self._change_owners(graph.APPLICATIONS, _own(id_), old, new)
        return self._outputs_with_owners(graph.APPLICATIONS, body, new)

    def delete(self, id_: str, outputs: Values) -> None:  # noqa: ARG002
        """DELETE /applications/{id}."""
        self._demand(graph.APPLICATIONS, id_)
        _gone(lambda: graph.delete_application(self._azure, _own(id_)))

    @staticmethod
    def _outputs(body: Values, inputs: Values) -> Values:
        words = {name: body[name] for name in ("displayName", "description", "notes") if body.get(name) is not None}
        return {
            **inputs,
            **words,
            "id": f"/applications/{body['id']}",
            "objectId": body["id"],
            "clientId": body["appId"],
            "signInAudience": body["signInAudience"],
            "publisherDomain": body["publisherDomain"],
            "appRoleIds": {},
            "oauth2PermissionScopeIds": {},
            "disabledByMicrosoft": "",
            "logoUrl": "",
        }


class ServicePrincipal(_Graph):
    """`azuread.ServicePrincipal`; its id is `/servicePrincipals/OBJECT_ID`."""

    required = ("clientId",)
    computed = frozenset(
        {
            "appRoleIds",
            "appRoles",
            "applicationTenantId",
            "displayName",
            "homepageUrl",
            "logoutUrl",
            "oauth2PermissionScopeIds",
            "oauth2PermissionScopes",
            "objectId",
            "redirectUris",
            "samlMetadataUrl",
            "servicePrincipalNames",
            "signInAudience",
            "type",
        }
    )
    stable = frozenset({"objectId", "applicationTenantId", "type"})
    replaces = frozenset({"clientId"})

    def create(self, step: Step, new: Values) -> tuple[str, Values]:  # noqa: ARG002
        """POST /servicePrincipals."""
        self._demand()
        existing = graph.find_by_app(self._azure, new["clientId"]) if new.get("useExisting") else None
        if existing is not None:
            body = graph.update(self._azure, graph.PRINCIPALS, existing.object_id, new)
        else:
            entra.demand_right_to_register(self._azure, self._principal, new["clientId"])
            body = graph.create_service_principal(self._azure, new["clientId"], self._with_owners(new))
            self._leave(graph.PRINCIPALS, body["id"], new)
        return f"/servicePrincipals/{body['id']}", self._outputs_with_owners(graph.PRINCIPALS, body, new)

    def read(self, id_: str, outputs: Values) -> Values | None:
        """GET /servicePrincipals/{id}."""
        body = _found(graph.get_service_principal, self._azure, id_)
        return None if body is None else self._read_outputs(graph.PRINCIPALS, body, outputs)

    def update(self, step: Step, id_: str, old: Values, new: Values) -> Values:  # noqa: ARG002
        """PATCH /servicePrincipals/{id}."""
        self._demand(graph.PRINCIPALS, id_)
        body = graph.update(self._azure, graph.PRINCIPALS, _own(id_), new)
        self._change_owners(graph.PRINCIPALS, _own(id_), old, new)
        return self._outputs_with_owners(graph.PRINCIPALS, body, new)

    def delete(self, id_: str, outputs: Values) -> None:  # noqa: ARG002
        """DELETE /servicePrincipals/{id}."""
        self._demand(graph.PRINCIPALS, id_)
        _gone(lambda: graph.delete_service_principal(self._azure, _own(id_)))

    @staticmethod
    def _outputs(body: Values, inputs: Values) -> Values:
        return {
            **inputs,
            "id": f"/servicePrincipals/{body['id']}",
            "objectId": body["id"],
            "clientId": body["appId"],
            "displayName": body["displayName"],
            "accountEnabled": body["accountEnabled"],
            "appRoleAssignmentRequired": body["appRoleAssignmentRequired"],
            "applicationTenantId": body["appOwnerOrganizationId"],
            "servicePrincipalNames": body["servicePrincipalNames"],
            "type": body["servicePrincipalType"],
            "signInAudience": "AzureADMyOrg",
            "appRoleIds": {},
            "appRoles": [],
            "homepageUrl": "",
            "logoutUrl": "",
            "oauth2PermissionScopeIds": {},
            "oauth2PermissionScopes": [],
            "redirectUris": [],
            "samlMetadataUrl": "",
        }


class ApplicationPassword(_Graph):
    """`azuread.ApplicationPassword`; its id is `OBJECT_ID/password/KEY_ID`. Every change makes a new one."""

    required = ("applicationId",)
    computed = frozenset({"keyId", "value"})
    stable = frozenset({"keyId", "value"})
    secret: frozenset[Path] = frozenset({("value",)})
    replaces = frozenset(
        {"applicationId", "displayName", "endDate", "endDateRelative", "rotateWhenChanged", "startDate"}
    )

    def ignored(self, change: Change, old: Values, new: Values) -> bool:  # noqa: ARG002
        """What is optional and computed keeps its value where the program no longer names it.

        https://github.com/hashicorp/terraform-provider-azuread/blob/main/internal/services/applications/application_password_resource.go
        """
        return change.kind == "DELETE" and change.path in {"displayName", "endDate", "startDate"}

    def preview(self, new: Values, old: Values | None) -> Values:
        """Dates that are not set are Azure's."""
        return {"startDate": "", "endDate": "", **super().preview(new, old)} if old else super().preview(new, old)

    def create(self, step: Step, new: Values) -> tuple[str, Values]:  # noqa: ARG002
        """POST /applications/{id}/addPassword."""
        self._demand(graph.APPLICATIONS, new["applicationId"])
        owner, end = _own(new["applicationId"]), new.get("endDate")
        if not end and new.get("endDateRelative"):
            end = _after(str(new["endDateRelative"]))
        key, value = graph.add_password(self._azure, owner, new.get("displayName"), end, new.get("startDate"))
        credential = self._credential(owner, key) or {}
        return f"{owner}/password/{key}", {**self._outputs(credential, new), "value": value}

    def read(self, id_: str, outputs: Values) -> Values | None:
        """Graph never shows a password again: the state's value stays."""
        owner, _, key = id_.partition("/password/")
        credential = self._credential(owner, key)
        if credential is None:
            return None
        return self._outputs(credential, {"applicationId": f"/applications/{owner}", **outputs})

    def update(self, step: Step, id_: str, old: Values, new: Values) -> Values:  # noqa: ARG002
        """Nothing can be changed in place."""
        return {**old, **new}

    def delete(self, id_: str, outputs: Values) -> None:  # noqa: ARG002
        """POST /applications/{id}/removePassword."""
        self._demand(graph.APPLICATIONS, id_.partition("/password/")[0])
        owner, _, key = id_.partition("/password/")
        if self._credential(owner, key) is not None:
            _gone(lambda: graph.remove_password(self._azure, owner, key))

    def inputs(self, id_: str, outputs: Values) -> Values:
        """Azure's dates are no inputs."""
        inputs = super().inputs(id_, outputs)
        return {name: value for name, value in inputs.items() if name not in {"startDate", "endDate"}}

    def _credential(self, owner: str, key: str) -> Values | None:
        body = _found(graph.get_application, self._azure, owner)
        credentials = (body or {}).get("passwordCredentials", [])
        return next((each for each in credentials if each["keyId"] == key), None)

    @staticmethod
    def _outputs(credential: Values, inputs: Values) -> Values:
        return {
            **inputs,
            "keyId": credential["keyId"],
            "displayName": credential.get("displayName") or "",
            "startDate": credential["startDateTime"],
            "endDate": credential["endDateTime"],
        }


class AzureAd(FakeProvider):
    """azuread on the local Entra."""

    name: ClassVar[str] = "azuread"
    module: ClassVar[str] = "pulumi_azuread"
    service: ClassVar[str] = "Microsoft Graph"

    def __init__(self, azure: Azure, principal: Principal) -> None:
        super().__init__(azure)
        self._principal = principal
        self.handlers = {
            "azuread:index/application:Application": Application(azure, principal),
            "azuread:index/servicePrincipal:ServicePrincipal": ServicePrincipal(azure, principal),
            "azuread:index/applicationPassword:ApplicationPassword": ApplicationPassword(azure, principal),
        }
        self.functions = {
            "azuread:index/getClientConfig:getClientConfig": self._client_config,
            "azuread:index/getServicePrincipal:getServicePrincipal": self._service_principal,
        }

    def _client_config(self, arguments: Values) -> Properties:  # noqa: ARG002
        ids = {"clientId": self._principal.app_id, "objectId": self._principal.object_id}
        return Properties({**ids, "tenantId": self._azure.tenant, "id": "-".join(ids.values())})

    def _service_principal(self, arguments: Values) -> Properties:
        fields = {"clientId": "appId", "objectId": "id", "displayName": "displayName"}
        for body in graph.list_principals(self._azure):
            if any(arguments.get(name) == body[field] for name, field in fields.items() if arguments.get(name)):
                return Properties(ServicePrincipal._outputs(body, {}))  # noqa: SLF001 - the same module
        criterion = next((f"{name} '{arguments[name]}'" for name in fields if arguments.get(name)), "no name")
        raise AzureError(404, "Request_ResourceNotFound", f"No service principal found matching {criterion}")


def _own(id_: str) -> str:
    """The object id at the end of `/applications/OBJECT_ID`."""
    return id_.rsplit("/", 1)[-1]


def _found(get: Any, azure: Azure, id_: str) -> Values | None:  # noqa: ANN401 - one of entra's getters
    try:
        body: Values = get(azure, _own(id_))
    except AzureError as error:
        if error.status == _NOT_FOUND:
            return None
        raise
    return body


def _gone(remove: Any) -> None:  # noqa: ANN401 - a call without arguments
    try:
        remove()
    except AzureError as error:
        if error.status != _NOT_FOUND:
            raise


def _after(duration: str) -> str:
    """The moment a Go duration (`240h30m`) from now, as RFC 3339."""
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise AzureError(400, "Request_BadRequest", f"endDateRelative '{duration}' is no duration such as 240h or 30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
