import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pulumi
import pytest
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.plugin import Plugin, component_input, engine_address
from azureml_scoring.provider.registry import RESOURCES
from azureml_scoring.provider.values import Properties, from_property_values, to_property_values
from azureml_scoring.settings.arguments import ResourceArgs
from google.protobuf import empty_pb2, struct_pb2
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime import rpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

Stub = provider_pb2_grpc.ResourceProviderStub
PATIENCE = 120.0
URN = "urn:pulumi:stack::project::parent$azureml-scoring:index:Kettle::kettle"
SECRET = "tea-time"


class KettleInputs(ResourceArgs):
    """What a kettle is given."""

    litres: int
    code: str | None = None
    pin: str | None = None
    place: str = "kitchen"


class KettleOutputs(Outputs):
    """What a kettle tells."""

    serial: str


class Kettle(Resource[KettleInputs]):
    """A resource without Azure."""

    name = "Kettle"
    inputs = KettleInputs
    outputs = KettleOutputs
    replace_on = frozenset({"place"})
    secret = frozenset({"pin"})

    def warn_on_diff(self, context: Context, olds: Properties, news: Properties) -> None:
        if olds["place"] == news["place"] == "attic":
            context.warn("the attic is hot")

    def _create(self, context: Context, inputs: KettleInputs) -> tuple[str, Outputs]:
        if inputs.litres == 13:
            raise ResourceError("litres 13 brings\nbad luck; take 12")
        if inputs.litres == 99:
            raise KeyError("boiler")
        if inputs.litres == 50:
            self._boil(context)
        context.progress("water is warm")
        context.log("water is boiling")
        return "kettle-1", KettleOutputs(serial="s1")

    def _boil(self, context: Context) -> None:
        """Wait for ever, and take time to leave things in order."""
        context.log("waiting")
        try:
            self.wait(3600)
        finally:
            self.wait(0.01)
            context.log("left in order")

    wait: Callable[[float], None]

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        del context
        return (
            None if resource_id == "gone" else ReadResult(resource_id, {**olds, "litres": 5}, {**inputs, "litres": 5})
        )

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: KettleInputs) -> Outputs:
        del context, resource_id, inputs
        return KettleOutputs(serial=olds["serial"])

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        context.log(f"{resource_id} of {olds['place']} is gone")


@dataclass
class FakeEngine(engine_pb2_grpc.EngineServicer):
    """Hears what a plugin logs."""

    heard: list[tuple[str, str]] = field(default_factory=list)
    warned: list[tuple[str, str]] = field(default_factory=list)
    ephemeral: list[tuple[str, str]] = field(default_factory=list)

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        del context
        if request.severity == engine_pb2.WARNING:
            self.warned.append((request.urn, request.message))
        elif request.ephemeral:
            self.ephemeral.append((request.urn, request.message))
        elif request.severity != engine_pb2.DEBUG:
            self.heard.append((request.urn, request.message))
        return empty_pb2.Empty()


@contextmanager
def listening(engine: FakeEngine) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextmanager
def serving(plugin: Callable[[], Plugin]) -> Iterator[Stub]:
    """A plugin in a loop of its own thread, as in its own process."""
    ports: list[int] = []
    stops: list[Callable[[], object]] = []
    ready = threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin(), server)
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        stops.append(lambda: loop.call_soon_threadsafe(ended.set))
        ready.set()
        await ended.wait()
        await server.stop(None)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(PATIENCE)
    with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
        try:
            yield Stub(channel)
        finally:
            stops[0]()
            thread.join(PATIENCE)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def stub(engine: FakeEngine) -> Iterator[Stub]:
    kettle = Kettle()
    with listening(engine) as address, serving(lambda: Plugin(address, {kettle.token: kettle})) as stub:
        yield stub


def struct(values: Properties, *secrets: str) -> struct_pb2.Struct:
    return PropertyValue.marshal_map(to_property_values(values, secrets))


def values(found: struct_pb2.Struct) -> Properties:
    return from_property_values(PropertyValue.unmarshal_map(found)).values


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return str(caught.value.details())


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# -- own resources -----------------------------------------------------------------------------------------------------


def test_check_fills_defaults_and_keeps_secrets_secret(stub: Stub) -> None:
    checked = stub.Check(provider_pb2.CheckRequest(urn=URN, news=struct({"litres": 2, "code": SECRET}, "code")))
    inputs = PropertyValue.unmarshal_map(checked.inputs)
    assert inputs["code"].is_secret
    assert values(checked.inputs) == {"litres": 2, "code": SECRET, "place": "kitchen"}


