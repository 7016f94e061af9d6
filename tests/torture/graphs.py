"""Random graphs of own resources on a local Azure, made, changed, read and deleted while random requests fail.

Owns the graphs (from the declared arguments), the faults, what the engine does with a graph, and the claims. The
resources, their client and the rules of the local Azure are the real ones; Pulumi itself and containers are not.
"""

import json
import re
import traceback
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azureml_scoring.plan.content import asset_files, asset_key
from azureml_scoring.provider.arm import Arm
from azureml_scoring.provider.asset_version import CodeVersion, ModelVersion
from azureml_scoring.provider.endpoint_traffic import EndpointTraffic
from azureml_scoring.provider.environment_version import EnvironmentVersion
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Context, Resource
from azureml_scoring.provider.online_deployment import OnlineDeployment
from azureml_scoring.provider.online_endpoint import OnlineEndpoint
from azureml_scoring.provider.role_assignment import RoleAssignment
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.deployment import DeploymentSettings
from azureml_scoring.settings.section import section_of
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from emulator.core.options import Options
from tests.emulator.conftest import InProcessAzure, in_process
from tests.ml import WORKSPACE, Model, scene
from tests.scoring import PORT
from tests.settings.values import value_of
from tests.torture.faulty import KINDS, FaultyAzure, Kind, faulty

COLOURS = ("blue", "green", "red")
ROLE = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
"""AcrPull: any role does."""
_SPAN = 10_000
"""Version numbers of one case."""
_BURST = 8
"""The longest run of faults: more than the retries of one request."""
_RUNS = 40
"""After so many runs the faults of a case are over."""
_written = {
    str(each.alias): each
    for each in DeploymentSettings.model_fields.values()
    if section_of(each.annotation) is not None
}
"""Sections that resources take as JSON, by name."""
_GRAPH = frozenset(
    {"codeId", "compute", "environmentId", "instanceType", "modelId", "pullGrant", "scoringScript"}
    # A model alone is mounted, a cluster alone has these, and a conda file alone has no routes.
    | {"modelMountPath", "containerResourceRequirements", "kind", "scaleSettings", "condaFile", "identityType"}
    | {"dataCollector", "port", "userAssignedIdentities"}
)
"""Optional arguments that depend on what else there is: no graph has them by chance."""


@dataclass(frozen=True)
class Node:
    """A resource of a graph; `inputs` are made from the ids of those before it."""

    name: str
    resource: Resource[Any]
    inputs: Callable[[Mapping[str, str]], Properties]


@dataclass(frozen=True)
class Case:
    """A graph, what it becomes, and the faults: how many requests arrive, how many then do not, and why."""

    first: "Shape"
    second: "Shape"
    bursts: tuple[tuple[int, int, Kind], ...]

    def faults(self) -> Iterator[Kind | None]:
        """What becomes of each request."""
        for arriving, lost, kind in self.bursts:
            yield from [None] * arriving
            yield from [kind] * lost


@dataclass(frozen=True)
class Shape:
    """Which resources a graph has, and their optional arguments."""

    deployments: Mapping[str, Properties]
    traffic: Mapping[str, int]
    environment: Properties
    endpoint: Properties
    code: Properties | None
    model: Properties | None
    role: bool
    probed: bool


