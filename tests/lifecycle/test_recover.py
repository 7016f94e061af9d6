"""Kill a run at any moment, and `recover` brings it to where `up` finishes the work; what drifts later is reported."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.delivery.pending import Query, Result
from azureml_scoring.delivery.recover import Azure, RecoverError
from azureml_scoring.delivery.report import MARKER
from azureml_scoring.provider.arm import Arm, find_cloud, find_credential

from tests.conftest import Cloud
from tests.modes import REPLY, answer, configure, served
from tests.project import PATIENCE, LocalAzure, Project, Run, kill, scheduled, until
from tests.samples import is_printed

pytestmark = pytest.mark.slow

LONG = 600
APPLICATION = "azuread:index/application:Application"
PRINCIPAL = "azuread:index/servicePrincipal:ServicePrincipal"
PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
REGISTRY = "azure-native:containerregistry:Registry"
ROLE = "azure-native:authorization:RoleAssignment"
ENDPOINT = "azureml-scoring:index:OnlineEndpoint"


@dataclass(frozen=True)
class Moment:
    """When the engine dies: what holds it there, what Azure has written by then, what becomes of what is pending."""

    faults: dict[str, Any]
    writes: dict[str, int]
    resolutions: dict[str, str]


MOMENTS = {
    "registries and the application": Moment(
        {"answer-delay": {REGISTRY: LONG, APPLICATION: LONG}},
        {"Microsoft.ContainerRegistry/registries": 2, "azuread/Application": 1},
        {"scoring-registry": "adopt", "scoring-own-registry": "adopt", "scoring-application": "adopt"},
    ),
    "service principal, password and endpoint": Moment(
        {"answer-delay": {PRINCIPAL: LONG, PASSWORD: LONG}, "endpoint-delay": LONG},
        {
            "azuread/ServicePrincipal": 1,
            "azuread/ApplicationPassword": 1,
            "Microsoft.MachineLearningServices/workspaces/onlineEndpoints": 1,
        },
        {"scoring-service-principal": "adopt", "scoring-password-first": "drop", "scoring-endpoint": "drop"},
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure, cloud: Cloud) -> Iterator[Project]:
    copied = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))
    configure(copied, registry={"mode": "standalone"}, tags={"team": "scoring"})
    yield copied
    for fault in ("answer-delay", "endpoint-delay"):
        control(cloud, "PUT", "faults", {"name": fault, "value": None})
    gone = copied.destroy()
    assert gone.code == 0, gone.text


def pending(project: Project) -> set[str]:
    """The logical names in the backend's own file: the CLI would take a second for each query."""
    file = next((project.folder / ".local/state/.pulumi/stacks").glob(f"*/{project.stack}.json"), None)
    try:
        state = json.loads(file.read_text())["checkpoint"].get("latest") or {} if file else {}
    except ValueError:  # it is being written
        return set()
    return {each["resource"]["urn"].split("::")[3] for each in state.get("pending_operations") or []}


