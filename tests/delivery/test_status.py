"""What `status` shows of stacks, from their state and from Azure Monitor."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring import cli
from azureml_scoring.delivery import engine
from azureml_scoring.delivery.status import DeploymentStatus, Status, show
from azureml_scoring.errors import CommandError
from azureml_scoring.provider.errors import ResourceError

NOW = datetime(2026, 3, 9, 12, 30, tzinfo=UTC)
OWN = "azureml-scoring:index"
DIGEST = "sha256:" + "0123456789ab" + "c" * 52


def state(traffic: Mapping[str, int], since: str = "2026-03-06T12:00:00Z") -> dict[str, Any]:
    """A stack's state with a deployment for each name of the split."""
    resources: list[dict[str, Any]] = [
        {"type": f"{OWN}:OnlineEndpoint", "id": "/endpoint"},
        {"type": f"{OWN}:EndpointTraffic", "outputs": {"traffic": dict(traffic)}},
        {"type": f"{OWN}:PullPrincipal", "outputs": {"passwordExpires": "2026-09-01T00:00:00Z"}},
    ]
    for name in traffic:
        environment = f"/env/{name}"
        image = {"image": f"acr/x@{DIGEST}"}
        resources += [
            {"type": f"{OWN}:EnvironmentVersion", "id": environment, "created": since, "outputs": image},
            {"type": f"{OWN}:OnlineDeployment", "outputs": {"deploymentName": name, "environmentId": environment}},
        ]
    return {"deployment": {"resources": resources}}


class Monitor:
    """Azure Monitor: 90 requests answered, 10 refused, 43 ms; and an endpoint, where there is one."""

    def __init__(self, traffic: Mapping[str, int] | None = None) -> None:
        self.traffic = traffic

    def get(self, path: str, _version: str, query: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        if query is None:
            assert path == "/endpoint"
            return None if self.traffic is None else {"properties": {"traffic": self.traffic}}
        assert path == "/endpoint/providers/Microsoft.Insights/metrics"
        assert query["timespan"] == "2026-03-09T12:20:00Z/2026-03-09T12:30:00Z"
        if query["metricnames"] == "RequestLatency_P95":
            return {"value": [{"timeseries": [{"data": [{"average": 43.0}]}]}]}
        classes = [("2xx", 90.0), ("5xx", 10.0)]
        return {
            "value": [
                {
                    "timeseries": [
                        {
                            "metadatavalues": [{"name": {"value": "statusCodeClass"}, "value": name}],
                            "data": [{"average": count}],
                        }
                        for name, count in classes
                    ]
                }
            ]
        }


def read(states: Mapping[str, Any], arm: Any = Monitor) -> list[DeploymentStatus]:  # noqa: ANN401 - a stand-in
    """The status of stacks."""

    def export(name: str) -> Mapping[str, Any]:
        if name not in states:
            raise CommandError(f"no stack named '{name}' found")
        content: Mapping[str, Any] = states[name]
        return content

    return Status(export, arm, now=lambda: NOW).read(["dev", "prod"])


def test_each_deployment_of_each_stack_is_a_row() -> None:
    entries = read({"dev": state({"blue": 100}), "prod": state({"blue": 90, "green": 10}, "2026-03-09T11:18:00Z")})
    assert list(show(entries, NOW)) == [
        "STACK  DEPLOYMENT  VERSION       TRAFFIC  REQUESTS  ERRORS  95 % WITHIN  AGE  PASSWORD ENDS",
        "dev    blue        0123456789ab  100 %    100       10.0 %  43 ms        3 d  2026-09-01",
        "prod   blue        0123456789ab  90 %     100       10.0 %  43 ms        1 h  2026-09-01",
        "prod   green       0123456789ab  10 %     100       10.0 %  43 ms        1 h  2026-09-01",
    ]


def test_the_split_is_the_one_that_azure_has_while_the_state_is_behind() -> None:
    entries = read({"dev": state({"blue": 100, "green": 0})}, lambda: Monitor({"blue": 50, "green": 50}))
    assert [each.traffic for each in entries if each.deployment] == [50, 50]


def test_a_stack_that_cannot_be_read_does_not_hide_the_others() -> None:
    lines = list(show(read({"prod": state({"blue": 100}, "2026-03-09T12:18:00Z")}), NOW))
    assert lines[1].split() == ["dev", *["-"] * 8]
    assert lines[2].split()[:4] == ["prod", "blue", "0123456789ab", "100"]
    assert lines[2].split()[-3:] == ["12", "min", "2026-09-01"]
    assert lines[3] == "dev: no stack named 'dev' found"


def test_a_stack_whose_metrics_cannot_be_read_still_shows_its_versions() -> None:
    def refused() -> Monitor:
        raise ResourceError("no sign-in; run `az login`")

    lines = list(show(read({"dev": state({"blue": 100}), "prod": state({})}, refused), NOW))
    assert lines[1].split()[:8] == ["dev", "blue", "0123456789ab", "100", "%", "-", "-", "-"]
    assert lines[3:] == ["dev blue: no sign-in; run `az login`", "prod: it serves nothing"]


def test_json_has_the_same_and_a_problem_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: test\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine.PulumiStack, "export", lambda _: {})
    assert cli.main(["status", "--json", "dev"]) == 1
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry == {
        "stack": "dev",
        "deployment": "",
        "image": "",
        "traffic": 0,
        "since": "",
        "requests": None,
        "errorPercent": None,
        "latencyMilliseconds": None,
        "passwordExpires": "",
        "problem": "it serves nothing",
    }
