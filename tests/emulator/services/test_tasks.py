"""Builds in ACR Tasks: real ones, of a tiny image on the base image."""

import base64
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import registries
from tests.conftest import PATIENCE, Cloud, local_azure
from tests.network import SUBNET, Network
from tests.registries import BASE, LocalRegistry, docker, registry_in_group, service_principal

TASK = """
version: v1.1.0
steps:
  - build: -t $Registry/built:{{.Values.tag}} --build-arg WORD=hello -f Dockerfile .
    env: [DOCKER_BUILDKIT=1]
  - push: ["$Registry/built:{{.Values.tag}}"]
"""
DOCKERFILE = f"FROM {BASE}\nARG WORD\nRUN echo $WORD > /word\nCOPY some /some\n"


@pytest.fixture(scope="module")
def registry(azure: Cloud) -> Iterator[LocalRegistry]:
    with registry_in_group(azure) as found:
        yield found


def _schedule(registry: LocalRegistry, tag: str, files: dict[str, str], task: str = TASK, **more: str) -> str:
    answer = registry.schedule(registry.upload(files), task, values=[{"name": "tag", "value": tag}], **more)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["properties"]["runId"]
    return found


def test_a_build_ends_as_an_image_that_a_puller_can_run(registry: LocalRegistry) -> None:
    run_id = _schedule(registry, "one", {"Dockerfile": DOCKERFILE, "some": "thing"})
    run = registry.wait(run_id)
    assert run["status"] == "Succeeded", registry.log(run_id).text
    (image,) = run["outputImages"]
    assert (image["registry"], image["repository"], image["tag"]) == (registry.login_server, "built", "one")
    assert run["createTime"] <= run["startTime"] <= run["finishTime"]
    puller = service_principal(registry.cloud)
    registry.grant(puller, registries.PULL)
    name = f"{registry.login_server}/built@{image['digest']}"
    with docker(registry.login_server, puller.login) as client:
        client.good("pull", name)
        assert client.good("run", "--rm", name, "cat", "/word", "/some") == "hello\nthing"
        client.good("rmi", name)


def test_the_log_is_a_blob_that_says_when_it_is_complete(registry: LocalRegistry) -> None:
    run_id = _schedule(registry, "logged", {"Dockerfile": DOCKERFILE, "some": "thing"})
    registry.wait(run_id)
    log = registry.log(run_id)
    assert log.headers["x-ms-meta-complete"] == "successful"
    assert "RUN echo" in log.text
    assert f"Run ID: {run_id} was successful" in log.text


def test_a_build_leaves_no_name_in_the_engine(registry: LocalRegistry) -> None:
    registry.wait(_schedule(registry, "clean", {"Dockerfile": DOCKERFILE, "some": "thing"}))
    with docker() as client:
        assert f"{registry.login_server}/built" not in client.good("images", "--format", "{{.Repository}}:{{.Tag}}")


def test_a_build_that_fails_says_why(registry: LocalRegistry) -> None:
    run_id = _schedule(registry, "broken", {"Dockerfile": f"FROM {BASE}\nRUN echo before && exit 7\n"})
    run = registry.wait(run_id)
    assert run["status"] == "Failed"
    assert "7" in run["runErrorMessage"]
    assert "\n" not in run["runErrorMessage"]
    assert "outputImages" not in run
    log = registry.log(run_id)
    assert log.headers["x-ms-meta-complete"] == "failed"
    assert "before" in log.text


def test_a_dockerfile_that_is_missing_fails_the_run(registry: LocalRegistry) -> None:
    run = registry.wait(_schedule(registry, "none", {"some": "thing"}))
    assert run["status"] == "Failed"
    assert "the Dockerfile 'Dockerfile' is not in the uploaded source" in run["runErrorMessage"]


def test_without_buildkit_mounts_do_not_work_as_on_azure(registry: LocalRegistry) -> None:
    task = TASK.replace("DOCKER_BUILDKIT=1", "OTHER=1")
    mount = f"FROM {BASE}\nRUN --mount=type=cache,target=/cache true\n"
    run = registry.wait(_schedule(registry, "classic", {"Dockerfile": mount}, task))
    assert run["status"] == "Failed"
    assert "BuildKit" in run["runErrorMessage"]


def test_the_certificates_of_this_machine_are_a_build_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text("the bundle of this machine")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "ca.pem"))
    text = f"FROM {BASE}\nRUN --mount=type=secret,id=pip-ca grep -q 'the bundle of' /run/secrets/pip-ca && ls /run\n"
    with local_azure(tmp_path / "state") as azure, registry_in_group(azure) as registry:
        run_id = _schedule(registry, "secret", {"Dockerfile": text})
        log = registry.log(run_id)
        assert registry.wait(run_id)["status"] == "Succeeded", log.text