def control(cloud: Cloud, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """What `python -m emulator` does, without a process for each word."""
    reply = cloud.ask(method, f"/_local/{path}", body, cloud.environment["ARM_CLIENT_SECRET"])
    assert reply.is_success, reply.text
    return reply.json()


def begun(project: Project, cloud: Cloud, moment: Moment) -> None:
    """Let an `up` begin, kill it while the creations are pending and made on Azure, and let go of Azure."""
    control(cloud, "DELETE", "stats")
    for name, value in moment.faults.items():
        control(cloud, "PUT", "faults", {"name": name, "value": value})
    running = project.begin("up", "--yes", "--skip-preview", "--stack", project.stack)

    def there() -> bool:
        if running.poll() is not None or not moment.resolutions.keys() <= pending(project):
            return running.poll() is not None
        writes = control(cloud, "GET", "stats")["writes"]
        return all(writes.get(type_, 0) >= count for type_, count in moment.writes.items())

    until(there, f"{sorted(moment.resolutions)} to be pending")
    assert running.poll() is None, running.communicate()[0]
    kill(running)
    running.communicate(timeout=PATIENCE)
    for name in moment.faults:
        control(cloud, "PUT", "faults", {"name": name, "value": None})


def send(cloud: Cloud, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request to Microsoft Graph."""
    headers = {"Authorization": f"Bearer {cloud.token(f'{cloud.url}/graph')}"}
    reply = cloud.http.request(method, f"/graph/v1.0/{path}", json=body, headers=headers)
    assert reply.is_success, reply.text
    result: dict[str, Any] = reply.json() if reply.content else {}
    return result


def graph(cloud: Cloud, kind: str) -> list[dict[str, Any]]:
    """All that Entra has of a kind."""
    result: list[dict[str, Any]] = send(cloud, "GET", kind)["value"]
    return result


def made(cloud: Cloud, name: str) -> str:
    """An application by hand; its object id."""
    return str(send(cloud, "POST", "applications", {"displayName": name})["id"])


def sleeper(program: Path) -> Path:
    """A program that only waits, under a name of our own."""
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    return program


@pytest.fixture(scope="module")
def recovered(project: Project, cloud: Cloud) -> dict[str, Run]:
    """What `recover` said after each moment."""
    runs = {}
    for name, moment in MOMENTS.items():
        begun(project, cloud, moment)
        runs[name] = project.delivery("recover", "--yes")
    return runs


@pytest.mark.parametrize("moment", MOMENTS)
def test_recover_says_what_it_will_do_and_does_it(recovered: dict[str, Run], moment: str) -> None:
    done = recovered[moment]
    assert done.code == 0, done.text
    assert "which has ended" in done.text
    for name, resolution in MOMENTS[moment].resolutions.items():
        assert re.search(rf"^  {resolution} +{name} ", done.text, re.MULTILINE), done.text


def test_the_docs_show_what_recover_prints(recovered: dict[str, Run]) -> None:
    *_, last = recovered.values()
    # The engine starts what is pending side by side.
    assert is_printed("recover.txt", last.text, "azureml-scoring recover --yes", ordered=False)


@pytest.mark.usefixtures("recovered")
def test_the_state_is_kept_for_its_owner_alone_with_its_secrets_sealed(project: Project) -> None:
    copies = sorted((project.folder / ".local/states").glob(f"{project.stack}-*.json"))
    assert len(copies) == len(MOMENTS)
    for copy, moment in zip(copies, MOMENTS.values(), strict=True):
        assert copy.stat().st_mode & 0o777 == 0o600
        saved = json.loads(copy.read_text())["deployment"]
        assert moment.resolutions.keys() <= {
            each["resource"]["urn"].split("::")[3] for each in saved["pending_operations"]
        }
        assert '"plaintext"' not in copy.read_text()


@pytest.fixture(scope="module")
def up(project: Project, recovered: dict[str, Run]) -> Run:
    """The `up` after the last recovery."""
    del recovered
    return project.up()


def test_the_next_up_finishes_with_one_of_each(project: Project, cloud: Cloud, up: Run) -> None:
    assert up.code == 0, up.text
    assert answer(project.outputs()) == REPLY
    entra = {kind: graph(cloud, kind) for kind in ("applications", "servicePrincipals")}
    ours = [each for each in entra["applications"] if each["displayName"] == f"azureml-scoring-{project.stack}-pull"]
    assert len(ours) == 1
    assert [each["displayName"] for each in ours[0]["passwordCredentials"]] == ["first"]
    principals = [each["id"] for each in entra["servicePrincipals"] if each["appId"] == ours[0]["appId"]]
    assert len(principals) == 1
    result = cloud.ask("GET", f"{cloud.subscription}/providers/Microsoft.Authorization/roleAssignments").json()
    roles = [each for each in result["value"] if each["properties"]["principalId"] == principals[0]]
    assert [each["properties"]["scope"] for each in roles] == [project.resource(REGISTRY, "::scoring-registry")["id"]]


def test_a_run_that_still_works_is_not_disturbed(project: Project, up: Run) -> None:
    del up
    locks = project.folder / f".local/state/.pulumi/locks/organization/azureml-scoring/{project.stack}"
    with subprocess.Popen(["sleep", "600"], executable=sleeper(project.folder / "pulumi-works")) as running:
        locks.mkdir(parents=True, exist_ok=True)
        held = {
            "pid": running.pid,
            "username": "me",
            "hostname": socket.gethostname(),
            "timestamp": "2026-01-01T00:00:00Z",
        }
        (locks / "lock.json").write_text(json.dumps(held))
        refused = project.delivery("recover", "--yes")
        assert (locks / "lock.json").exists()
        running.kill()
    (locks / "lock.json").unlink()
    line = f"error: stack {project.stack}: process {running.pid} still updates it; wait for it, or end it\n"
    assert (refused.code, refused.text) == (2, line)


def test_what_it_does_not_know_is_left_and_nothing_is_changed(project: Project, up: Run) -> None:
    del up
    file = next((project.folder / ".local/state/.pulumi/stacks").glob(f"*/{project.stack}.json"))
    before = file.read_text()
    state = json.loads(before)
    odd = {**state["checkpoint"]["latest"]["resources"][-1], "type": "x:y:Odd"}
    odd = {**odd, "urn": f"urn:pulumi:{project.stack}::azureml-scoring::x:y:Odd::odd"}
    state["checkpoint"]["latest"]["pending_operations"] = [{"resource": odd, "type": "creating"}]
    file.write_text(json.dumps(state))
    try:
        refused = project.delivery("recover", "--yes")
        assert json.loads(file.read_text()) == state
    finally:
        file.write_text(before)
    assert refused.code == 1
    assert "  leave    odd (Odd): this type is not known here" in refused.text
    assert "odd: check whether Azure has it, then add --adopt odd=ID or --drop odd" in refused.text
    assert refused.text.endswith("Nothing was changed.\n")


@pytest.fixture
def entra(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> Azure:
    """Entra as `recover` sees it."""
    for name, value in azure.environment.items():
        monkeypatch.setenv(name, value)
    cloud = find_cloud(os.environ)
    return Azure(Arm(cloud, find_credential(os.environ, cloud)))


def test_an_application_of_the_same_name_that_cannot_be_ours_is_left_to_the_user(cloud: Cloud, entra: Azure) -> None:
    query = Query(application="somebody's")
    assert entra.ask(query) == Result()
    first = made(cloud, "somebody's")
    assert entra.ask(query).id == f"/applications/{first}"
    assert entra.ask(Query(application="somebody's", known=frozenset({f"/applications/{first}"}))) == Result()
    second = made(cloud, "somebody's")
    both = entra.ask(query).unclear
    assert f"Entra has 2 applications named somebody's: /applications/{first}, /applications/{second}" in both
    send(cloud, "DELETE", f"applications/{first}")
    send(cloud, "POST", f"applications/{second}/addPassword", {"passwordCredential": {"displayName": "mine"}})
    assert "whose credentials the killed run cannot have created" in entra.ask(query).unclear
    send(cloud, "DELETE", f"applications/{second}")


def test_a_password_whose_value_is_lost_is_taken_away_and_those_that_the_state_knows_stay(
    cloud: Cloud, entra: Azure
) -> None:
    owner = made(cloud, "with passwords")
    keys = [
        send(cloud, "POST", f"applications/{owner}/addPassword", {"passwordCredential": {"displayName": name}})["keyId"]
        for name in ("first", "first", "second")
    ]
    query = Query(password="first", owner=owner, known=frozenset({f"{owner}/password/{keys[0]}"}))
    assert entra.ask(query) == Result(lost=(keys[1],))
    entra.remove_password(owner, keys[1])
    left = send(cloud, "GET", f"applications/{owner}")["passwordCredentials"]
    assert [each["keyId"] for each in left] == [keys[0], keys[2]]
    send(cloud, "DELETE", f"applications/{owner}")
    assert entra.ask(query) == Result()


def test_a_service_principal_is_found_by_its_application(cloud: Cloud, entra: Azure) -> None:
    owner = send(cloud, "POST", "applications", {"displayName": "with a principal"})
    query = Query(principal_of=owner["appId"])
    assert entra.ask(query) == Result()
    principal = send(cloud, "POST", "servicePrincipals", {"appId": owner["appId"]})
    assert entra.ask(query) == Result(f"/servicePrincipals/{principal['id']}")
    send(cloud, "DELETE", f"applications/{owner['id']}")


def test_a_subscription_that_cannot_be_seen_is_no_reason_to_forget_all(entra: Azure) -> None:
    nowhere = "00000000-0000-0000-0000-000000000001"
    with pytest.raises(RecoverError, match=f"^ARM_SUBSCRIPTION_ID = {nowhere}: not visible to this identity"):
        entra.require_access(nowhere)


@pytest.fixture(scope="module")
def drift(project: Project, cloud: Cloud, up: Run) -> tuple[Run, Run]:
    """What the scheduled job says, once before and once after somebody was at work in the portal."""
    del up
    calm = scheduled(project)
    registry = project.resource(REGISTRY, "::scoring-registry")["id"]
    endpoint = project.resource(ENDPOINT)["id"]
    cloud.finish(cloud.ask("PATCH", registry, {"tags": {}, "properties": {"adminUserEnabled": True}}))
    cloud.finish(cloud.ask("DELETE", project.resource(ROLE)["id"]))
    document = cloud.ask("GET", endpoint).json()
    document["properties"]["traffic"] = {"blue": 0}
    cloud.finish(cloud.ask("PUT", endpoint, document))
    return calm, scheduled(project)


def test_after_a_recovery_the_scheduled_job_finds_no_difference(drift: tuple[Run, Run]) -> None:
    calm, _ = drift
    assert calm.code == 0, calm.text


def test_the_scheduled_job_fails_and_tells_what_drifted(project: Project, drift: tuple[Run, Run]) -> None:
    _, result = drift
    assert result.code != 0
    assert result.text.startswith(MARKER), result.text
    lines = result.text.splitlines()
    assert f"### `{project.stack}`: traffic moves (blue 0 % → 100 %)" in lines
    assert any(re.fullmatch(r"2 updated, 1 created, \d+ unchanged", line) for line in lines), result.text
    assert "- `scoring-role` (RoleAssignment) is **created**" in lines
    assert "| `adminUserEnabled` | `true` | `false` |" in lines
    assert "| `tags.team` | none | `scoring` |" in lines
    assert is_printed("drift.md", result.text)