def test_check_answers_a_misspelt_property_with_the_one_that_was_meant(stub: Stub) -> None:
    checked = stub.Check(provider_pb2.CheckRequest(urn=URN, news=struct({"litres": 2, "plaice": "kitchen"})))
    assert [failure.property for failure in checked.failures] == ["plaice"]
    assert "place" in checked.failures[0].reason
    assert "\n" not in checked.failures[0].reason


def test_an_unknown_input_stays_unknown_in_check_and_preview(stub: Stub) -> None:
    news = struct({"litres": 2})
    news.fields["place"].string_value = rpc.UNKNOWN
    checked = stub.Check(provider_pb2.CheckRequest(urn=URN, news=news))
    assert checked.inputs.fields["place"].string_value == rpc.UNKNOWN
    made = stub.Create(provider_pb2.CreateRequest(urn=URN, properties=checked.inputs, preview=True))
    assert made.id == ""
    assert made.properties.fields["place"].string_value == rpc.UNKNOWN
    assert made.properties.fields["serial"].string_value == rpc.UNKNOWN


def test_create_keeps_secret_inputs_secret_in_the_state(stub: Stub) -> None:
    made = stub.Create(provider_pb2.CreateRequest(urn=URN, properties=struct({"litres": 2, "code": SECRET}, "code")))
    state = PropertyValue.unmarshal_map(made.properties)
    assert made.id == "kettle-1"
    assert state["code"].is_secret
    assert not state["serial"].is_secret


def test_what_a_resource_calls_secret_is_sealed_whoever_gives_it(stub: Stub) -> None:
    given = struct({"litres": 2, "pin": SECRET, "place": "kitchen"})
    checked = stub.Check(provider_pb2.CheckRequest(urn=URN, news=given))
    assert PropertyValue.unmarshal_map(checked.inputs)["pin"].is_secret
    made = stub.Create(provider_pb2.CreateRequest(urn=URN, properties=given))
    assert PropertyValue.unmarshal_map(made.properties)["pin"].is_secret


def test_a_remark_is_a_warning_and_no_difference(stub: Stub, engine: FakeEngine) -> None:
    olds, news = struct({"litres": 2, "place": "attic", "serial": "s1"}), struct({"litres": 2, "place": "attic"})
    diff = stub.Diff(provider_pb2.DiffRequest(urn=URN, olds=olds, news=news))
    assert diff.changes == provider_pb2.DiffResponse.DIFF_NONE
    assert engine.warned == [(URN, "the attic is hot")]


def test_progress_reaches_the_engine_under_the_resources_urn(stub: Stub, engine: FakeEngine) -> None:
    stub.Create(provider_pb2.CreateRequest(urn=URN, properties=struct({"litres": 2})))
    assert engine.heard == [(URN, "water is boiling")]
    assert engine.ephemeral == [(URN, "water is warm")], "the engine repeats it at the end of the run"


def test_diff_tells_what_changes_and_what_forces_a_new_one(stub: Stub) -> None:
    diff = stub.Diff(
        provider_pb2.DiffRequest(
            urn=URN,
            id="kettle-1",
            olds=struct({"litres": 2, "place": "kitchen", "code": "x", "serial": "s1"}),
            news=struct({"litres": 3, "place": "office"}),
        )
    )
    kinds = {name: provider_pb2.PropertyDiff.Kind.Name(each.kind) for name, each in diff.detailedDiff.items()}
    assert kinds == {"litres": "UPDATE", "place": "UPDATE_REPLACE", "code": "DELETE"}
    assert list(diff.replaces) == ["place"]


def test_the_same_inputs_are_no_difference(stub: Stub) -> None:
    olds = struct({"litres": 2, "place": "kitchen", "serial": "s1"})
    diff = stub.Diff(provider_pb2.DiffRequest(urn=URN, olds=olds, news=struct({"litres": 2, "place": "kitchen"})))
    assert diff.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_read_tells_drift_and_what_is_gone(stub: Stub) -> None:
    state, inputs = struct({"litres": 2, "serial": "s1", "code": SECRET}, "code"), struct({"litres": 2})
    found = stub.Read(provider_pb2.ReadRequest(urn=URN, id="kettle-1", properties=state, inputs=inputs))
    assert values(found.inputs) == {"litres": 5}
    assert PropertyValue.unmarshal_map(found.properties)["code"].is_secret
    assert stub.Read(provider_pb2.ReadRequest(urn=URN, id="gone", properties=state, inputs=inputs)).id == ""


