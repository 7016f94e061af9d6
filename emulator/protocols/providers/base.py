"""What the fakes of Pulumi's providers share: the gRPC service, property values, diffs and previews.

Owns everything that is the same whatever a resource is. What one resource type sends to the local Azure stands in its
`ResourceHandler` (azure_native.py, azuread.py, docker.py).
https://pulumi-developer-docs.readthedocs.io/latest/docs/architecture/providers/README.html
"""

import importlib.resources
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from emulator.core import peers
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.journal import Entry
from emulator.core.ports import HOST
from emulator.services.network import access as network
from emulator.services.network.access import Client

_log = logging.getLogger(__name__)

UNKNOWN = rpc.UNKNOWN
"""The engine's spelling of "known only after the update"."""

Values = dict[str, Any]
Path = tuple[str | int, ...]

_CONNECTION: ContextVar[tuple[int, int]] = ContextVar("connection")
"""The ports of the connection by which the present call has come: the engine's and ours."""
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the engine's mark of a secret, not one
_MESSAGE_LIMIT = 400 * 1024 * 1024
_WORKERS = 64
_OLDEST_SCHEMA = 0


def client() -> Client:
    """From where the engine of the present call asks: there its provider would stand."""
    peer, own = _CONNECTION.get()
    return network.client_of((HOST, peer), (HOST, own))


# -- property values ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Properties:
    """Plain JSON values, and the paths of those that are secret."""

    values: Values = field(default_factory=dict)
    secrets: frozenset[Path] = frozenset()

    @classmethod
    def decode(cls, struct: struct_pb2.Struct) -> "Properties":
        """Read the engine's form: secrets unwrapped, whole numbers as int, nulls left out."""
        secrets: set[Path] = set()
        values = _decode(json_format.MessageToDict(struct), (), secrets)
        return cls(values, frozenset(secrets))

    def encode(self) -> struct_pb2.Struct:
        """Write the engine's form, with each secret wrapped where its path still leads to a value."""
        values: Any = self.values
        for path in sorted(self.secrets, key=len, reverse=True):
            values = _wrapped(values, path)
        struct = struct_pb2.Struct()
        struct.update(values)
        return struct

    def having(self, values: Values, secrets: Iterable[Path] = ()) -> "Properties":
        """Other values under the same secrets and more."""
        return replace(self, values=values, secrets=self.secrets | frozenset(secrets))


