"""The dispatcher: takes an ARM request, checks access, and lets the type's service do the work.

Owns what all types share (ids, parents, access, provisioning states, long operations, counting of writes). What a type
demands and does stands in its `ResourceType` (emulator/services).
"""

import logging
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from emulator.core import api_versions, tags
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId, split
from emulator.core.journal import Entry, Journal
from emulator.core.locations import region
from emulator.core.operations import Operation, Operations
from emulator.core.options import Options
from emulator.core.ports import Ports
from emulator.core.rbac import AccessControl, Principal
from emulator.core.recording import Recording
from emulator.core.store import Document, Store

_log = logging.getLogger(__name__)
_GLANCE = 0.1
"""Seconds between two checks of a fault that delays something."""
_READS = frozenset({"GET", "HEAD"})
_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}
_PROVIDERS = "Microsoft.Resources/subscriptions/providers"
NEXT_CALL = "next-call"
"""The fault that refuses one write."""
_FREE = frozenset({"microsoft.authorization", "microsoft.resources"})
"""Providers that need no registration."""
_REGISTRATIONS = frozenset({"register", "unregister"})
_PROVIDER_ACTION = re.compile(r"(/subscriptions/[^/]+)/providers/([^/]+)/(\w+)/?", re.IGNORECASE)
_ENVELOPE = ("location", "tags", "sku", "identity", "kind", "plan", "zones", "managedBy")


@dataclass(frozen=True)
class Request:
    """One ARM request, whatever face it came by. `path` has no query."""

    method: str
    path: str
    principal: Principal
    body: dict[str, Any] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """The answer; `operation` is set where work goes on."""

    status: int
    body: dict[str, Any] | None = None
    operation: Operation | None = None