def test_update_and_delete_get_the_old_state(stub: Stub, engine: FakeEngine) -> None:
    olds = struct({"litres": 2, "place": "kitchen", "serial": "s7"})
    news = struct({"litres": 3, "place": "kitchen"})
    changed = stub.Update(provider_pb2.UpdateRequest(urn=URN, id="kettle-1", olds=olds, news=news))
    assert values(changed.properties) == {"litres": 3, "place": "kitchen", "serial": "s7"}
    stub.Delete(provider_pb2.DeleteRequest(urn=URN, id="kettle-1", properties=olds))
    assert engine.heard[-1] == (URN, "kettle-1 of kitchen is gone")


def test_a_refusal_is_the_resources_own_line(stub: Stub) -> None:
    text = refusal(lambda: stub.Create(provider_pb2.CreateRequest(urn=URN, properties=struct({"litres": 13}))))
    assert text == "litres 13 brings bad luck; take 12"


def test_a_fault_is_one_line_without_a_traceback(stub: Stub) -> None:
    text = refusal(lambda: stub.Create(provider_pb2.CreateRequest(urn=URN, properties=struct({"litres": 99}))))
    assert text == "KeyError: 'boiler'"


def test_an_unknown_resource_type_is_answered_with_those_that_are_known(stub: Stub) -> None:
    urn = URN.replace("Kettle", "Teapot")
    text = refusal(lambda: stub.Check(provider_pb2.CheckRequest(urn=urn, news=struct({}))))
    assert "azureml-scoring:index:Teapot" in text
    assert "azureml-scoring:index:Kettle" in text


def test_a_cancelled_update_begins_no_new_step(stub: Stub) -> None:
    stub.Cancel(empty_pb2.Empty())
    text = refusal(lambda: stub.Create(provider_pb2.CreateRequest(urn=URN, properties=struct({"litres": 2}))))
    assert "cancelled" in text


def test_a_step_that_waits_ends_when_the_update_is_cancelled_and_leaves_things_in_order(engine: FakeEngine) -> None:
    kettle = Kettle()

    def plugin() -> Plugin:
        made = Plugin(address, {kettle.token: kettle})
        kettle.wait = made.pause
        return made

    with listening(engine) as address, serving(plugin) as stub:
        request = provider_pb2.CreateRequest(urn=URN, properties=struct({"litres": 50}))
        running = stub.Create.future(request, timeout=PATIENCE)
        assert until(lambda: (URN, "waiting") in engine.heard)
        stub.Cancel(empty_pb2.Empty())
        assert "cancelled while Azure was still at work" in refusal(running.result)
        assert engine.heard[-1] == (URN, "left in order")


# -- the plugin as a whole ---------------------------------------------------------------------------------------------


def test_it_can_be_attached_to_and_then_logs_to_that_engine(engine: FakeEngine) -> None:
    kettle = Kettle()
    with listening(engine) as address, serving(lambda: Plugin("", {kettle.token: kettle})) as stub:
        assert stub.Attach(plugin_pb2.PluginAttach(address=address)) == empty_pb2.Empty()
        stub.Create(provider_pb2.CreateRequest(urn=URN, properties=struct({"litres": 2})))
        assert engine.heard == [(URN, "water is boiling")]


def test_it_takes_secrets_previews_outputs_and_resources(stub: Stub) -> None:
    told = stub.Configure(provider_pb2.ConfigureRequest())
    assert (told.acceptSecrets, told.supportsPreview, told.acceptOutputs, told.acceptResources) == (True,) * 4


def test_a_setting_it_does_not_know_is_refused_with_the_remedy(stub: Stub) -> None:
    checked = stub.CheckConfig(provider_pb2.CheckRequest(urn=URN, news=struct({"version": "1", "subscription": "x"})))
    assert [failure.property for failure in checked.failures] == ["subscription"]
    assert "ARM_" in checked.failures[0].reason


def test_its_version_is_the_packages(stub: Stub) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", stub.GetPluginInfo(empty_pb2.Empty()).version)


def test_a_section_with_a_secret_inside_stays_readable_and_only_the_secret_is_an_output() -> None:
    async def decoded() -> tuple[dict[str, Any], object, bool]:
        secret = PropertyValue("hush", is_secret=True)
        section = PropertyValue({"mode": PropertyValue("private"), "port": PropertyValue(5001.0), "password": secret})
        values = component_input(section)
        password = values.pop("password")
        return values, await password.future(), await password.is_secret()

    values, password, secret = asyncio.run(decoded())
    assert values == {"mode": "private", "port": 5001}
    assert isinstance(values["port"], int)
    assert (password, secret) == ("hush", True)


