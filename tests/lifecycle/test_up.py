"""One stack from nothing to a reply and back to nothing, on the real engine: what the README promises."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.project import LocalAzure, Project, polling
from tests.samples import is_printed
from tools import __main__ as tools

REGISTRY = "azure-native:containerregistry:Registry"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    """The project, up once."""
    project = Project.copied(tmp_path_factory.mktemp("project") / "copy", azure)
    run = project.up()
    assert run.code == 0, run.text
    return project


@pytest.fixture(scope="module", autouse=True)
def first(project: Project) -> str:
    """What `make up` prints of the first run, before any test changes a thing."""
    rows = [("WHAT", "NAME"), *tools.existing(project.state()["deployment"])]
    counts, link = tools.counts(project.azure.tell("stats")), tools.invitation(project.azure.tell("page"))
    return f"{tools.table(rows)}\nThis run: {counts}.\n{link}"


def test_the_readme_shows_what_a_first_up_makes(project: Project, first: str) -> None:
    reply = json.dumps(_score(project, _request(project)))
    table, _, counts = first.partition("This run:")
    request = "Scoring URL: http://localhost:8890/score\nPOST examples/sklearn/request.json"
    # The image is built beside the identity: which of them the state lists first differs from run to run.
    assert is_printed("README.md", f"{table}{request}\n  reply: {reply}\nThis run:{counts}", ordered=False)
    assert counts.startswith(" 19 provider writes, 1 builds, 1 uploads")


def _request(project: Project) -> dict[str, Any]:
    request: dict[str, Any] = json.loads((project.folder / "examples/sklearn/request.json").read_text())
    return request


def _score(project: Project, request: dict[str, Any]) -> dict[str, Any]:
    outputs = project.outputs()
    headers = {"Authorization": f"Bearer {outputs['endpointKey']}"}
    reply: dict[str, Any] = httpx.post(outputs["scoringUri"], json=request, headers=headers, timeout=60).json()
    return reply


def test_the_reply_is_computed_from_each_row_of_the_request(project: Project) -> None:
    expected = json.loads((project.folder / "examples/sklearn/reply.json").read_text())
    for order in (slice(None), slice(None, None, -1), slice(1)):
        reply = _score(project, {"data": _request(project)["data"][order]})
        assert reply["predictions"] == expected["predictions"][order]
        for ours, wanted in zip(reply["probabilities"], expected["probabilities"][order], strict=True):
            assert ours == pytest.approx(wanted, abs=1e-5)


def test_a_request_without_the_key_is_refused(project: Project) -> None:
    reply = httpx.post(project.outputs()["scoringUri"], json=_request(project), timeout=60)
    assert reply.status_code == httpx.codes.UNAUTHORIZED


def test_a_second_up_writes_builds_and_uploads_nothing(project: Project) -> None:
    project.azure.tell("reset-stats")
    run = project.up()
    assert run.code == 0, run.text
    assert "unchanged" in run.text
    assert not any(word in run.text for word in ("created", "updated", "replaced", "deleted")), run.text
    assert project.azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}


def test_an_edit_of_the_entry_script_builds_once_and_no_request_fails(project: Project) -> None:
    before = project.outputs()
    project.edit("examples/sklearn/score.py", "def run(", "# an edit\n\n\ndef run(")
    preview = project.preview()
    assert preview.code == 0, preview.text
    assert "ImageBuild" in preview.text
    assert "OnlineDeployment" in preview.text
    project.azure.tell("reset-stats")
    with polling(before["scoringUri"], before["endpointKey"], _request(project)) as failed:
        run = project.up()
        assert run.code == 0, run.text
    after = project.outputs()
    assert after["image"] != before["image"]
    assert after["imageTag"] in preview.text, "the preview did not name the new content key"
    assert project.azure.tell("stats")["builds"] == 1
    assert failed == []
    progress, _, diagnostics = run.text.partition("Diagnostics:")
    assert "step 6/6: COPY" in progress, "the build's steps are not shown"
    assert not re.search(r"\r|\bCollecting |#\d+ ", run.text), "BuildKit's and pip's own lines are shown"
    assert "az acr task logs" in diagnostics, "the place of the whole log is not shown"
    assert "step 6/6" not in diagnostics, "progress is repeated at the end"


def test_the_password_is_nowhere_in_plain_text(project: Project) -> None:
    secrets = [project.outputs()["endpointKey"], project.azure.environment["ARM_CLIENT_SECRET"]]
    state = json.loads(project.pulumi("stack", "export", "--show-secrets", "--stack", project.stack).text)
    password = next(
        resource["outputs"]["value"]
        for resource in state["deployment"]["resources"]
        if resource["type"].startswith("azuread:index/applicationPassword")
    )
    secrets.append(json.loads(password["plaintext"]) if isinstance(password, dict) else password)
    places = [
        *project.folder.rglob("*.yaml"),
        *(path for path in (project.folder / ".local").rglob("*") if path.is_file()),
        *(path for path in project.azure.folder.rglob("*") if path.is_file() and path.name != "ready.json"),
    ]
    assert len(places) > 5
    found = [(path, n) for path in places for n, secret in enumerate(secrets) if secret.encode() in path.read_bytes()]
    assert found == []


def test_a_role_taken_away_fails_the_next_deployment_and_comes_back_by_refresh(project: Project) -> None:
    role = project.resource("azureml-scoring:index:RoleAssignment")
    assert project.azure.cloud.ask("DELETE", role["id"]).is_success
    project.edit("examples/sklearn/score.py", "def run(", "# another edit\n\n\ndef run(")
    failed = project.up()
    assert failed.code != 0
    told = " ".join(failed.errors)
    assert "AcrPull" in told, failed.text
    assert role["outputs"]["principalId"] in told, failed.text
    assert f"{role['id']} was taken away: run up with --refresh" in told, failed.text
    mended = project.up("--refresh")
    assert mended.code == 0, mended.text