def _options(resource: type[Resource[Any]]) -> st.SearchStrategy[Properties]:
    """Any of the optional arguments that are declared, with a value made from the declaration."""
    fields = {str(each.alias): each for each in resource.inputs.model_fields.values() if not each.is_required()}
    return st.sets(st.sampled_from(sorted(fields.keys() - _GRAPH))).map(
        lambda names: {name: value_of(_written.get(name, fields[name])) for name in sorted(names)}
    )


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """A graph with up to three deployments, of which one or two get the traffic."""
    names = draw(st.lists(st.sampled_from(COLOURS), min_size=1, max_size=3, unique=True))
    share = draw(st.integers(0, 100)) if len(names) > 1 else 100
    return Shape(
        {name: draw(_options(OnlineDeployment)) for name in names},
        {name: part for name, part in zip(names, (share, 100 - share), strict=False) if part},
        draw(_options(EnvironmentVersion)),
        draw(_options(OnlineEndpoint)),
        draw(st.none() | _options(CodeVersion)),
        draw(st.none() | _options(ModelVersion)),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A graph that becomes another one while requests fail."""
    burst = st.tuples(st.integers(0, 25), st.integers(1, _BURST), st.sampled_from(KINDS))
    return Case(draw(shapes()), draw(shapes()), tuple(draw(st.lists(burst, min_size=1, max_size=8))))


@dataclass
class Bench:
    """A workspace on a local Azure in this process, in which cases are tried one after the other."""

    local: InProcessAzure
    way: FaultyAzure
    connect: Callable[[], Arm]
    folder: Path
    number: int = 0
    lines: list[str] = field(default_factory=list)
    """What was said to the user."""

    @property
    def workspace(self) -> str:
        """Its ARM id."""
        return f"{self.local.group}/{WORKSPACE}"

    def nodes(self, shape: Shape) -> list[Node]:
        """The resources of a graph, each after those that it needs."""
        here = {"workspaceId": self.workspace}
        place = {"location": "westeurope"}
        files = {
            **here,
            "assetName": "app",
            "path": str(self.folder),
            "contentKey": asset_key(self.folder, asset_files(self.folder)),
        }
        image = {
            **here,
            "environmentName": "app",
            "port": PORT,
            "image": f"shop.azurecr.io/app@sha256:{self.number:064x}",
        }
        named = {**here, **place, "endpointName": f"case{self.number}"}
        nodes = [
            Node("environment", EnvironmentVersion(), lambda _: self._version(image, shape.environment)),
            Node("endpoint", OnlineEndpoint(), lambda _: {**named, **shape.endpoint}),
        ]
        if (code := shape.code) is not None:
            nodes.insert(0, Node("code", CodeVersion(), lambda _: self._version(files, code)))
        if (model := shape.model) is not None:
            nodes.insert(0, Node("model", ModelVersion(), lambda _: self._version(files, model)))
        if shape.role:
            nodes.append(Node("role", RoleAssignment(), self._role))
        nodes += [Node(name, OnlineDeployment(), self._deployment(name, shape)) for name in shape.deployments]
        # From outside, an endpoint without public access cannot be asked.
        is_public = shape.endpoint.get("publicNetworkAccess") != "Disabled"
        probe = {"probe": {"x": 1}} if shape.probed and is_public else {}
        shares = {name: shape.traffic.get(name, 0) for name in shape.deployments}
        traffic = {"traffic": shares, "steps": [50], **probe}
        return [*nodes, Node("traffic", EndpointTraffic(), lambda ids: {"endpointId": ids["endpoint"], **traffic})]

    def _version(self, usual: Properties, options: Properties) -> Properties:
        """A version that is named by what it has, as those of a stack are: another content is another one."""
        content = json.dumps({name: value for name, value in options.items() if name != "tags"}, sort_keys=True)
        return {**usual, **options, "version": str(self.number * _SPAN + zlib.crc32(content.encode()) % _SPAN)}

    def _deployment(self, name: str, shape: Shape) -> Callable[[Mapping[str, str]], Properties]:
        def inputs(ids: Mapping[str, str]) -> Properties:
            own = {"endpointId": ids["endpoint"], "deploymentName": name, "location": "westeurope"}
            assets = {"environmentId": ids["environment"], "instanceType": "Standard_DS3_v2"}
            assets |= {"codeId": ids["code"], "scoringScript": "score.py"} if shape.code is not None else {}
            assets |= {"modelId": ids["model"]} if shape.model is not None else {}
            return {**own, **assets, **shape.deployments[name]}

        return inputs

    def _role(self, ids: Mapping[str, str]) -> Properties:
        scope, roles = self.workspace, f"/subscriptions/{self.local.azure.subscription}/providers"
        return {
            "scope": scope,
            "principalId": str(self.local.ask("GET", ids["endpoint"])["identity"]["principalId"]),
            "roleDefinitionId": f"{roles}/Microsoft.Authorization/roleDefinitions/{ROLE}",
            "assignmentName": str(uuid.uuid5(uuid.NAMESPACE_URL, ids["endpoint"])),
        }

    def standing(self) -> list[str]:
        """What stands of the case on Azure, by type and name; what is archived does not."""
        documents = self.local.azure.store.everything()
        found = []
        for each in documents:
            is_version = each.id.name.isdigit() and int(each.id.name) // _SPAN == self.number
            is_ours = is_version or re.search(rf"/case{self.number}(/|$)", each.id.path)
            if is_ours and not each.properties.get("isArchived"):
                found.append(each.id.path)
        return sorted(found)

    def roles(self) -> int:
        """How many assignments of the case's role there are."""
        return sum(ROLE in str(each.properties.get("roleDefinitionId")) for each in self.local.azure.store.everything())


State = dict[str, tuple[Node, str, Properties]]
"""Node, id and state of what was made, by name: what the engine keeps."""


class Engine:
    """What Pulumi does with a graph: one run goes until the first error, which it says; the state stays."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.state: State = {}
        self.replaced: list[tuple[Node, str, Properties]] = []
        """What is deleted once everything else is done."""

    def up(self, nodes: list[Node]) -> bool:
        """Make, change or replace what differs, then delete what is wanted no longer; whether it went to its end."""
        return self._tried(lambda context: self._up(context, nodes))

    def refresh(self) -> bool:
        """Read all there is; what is gone leaves the state."""
        return self._tried(self._refresh)

    def destroy(self) -> bool:
        """Delete everything."""
        return self._tried(lambda context: self._drop(context, set()))

    def _tried(self, run: Callable[[Context], None]) -> bool:
        lines = self.bench.lines
        try:
            run(
                Context(
                    "urn:pulumi:s::p::t::n", preview=False, log=lines.append, connect=self._arm(), warn=lines.append
                )
            )
        except ResourceError as error:
            lines.append(str(error))
            return False
        return True

    def _arm(self) -> Callable[[], Arm]:
        arm: list[Arm] = []

        def connect() -> Arm:
            arm[:] = arm or [self.bench.connect()]  # one process, one client
            return arm[0]

        return connect

    def _up(self, context: Context, nodes: list[Node]) -> None:
        for node in nodes:
            self._step(context, node)
        self._drop(context, {node.name for node in nodes})

    def _step(self, context: Context, node: Node) -> None:
        checked = node.resource.check(node.inputs({name: id_ for name, (_, id_, _) in self.state.items()}))
        assert not checked.failures, checked.failures
        news = checked.inputs
        if node.name not in self.state:
            self.state[node.name] = (node, *node.resource.create(context, news))
            return
        _, id_, olds = self.state[node.name]
        diff = node.resource.diff(id_, olds, news)
        if diff.replaces:
            made = node.resource.create(context, news)
            self.replaced.append(self.state[node.name])
            self.state[node.name] = (node, *made)
        elif diff.changed:
            self.state[node.name] = (node, id_, node.resource.update(context, id_, olds, news))

    def _drop(self, context: Context, wanted: set[str]) -> None:
        order = ("traffic", *COLOURS, "role", "endpoint", "environment", "code", "model")
        for name in order:
            if name in self.state and name not in wanted:
                node, id_, olds = self.state[name]
                node.resource.delete(context, id_, olds)
                del self.state[name]
        while self.replaced:
            node, id_, olds = self.replaced[-1]
            node.resource.delete(context, id_, olds)
            self.replaced.pop()

    def _refresh(self, context: Context) -> None:
        for name, (node, id_, olds) in list(self.state.items()):
            read = node.resource.read(context, id_, olds, olds)
            assert read is not None, f"{name} stands, and was read as gone"
            self.state[name] = (node, read.resource_id, read.state)


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Make one."""
    app = folder / "app"
    app.mkdir(parents=True)
    (app / "score.py").write_text("def run(): ...\n")
    models = [Model(name) for name in COLOURS]
    with in_process(folder, Options(role_delay=0)) as local, scene(local, *models), faulty(local) as (way, connect):
        yield Bench(local, way, connect, app)


def tried(bench: Bench, case: Case) -> None:
    """Try one case: through its faults and beyond, up, another up, refresh and destroy hold what they promise."""
    bench.number += 1
    bench.lines.clear()
    engine, before = Engine(bench), bench.roles()
    first, second = bench.nodes(case.first), bench.nodes(case.second)
    bench.way.faults = case.faults()
    for run in (lambda: engine.up(first), engine.refresh, lambda: engine.up(second)):
        _repeated(bench, run)
    _converged(bench, engine, second)
    assert bench.roles() == before + case.second.role
    bench.way.faults = case.faults()
    _repeated(bench, engine.destroy)
    assert engine.state == {}
    assert bench.standing() == []
    assert bench.roles() == before
    assert not [line for line in bench.lines if "\n" in line]
    said = "\n".join(bench.lines)
    assert not [secret for secret in bench.way.secrets if secret in said], said
    assert "Traceback" not in said


def _repeated(bench: Bench, run: Callable[[], bool]) -> None:
    """Run it until it succeeds; once the faults are over, it does so at once."""
    for _ in range(_RUNS):
        met = bench.way.met
        if run():
            return
        assert bench.way.met > met, bench.lines[-1]
    raise AssertionError(f"{_RUNS} runs did not get through the faults: {bench.lines[-1]}")


def _converged(bench: Bench, engine: Engine, nodes: list[Node]) -> None:
    """What is wanted stands, once; another up writes nothing, and a refresh sees no difference."""
    bench.way.faults = iter(())
    stands = {id_.lower() for name, (_, id_, _) in engine.state.items() if name not in {"traffic", "role"}}
    assert {path.lower() for path in bench.standing()} == stands
    counts = dict(bench.local.azure.counts)
    assert engine.up(nodes), bench.lines[-1]
    assert engine.refresh(), bench.lines[-1]
    assert engine.up(nodes), bench.lines[-1]
    assert dict(bench.local.azure.counts) == counts


def explored(folder: Path, count: int, number: int) -> tuple[int, int, str]:
    """Try random cases on a local Azure of their own; how many, how many faults they met, and what failed.

    `number` makes the cases: the same ones for the same number.
    """
    with bench(folder / f"{number}") as made:

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            suppress_health_check=[*HealthCheck],
            phases=[Phase.generate],
        )
        @given(cases())
        def run(case: Case) -> None:
            tried(made, case)

        try:
            run()
        except Exception:  # noqa: BLE001 - whatever it is, the case has failed
            return made.number, made.way.met, f"graphs {number}: {traceback.format_exc()}"
        return made.number, made.way.met, ""