class ResourceType:
    """What one ARM type demands and does. Subclasses override what they need; all raise `AzureError`."""

    type: ClassVar[str]
    #: Names of envelope fields that a PUT must have.
    required: ClassVar[tuple[str, ...]] = ()
    #: Whether PUT and DELETE answer at once and the work goes on in an operation.
    long: ClassVar[bool] = False
    #: Whether an update of a long type takes time, too.
    long_update: ClassVar[bool] = True
    #: Whether DELETE does so, where it differs from PUT.
    long_delete: ClassVar[bool | None] = None
    #: The status of a PATCH.
    patched: ClassVar[int] = 200
    #: Whether the type shows `systemData`.
    system_data: ClassVar[bool] = True
    #: Properties that newer api-versions show (`policies.name` for one in another), each with the versions that do not.
    unknown_in: ClassVar[Mapping[str, frozenset[str]]] = {}
    #: Whether a list takes `$filter`.
    filtered: ClassVar[bool] = False
    #: Whether the type shows no `provisioningState`.
    stateless: ClassVar[bool] = False
    #: Whether a DELETE answers with what it has deleted.
    shows_deleted: ClassVar[bool] = False
    #: The status of a PUT that creates something: clients take no other success than the type's own.
    created: ClassVar[int] = 201

    def __init__(self, azure: "Azure") -> None:
        self.azure = azure

    def check_envelope(self, id_: ResourceId, body: dict[str, Any]) -> dict[str, Any]:
        """Validate what all types share: required envelope fields, the location, tags."""
        for name in self.required:
            if not body.get(name):
                code = "LocationRequired" if name == "location" else "InvalidRequestContent"
                raise AzureError(400, code, f"The {name} property is required for the resource '{id_.path}'.")
        tags.check(body.get("tags"))
        if not isinstance(body.get("properties", {}), dict | None):
            raise AzureError(400, "InvalidRequestContent", f"The 'properties' of '{id_.name}' is not a JSON object.")
        location = body.get("location")
        if not isinstance(location, str | None):
            raise AzureError(400, "InvalidRequestContent", f"The 'location' of '{id_.name}' is not a text.")
        return {**body, "location": region(location, self.type)} if location else body

    def check_location(self, old: Document, location: str) -> None:
        """Refuse a PUT that names another location than the resource has.

        https://github.com/MicrosoftDocs/azure-docs/issues/70422 shows the answer.
        """
        if old.body.get("location", location) != location:
            raise AzureError(
                409,
                "InvalidResourceLocation",
                f"The resource '{old.id.name}' already exists in location '{old.body['location']}' in resource group"
                f" '{old.id.group}'. A resource with the same name cannot be created in location '{location}'. Please"
                " select a new resource name.",
            )

    def check(self, new: Document, old: Document | None) -> Document:  # noqa: ARG002 - for subclasses
        """Validate a PUT and fill in Azure's defaults; move secrets from the body to `private`."""
        return new

    def provision(self, new: Document, old: Document | None) -> Document:  # noqa: ARG002 - for subclasses
        """Do the real work of a PUT; the returned document is stored."""
        return new

    def patch(self, document: Document, body: dict[str, Any]) -> dict[str, Any]:
        """The body of the PUT that a PATCH amounts to."""
        merged = {**document.body, **body}
        merged["properties"] = {**document.properties, **(body.get("properties") or {})}
        return merged

    def check_delete(self, document: Document) -> None:
        """Refuse a DELETE of this very resource. Not called when a parent's deletion removes it."""

    def retire(self, document: Document, children: list[Document], query: dict[str, str]) -> None:
        """Set aside what a soft delete keeps, before the children go."""

    def purge(self, id_: ResourceId, query: dict[str, str]) -> None:
        """A DELETE of what does not exist (any more): purge what a soft delete has set aside, where that is asked."""

    def remove(self, document: Document) -> None:
        """Do the real work of a DELETE. Children are already gone."""

    def read(self, id_: ResourceId) -> Document:
        """The document of a GET (404 where there is none)."""
        return self.azure.find(id_.path)

    def action_target(self, id_: ResourceId, action: str) -> Document:  # noqa: ARG002 - for subclasses
        """The document that an action is about; it exists, but for actions that come before the PUT."""
        return self.azure.find(id_.path)

    def action(self, document: Document, name: str, request: Request) -> Response:  # noqa: ARG002 - for subclasses
        """Answer POST {id}/{name}."""
        raise AzureError(404, "NotFound", f"'{name}' is not an action of {self.type}")

    def show(self, document: Document) -> dict[str, Any]:
        """What GET answers."""
        hidden = {"provisioningState"} if self.stateless else set()
        properties = {name: value for name, value in document.properties.items() if name not in hidden}
        body = {name: value for name, value in document.body.items() if name != "systemData" or self.system_data}
        return {**body, "properties": properties} if "properties" in body else body

    def shown(self, document: Document, query: Mapping[str, str]) -> dict[str, Any]:
        """What GET answers in an api-version."""
        body, version = self.show(document), query.get("api-version", "").lower()
        for path, versions in self.unknown_in.items():
            if version in versions:
                body = _without(body, ["properties", *path.split(".")])
        return body

    def listing(self, scope: ResourceId, query: dict[str, str]) -> list[Document]:  # noqa: ARG002 - for subclasses
        """The documents that a GET of the collection below a scope answers."""
        return self.azure.store.of_type(self.type, scope)

    def listed(self, scope: ResourceId, request: Request) -> dict[str, Any]:
        """What GET of the collection below a scope answers to a caller."""
        return self.collection(scope, request.query)

    def collection(self, scope: ResourceId, query: dict[str, str]) -> dict[str, Any]:
        """What GET of the collection below a scope answers: a page of it."""
        return self.azure.page(
            [self.shown(document, query) for document in self.listing(scope, query)], scope, self.type, query
        )

    def log(self, document: Document) -> str | None:  # noqa: ARG002 - for subclasses
        """What the thing behind a document has written, for `emulator logs`; None where it writes none."""
        return None

    def provider(self, scope: ResourceId, namespace: str) -> dict[str, Any]:
        """One resource provider; only the type of providers knows any."""
        raise AzureError(404, "InvalidResourceNamespace", f"{scope.path} has no provider '{namespace}'.")

    def perform(self, scope: ResourceId, namespace: str, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """An action of a resource provider; only the type of providers knows any."""
        del body
        raise AzureError(404, "NotFound", f"'{action}' is not an action of {namespace} at {scope.path}")

    def resume(self, document: Document) -> None:
        """Bring back, after a restart, what a document says exists (processes, containers)."""

    def suspend(self) -> None:
        """End, at a clean stop, all that runs for this type (processes, containers); `resume` brings it back."""


Served = TypeVar("Served", bound=ResourceType)


class Azure:
    """One local Azure: a store, the types it serves, and what is going on."""

    def __init__(self, folder: Path, options: Options | None = None) -> None:
        self.folder = folder
        self.options = options or Options()
        self.store = Store(folder)
        self.access = AccessControl(self.store, self.options.role_delay)
        self.operations = Operations()
        self.journal = Journal()
        self._recording = Recording(self.options.record)
        self.ports = Ports(self.store)
        self.faults: dict[str, Any] = dict(self.store.fact("faults") or {})
        #: SUBSCRIPTION/NAMESPACE in lower case.
        self.unregistered: frozenset[str] = frozenset(self.store.fact("unregistered") or ())
        self.counts: Counter[str] = Counter()
        #: The write that the fault `hold` holds, and the thread that makes it.
        self.held: dict[str, str] = {}
        self._types: dict[str, ResourceType] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self.tenant = str(self.store.fact_or_create("tenant", lambda: str(uuid.uuid4())))
        self.subscription = str(self.store.fact_or_create("subscription", lambda: str(uuid.uuid4())))
        #: A second one of the same tenant, for resources outside of the deployment.
        self.other_subscription = str(self.store.fact_or_create("other-subscription", lambda: str(uuid.uuid4())))

    @property
    def url(self) -> str:
        """Where the https face answers, without a slash at the end."""
        return f"https://localhost:{self.ports.of('https') or 0}"

    def serve(self, types: Iterable[type[ResourceType]]) -> None:
        """Add types, in the order in which `resume` shall go through them."""
        for kind in types:
            self._types[kind.type.lower()] = kind(self)

    @property
    def types(self) -> list[str]:
        """The names of all types, as ARM spells them."""
        return [kind.type for kind in self._types.values()]

    def service(self, type_: str) -> ResourceType:
        """The service of an ARM type (404 as Azure words it)."""
        service = self._types.get(type_.lower())
        if service is None:
            raise AzureError(404, "InvalidResourceType", f"The resource type '{type_}' could not be found")
        return service

    def serving(self, type_: type[Served]) -> Served:
        """The service of an ARM type, by its class."""
        service = self.service(type_.type)
        assert isinstance(service, type_)  # noqa: S101 - for the type checker: `serve` made it
        return service

    def resume(self) -> None:
        """After a restart: mark half-made work as failed, and bring back what runs."""
        for name in self._types:
            for document in self.store.of_type(name):
                if document.properties.get("provisioningState") in {"Creating", "Updating", "Deleting"}:
                    document = self.store.put(document.having(provisioningState="Failed"))  # noqa: PLW2901
                try:
                    self._types[name].resume(document)
                except AzureError as error:
                    _log.warning("%s does not come back: %s", document.id.path, error)
                except Exception:  # noqa: BLE001 - the others must come back whatever this one's trouble is
                    _log.exception("%s does not come back", document.id.path)

    def suspend(self) -> None:
        """At a clean stop: end what runs, newest kinds first. One kind's trouble does not keep the others up."""
        for name in reversed(self._types):
            try:
                self._types[name].suspend()
            except Exception:  # noqa: BLE001 - the others must end whatever this one's trouble is
                _log.exception("%s does not stop cleanly", name)

    def fault(self, name: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Set a named fault or delay; None ends it. Services ask `azure.faults.get(name)`."""
        self.faults = {**self.faults, name: value}
        if value is None:
            del self.faults[name]  # it was set by the line above, so that an unknown name does no harm
        self.store.put_fact("faults", self.faults)

    def delay(self, fault: str, of: str = "") -> None:
        """Wait for the seconds of a fault (with `of`: one of a map of them), or until the fault is ended."""
        start = time.monotonic()
        while time.monotonic() - start < self._seconds(fault, of):
            time.sleep(_GLANCE)

    def _seconds(self, fault: str, of: str) -> float:
        value = self.faults.get(fault) or 0
        return float((value.get(of) if isinstance(value, dict) else value) or 0)

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Count a write by its type, or `builds` and `uploads`; one that is refused is none.

        The fault `hold` holds one before or after it is made. Its value is `{"write": "Microsoft.KeyVault/vaults#1",
        "when": "before"}`, with the number among the writes of that type. A held write goes on when the fault is ended;
        with `"drop": true` it has never reached Azure.
        """
        with self._lock:
            self.counts[what] += 1
            write = f"{what}#{self.counts[what]}"
        try:
            self._hold({"write": write, "when": "before"})
            yield
            self._hold({"write": write, "when": "after"})
        except AzureError:
            with self._lock:
                self.counts -= Counter([what])
            raise

    def _hold(self, moment: dict[str, str]) -> None:
        is_dropped = False
        while not is_dropped and (fault := self.faults.get("hold") or {}).items() >= moment.items():
            self.held = {**moment, "thread": threading.current_thread().name}
            time.sleep(_GLANCE)
            is_dropped = bool(fault.get("drop"))
        if self.held.items() >= moment.items():
            self.held = {}
        if is_dropped:
            raise AzureError(503, "ServiceUnavailable", f"The write {moment['write']} is dropped.")

    def request(self, request: Request) -> Response:
        """Answer one ARM request; refusals are raised as `AzureError`."""
        row = {
            "method": request.method.upper(),
            "id": request.path,
            "apiVersion": request.query.get("api-version", ""),
            "body": request.body,
        }
        entry = Entry("Resource Manager", request.method.upper(), request.path, request.principal.name)
        try:
            with self.journal.noting(entry):
                self._refuse_next(request)
                response = self._answer(request)
                entry.status, entry.operation = response.status, response.operation
        except AzureError as error:
            self._recording.add({**row, "status": error.status})
            raise
        self._recording.add({**row, "status": response.status, "answer": response.body})
        return response

    def _refuse_next(self, request: Request) -> None:
        """Refuse one write by the fault `next-call`, `{"status": 503, "code": "ServiceUnavailable", "type": ""}`.

        An empty type is any. The fault ends with it.
        """
        if request.method.upper() in _READS or not (value := self.faults.get(NEXT_CALL)):
            return
        with self._lock:
            value = self.faults.get(NEXT_CALL)
            if not value or value.get("type", "").lower() not in {"", _type_of(request)}:
                return
            self.fault(NEXT_CALL, None)
        text = f"The fault '{NEXT_CALL}' of the local Azure refuses this request."
        raise AzureError(int(value["status"]), str(value.get("code") or "ServiceUnavailable"), text)

    def _answer(self, request: Request) -> Response:
        method = request.method.upper()
        if method not in _VERBS:
            raise AzureError(405, "MethodNotAllowed", f"The HTTP method {method} is not supported for this resource.")
        self._check_subscription(request.path)
        self._check_registered(request.path)
        if method == "POST":
            return self._post(request)
        try:
            id_ = ResourceId.parse(request.path)
        except AzureError:
            if method == "GET":
                return self._list(request)
            raise
        kind = self.service(id_.type)
        _check_version(kind.type, request)
        self.access.demand(request.principal, f"{kind.type}/{_VERBS[method]}", id_)
        if method in {"GET", "HEAD"}:
            return Response(200, kind.shown(kind.read(id_), request.query))
        if method == "DELETE":
            return self._delete(id_, kind, request)
        return self._patch(id_, kind, request) if method == "PATCH" else self._put(id_, kind, request.body, request)

    def _check_subscription(self, path: str) -> None:
        parts = path.strip("/").split("/")
        subscriptions = {self.subscription, self.other_subscription}
        if len(parts) > 1 and parts[0].lower() == "subscriptions" and parts[1].lower() not in subscriptions:
            raise AzureError(404, "SubscriptionNotFound", f"The subscription '{parts[1]}' could not be found.")

    def is_unregistered(self, subscription: str, namespace: str) -> bool:
        """Whether a resource provider is not registered in a subscription."""
        return f"{subscription}/{namespace}".lower() in self.unregistered

    def register(self, subscription: str, namespace: str, *, registered: bool) -> None:
        """Register a resource provider in a subscription, or take that back."""
        key = {f"{subscription}/{namespace}".lower()}
        self.unregistered = self.unregistered - key if registered else self.unregistered | key
        self.store.put_fact("unregistered", sorted(self.unregistered))

    def _check_registered(self, path: str) -> None:
        """Refuse what a resource provider should do that the subscription has not registered.

        https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-register-resource-provider
        """
        head, tail = split(path)
        namespace, _, rest = tail.partition("/")
        if not rest or namespace.lower() in _FREE or rest.lower().strip("/") in _REGISTRATIONS:
            return
        if self.is_unregistered(head.split("/")[2], namespace):
            raise AzureError(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found"
                " for how to register subscriptions.",
            )

    def _post(self, request: Request) -> Response:
        """An action of a resource, or of a resource provider."""
        if match := _PROVIDER_ACTION.fullmatch(request.path):
            scope = ResourceId.parse(match[1])
            self.access.demand(request.principal, f"{match[2]}/{match[3]}/action", scope)
            return Response(200, self.service(_PROVIDERS).perform(scope, match[2], match[3], request.body))
        path, _, action = request.path.rstrip("/").rpartition("/")
        kind = self.service(ResourceId.parse(path).type)
        _check_version(f"{kind.type}/{action}", request)
        document = kind.action_target(ResourceId.parse(path), action)
        self.access.demand(request.principal, f"{document.id.type}/{action}/action", document.id)
        with _deserialized():
            return kind.action(document, action, request)

    def _patch(self, id_: ResourceId, kind: ResourceType, request: Request) -> Response:
        with _deserialized():
            body = kind.patch(self.find(id_.path), request.body)
        return replace(self._put(id_, kind, body, request), status=kind.patched)

    def find(self, path: str) -> Document:
        """The document of an id (404 as Azure words it)."""
        id_ = ResourceId.parse(path)
        document = self.store.get(id_)
        if document is not None:
            return document
        self._check_group_exists(id_)
        raise AzureError(
            404,
            "ResourceNotFound",
            f"The Resource '{id_.type}/{id_.name}' under resource group '{id_.group}' was not found."
            " For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )

    def _check_group_exists(self, id_: ResourceId) -> None:
        """Refuse what lies in a resource group that does not exist."""
        group = id_.name if id_.type == "Microsoft.Resources/resourceGroups" else id_.group
        if group and self.store.get(ResourceId.parse("/".join(id_.path.split("/")[:5]))) is None:
            raise AzureError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")

    def page(self, items: list[dict[str, Any]], scope: ResourceId, type_: str, query: dict[str, str]) -> dict[str, Any]:
        """A page of a list, with `nextLink` where more follows. `$top` limits it, `$skip` and `$skipToken` begin it."""
        start = _count(query, "$skipToken") or _count(query, "$skip")
        end = start + (_count(query, "$top") or self.options.page_size)
        if end >= len(items):
            return {"value": items[start:]}
        parameters = {**query, "$skipToken": str(end)}
        parameters.pop("$skip", None)
        parent, _, collection = type_.rpartition("/")
        path = scope.path if "/" in parent else f"{scope.path}/providers/{parent}"
        if type_ == "Microsoft.Resources/resourceGroups":
            path = scope.path
        return {"value": items[start:end], "nextLink": f"{self.url}{path}/{collection}?{urlencode(parameters)}"}

    def linked(self, path: object, *types: str) -> Document | None:
        """The resource that a property of another one names; None unless it exists and is of one of these types."""
        try:
            document = self.store.get(ResourceId.parse(str(path or "")))
        except AzureError:
            return None
        wanted = {type_.lower() for type_ in types}
        return document if document is not None and document.id.type.lower() in wanted else None

    def wait(self, response: Response) -> dict[str, Any] | None:
        """Wait for a response's long operation; its error is raised, the finished resource's body returned."""
        if response.operation is None:
            return response.body
        response.operation.done.wait()
        if response.operation.error is not None:
            raise response.operation.error
        if response.operation.result is not None:
            return response.operation.result
        document = self.store.get(ResourceId.parse(response.operation.resource))
        return self.service(document.id.type).show(document) if document else None

    def _list(self, request: Request) -> Response:
        path, _, collection = request.path.rstrip("/").rpartition("/")
        if path.lower().endswith("/providers"):
            scope = ResourceId.parse(path.rpartition("/")[0])
            self.access.demand(request.principal, "Microsoft.Resources/subscriptions/providers/read", scope)
            return Response(
                200, self.service("Microsoft.Resources/subscriptions/providers").provider(scope, collection)
            )
        head, namespace = split(path)
        if namespace and "/" not in namespace:
            path, type_ = head, f"{namespace}/{collection}"
        elif collection.lower() == "resourcegroups":
            type_ = "Microsoft.Resources/resourceGroups"
        else:
            type_ = f"{ResourceId.parse(path).type}/{collection}"
        kind, scope = self.service(type_), ResourceId.parse(path)
        _check_version(kind.type, request)
        if request.query.get("$filter") and not kind.filtered:
            raise AzureError(
                400,
                "InvalidFilterInQueryString",
                f"Invalid $filter '{request.query['$filter']}' specified in the query string.",
            )
        self.access.demand(request.principal, f"{kind.type}/read", scope)
        return Response(200, kind.listed(scope, request))

    def _put(self, id_: ResourceId, kind: ResourceType, body: dict[str, Any], request: Request) -> Response:
        id_ = id_.spelled(kind.type)
        with _deserialized():
            body = kind.check_envelope(id_, body)
        parent = id_.parent
        if parent is not None and parent.type != "Microsoft.Resources/subscriptions":
            self.find(parent.path)
            self._check_group(id_)
        lock = self._lock_resource(id_)
        try:
            old = self.store.get(id_)
            if old is not None and body.get("location"):
                kind.check_location(old, body["location"])
            envelope = {name: body[name] for name in _ENVELOPE if body.get(name) is not None}
            new = Document(
                id_ if old is None else old.id,
                {
                    "id": (id_ if old is None else old.id).path,
                    "name": id_.name,
                    "type": kind.type,
                    **envelope,
                    "properties": dict(body.get("properties") or {}),
                    "systemData": _system_data(old, request.principal),
                },
                dict(old.private) if old else {},
            )
            is_long = kind.long and (old is None or kind.long_update)
            # What was never finished is provisioned as if it were new.
            previous = None if old is None or old.private.get("unfinished") else old
            unfinished = {"unfinished": previous is None and is_long}
            with self.writing(kind.type):
                with _deserialized():
                    new = kind.check(new, old)
                if is_long:
                    state = "Updating" if old else "Creating"
                    started = self.store.put(new.having(unfinished, provisioningState=state))
                else:
                    finished = new.having(unfinished, provisioningState="Succeeded")
                    started = self.store.put(kind.provision(finished, previous))
            if not is_long:
                lock.release()
                return Response(200 if old else kind.created, kind.shown(started, request.query))
        except BaseException:
            lock.release()
            raise

        def work() -> None:
            try:
                created = kind.provision(started, previous)
                self.store.put(created.having({"unfinished": False}, provisioningState="Succeeded"))
            except Exception:
                latest = self.store.get(started.id) or started
                self.store.put(latest.having(provisioningState="Failed"))
                raise
            finally:
                lock.release()

        operation = self.operations.start(id_.path, work)
        return Response(200 if old else kind.created, kind.shown(started, request.query), operation)

    def _delete(self, id_: ResourceId, kind: ResourceType, request: Request) -> Response:
        document = self.store.get(id_)
        if document is None:
            self._check_group_exists(id_)
            kind.purge(id_, request.query)
            return Response(204)
        kind.check_delete(document)
        lock = self._lock_resource(id_)

        def work() -> None:
            try:
                # What is set aside for a recovery comes first: the removals take apart what it describes.
                kind.retire(document, self.store.under(id_), request.query)
                for child in self.store.under(id_):
                    service = self.service(child.id.type)
                    service.retire(child, self.store.under(child.id), {})
                    service.remove(child)
                    self.store.delete(child.id)
                kind.remove(document)
                self.store.delete(id_)
            except Exception:
                if (left := self.store.get(id_)) is not None:
                    self.store.put(left.having(provisioningState=document.properties.get("provisioningState")))
                raise
            finally:
                lock.release()

        is_long = kind.long if kind.long_delete is None else kind.long_delete
        with self.writing(kind.type):
            if not is_long:
                work()
                return Response(200, kind.show(document) if kind.shows_deleted else None)
            self.store.put(document.having(provisioningState="Deleting"))
        return Response(202, None, self.operations.start(id_.path, work))

    def _check_group(self, id_: ResourceId) -> None:
        """Refuse to make anything in a resource group that is being deleted."""
        if not id_.group:
            return
        group = self.find("/".join(id_.path.split("/")[:5]))
        if group.properties.get("provisioningState") == "Deleting":
            raise AzureError(
                409,
                "ResourceGroupBeingDeleted",
                f"The resource group '{group.id.name}' is in deprovisioning state and cannot perform this operation.",
            )

    def _lock_resource(self, id_: ResourceId) -> threading.Lock:
        """Take a resource for one operation; Azure refuses a second one meanwhile."""
        with self._lock:
            lock = self._locks.setdefault(id_.key, threading.Lock())
        if not lock.acquire(blocking=False):
            raise AzureError(
                409, "Conflict", f"Another operation on '{id_.name}' is in progress; try again when it has finished"
            )
        return lock


def _system_data(old: Document | None, principal: Principal) -> dict[str, str]:
    """Who wrote a resource, and when; the deployer's and others' client ids, since all are applications.

    https://learn.microsoft.com/rest/api/azureml/workspaces/get#systemdata
    """
    client, moment = principal.app_id or principal.object_id, now()
    created = {"createdBy": client, "createdByType": "Application", "createdAt": moment}
    before = {name: value for name, value in (old.body.get("systemData") or {}).items() if old} if old else {}
    return {
        **created,
        **{name: before[name] for name in created if name in before},
        "lastModifiedBy": client,
        "lastModifiedByType": "Application",
        "lastModifiedAt": moment,
    }


def _type_of(request: Request) -> str:
    """The type, in lower case, of what a request is about; of an action that of its resource."""
    path = request.path.rstrip("/")
    try:
        return ResourceId.parse(path if request.method.upper() != "POST" else path.rpartition("/")[0]).type.lower()
    except AzureError:
        return ""


def _check_version(type_: str, request: Request) -> None:
    if "api-version" in request.query:
        api_versions.check(type_, request.query["api-version"])


def _count(query: dict[str, str], name: str) -> int:
    """A query parameter that is a whole number; 0 where it is absent."""
    text = query.get(name, "0")
    if not text.isdigit():
        raise AzureError(400, "InvalidQueryParameterValue", f"The value '{text}' of '{name}' is not a whole number.")
    return int(text)


@contextmanager
def _deserialized() -> Iterator[None]:
    """Answer a body of the wrong shape as Azure does: it cannot be deserialized."""
    try:
        yield
    except (AttributeError, TypeError, KeyError, ValueError, IndexError) as error:
        _log.info("a body that is refused", exc_info=error)
        raise AzureError(
            400,
            "InvalidRequestContent",
            f"The request content was invalid and could not be deserialized: {' '.join(str(error).split())}.",
        ) from error


def _without(values: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """A copy of nested values that lacks the one at a path."""
    first, *rest = path
    others = {name: value for name, value in values.items() if name != first}
    return {**others, first: _without(values[first], rest)} if rest and first in values else others


def now() -> str:
    """This moment, as ARM writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
