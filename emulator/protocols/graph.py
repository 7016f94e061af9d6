"""Microsoft Graph over https, the part that deals with applications and service principals.

Every write demands a directory right: `Application.ReadWrite.All`, or `Application.ReadWrite.OwnedBy` of an owner.
https://learn.microsoft.com/graph/api/application-post-applications
https://learn.microsoft.com/graph/permissions-reference#applicationreadwriteownedby
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.rbac import Principal
from emulator.protocols.sign_in import sign_in
from emulator.protocols.web import bearer, json_body
from emulator.services.graph import access as entra
from emulator.services.graph import data as graph

_TEXT = r"'((?:[^']|'')*)'"
"""A quote within the text is doubled, as in all of OData."""
_EQUALS = re.compile(rf"(\w+) eq {_TEXT}")
_STARTS = re.compile(rf"startswith\((\w+), ?{_TEXT}\)", re.IGNORECASE)
_ANY = re.compile(rf"(\w+)/any\((\w+): ?\2 eq {_TEXT}\)")
_PARAMETERS = frozenset({"$filter", "$select", "$top", "$count", "$skiptoken"})
_KINDS = {"applications": graph.APPLICATIONS, "servicePrincipals": graph.PRINCIPALS}

Values = dict[str, Any]
Work = Callable[["_Call"], tuple[int, Values | None]]


class _Call:
    """One request: who sends it, its parameters and its body."""

    def __init__(self, azure: Azure, principal: Principal, request: Request, body: Values) -> None:
        self.azure = azure
        self.principal = principal
        self.body = body
        self.path: dict[str, str] = request.path_params
        self.query = dict(request.query_params)
        self.url = request.url.path

    @property
    def type(self) -> str:
        """The type of the objects that the path names."""
        return _KINDS[self.path["kind"]]

    @property
    def id(self) -> str:
        """The object id that the path names, by itself or by its application id."""
        if "app_id" not in self.path:
            return self.path["id"]
        return str(graph.find_where(self.azure, self.type, "appId", self.path["app_id"])["id"])

    def writing(self) -> str:
        """The object's id, where the caller may write it."""
        entra.demand_right(self.azure, self.principal, graph.find(self.azure, self.type, self.id))
        return self.id


def routes(azure: Azure) -> list[BaseRoute]:
    """All of Entra's and Graph's paths."""
    return [*sign_in(azure), *_graph(azure)]


def graph_audiences(azure: Azure) -> list[str]:
    """Audiences of tokens that Graph accepts."""
    return [f"{azure.url}/graph", *entra.GRAPH_AUDIENCES]


def _graph(azure: Azure) -> list[BaseRoute]:
    def serve(path: str, **by_method: Work) -> Route:
        async def answer(request: Request) -> Response:
            body = await json_body(request)

            def work() -> tuple[int, Values | None]:
                principal = entra.verify_token(azure, bearer(request), graph_audiences(azure))
                entra.demand_right(azure, principal)
                return by_method[request.method](_Call(azure, principal, request, body))

            status, result = await run_in_threadpool(work)
            return Response(status_code=status) if result is None else JSONResponse(result, status)

        return Route(f"/graph/{{version}}/{path}", answer, methods=list(by_method))

    served = [
        serve("directory/deletedItems/microsoft.graph.application", GET=_deleted),
        serve("directory/deletedItems/{id}", DELETE=_purge),
        serve("directory/deletedItems/{id}/restore", POST=_restore),
    ]
    served += [serve("directoryObjects/getByIds", POST=_by_ids)]
    for kind in _KINDS:
        served += [serve(kind, GET=_list, POST=_create)]
        for item in (f"{kind}/{{id}}", f"{kind}(appId='{{app_id}}')"):
            served += [
                serve(item, GET=_get, PATCH=_update, DELETE=_delete),
                serve(f"{item}/owners", GET=_owners),
                serve(f"{item}/owners/$ref", POST=_add_owner),
                serve(f"{item}/owners/{{owner}}/$ref", DELETE=_remove_owner),
            ]
    for item in ("applications/{id}", "applications(appId='{app_id}')"):
        served += [
            serve(f"{item}/addPassword", POST=_add_password),
            serve(f"{item}/removePassword", POST=_remove_password),
        ]
    rights = "servicePrincipals/{id}/appRoleAssignments"
    served += [serve(rights, GET=_rights, POST=_grant_right), serve(f"{rights}/{{right}}", DELETE=_revoke_right)]
    return [_with_kind(route) for route in served]


def _with_kind(route: Route) -> Route:
    """A route whose path parameters say of which kind the objects are."""
    kind = "servicePrincipals" if "/servicePrincipals" in route.path else "applications"
    return Route(route.path, _handler(route, kind), methods=sorted(route.methods or ()))


def _handler(route: Route, kind: str) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        request.path_params["kind"] = kind
        response: Response = await route.endpoint(request)
        return response

    return answer


def _list(call: _Call) -> tuple[int, Values]:
    objects = [document.body for document in call.azure.store.of_type(call.type)]
    return 200, _page(call, [each for each in objects if _matches(each, call.query.get("$filter", ""))])


def _create(call: _Call) -> tuple[int, Values]:
    owner = call.principal.object_id
    if call.type == graph.APPLICATIONS:
        return 201, graph.create_application(call.azure, call.body, owner)
    app_id = str(call.body.get("appId"))
    entra.demand_right_to_register(call.azure, call.principal, app_id)
    return 201, graph.create_service_principal(call.azure, app_id, call.body, owner)


