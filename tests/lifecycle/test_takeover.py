"""A stack of version 0.1.0 goes through `up` of this version: no replacement, no build, no write but the roles.

`states/` has, for each of two stacks, its stack file and what version 0.1.0 left: the state (`pulumi stack export`,
secrets sealed with the passphrase `local`) and the documents that its own resources wrote to Azure. Left out are the
positions in the source and the times. Azure gives out other ids, ports and digests each time, so this version first
takes an equal stack up; then the old state, with the ids of this Azure, takes the place of its state.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Cloud
from tests.modes import kubernetes_cluster
from tests.project import LocalAzure, Project

STATES = Path(__file__).parent / "states"
RENAMED = {"environment": "environmentVariables", "probe": "smokeTest"}
"""Fields of a stack file whose name changed since, by the old name."""
GIVEN_OUT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|localhost:\d+")
"""Ids, and the addresses of registries, vaults and endpoints."""
_CONNECTION = "azure-native:machinelearningservices:WorkspaceConnection"
_SECRET = "azure-native:keyvault:Secret"
_ANSWERED_OTHERWISE = {
    _SECRET,
    _CONNECTION,
    "azure-native:machinelearningservices:Workspace",
    "azure-native:storage:StorageAccount",
}
_ROLE = "azureml-scoring:index:RoleAssignment"
ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
STACKS = ("managed", "kubernetes")

Json = dict[str, Any]


@pytest.fixture(scope="module", params=STACKS)
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure, cloud: Cloud
) -> Iterator[Project]:
    """An equal stack, taken up by this version."""
    stack: str = request.param
    project = Project.copied(tmp_path_factory.mktemp("project") / "copy", azure, stack)
    shutil.copytree(STATES / "files", project.folder, dirs_exist_ok=True)
    file = yaml.safe_load((STATES / f"{stack}.yaml").read_text())
    _rename(file["config"])
    if stack == "kubernetes":
        file["config"]["scoring:endpoint"]["cluster"]["id"] = kubernetes_cluster(cloud)
    path = project.folder / f"Pulumi.{stack}.yaml"
    # Version 0.1.0 left the seed out of the workspace's name.
    workspace = {**file["config"].get("scoring:workspace", {}), "name": f"azureml-scoring-{stack}-ml"}
    path.write_text(yaml.safe_dump({**file, "config": {**file["config"], "scoring:workspace": workspace}}))
    run = project.up()
    assert run.code == 0, run.text
    path.write_text(yaml.safe_dump(file))
    yield project
    gone = project.destroy()
    assert gone.code == 0, gone.text


def test_the_documents_of_azure_are_those_of_the_version_before(project: Project, cloud: Cloud) -> None:
    documents = _old(project, project.state())["documents"]
    assert any("/deployments/" in id_ for id_ in documents)
    for id_, document in documents.items():
        ours = _part_of(cloud.ask("GET", id_).json(), document)
        assert _without_uploads({**ours, "systemData": None}) == _without_uploads({**document, "systemData": None})


def test_an_old_stack_is_taken_over_without_a_replacement_or_a_build_and_writes_nothing_but_roles(
    project: Project,
) -> None:
    ours = project.state()
    old = _old(project, ours)["state"]
    for role in _roles(ours):
        assert project.azure.cloud.ask("DELETE", role["id"]).is_success  # version 0.1.0 assigned none of them
    _put_secrets(project.azure.cloud, old)
    (project.folder / "old.json").write_text(json.dumps(old))
    imported = project.pulumi("stack", "import", "--file", "old.json", "--stack", project.stack)
    assert imported.code == 0, imported.text
    project.azure.tell("reset-stats")
    run = project.up("--json")
    assert run.code == 0, run.text
    roles = {role["urn"] for role in _roles(ours)}
    assert roles
    assert {(operation, urn) for operation, urn, _ in _changes(run.text)} == {("create", urn) for urn in roles}
    writes = {ASSIGNMENTS: len(roles)}
    assert project.azure.tell("stats") == {"writes": writes, "builds": 0, "uploads": 0}
    assert _inputs(project.state()) == _inputs(ours)
    project.azure.tell("reset-stats")
    refreshed = project.up("--refresh", "--expect-no-changes")
    assert refreshed.code == 0, refreshed.text
    assert project.azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}


def _put_secrets(cloud: Cloud, old: Json) -> None:
    """Make the vault secret under the name that version 0.1.0 gave it, as if the stack were that old."""
    for resource in old["deployment"]["resources"]:
        if resource["type"] == _SECRET:
            properties = {"value": "x", "contentType": resource["inputs"]["properties"]["contentType"]}
            made = cloud.put(resource["id"], {"properties": properties})
            resource["outputs"] |= {name: made[name] for name in ("id", "name", "properties")}


def _roles(state: Json) -> list[Json]:
    """The roles that this version assigns to the identities that pull."""
    return [each for each in state["deployment"]["resources"] if each["type"] == _ROLE]


def _part_of(value: Any, shape: Any) -> Any:  # noqa: ANN401 - JSON
    """Leave out what the old answer did not have: Azure may answer with more by now."""
    if isinstance(value, dict) and isinstance(shape, dict):
        return {name: _part_of(value[name], shape[name]) for name in shape if name in value}
    return value


def _rename(config: Json) -> None:
    """Give fields of a stack file the names that they have now."""
    sections = [config["scoring:endpoint"], *config["scoring:deployments"].values()]
    for section in sections:
        for before, now in RENAMED.items():
            if before in section:
                section[now] = section.pop(before)


def _old(project: Project, ours: Json) -> Json:
    """What version 0.1.0 left, with the ids, ports and digests of this Azure."""
    text = (STATES / f"{project.stack}.json").read_text()
    names = _names(json.loads(text)["state"], ours)
    names["/project"] = str(project.folder)
    old: Json = json.loads(re.sub("|".join(map(re.escape, names)), lambda match: names[match[0]], text))
    resources = _resources(ours)
    for key, resource in _resources(old["state"]).items():
        if key[0] in _ANSWERED_OTHERWISE:
            # A secret's version and times; what Azure answers and the local Azure of that version left out.
            resource["outputs"] = resources[key]["outputs"]
    return old


def _names(old: Json, ours: Json) -> dict[str, str]:
    """What this Azure, and not the program, calls otherwise."""
    before, after = _resources(old), _resources(ours)
    names: dict[str, str] = {}
    for key in before.keys() & after.keys():
        theirs, ours_ = _given_out(before[key]), _given_out(after[key])
        # Azure may answer with more than it did then: what both have is compared.
        for place in theirs.keys() & ours_.keys():
            for one, other in zip(theirs[place], ours_[place], strict=False):
                assert names.setdefault(one, other) == other, f"{key} has two names for {one}"
    return names


def _given_out(resource: Json) -> dict[str, list[str]]:
    """The names in a resource that Azure gives out, or that follow from them, by their place."""
    # What a deployment waits for is another role by now.
    outputs = {name: value for name, value in (resource.get("outputs") or {}).items() if name != "pullGrant"}
    leaves = _leaves({"id": resource.get("id"), "outputs": outputs})
    names = {place: GIVEN_OUT.findall(text) for place, text in leaves}
    match resource["type"]:
        case "azureml-scoring:index:ImageBuild":
            repository = f"{outputs['loginServer']}/{outputs['repository']}"
            names["digest"] = [outputs["digest"], *_environment_version(repository, outputs["digest"])]
        case "azuread:index/applicationPassword:ApplicationPassword":
            names["endDate"] = [outputs["endDate"]]  # two years from its creation unless said otherwise
        case _:
            pass
    return names


def _leaves(node: Any, place: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """Each value of a document, and the place where it stands."""
    if isinstance(node, dict):
        for name, each in node.items():
            yield from _leaves(each, f"{place}/{GIVEN_OUT.sub('*', name)}")
    elif isinstance(node, list):
        for number, each in enumerate(node):
            yield from _leaves(each, f"{place}/{number}")
    else:
        yield place, str(node)


def _environment_version(repository: str, digest: str) -> tuple[str, str]:
    """The parts of an environment's version: of the digest, and of the repository."""
    return digest.removeprefix("sha256:")[:12], hashlib.sha256(repository.encode()).hexdigest()[:6]


