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
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
PIPELINES = ("deploy", "drift", "preview")
"""The workflows that sign in to Azure."""
AZURE = [ROOT / "azure-pipelines.yml", *sorted((ROOT / ".azure-pipelines").glob("*.yml"))]
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7"
MOST_SECONDS = 600


def _loaded(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


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
    assert [path.stem for path in WORKFLOWS] == ["ci", "deploy", "drift", "preview", "release"]


def test_an_attacker_finds_nothing_in_them() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    run = subprocess.run(
        [zizmor, "--offline", "--no-progress", "--persona=regular", "--strict-collection", "."],
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


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_actions_are_pinned_by_commit_and_named_by_version(path: Path) -> None:
    used = re.findall(r"^\s*- uses: (.+)$", path.read_text(), re.MULTILINE)
    assert used
    own = [line for line in used if line.startswith("./")]
    assert all((ROOT / line / "action.yml").is_file() for line in own)
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert not [line for line in used if line not in own and not pinned.fullmatch(line)]


def test_no_job_may_do_more_than_it_needs() -> None:
    read, login = {"contents": "read"}, {"id-token": "write"}
    granted = {
        "ci.test": read,
        "ci.quick": read,
        "release.build": read,
        "release.test": read,
        "release.publish": login,
        "preview.preview": read | login | {"pull-requests": "write"},
    }
    for path in WORKFLOWS:
        assert _loaded(path)["permissions"] == {}, path
    for name, job in _jobs():
        assert job["permissions"] == granted.get(name, read | login), name


def test_every_checkout_forgets_its_credentials_and_no_secret_is_stored() -> None:
    for name, job in _jobs():
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        wanted = [] if name in {"release.test", "release.publish"} else [False]
        assert [step["with"]["persist-credentials"] for step in checkouts] == wanted, name
    for path in [*WORKFLOWS, *ACTIONS, *AZURE]:
        assert "secrets." not in path.read_text(), path


def test_what_the_pipelines_repeat_stands_once() -> None:
    jobs = {name: job for name, job in _jobs() if name.partition(".")[0] in PIPELINES}
    assert len(jobs) == 5
    for name, job in jobs.items():
        setups = [step for step in job["steps"] if step.get("uses") == "./.github/actions/setup"]
        assert [set(step["with"]) for step in setups] == [set(_loaded(ACTIONS[0])["inputs"])], name
        assert not [step for step in job["steps"] if "uv sync" in step.get("run", "")], name


def test_a_login_reaches_the_providers_of_pulumi() -> None:
    (step,) = (step for step in _loaded(ACTIONS[0])["runs"]["steps"] if "GITHUB_ENV" in step.get("run", ""))
    for name in ("ARM_USE_OIDC=true", "ARM_CLIENT_ID=", "ARM_TENANT_ID=", "ARM_SUBSCRIPTION_ID="):
        assert name in step["run"]


def test_pull_requests_are_tested_by_the_command_of_a_developer() -> None:
    ci = _loaded(ROOT / ".github/workflows/ci.yml")
    # YAML 1.1 reads the key `on` as true.
    assert "pull_request" in ci[True]  # type: ignore[index]
    assert [step["run"] for step in ci["jobs"]["test"]["steps"] if "run" in step] == [".ci/run"]
    assert "make test" in (ROOT / ".ci/run").read_text()


def test_every_python_that_the_package_names_and_both_ends_of_its_ranges_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [each.rpartition(" ")[2] for each in project["classifiers"] if ":: 3." in each]
    quick = _loaded(ROOT / ".github/workflows/ci.yml")["jobs"]["quick"]["strategy"]["matrix"]
    release = _loaded(ROOT / ".github/workflows/release.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert named == quick["python"] == release["python"] == ["3.11", "3.12", "3.13"]
    assert {each["resolution"] for each in quick["include"]} == {"lowest-direct"}


def test_what_is_published_is_what_was_tested() -> None:
    jobs = _loaded(ROOT / ".github/workflows/release.yml")["jobs"]
    assert [(name, job.get("needs")) for name, job in jobs.items()] == [
        ("build", None),
        ("test", "build"),
        ("publish", "test"),
    ]
    assert not [step for step in jobs["publish"]["steps"] if "uv build" in step.get("run", "")]
    assert "--trusted-publishing always" in jobs["publish"]["steps"][-1]["run"]


def test_updates_come_for_every_folder_that_pins_something() -> None:
    updates = _loaded(ROOT / ".github/dependabot.yml")["updates"]
    folders = {folder for each in updates for folder in each.get("directories", [each.get("directory")])}
    assert {f"/{path.parent.relative_to(ROOT)}" for path in ACTIONS} <= folders
    for pattern in ("package.json", "requirements.txt"):
        for path in (*ROOT.glob(pattern), *ROOT.glob(f"examples/*/{pattern}"), *ROOT.glob(f"policy/{pattern}")):
            assert f"/{path.parent.relative_to(ROOT)}" in folders, path


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
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    (version,) = (package["version"] for package in lock["package"] if package["name"] == "pulumi")
    assert f"pulumi-version: {version}" in ACTIONS[0].read_text()
    assert f"--version {version}" in (ROOT / ".azure-pipelines/install.yml").read_text()


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS, *AZURE], ids=lambda path: path.name)
def test_their_scripts_are_bash_and_their_templates_are_there(path: Path) -> None:
    for node in _walk(_loaded(path)):
        for script in (node.get("run"), node.get("bash"), node.get("inlineScript")):
            if isinstance(script, str):
                plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
                done = subprocess.run(["bash", "-n"], input=plain, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{script}\n{done.stderr}"
        if template := node.get("template"):
            assert (ROOT / template).is_file(), template


def test_the_twin_does_the_same_in_the_same_order() -> None:
    stages = _loaded(ROOT / "azure-pipelines.yml")["stages"]
    assert [stage.get("stage") or next(iter(stage)) for stage in stages] == [
        "preview",
        "${{ each stack in split('dev staging prod', ' ') }}",
        "drift",
    ]