def _get(call: _Call) -> tuple[int, Values]:
    return 200, _selected(graph.find(call.azure, call.type, call.id).body, call.query)


def _update(call: _Call) -> tuple[int, None]:
    graph.update(call.azure, call.type, call.writing(), call.body)
    return 204, None


def _delete(call: _Call) -> tuple[int, None]:
    remove = graph.delete_application if call.type == graph.APPLICATIONS else graph.delete_service_principal
    remove(call.azure, call.writing())
    return 204, None


def _owners(call: _Call) -> tuple[int, Values]:
    return 200, _page(call, graph.owners(call.azure, call.type, call.id))


def _add_owner(call: _Call) -> tuple[int, None]:
    entra.demand_right_over_owners(call.azure, call.principal)
    graph.add_owner(call.azure, call.type, call.writing(), graph.bound_id(call.body.get("@odata.id")))
    return 204, None


def _remove_owner(call: _Call) -> tuple[int, None]:
    graph.remove_owner(call.azure, call.type, call.writing(), call.path["owner"])
    return 204, None


def _add_password(call: _Call) -> tuple[int, Values]:
    id_, given = call.writing(), call.body.get("passwordCredential") or {}
    key_id, secret = graph.add_password(
        call.azure, id_, given.get("displayName"), given.get("endDateTime"), given.get("startDateTime")
    )
    credentials = graph.get_application(call.azure, id_)["passwordCredentials"]
    return 200, {**next(each for each in credentials if each["keyId"] == key_id), "secretText": secret}


def _remove_password(call: _Call) -> tuple[int, None]:
    graph.remove_password(call.azure, call.writing(), str(call.body.get("keyId")))
    return 204, None


def _rights(call: _Call) -> tuple[int, Values]:
    return 200, _page(call, entra.rights_of(call.azure, call.id))


def _grant_right(call: _Call) -> tuple[int, Values]:
    call.writing()
    return 201, entra.grant_right(call.azure, call.id, str(call.body.get("appRoleId")))


def _revoke_right(call: _Call) -> tuple[int, None]:
    entra.revoke_right(call.azure, call.writing(), call.path["right"])
    return 204, None


def _by_ids(call: _Call) -> tuple[int, Values]:
    """Service principals and applications by their object ids; unknown ids are left out."""
    wanted = {str(each) for each in call.body.get("ids") or []}
    names = {graph.PRINCIPALS: "servicePrincipal", graph.APPLICATIONS: "application"}
    objects = [
        {"@odata.type": f"#microsoft.graph.{name}", **document.body}
        for type_, name in names.items()
        for document in call.azure.store.of_type(type_)
        if document.body["id"] in wanted
    ]
    return 200, {"value": objects}


def _deleted(call: _Call) -> tuple[int, Values]:
    return 200, _page(call, graph.deleted_applications(call.azure))


def _restore(call: _Call) -> tuple[int, Values]:
    entra.demand_right(call.azure, call.principal, graph.deleted_application(call.azure, call.path["id"]))
    return 200, graph.restore_application(call.azure, call.path["id"])


def _purge(call: _Call) -> tuple[int, None]:
    entra.demand_right(call.azure, call.principal, graph.deleted_application(call.azure, call.path["id"]))
    graph.purge_application(call.azure, call.path["id"])
    return 204, None


# -- OData -------------------------------------------------------------------------------------------------------------


def _page(call: _Call, objects: list[Values]) -> Values:
    """A page of objects, with `@odata.nextLink` where more follows."""
    if unknown := [name for name in call.query if name.startswith("$") and name not in _PARAMETERS]:
        raise _unsupported(f"The query parameter '{unknown[0]}' is not supported")
    start, top = int(call.query.get("$skiptoken", 0)), call.query.get("$top", str(call.azure.options.page_size))
    if not top.isdigit() or not int(top):
        raise _unsupported(f"Invalid value '{top}' for $top")
    end = start + int(top)
    page: Values = {"value": [_selected(each, call.query) for each in objects[start:end]]}
    if end < len(objects):
        query = urlencode({**call.query, "$skiptoken": str(end)})
        page["@odata.nextLink"] = f"{call.azure.url}{call.url}?{query}"
    return page


def _selected(body: Values, query: dict[str, str]) -> Values:
    names = [name for name in query.get("$select", "").split(",") if name]
    return {name: body[name] for name in names if name in body} if names else body


def _matches(body: Values, expression: str) -> bool:
    """Whether an object fits a filter of `eq`, `startswith` and `any`, joined by `and` and `or`."""
    if not expression:
        return True
    return any(all(_fits(body, term.strip()) for term in part.split(" and ")) for part in expression.split(" or "))


def _fits(body: Values, term: str) -> bool:
    if match := _EQUALS.fullmatch(term):
        return str(body.get(match[1])).lower() == match[2].replace("''", "'").lower()
    if match := _STARTS.fullmatch(term):
        return str(body.get(match[1]) or "").lower().startswith(match[2].replace("''", "'").lower())
    if match := _ANY.fullmatch(term):
        return match[3].replace("''", "'") in (body.get(match[1]) or [])
    raise _unsupported(f"Unsupported filter '{term}': use eq, startswith and any")


def _unsupported(text: str) -> AzureError:
    return AzureError(400, "Request_UnsupportedQuery", f"{text}.")