def _resources(state: Json) -> dict[tuple[str, str], Json]:
    """What Azure has of a state, by type and logical name."""
    return {
        (resource["type"], resource["urn"].rpartition("::")[2]): resource
        for resource in state["deployment"]["resources"]
        if resource.get("custom") and not resource["type"].startswith("pulumi:")
    }


def _inputs(state: Json) -> dict[tuple[str, str], Json]:
    """The inputs of all resources, without what is sealed."""
    found: dict[tuple[str, str], Json] = _unsealed(
        {key: resource["inputs"] for key, resource in _resources(state).items()}
    )
    for (type_, _), inputs in found.items():
        if type_ == _SECRET:
            del inputs["secretName"]  # as it was made: an old one's has no end
        if type_.startswith("azuread:"):
            inputs.pop("owners", None)  # set once, when it is made: an old one has none, and keeps it so
    return found


def _unsealed(value: Any) -> Any:  # noqa: ANN401 - JSON
    match value:
        case {"ciphertext": _}:
            return "[secret]"
        case Mapping():
            return {name: _unsealed(part) for name, part in value.items()}
        case list():
            return [_unsealed(part) for part in value]
        case _:
            return value


def _without_uploads(document: Json) -> Any:  # noqa: ANN401 - JSON
    """A document without the address that an upload got."""
    return json.loads(re.sub(r"https://localhost:\d+/storage/[a-z0-9]+/[0-9a-f]{32}", "", json.dumps(document)))


def _changes(text: str) -> list[tuple[str, str, Any]]:
    """What an update changed, by the engine's events: each step with its resource and properties."""
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    steps = [event["resourcePreEvent"]["metadata"] for event in events if "resourcePreEvent" in event]
    assert steps, text
    return [(step["op"], step["urn"], step.get("detailedDiff")) for step in steps if step["op"] != "same"]