def test_a_docker_build_request_builds_and_hides_secret_arguments(registry: LocalRegistry) -> None:
    body = {
        "type": "DockerBuildRequest",
        "sourceLocation": registry.upload({"Dockerfile": f"FROM {BASE}\nARG HUSH\nRUN echo told $HUSH\n"}),
        "imageNames": ["classic:{{.Run.ID}}"],
        "dockerFilePath": "Dockerfile",
        "arguments": [{"name": "HUSH", "value": "very-secret-word", "isSecret": True}],
        "platform": {"os": "Linux"},
    }
    run_id = registry.post("scheduleRun", body).json()["properties"]["runId"]
    run = registry.wait(run_id)
    log = registry.log(run_id).text
    assert run["status"] == "Succeeded", log
    assert run["outputImages"][0]["tag"] == run_id
    assert "very-secret-word" not in log
    assert "told ***" in log


def test_two_runs_go_on_at_the_same_time(registry: LocalRegistry) -> None:
    slow = f"FROM {BASE}\nRUN sleep 3\nCOPY some /some\n"
    first, second = (_schedule(registry, f"side{n}", {"Dockerfile": slow, "some": str(n)}) for n in range(2))
    assert {registry.wait(first)["status"], registry.wait(second)["status"]} == {"Succeeded"}


def test_a_cancelled_run_ends_as_canceled(registry: LocalRegistry) -> None:
    run_id = _schedule(registry, "slow", {"Dockerfile": f"FROM {BASE}\nRUN echo started && sleep 600\n"})
    end = time.monotonic() + PATIENCE
    while "started" not in registry.log(run_id).text:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert registry.post(f"runs/{run_id}/cancel").status_code == 200
    assert registry.wait(run_id)["status"] == "Canceled"
    assert registry.log(run_id).headers["x-ms-meta-complete"] == "failed"
    again = registry.post(f"runs/{run_id}/cancel")
    assert again.status_code == 400


def test_runs_are_listed_newest_first(registry: LocalRegistry) -> None:
    for tag in ("list1", "list2"):
        run_id = _schedule(registry, tag, {"Dockerfile": f"FROM {BASE}\n"})
        registry.wait(run_id)
    listed = registry.cloud.ask("GET", f"{registry.id}/runs").json()["value"]
    assert listed[0]["name"] == run_id
    assert len(registry.cloud.ask("GET", f"{registry.id}/runs?$top=1").json()["value"]) == 1


def test_only_who_may_schedule_runs_can(registry: LocalRegistry) -> None:
    pusher = service_principal(registry.cloud)
    registry.grant(pusher, registries.PUSH)
    token = registry.cloud.token(None, *pusher.login)
    refused = registry.cloud.ask("POST", f"{registry.id}/scheduleRun", {}, token)
    assert refused.status_code == 403
    assert "Microsoft.ContainerRegistry/registries/scheduleRun/action" in refused.json()["error"]["message"]


def test_a_source_that_was_not_uploaded_is_refused_at_once(registry: LocalRegistry) -> None:
    refused = registry.schedule("tasks-source/none/source.tar.gz", TASK, values=[{"name": "tag", "value": "x"}])
    assert refused.status_code == 400
    assert "has not been uploaded" in refused.json()["error"]["message"]


def test_in_abac_mode_a_run_has_only_its_callers_rights(azure: Cloud) -> None:
    with registry_in_group(azure, roleAssignmentMode="AbacRepositoryPermissions") as registry:
        files, values = {"Dockerfile": f"FROM {BASE}\n"}, [{"name": "tag", "value": "x"}]
        run_id = registry.schedule(registry.upload(files), TASK, values=values).json()["name"]
        assert registry.wait(run_id)["status"] == "Failed"
        caller = {"sourceRegistry": {"identity": "[caller]"}}
        # The deployer is an owner, which counts for nothing in ABAC mode.
        run_id = registry.schedule(registry.upload(files), TASK, values=values, credentials=caller).json()["name"]
        assert registry.wait(run_id)["status"] == "Failed"
        deployer = azure.environment["ARM_CLIENT_ID"]
        headers = {"Authorization": f"Bearer {azure.token(registries.GRAPH)}"}
        query = {"$filter": f"appId eq '{deployer}'"}
        found = azure.http.get("/graph/v1.0/servicePrincipals", params=query, headers=headers).json()["value"][0]
        registry.grant(registries.ServicePrincipal(found["id"], deployer, ""), registries.REPOSITORY_WRITER)
        run_id = registry.schedule(registry.upload(files), TASK, values=values, credentials=caller).json()["name"]
        assert registry.wait(run_id)["status"] == "Succeeded", registry.log(run_id).text


