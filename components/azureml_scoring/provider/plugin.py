"""The plugin `azureml-scoring`: serves the own resources and the components to the Pulumi engine.

Owns gRPC and the life of the process: it answers the engine's calls, turns what goes wrong into one line, sends
progress to the engine's log, and ends when its engine has gone.
Refuses to own what a resource does (`provider`) and what a component consists of (`stack.py`).

It stands on the SDK's `ProviderServicer`, which knows how to construct components, and adds what that lacks: `Attach`,
and all that own resources need.
"""

import asyncio
import json
import os
import re
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import grpc
import grpc.aio
import pulumi
from google.protobuf import empty_pb2
from google.protobuf.struct_pb2 import Struct
from pulumi.errors import InputPropertiesError, InputPropertyError
from pulumi.output import _OutputData
from pulumi.provider import ConstructResult, Provider
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.provider.server import ComponentInitError, ProviderServicer
from pulumi.resource import DependencyResource
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN as MARKER

from azureml_scoring.provider.errors import CancelledError, ResourceError
from azureml_scoring.provider.framework import Context, Diff, Resource
from azureml_scoring.provider.schema import components, package_schema, version
from azureml_scoring.provider.values import completed, from_property_values, has_unknown, to_property_values
from azureml_scoring.settings.arguments import PACKAGE

if TYPE_CHECKING:
    from azureml_scoring.component import Component
    from azureml_scoring.provider.arm import Arm

_T = TypeVar("_T")
_WORKERS = 32
_ADDRESS = re.compile(r"^\S+:\d+$")
_LOG_SECONDS = 5.0
_CHANNEL = [
    ("grpc.max_receive_message_length", 400 * 1024**2),
    ("grpc.server_max_unrequested_time_in_server", 30 * 60),
]
"""Bytes and seconds of `pulumi/runtime/_grpc_settings.py`, which is private and younger than the oldest SDK here."""
_WATCH_SECONDS = 1.0
_REFUSALS = 5
"""How many times in a row the engine's port must refuse before the engine counts as gone."""


class Components(Provider):
    """The components, for the SDK's servicer; imported at first use."""

    def __init__(self) -> None:
        super().__init__(version())

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: pulumi.Inputs,
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        """Create a component from what came over the wire."""
        kind = components().get(resource_type)
        if kind is None:
            raise ResourceError(f"{PACKAGE} has no component {resource_type}")
        component: Component = cast("Any", kind)(name, inputs, options)
        return ConstructResult(component.urn, component.outputs())


def component_input(value: PropertyValue) -> Any:  # noqa: ANN401 - values of any input
    """Decode an input of a component: plain where it is known and no secret, else an output; whole numbers are ints."""
    raw = value.value
    if value.is_secret or isinstance(raw, Computed) or raw == MARKER:
        return _output(value)
    if isinstance(raw, Mapping):
        return {key: component_input(item) for key, item in raw.items()}
    if isinstance(raw, Sequence) and not isinstance(raw, str):
        return [component_input(item) for item in raw if isinstance(item, PropertyValue)]
    if value.dependencies:
        return _output(value)
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


def _output(value: PropertyValue) -> pulumi.Output[Any]:
    """Make an output that remembers where it comes from, whether it is secret, and whether it is known."""
    plain = from_property_values({"value": value}).values["value"]
    known = not has_unknown(plain)
    data: asyncio.Future[_OutputData[Any]] = asyncio.Future()
    resources: set[pulumi.Resource] = {DependencyResource(urn) for urn in value.all_dependencies()}
    data.set_result(_OutputData(resources, plain if known else None, known, value.contains_secret()))
    return pulumi.Output._from_data(data)  # noqa: SLF001 - as the SDK's own servicer does


class Engine:
    """The engine's log, reached at the address the engine told; ignored_in_diff without one."""

    def __init__(self, address: str = "") -> None:
        self._stub: engine_pb2_grpc.EngineStub | None = None
        self.attach(address)

    def attach(self, address: str) -> None:
        """Talk to this engine from now on."""
        if address:
            self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=_CHANNEL))

    def log(
        self,
        urn: str,
        text: str,
        severity: "engine_pb2.LogSeverity.ValueType" = engine_pb2.INFO,
        *,
        ephemeral: bool = False,
    ) -> None:
        """Write one line; an engine that does not listen any more is no reason to fail.

        One that is `ephemeral` is not repeated at the end of the run.
        """
        if self._stub is None or not text.strip():
            return
        try:
            request = engine_pb2.LogRequest(severity=severity, message=text, urn=urn, ephemeral=ephemeral)
            self._stub.Log(request, timeout=_LOG_SECONDS)
        except grpc.RpcError:
            return


