"""The pipelines run: each step of their files is executed on a local Azure, from the checkout to the comment.

Doubled are the checkout, the installation of Python and Pulumi, the login (the local Azure takes a client's secret) and
the API of pull requests. The tests of this file build on each other, in this order: what is merged is deployed first.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests import azure_pipelines, github_actions, modes
from tests.delivery.apis import TOKEN, Double, serving
from tests.project import LocalAzure, Project
from tests.runner import Machine, repository
from tools import toolchain

pytestmark = pytest.mark.slow

STACKS = ("dev", "staging", "prod")
SERVER = """from stub_server import Answer, StubServer

StubServer(lambda _: Answer({"version": VERSION}), "", 5001).serve_forever()
"""
PULL_REQUEST = {"number": 7, "head": {"repo": {"full_name": "owner/name"}}}


@dataclass
class Team:
    """A repository with three stacks, its settings on both services, and their API."""

    project: Project
    api: Double
    machines: Path

    def version(self, name: str) -> None:
        """Change the server."""
        modes.write_image(self.project.folder / "app", SERVER.replace("VERSION", repr(name)))
        (self.project.folder / "reply.json").write_text(json.dumps({"version": name}))

    def machine(self, name: str) -> Machine:
        """A new machine; who signs in, and where the state lies, is known to it as to the organization's jobs."""
        variables = {name: text for name, text in self.project.environment.items() if name != "PATH"}
        del variables["PULUMI_BACKEND_URL"]
        return Machine(self.machines / name, self.project.folder, variables)

    @property
    def settings(self) -> dict[str, str]:
        """The variables of the environments in GitHub."""
        environment = self.project.environment
        names = {each: environment[f"ARM_{each}"] for each in ("CLIENT_ID", "TENANT_ID", "SUBSCRIPTION_ID")}
        variables = {f"AZURE_{name}": text for name, text in names.items()}
        return {**variables, "PULUMI_BACKEND_URL": environment["PULUMI_BACKEND_URL"]}

    def github(self, workflow: str, **event: Any) -> list[github_actions.JobRun]:  # noqa: ANN401 - JSON
        """Run a workflow."""
        contexts = {
            "github": {"repository": "owner/name", "token": TOKEN, "event": event},
            "vars": self.settings,
        }

        def machine(name: str) -> Machine:
            made = self.machine(name)
            made.variables |= {
                "GITHUB_REPOSITORY": "owner/name",
                "GITHUB_REF": "refs/pull/7/merge",
                "GITHUB_API_URL": self.api.url,
            }
            return made

        folder = self.project.folder
        return github_actions.Workflow(folder, workflow, contexts, machine, ACTIONS).run()

    def azure(self, reason: str) -> list[azure_pipelines.JobRun]:
        """Run the pipeline of Azure Pipelines."""
        variables = {
            "Build.Reason": reason,
            "Build.Repository.ID": "repo-id",
            "System.AccessToken": TOKEN,
            "System.TeamFoundationCollectionUri": f"{self.api.url}/org/",
            "System.TeamProject": "our project",
            "System.PullRequest.PullRequestId": "7",
            "PULUMI_BACKEND_URL": self.settings["PULUMI_BACKEND_URL"],
        }

        def machine(name: str) -> Machine:
            made = self.machine(name)
            home = made.folder / "home"
            made.variables |= {"HOME": str(home), "UV_CACHE_DIR": made.variables.get("UV_CACHE_DIR", _uv_cache())}
            pulumi = home / ".pulumi" / "bin"
            asked = 'test "$4 $5" = "--location https://get.pulumi.com" || exit 6'
            install = f"test \\$2 = {toolchain.wanted()} && mkdir -p {pulumi} && ln -s {made.pulumi}/* {pulumi}"
            made.program("curl", f'{asked}\necho "{install}"')
            subscription = self.settings["AZURE_SUBSCRIPTION_ID"]
            made.program("az", f'test "$*" = "account show --query id --output tsv" && echo {subscription}')
            return made

        def login(_machine: Machine, inputs: Mapping[str, Any]) -> dict[str, str]:
            # https://learn.microsoft.com/azure/devops/pipelines/tasks/reference/azure-cli-v2
            assert inputs["scriptType"] == "bash"
            assert inputs["scriptLocation"] == "inlineScript"
            assert inputs["addSpnToEnvironment"]
            names = {"servicePrincipalId": "AZURE_CLIENT_ID", "tenantId": "AZURE_TENANT_ID"}
            return {"idToken": "not-used", **{name: self.settings[setting] for name, setting in names.items()}}

        tasks = {"UsePythonVersion@0": lambda machine, _: machine.install_python() or {}, "AzureCLI@2": login}
        return azure_pipelines.Pipeline(self.project.folder, variables, machine, tasks).run()


