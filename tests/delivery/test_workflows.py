"""The pipelines: read as GitHub would read them, as an attacker would, and by what we promise of them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
AZURE = [ROOT / "azure-pipelines.yml", *sorted((ROOT / ".azure-pipelines").glob("*.yml"))]
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7"
MOST_SECONDS = 600


def _loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def _jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in _loaded(path)["jobs"].items():
            yield f"{path.stem}.{name}", job


def _walk(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - YAML
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walk(inner)


def test_there_is_one_for_each_moment() -> None:
    assert [path.stem for path in WORKFLOWS] == ["deploy", "drift", "preview"]


def test_an_attacker_finds_nothing_in_them() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    run = subprocess.run(
        [zizmor, "--offline", "--no-progress", "--persona=regular", ".github/workflows"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_github_would_accept_them() -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("actionlint is built by Go, which is not here")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azureml-scoring" / "actionlint"
    program = cache / "actionlint"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        built = subprocess.run(
            [go, "install", ACTIONLINT],
            cwd=cache,
            env={**os.environ, "GOBIN": str(cache), "GOFLAGS": "-mod=mod"},
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        if built.returncode:
            pytest.skip(f"actionlint cannot be built here: {built.stderr[-200:]}")
    run = subprocess.run([program, *WORKFLOWS], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_named_by_version(path: Path) -> None:
    used = re.findall(r"^\s*- uses: (.+)$", path.read_text(), re.MULTILINE)
    assert used
    assert not [line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)]


def test_no_job_may_do_more_than_it_needs() -> None:
    allowed = {"contents": "read", "id-token": "write"}
    for path in WORKFLOWS:
        assert _loaded(path)["permissions"] == {}, path
    for name, job in _jobs():
        extra = {"pull-requests": "write"} if name == "preview.preview" else {}
        assert job["permissions"] == allowed | extra, name


def test_every_checkout_forgets_its_credentials_and_no_secret_is_stored() -> None:
    for name, job in _jobs():
        found = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [step["with"]["persist-credentials"] for step in found] == [False], name
    for path in [*WORKFLOWS, *AZURE]:
        assert "secrets." not in path.read_text(), path


def test_prod_comes_after_staging_comes_after_dev() -> None:
    jobs = _loaded(ROOT / ".github/workflows/deploy.yml")["jobs"]
    assert [(name, job.get("needs"), job["environment"]) for name, job in jobs.items()] == [
        ("dev", None, "dev"),
        ("staging", "dev", "staging"),
        ("prod", "staging", "prod"),
    ]


def test_one_build_is_carried_from_dev_to_prod_and_nothing_is_updated_past_that() -> None:
    for path in (ROOT / ".github/workflows/deploy.yml", ROOT / "azure-pipelines.yml"):
        text = path.read_text()
        assert [line for line in text.splitlines() if "pulumi up" in line] == [], path
        at = [
            text.index(f"azureml-scoring rollout {words}")
            for words in ("dev", "--from dev staging", "--from staging --approve prod prod")
        ]
        assert at == sorted(at), path


def test_a_preview_knows_which_version_serves() -> None:
    for path in (ROOT / ".github/workflows/preview.yml", ROOT / "azure-pipelines.yml"):
        text = path.read_text()
        assert text.index("azureml-scoring pin --next") < text.index("pulumi preview"), path
    drift = (ROOT / ".github/workflows/drift.yml").read_text()
    assert drift.index("azureml-scoring pin") < drift.index("pulumi preview")


def test_a_fork_gets_no_login() -> None:
    job = _loaded(ROOT / ".github/workflows/preview.yml")["jobs"]["preview"]
    assert job["if"] == "github.event.pull_request.head.repo.full_name == github.repository"


def test_drift_fails_the_job_and_changes_nothing() -> None:
    for path in (ROOT / ".github/workflows/drift.yml", ROOT / "azure-pipelines.yml"):
        assert "pulumi preview --non-interactive --refresh --expect-no-changes" in path.read_text()
    assert "pulumi up" not in (ROOT / ".github/workflows/drift.yml").read_text()


def test_all_take_the_pulumi_of_the_lock_file() -> None:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    version = next(need.removeprefix("pulumi==") for need in needs if need.startswith("pulumi=="))
    assert all(f"pulumi-version: {version}" in path.read_text() for path in WORKFLOWS)
    assert f"--version {version}" in (ROOT / ".azure-pipelines/install.yml").read_text()


@pytest.mark.parametrize("path", [*WORKFLOWS, *AZURE], ids=lambda path: path.name)
def test_their_scripts_are_bash_and_their_templates_are_there(path: Path) -> None:
    for found in _walk(_loaded(path)):
        for script in (found.get("run"), found.get("bash"), found.get("inlineScript")):
            if isinstance(script, str):
                plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
                done = subprocess.run(["bash", "-n"], input=plain, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{script}\n{done.stderr}"
        if template := found.get("template"):
            assert (ROOT / template).is_file(), template


def test_the_twin_does_the_same_in_the_same_order() -> None:
    stages = _loaded(ROOT / "azure-pipelines.yml")["stages"]
    assert [stage.get("stage") or next(iter(stage)) for stage in stages] == [
        "preview",
        "${{ each stack in split('dev staging prod', ' ') }}",
        "drift",
    ]