class Plugin(ProviderServicer):
    """Answers the engine. Steps of own resources block and therefore run in threads; the loop only passes them on."""

    def __init__(self, engine_address: str = "", resources: Mapping[str, Resource[Any]] | None = None) -> None:
        super().__init__(Components(), [], engine_address)
        self._engine = Engine(engine_address)
        self._resources = resources
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="step")
        self._cancelled = threading.Event()
        self._step_state = threading.local()

    @property
    def resources(self) -> Mapping[str, Resource[Any]]:
        """The own resources by token, imported at first use."""
        if self._resources is None:
            from azureml_scoring.provider.registry import RESOURCES  # noqa: PLC0415 - a component alone needs none of them

            self._resources = RESOURCES
        return self._resources

    # -- the process ---------------------------------------------------------------------------------------------------

    async def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.aio.ServicerContext) -> empty_pb2.Empty:  # noqa: ARG002, D102, N802
        self.engine_address = request.address
        self._engine.attach(request.address)
        return empty_pb2.Empty()

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.aio.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: ARG002, D102, N802
        return plugin_pb2.PluginInfo(version=version())

    async def Cancel(self, request: empty_pb2.Empty, context: grpc.aio.ServicerContext) -> empty_pb2.Empty:  # noqa: ARG002, D102, N802
        self._cancelled.set()
        return empty_pb2.Empty()

    async def GetSchema(  # noqa: D102, N802
        self, request: provider_pb2.GetSchemaRequest, context: grpc.aio.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        if request.version != 0:
            await _refuse(context, f"schema version {request.version} is unknown; {PACKAGE} tells version 0")
        schema = await self._guarded(context, "", lambda: package_schema(self.resources.values()))
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    async def CheckConfig(  # noqa: D102, N802
        self,
        request: provider_pb2.CheckRequest,
        context: grpc.aio.ServicerContext,  # noqa: ARG002
    ) -> provider_pb2.CheckResponse:
        # The version travels with every provider resource; Azure is configured by the environment, as for its tools.
        failures = [
            provider_pb2.CheckFailure(
                property=name, reason=f"{PACKAGE} has no setting {name}; set ARM_* in the environment instead"
            )
            for name in request.news.fields
            if name not in {"version", "pluginDownloadURL", "pluginChecksums"} and not name.startswith("__")
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    async def DiffConfig(  # noqa: D102, N802
        self,
        request: provider_pb2.DiffRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext,  # noqa: ARG002
    ) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Configure(  # noqa: D102, N802
        self,
        request: provider_pb2.ConfigureRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext,  # noqa: ARG002
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True
        )

    # -- components ----------------------------------------------------------------------------------------------------

    @staticmethod
    async def _construct_inputs(inputs: Struct, input_dependencies: Any) -> dict[str, Any]:  # noqa: ANN401 - protobuf
        """Decode inputs leaf by leaf: the SDK makes an output of a whole section with one secret inside."""
        values = PropertyValue.unmarshal_map(completed(inputs))
        for name, value in values.items():
            urns = input_dependencies.get(name, provider_pb2.ConstructRequest.PropertyDependencies()).urns
            if urns and not value.all_dependencies() and not isinstance(value.value, Mapping | tuple | list):
                values[name] = value.with_dependencies(urns)
        return {name: component_input(value) for name, value in values.items()}

    async def Construct(  # noqa: D102, N802
        self, request: provider_pb2.ConstructRequest, context: grpc.aio.ServicerContext
    ) -> provider_pb2.ConstructResponse:
        try:
            made: provider_pb2.ConstructResponse = await self._construct(request, context)
        except InputPropertiesError as error:
            issues = "; ".join(f"{issue['property_path']}: {issue['reason']}" for issue in error.errors or [])
            await _refuse(context, f"{error.message} {issues}")
        except InputPropertyError as error:
            await _refuse(context, f"{error.property_path}: {error.reason}")
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the engine gets one line
            cause = error.inner if isinstance(error, ComponentInitError) else error
            self._engine.log("", _trace(cause), engine_pb2.DEBUG)
            await _refuse(context, _one_line(cause))
        return made

    # -- own resources -------------------------------------------------------------------------------------------------

    async def Check(  # noqa: D102, N802
        self, request: provider_pb2.CheckRequest, context: grpc.aio.ServicerContext
    ) -> provider_pb2.CheckResponse:
        resource = await self._resource(request.urn, context)
        news = from_property_values(PropertyValue.unmarshal_map(request.news))
        checked = await self._guarded(context, request.urn, lambda: resource.check(news.values, news.secrets))
        return provider_pb2.CheckResponse(
            inputs=PropertyValue.marshal_map(to_property_values(checked.inputs, news.secrets | resource.secret)),
            failures=[
                provider_pb2.CheckFailure(property=failure.property, reason=failure.reason)
                for failure in checked.failures
            ],
        )

    async def Diff(  # noqa: D102, N802
        self, request: provider_pb2.DiffRequest, context: grpc.aio.ServicerContext
    ) -> provider_pb2.DiffResponse:
        resource = await self._resource(request.urn, context)
        olds = from_property_values(PropertyValue.unmarshal_map(request.olds)).values
        news = from_property_values(PropertyValue.unmarshal_map(request.news)).values
        step = self._step(request.urn)

        def compare() -> Diff:
            resource.warn_on_diff(step, olds, news)
            return resource.diff(request.id, olds, news)

        diff = await self._guarded(context, request.urn, compare)
        kinds = {"ADD": diff.added, "DELETE": diff.deleted, "UPDATE": diff.updated}
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if diff.changed else response.DIFF_NONE,
            diffs=sorted(diff.changed),
            replaces=sorted(diff.replaces),
            deleteBeforeReplace=diff.delete_before_replace,
            hasDetailedDiff=True,
            detailedDiff={
                name: provider_pb2.PropertyDiff(
                    kind=provider_pb2.PropertyDiff.Kind.Value(kind + ("_REPLACE" if name in diff.replaces else ""))
                )
                for kind, names in kinds.items()
                for name in names
            },
        )

    async def Create(  # noqa: D102, N802
        self, request: provider_pb2.CreateRequest, context: grpc.aio.ServicerContext
    ) -> provider_pb2.CreateResponse:
        resource = await self._resource(request.urn, context)
        news = from_property_values(PropertyValue.unmarshal_map(request.properties))
        step = self._step(request.urn, preview=request.preview)
        id_, state = await self._guarded(context, request.urn, lambda: resource.create(step, news.values))
        return provider_pb2.CreateResponse(
            id=id_, properties=PropertyValue.marshal_map(to_property_values(state, news.secrets | resource.secret))
        )

    async def Read(  # noqa: D102, N802
        self, request: provider_pb2.ReadRequest, context: grpc.aio.ServicerContext
    ) -> provider_pb2.ReadResponse:
        resource = await self._resource(request.urn, context)
        olds = from_property_values(PropertyValue.unmarshal_map(request.properties))
        inputs = from_property_values(PropertyValue.unmarshal_map(request.inputs))
        step, secrets = self._step(request.urn), olds.secrets | inputs.secrets | resource.secret
        found = await self._guarded(
            context, request.urn, lambda: resource.read(step, request.id, olds.values, inputs.values)
        )
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.resource_id,
            properties=PropertyValue.marshal_map(to_property_values(found.state, secrets)),
            inputs=PropertyValue.marshal_map(to_property_values(found.inputs, secrets)),
        )

    async def Update(  # noqa: D102, N802
        self, request: provider_pb2.UpdateRequest, context: grpc.aio.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        resource = await self._resource(request.urn, context)
        olds = from_property_values(PropertyValue.unmarshal_map(request.olds)).values
        news = from_property_values(PropertyValue.unmarshal_map(request.news))
        step = self._step(request.urn, preview=request.preview)
        state = await self._guarded(context, request.urn, lambda: resource.update(step, request.id, olds, news.values))
        return provider_pb2.UpdateResponse(
            properties=PropertyValue.marshal_map(to_property_values(state, news.secrets | resource.secret))
        )

    async def Delete(  # noqa: D102, N802
        self, request: provider_pb2.DeleteRequest, context: grpc.aio.ServicerContext
    ) -> empty_pb2.Empty:
        resource = await self._resource(request.urn, context)
        olds = from_property_values(PropertyValue.unmarshal_map(request.properties)).values
        step = self._step(request.urn)
        await self._guarded(context, request.urn, lambda: resource.delete(step, request.id, olds))
        return empty_pb2.Empty()

    # -- helpers -------------------------------------------------------------------------------------------------------

    async def _resource(self, urn: str, context: grpc.aio.ServicerContext) -> Resource[Any]:
        token = urn.split("::")[2].rsplit("$", 1)[-1]
        found = self.resources.get(token)
        if found is None:
            await _refuse(
                context, f"{PACKAGE} has no resource type {token}; it knows {', '.join(sorted(self.resources))}"
            )
        return found

    def _step(self, urn: str, *, preview: bool = False) -> Context:
        return Context(
            urn,
            preview,
            lambda text: self._engine.log(urn, text),
            self._connect,
            lambda text: self._engine.log(urn, text, engine_pb2.WARNING),
            lambda text: self._engine.log(urn, text, ephemeral=True),
        )

    def _connect(self) -> "Arm":
        from azureml_scoring.provider.arm import connect  # noqa: PLC0415 - azure-identity is slow to import

        arm = connect()
        arm.sleep = self.pause
        return arm

    def pause(self, seconds: float) -> None:
        """Wait between two looks at Azure; end the step when the update is cancelled meanwhile.

        A step is ended once: what it then does to leave things in order may wait as it needs.
        """
        if getattr(self._step_state, "ended", False):
            time.sleep(seconds)
        elif self._cancelled.wait(seconds):
            self._step_state.ended = True
            raise CancelledError("cancelled while Azure was still at work; run it again to finish")

    async def _guarded(self, context: grpc.aio.ServicerContext, urn: str, step: Callable[[], _T]) -> _T:
        """Run a blocking step in a thread; what goes wrong becomes one line at the engine."""
        if self._cancelled.is_set():
            await _refuse(context, "the update was cancelled before this step began; run it again to finish")

        def run() -> _T:
            self._step_state.ended = False
            return step()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        except ResourceError as error:
            await _refuse(context, str(error))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the engine gets one line
            self._engine.log(urn, _trace(error), engine_pb2.DEBUG)
            await _refuse(context, _one_line(error))


def _one_line(error: BaseException) -> str:
    """One line: an error's own text where it was written for the user, else with the kind of the error before it."""
    # The SDK puts which input of which resource it was at before the cause; the cause says it better.
    text = " ".join(str(error).split()).rpartition(" has risen: ")[2]
    if isinstance(error, ResourceError | pulumi.RunError | ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _trace(error: BaseException) -> str:
    """Where it went wrong, without values: they could be secret."""
    return "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))


async def _refuse(context: grpc.aio.ServicerContext, text: str) -> NoReturn:
    await context.abort(grpc.StatusCode.UNKNOWN, " ".join(text.split()))
    raise AssertionError  # abort always raises


# -- the process -------------------------------------------------------------------------------------------------------


def engine_address(arguments: list[str]) -> str:
    """The engine's address among the arguments; empty where there is none.

    The engine gives it alone; a language host puts the plugin's folder before it.
    """
    return next((argument for argument in reversed(arguments) if _ADDRESS.match(argument)), "")


def engine_answers(address: str) -> bool:
    """Tell whether something still listens at the engine's address."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_LOG_SECONDS):
            return True
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # a slow machine is no dead engine


def watch(address: str, leave: Callable[[], None], pause: float = _WATCH_SECONDS) -> threading.Thread:
    """Leave when the engine has gone: its process (our parent), or its port where something stands in between."""
    parent = os.getppid()

    def look() -> None:
        refusals = 0
        while os.getppid() == parent and refusals < _REFUSALS:
            time.sleep(pause)
            refusals = 0 if engine_answers(address) else refusals + 1
        leave()

    thread = threading.Thread(target=look, name="watch the engine", daemon=True)
    thread.start()
    return thread


async def _serve(plugin: Plugin, tell: Callable[[int], None]) -> None:
    server = grpc.aio.server(options=_CHANNEL)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    tell(port)
    await server.wait_for_termination()


def _tell(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def main() -> NoReturn:
    """Serve until the engine ends the process, or has gone. Without an engine's address: until it is interrupted."""
    address = engine_address(sys.argv[1:])
    if address:
        watch(address, lambda: os._exit(0))
    code = 0
    try:
        asyncio.run(_serve(Plugin(address), _tell))
    except KeyboardInterrupt:
        pass
    except Exception as error:  # noqa: BLE001 - the process's last word
        sys.stderr.write(f"{PACKAGE}: {_one_line(error)}\n")
        sys.stderr.flush()
        code = 1
    # Steps in threads must not hold the process: whoever wants it gone has stopped waiting for them.
    os._exit(code)