ACTIONS: github_actions.Actions = {
    "actions/checkout": lambda machine, _: machine.checkout(),
    "actions/setup-python": lambda machine, _: machine.install_python(),
    "pulumi/actions": lambda machine, inputs: machine.install_pulumi(inputs["pulumi-version"]),
    "azure/login": lambda _machine, _inputs: None,
}


def _uv_cache() -> str:
    return str(Path.home() / ".cache" / "uv")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Iterator[Team]:
    folder = repository(tmp_path_factory.mktemp("repository") / "name")
    (folder / "request.json").write_text("{}")
    for stack in STACKS:
        project = Project(folder, azure, stack)
        (folder / f"Pulumi.{stack}.yaml").write_text("config: {}\n")
        assert project.pulumi("stack", "init", stack).code == 0
        modes.configure(
            replace(project, stack=stack),
            registry={"mode": "workspace"},
            rollout={"checks": [{"request": "request.json", "reply": "reply.json"}]},
        )
    with serving() as api:
        made = Team(Project(folder, azure, "dev"), api, tmp_path_factory.mktemp("machines"))
        made.version("first")
        yield made


def images(team: Team) -> list[str]:
    """What each stack serves, by digest."""
    outputs = (replace(team.project, stack=stack).outputs() for stack in STACKS)
    return [str(each["image"]).partition("@")[2] for each in outputs]


def test_what_is_merged_is_built_once_and_goes_from_dev_to_prod(team: Team, azure: LocalAzure) -> None:
    runs = team.github("deploy")
    assert [(run.name, run.code) for run in runs] == [(stack, 0) for stack in STACKS], runs[-1].machine.log
    assert azure.tell("stats")["builds"] == 1
    assert len(set(images(team))) == 1
    for run in runs:
        assert f"| {run.name} | " in run.machine.summary
        assert "| serves |" in run.machine.summary
        assert run.machine.variables["ARM_USE_OIDC"] == "true"


def test_a_pull_request_gets_a_comment_that_says_what_would_change(team: Team, azure: LocalAzure) -> None:
    team.version("second")
    azure.tell("reset-stats")
    (run,) = team.github("preview", pull_request=PULL_REQUEST)
    assert run.code == 0, run.machine.log
    (comment,) = team.api.comments
    assert "`dev`" in comment["body"]
    assert "green" in comment["body"], "the idle deployment gets the new version"
    assert comment["body"] in run.machine.summary
    assert azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}


def test_a_pull_request_of_a_fork_runs_nothing(team: Team) -> None:
    assert team.github("preview", pull_request={**PULL_REQUEST, "head": {"repo": {"full_name": "a/fork"}}}) == []


def test_drift_of_one_stack_fails_its_job_alone(team: Team) -> None:
    team.version("first")
    path = f"{replace(team.project, stack='staging').outputs()['workspaceId']}/onlineEndpoints"
    cloud = team.project.azure.cloud
    (endpoint,) = cloud.ask("GET", path).json()["value"]
    cloud.put(endpoint["id"], {**endpoint, "properties": {**endpoint["properties"], "traffic": {"blue": 0}}})
    runs = team.github("drift")
    assert [run.code == 0 for run in runs] == [True, False, True], "".join(run.machine.log for run in runs)
    assert "`traffic.blue`" in runs[1].machine.summary
    assert not [run for run in runs if "### Rollout" in run.machine.summary], "pinning is no rollout"
    cloud.put(endpoint["id"], endpoint)


def test_azure_pipelines_comment_and_deploy_in_the_same_way(team: Team, azure: LocalAzure) -> None:
    team.version("second")
    (preview,) = team.azure("PullRequest")
    assert preview.code == 0, preview.machine.log
    (thread,) = team.api.threads
    assert "green" in thread["comments"][0]["content"]
    team.version("first")
    azure.tell("reset-stats")
    runs = team.azure("IndividualCI")
    assert [(run.stage, run.code) for run in runs] == [(stack, 0) for stack in STACKS], runs[-1].machine.log
    assert all("| serves it already |" in run.machine.summary for run in runs)
    assert azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}


def test_azure_pipelines_find_no_drift_where_there_is_none(team: Team) -> None:
    drift = team.azure("Schedule")
    assert [(run.stage, run.code) for run in drift] == [("drift", 0)] * 3, "".join(run.machine.log for run in drift)
    assert all(run.machine.summary for run in drift)