def _decode(value: Any, path: Path, secrets: set[Path]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            secrets.add(path)
            return _decode(value.get("value"), path, secrets)
        return {
            name: _decode(item, (*path, name), secrets)
            for name, item in value.items()
            if item is not None and not (name.startswith("__") and not path)
        }
    if isinstance(value, list):
        return [_decode(item, (*path, index), secrets) for index, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _wrapped(value: Any, path: Path) -> Any:  # noqa: ANN401 - JSON
    if not path:
        return {_SIGNATURE: _SECRET, "value": value}
    head, *rest = path
    if isinstance(value, dict) and head in value:
        return {**value, head: _wrapped(value[head], tuple(rest))}
    if isinstance(value, list) and isinstance(head, int) and head < len(value):
        return [_wrapped(item, tuple(rest)) if index == head else item for index, item in enumerate(value)]
    return value


def has_unknown(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell whether a value is, or holds, one that is known only after the update."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return bool(value == UNKNOWN)


# -- diffs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One property that differs: where, how (ADD, DELETE or UPDATE), and whether it takes a new resource."""

    path: str
    kind: str
    replaces: bool

    @property
    def top(self) -> str:
        """The name of the property at the top that holds it."""
        return self.path.split(".", 1)[0].split("[", 1)[0]


def differences(old: Values, new: Values, replaces: Iterable[str] = ()) -> list[Change]:
    """Compare inputs; `replaces` names top properties, or paths with dots, whose change takes a new resource."""
    changes: list[Change] = []
    _compare(old, new, "", changes)
    replacing = tuple(replaces)
    return [replace(change, replaces=_under(change.path, replacing)) for change in changes]


def _under(path: str, names: tuple[str, ...]) -> bool:
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in names)


def _compare(old: Any, new: Any, path: str, changes: list[Change]) -> None:  # noqa: ANN401 - JSON
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            at = f"{path}.{name}" if path else name
            if name not in old:
                changes.append(Change(at, "ADD", replaces=False))
            elif name not in new:
                changes.append(Change(at, "DELETE", replaces=False))
            else:
                _compare(old[name], new[name], at, changes)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            at = f"{path}[{index}]"
            if index >= len(old):
                changes.append(Change(at, "ADD", replaces=False))
            elif index >= len(new):
                changes.append(Change(at, "DELETE", replaces=False))
            else:
                _compare(old[index], new[index], at, changes)
    elif old != new or has_unknown(new):
        changes.append(Change(path, "UPDATE", replaces=False))


def refreshed_inputs(inputs: Values, before: Values, now: Values) -> Values:
    """Carry what changed between two reads over to the inputs, so that a refresh shows drift and only drift."""
    result = dict(inputs)
    for name in before.keys() | now.keys():
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        current = inputs.get(name)
        if new is None:
            result.pop(name, None)
        elif isinstance(current, dict | None) and isinstance(old, dict) and isinstance(new, dict):
            result[name] = refreshed_inputs(current or {}, old, new)
        else:
            result[name] = new
    return result


# -- resource types ----------------------------------------------------------------------------------------------------


class InitFailed(Exception):  # noqa: N818 - it is made, but not well: the engine keeps it in its state
    """A resource was made but its provisioning failed; what is known of it comes along."""

    def __init__(self, id_: str, outputs: Values, reason: str) -> None:
        super().__init__(reason)
        self.id = id_
        self.outputs = outputs
        self.reason = reason


class ProviderError(Exception):
    """The provider refuses; the text is one line."""


class CheckFailure(Exception):  # noqa: N818 - not an error: an answer of Check
    """An input is wrong: the property's name and a reason on one line."""

    def __init__(self, property_: str, reason: str) -> None:
        super().__init__(reason)
        self.property = property_
        self.reason = reason


@dataclass(frozen=True)
class Step:
    """One call of the engine: the urn, the name, and the seed for random names."""

    urn: str
    name: str
    seed: bytes = b""


class ResourceHandler(ABC):
    """One resource type of a provider. Refusals are raised as `AzureError`."""

    #: Outputs that are no inputs: unknown in a preview, and not carried over to the inputs by a refresh.
    computed: frozenset[str] = frozenset()
    #: Outputs that an update in place never changes, so that a preview may show them.
    stable: frozenset[str] = frozenset({"name", "location"})
    #: Inputs (top names, or paths with dots) whose change takes a new resource.
    replaces: frozenset[str] = frozenset()
    #: Paths of outputs that are secret whatever the inputs were.
    secret: frozenset[Path] = frozenset()
    #: Whether the old one goes before the new one comes.
    delete_first: bool = True
    #: Inputs without which there is nothing to create.
    required: tuple[str, ...] = ()

    def check(self, step: Step, old: Values, new: Values) -> Values:  # noqa: ARG002 - for subclasses
        """Fill in what the real provider fills in; raise `CheckFailure` for what it refuses."""
        for name in self.required:
            if not new.get(name):
                raise CheckFailure(name, f"Missing required argument: {name}")
        return new

    def ignored(self, change: Change, old: Values, new: Values) -> bool:  # noqa: ARG002 - for subclasses
        """Tell whether a difference is none (letter case, spelling)."""
        return False

    def preview(self, new: Values, old: Values | None) -> Values:
        """Outputs as far as they are known before the step."""
        unchanged = {name: old[name] for name in self.stable if old and name in old}
        return {**dict.fromkeys(self.computed, UNKNOWN), **new, **unchanged}

    @abstractmethod
    def create(self, step: Step, new: Values) -> tuple[str, Values]:
        """Make it; its id and outputs."""

    @abstractmethod
    def read(self, id_: str, outputs: Values) -> Values | None:
        """Its outputs now, None where it is gone. `outputs` are empty in an import."""

    @abstractmethod
    def update(self, step: Step, id_: str, old: Values, new: Values) -> Values:
        """Change it in place; its outputs."""

    @abstractmethod
    def delete(self, id_: str, outputs: Values) -> None:
        """Take it away; gone already is fine."""

    def inputs(self, id_: str, outputs: Values) -> Values:  # noqa: ARG002 - for subclasses
        """The inputs that would lead to these outputs (for an import)."""
        return {name: value for name, value in outputs.items() if name not in self.computed | {"id"}}


Function = Callable[[Values], Properties]
"""An invoke: arguments in, results (and which of them are secret) out."""


# -- the gRPC service --------------------------------------------------------------------------------------------------


def expected_version(module: str) -> str:
    """The provider version that the SDK in this environment was made for."""
    text = importlib.resources.files(module).joinpath("pulumi-plugin.json").read_text("utf-8")
    return str(json.loads(text)["version"])


class FakeProvider(provider_pb2_grpc.ResourceProviderServicer):
    """A provider as the engine sees it. Subclasses say its name, its SDK's module, and what it knows."""

    name: ClassVar[str]
    module: ClassVar[str]
    #: The service that it writes to directly, as the journal calls it; empty where its writes pass a face.
    service: ClassVar[str] = ""

    def __init__(self, azure: Azure) -> None:
        super().__init__()
        self._azure = azure
        self.version = expected_version(self.module)
        self.handlers: Mapping[str, ResourceHandler] = {}
        self.functions: Mapping[str, Function] = {}
        self.settings: Values = {}

    # The names of the calls are the protocol's.
    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: ARG002, N802, D102
        return plugin_pb2.PluginInfo(version=self.version)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: ARG002, N802, D102
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: ARG002, N802, D102
        return empty_pb2.Empty()

    def GetSchema(  # noqa: N802, D102
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        if request.version != _OLDEST_SCHEMA:
            _refuse(context, f"unsupported schema version {request.version}")
        anything = {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Any"}}
        schema = {
            "name": self.name,
            "version": self.version,
            "description": "The local Azure's stand-in for this provider: it knows only the types that are used here.",
            "resources": {
                token: {
                    "properties": {
                        name: {"$ref": "pulumi.json#/Any"} for name in sorted(handler.computed - {"id", "urn"})
                    }
                }
                for token, handler in self.handlers.items()
            },
            "functions": {token: {"inputs": anything, "outputs": anything} for token in self.functions},
        }
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def CheckConfig(  # noqa: N802, D102
        self,
        request: provider_pb2.CheckRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(  # noqa: N802, D102
        self,
        request: provider_pb2.DiffRequest,  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(  # noqa: N802, D102
        self,
        request: provider_pb2.ConfigureRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> provider_pb2.ConfigureResponse:
        self.settings.clear()
        self.settings.update(Properties.decode(request.args).values)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Invoke(  # noqa: N802, D102
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        function = self.functions.get(request.tok)
        if function is None:
            _refuse(context, f"the local Azure's {self.name} provider has no function {request.tok}")
            raise AssertionError
        with _errors_as_status(context):
            result = function(Properties.decode(request.args).values)
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(result.encode())
        return response

    def Check(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        handler, step = self._handler(request.urn, context), self._step(request.urn, request.randomSeed)
        old, new = Properties.decode(request.olds), Properties.decode(request.news)
        try:
            with _errors_as_status(context):
                inputs = handler.check(step, old.values, new.values)
        except CheckFailure as wrong:
            failure = provider_pb2.CheckFailure(property=wrong.property, reason=wrong.reason)
            return provider_pb2.CheckResponse(inputs=new.encode(), failures=[failure])
        return provider_pb2.CheckResponse(inputs=new.having(inputs).encode())

    def Diff(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        handler = self._handler(request.urn, context)
        old, new = Properties.decode(request.old_inputs).values, Properties.decode(request.news).values
        changes = [
            change
            for change in differences(old, new, handler.replaces)
            if not handler.ignored(change, old, new) and not _under(change.path, tuple(request.ignoreChanges))
        ]
        replaces = sorted({change.top for change in changes if change.replaces})
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if changes else response.DIFF_NONE,
            diffs=sorted({change.top for change in changes}),
            replaces=replaces,
            deleteBeforeReplace=handler.delete_first and bool(replaces),
            hasDetailedDiff=True,
            detailedDiff={
                change.path: provider_pb2.PropertyDiff(
                    kind=provider_pb2.PropertyDiff.Kind.Value(change.kind + ("_REPLACE" if change.replaces else "")),
                    inputDiff=True,
                )
                for change in changes
            },
        )

    def Create(  # noqa: N802, D102
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        handler, new = self._handler(request.urn, context), Properties.decode(request.properties)
        if request.preview:
            outputs = new.having(handler.preview(new.values, None), handler.secret)
            return provider_pb2.CreateResponse(properties=outputs.encode())
        try:
            with _errors_as_status(context):
                with self._noted("POST", request.urn):
                    id_, result = handler.create(self._step(request.urn), new.values)
                # Made, but the engine has no answer yet: here a killed run leaves what its state does not know.
                self._azure.delay("answer-delay", _token(request.urn))
        except InitFailed as failure:
            _init_failed(context, failure, new, handler)
            raise
        return provider_pb2.CreateResponse(id=id_, properties=new.having(result, handler.secret).encode())

    def Read(  # noqa: N802, D102
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        handler = self._handler(request.urn, context)
        outputs, inputs = Properties.decode(request.properties), Properties.decode(request.inputs)
        with _errors_as_status(context):
            now = handler.read(request.id, outputs.values)
        if now is None:
            return provider_pb2.ReadResponse()
        refreshed = (
            refreshed_inputs(inputs.values, handler.inputs(request.id, outputs.values), handler.inputs(request.id, now))
            if inputs.values
            else handler.inputs(request.id, now)
        )
        secrets = inputs.secrets | outputs.secrets | handler.secret
        return provider_pb2.ReadResponse(
            id=str(now.get("id", request.id)),
            properties=outputs.having(now, secrets).encode(),
            inputs=inputs.having(refreshed).encode(),
        )

    def Update(  # noqa: N802, D102
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        handler = self._handler(request.urn, context)
        old, new = Properties.decode(request.olds), Properties.decode(request.news)
        if request.preview:
            outputs = new.having(handler.preview(new.values, old.values), handler.secret)
            return provider_pb2.UpdateResponse(properties=outputs.encode())
        try:
            with _errors_as_status(context), self._noted("PATCH", request.urn):
                result = handler.update(self._step(request.urn), request.id, old.values, new.values)
        except InitFailed as failure:
            _init_failed(context, failure, new, handler)
            raise
        return provider_pb2.UpdateResponse(properties=new.having(result, handler.secret).encode())

    def Delete(  # noqa: N802, D102
        self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        handler = self._handler(request.urn, context)
        with _errors_as_status(context), self._noted("DELETE", request.urn):
            handler.delete(request.id, Properties.decode(request.properties).values)
        return empty_pb2.Empty()

    def _noted(self, method: str, urn: str) -> AbstractContextManager[object]:
        """Note in the journal what no face notes: a write of a service that this provider calls by itself."""
        if not self.service:
            return nullcontext()
        target = f"{_token(urn).rpartition(':')[2]} {urn.rpartition('::')[2]}"
        return self._azure.journal.noting(Entry(self.service, method, target, f"{self.name} provider"))

    def _handler(self, urn: str, context: grpc.ServicerContext) -> ResourceHandler:
        handler = self.handlers.get(_token(urn))
        if handler is None:
            _refuse(context, f"the local Azure's {self.name} provider has no resource type {_token(urn)}")
            raise AssertionError
        return handler

    @staticmethod
    def _step(urn: str, seed: bytes = b"") -> Step:
        return Step(urn, urn.split("::", 3)[-1], seed)


def _token(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


def error_text(error: AzureError) -> str:
    """An error as azure-native prints it: one line."""
    return f'Status={error.status} Code="{error.code}" Message="{" ".join(error.message.split())}"'


class _errors_as_status:  # noqa: N801 - used as a function
    """Turn what goes wrong within into one line at the caller, and keep the traceback in the local Azure's own log."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context

    def __enter__(self) -> None:
        pass

    def __exit__(self, handler: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, AzureError):
            _refuse(self._context, error_text(error))
        elif isinstance(error, ProviderError):
            _refuse(self._context, str(error))
        elif isinstance(error, Exception) and not isinstance(error, InitFailed | CheckFailure):
            _log.error("a fault in a provider fake", exc_info=error)
            _refuse(self._context, f"the local Azure failed: {type(error).__name__}: {' '.join(str(error).split())}")


def _refuse(context: grpc.ServicerContext, text: str) -> None:
    context.abort(grpc.StatusCode.UNKNOWN, text)


@dataclass(frozen=True)
class _Status(grpc.Status):  # type: ignore[misc] # grpc has no types here
    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def _init_failed(context: grpc.ServicerContext, failure: InitFailed, new: Properties, handler: ResourceHandler) -> None:
    """Tell the engine of a resource that exists although its provisioning failed."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=failure.id,
        properties=new.having(failure.outputs, handler.secret).encode(),
        reasons=[failure.reason],
        inputs=new.encode(),
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=failure.reason)
    status.details.add().Pack(detail)
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    context.abort_with_status(_Status(grpc.StatusCode.UNKNOWN, failure.reason, metadata))


@dataclass(frozen=True)
class Listening:
    """A fake that answers on a port of the loopback."""

    port: int
    server: grpc.Server

    def stop(self) -> None:
        """Let running calls end for a moment, then close."""
        self.server.stop(grace=1).wait()


class _OwnUser(grpc.ServerInterceptor):  # type: ignore[misc] # grpc has no types here
    """Answers this user's engine only: it attaches by a port, without a secret that it could show.

    https://www.pulumi.com/docs/iac/using-pulumi/pulumi-packages/debugging-provider-packages/ (PULUMI_DEBUG_PROVIDERS)
    """

    port = 0
    """Where the server listens."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Look at who calls before each call."""
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return None

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - any message
            peer = int(context.peer().rpartition(":")[2])
            if not peers.is_own(peer, self.port):
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "the local Azure belongs to another user")
            _CONNECTION.set((peer, self.port))
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(guarded, handler.request_deserializer, handler.response_serializer)


def listen(fake: FakeProvider, port: int = 0) -> Listening:
    """Serve a fake on 127.0.0.1, on a free port for 0."""
    guard = _OwnUser()
    options = [("grpc.max_receive_message_length", _MESSAGE_LIMIT), ("grpc.so_reuseport", 0)]
    workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix=fake.name)
    server = grpc.server(workers, interceptors=[guard], options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(fake, server)
    guard.port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return Listening(guard.port, server)