def test_faults_delay_and_fail_builds_and_builds_are_counted(tmp_path: Path) -> None:
    with local_azure(tmp_path / "state") as azure, registry_in_group(azure) as registry:
        azure.tell("fault", "build-fails", "no space left on device")
        run_id = _schedule(registry, "x", {"Dockerfile": f"FROM {BASE}\n"})
        run = registry.wait(run_id)
        assert (run["status"], "no space left on device" in run["runErrorMessage"]) == ("Failed", True)
        azure.tell("fault", "build-fails")
        azure.tell("fault", "build-delay", "600")
        run_id = _schedule(registry, "x", {"Dockerfile": f"FROM {BASE}\n"})
        registry.wait(run_id, "Running")
        registry.post(f"runs/{run_id}/cancel")
        assert registry.wait(run_id)["status"] == "Canceled"
        assert '"builds": 2' in azure.tell("stats")


def test_a_run_that_a_restart_interrupts_has_failed(tmp_path: Path) -> None:
    with local_azure(tmp_path / "state") as azure:
        name = "interrupted"
        azure.put(f"resourceGroups/{name}", {"location": "westeurope"})
        path = f"{azure.subscription}/resourceGroups/{name}/providers/Microsoft.ContainerRegistry/registries/{name}"
        made = azure.put(path, {"location": "westeurope", "sku": {"name": "Basic"}})
        registry = LocalRegistry(azure, path, made["properties"]["loginServer"])
        azure.tell("fault", "build-delay", "600")
        run_id = _schedule(registry, "x", {"Dockerfile": f"FROM {BASE}\n"})
        registry.wait(run_id, "Running")
    with local_azure(tmp_path / "state") as azure:
        registry = LocalRegistry(azure, path, made["properties"]["loginServer"])
        assert registry.wait(run_id)["status"] == "Failed"
        assert registry.log(run_id).headers["x-ms-meta-complete"] == "failed"
        azure.finish(azure.ask("DELETE", f"resourceGroups/{name}"))


def _running() -> list[str]:
    """The command lines of all processes: bare machines have no `ps`."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines


def test_no_credential_stands_in_the_arguments_of_a_command(registry: LocalRegistry) -> None:
    # Another step each time: one that the engine remembers is over before anybody looks.
    step = f"RUN echo started {uuid.uuid4()} && sleep 5"
    run_id = _schedule(registry, "args", {"Dockerfile": f"FROM {BASE}\n{step}\n"})
    end = time.monotonic() + PATIENCE
    while "started" not in registry.log(run_id).text:
        assert time.monotonic() < end
        time.sleep(0.1)
    commands = [line for line in _running() if f"{registry.login_server}/built:args" in line]
    assert commands
    encoded = base64.b64encode(registries.TOKEN_USER.encode()).decode()[:20]
    assert not [line for line in commands if "eyJ" in line or registries.TOKEN_USER in line or encoded in line]
    assert not [line for line in commands if "WORD=hello" in line]
    registry.wait(run_id)


@pytest.mark.parametrize("offer", ["FreeTrial_2014-09-01", "AzureForStudents_2018-01-01"])
def test_runs_are_refused_where_a_subscription_lives_on_free_credits(registry: LocalRegistry, offer: str) -> None:
    source = registry.upload({"Dockerfile": DOCKERFILE})
    registry.cloud.tell("fault", "quota-id", offer)
    try:
        answer = registry.schedule(source, TASK, values=[{"name": "tag", "value": "none"}])
    finally:
        registry.cloud.tell("fault", "quota-id")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "TasksOperationsNotAllowed")


@pytest.mark.slow
def test_without_public_access_only_agents_of_the_registrys_own_get_in(azure: Cloud) -> None:
    with registry_in_group(azure, "Premium", publicNetworkAccess="Disabled") as shut:
        group, _, name = shut.id.partition("/providers/")
        files = {"Dockerfile": DOCKERFILE, "some": "thing"}
        run_id = _schedule(shut, "one", files)
        assert shut.wait(run_id)["status"] == "Failed"
        assert "is not allowed access, refer https://aka.ms/acr/firewall" in shut.log(run_id).text
        Network(azure.put, group).make().link(f"providers/{name}", "registry")
        pool = {"location": "westeurope", "properties": {"virtualNetworkSubnetResourceId": f"{group}/{SUBNET}"}}
        azure.put(f"{shut.id}/agentPools/inside", pool)
        run = shut.wait(_schedule(shut, "two", files, agentPoolName="inside"))
        assert (run["status"], run["agentPoolName"]) == ("Succeeded", "inside")