def test_what_is_not_known_yet_is_an_output_that_remembers_where_it_comes_from() -> None:
    async def decoded() -> tuple[bool, int]:
        output = component_input(PropertyValue.computed().with_dependencies(["urn:pulumi:s::p::t::n"]))
        return await output.is_known(), len(await output.resources())

    assert asyncio.run(decoded()) == (False, 1)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({"value": "id", "dependencies": [URN]}, ("id", True, False)),
        ({"value": "id"}, ("id", True, False)),
        ({"value": "id", "secret": True}, ("id", True, True)),
        ({"dependencies": [URN]}, (None, False, False)),
        ({}, (None, False, False)),
    ],
)
def test_an_output_value_on_the_wire_may_leave_out_what_is_usual(
    wire: dict[str, Any], expected: tuple[Any, bool, bool]
) -> None:
    async def decoded() -> tuple[Any, bool, bool]:
        value = {rpc._special_sig_key: rpc._special_output_value_sig, **wire}
        inputs = await Plugin._construct_inputs(struct({"image": {"list": [value]}}), {})
        found = inputs["image"]["list"][0]
        if not isinstance(found, pulumi.Output):
            return found, True, False
        return await found.future(), await found.is_known(), await found.is_secret()

    assert asyncio.run(decoded()) == expected


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        (["127.0.0.1:4711"], "127.0.0.1:4711"),
        (["/some/folder", "127.0.0.1:4711", "--logtostderr"], "127.0.0.1:4711"),
        ([], ""),
    ],
)
def test_the_engines_address_is_found_among_the_arguments(arguments: list[str], address: str) -> None:
    assert engine_address(arguments) == address


# -- schema ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    with serving(Plugin) as stub:
        found: dict[str, Any] = json.loads(stub.GetSchema(provider_pb2.GetSchemaRequest()).schema)
    return found


def test_the_schema_has_components_and_own_resources(schema: dict[str, Any]) -> None:
    components = {token.rsplit(":", 1)[-1] for token, each in schema["resources"].items() if each.get("isComponent")}
    own = {token.rsplit(":", 1)[-1] for token in schema["resources"]} - components
    assert components == {"WorkspaceRegistry", "PullPrincipal", "CustomImage", "ScoringEndpoint", "ScoringStack"}
    assert own == {resource.name for resource in RESOURCES.values()}
    assert own >= {
        "ImageBuild",
        "EnvironmentVersion",
        "OnlineEndpoint",
        "OnlineDeployment",
        "EndpointTraffic",
        "RegistryAttachment",
        "RoleAssignment",
    }


def test_everything_in_the_schema_is_described(schema: dict[str, Any]) -> None:
    told = {token: each.get("description") for token, each in {**schema["resources"], **schema["types"]}.items()}
    for token, each in {**schema["resources"], **schema["types"]}.items():
        for part in ("inputProperties", "properties"):
            told |= {f"{token} {part} {name}": field.get("description") for name, field in each.get(part, {}).items()}
    assert [name for name, words in told.items() if not words] == []
    assert [name for name, words in told.items() if "\n " in words] == [], "Markdown shows indented text as code"


def test_every_type_that_the_schema_names_is_in_it(schema: dict[str, Any]) -> None:
    named = set(re.findall(r'"#/types/([^"]+)"', json.dumps(schema)))
    assert named <= set(schema["types"])


def test_another_schema_version_is_refused() -> None:
    with serving(Plugin) as stub:
        assert "version 7" in refusal(lambda: stub.GetSchema(provider_pb2.GetSchemaRequest(version=7)))


# -- the process -------------------------------------------------------------------------------------------------------

SCRIPT = Path(sys.executable).with_name("pulumi-resource-azureml-scoring")


def test_the_executable_prints_its_port_and_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen([SCRIPT, address], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = Stub(channel)
                assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=PATIENCE).version
        finally:
            process.kill()
            process.communicate()


def test_it_starts_from_its_folder_wherever_one_stands(tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / "components"
    process = subprocess.Popen([sys.executable, folder], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
    finally:
        process.kill()
        process.communicate()


def test_it_ends_by_itself_when_its_engine_was_killed() -> None:
    # A process in between plays the engine: it starts the plugin and is then killed, as by `kill -9`.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        code = (
            "import subprocess, sys\n"
            "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True, start_new_session=True)\n"
            "print(child.pid, child.stdout.readline(), flush=True)\n"
            "child.wait()\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code, SCRIPT, address], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        child = int(parent.stdout.readline().split()[0])
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
        assert until(lambda: not _runs(child)), "the plugin outlived its engine"


def test_it_ends_by_itself_when_nothing_listens_for_it_any_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen([SCRIPT, address], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that nobody reaped (there may be no init here) has ended all the same.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
