from pathlib import Path
from typing import Any, cast

import pulumi
import pytest
from azureml_scoring.settings.stack import ScoringStackArgs
from azureml_scoring.stack import ScoringStack
from pulumi.runtime import mocks

from infra import outputs
from tests.components.cloud import DIGEST, ENDPOINT_KEY, PASSWORD, Cloud, arguments, run


def told(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, cloud: Cloud | None = None
) -> dict[str, tuple[Any, bool]]:
    """Run the program's second half; what it exports, and whether it is secret."""
    exported: dict[str, Any] = {}
    found: dict[str, tuple[Any, bool]] = {}
    monkeypatch.setattr(pulumi, "export", exported.__setitem__)

    async def read() -> bool:
        for name, value in exported.items():
            output: pulumi.Output[Any] = pulumi.Output.from_input(value)
            found[name] = (await output.future(), await output.is_secret())
        return True

    def program() -> None:
        settings = ScoringStackArgs.model_validate(values)
        outputs.export(ScoringStack("scoring", settings), settings)
        pulumi.Output.all(**exported).apply(cast("Any", lambda _: read()))

    run(program, cloud)
    return found


def test_a_stack_tells_what_people_and_tools_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: value for name, (value, _) in told(arguments(tmp_path), monkeypatch).items()}
    assert found["scoringUri"] == "https://endpoint/score"
    assert found["endpointKey"] == ENDPOINT_KEY
    assert found["deployments"] == ["blue"]
    assert found["traffic"] == {"blue": 100}
    assert found["image"].endswith(f".azurecr.io/scoring/sklearn@{DIGEST}")
    assert len(found["imageTag"]) == 12
    assert found["registry"]["mode"] == "standalone"
    assert found["registry"]["loginServer"].endswith(".azurecr.io")
    assert found["principal"] == {
        "clientId": "client-of-application",
        "principalId": "object-of-principal",
        "passwordExpires": "2040-01-01T00:00:00Z",
    }
    assert found["workspaceName"] == "azureml-scoring-test-ml"


def test_the_endpoints_key_is_a_secret_and_the_password_is_not_told_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(arguments(tmp_path), monkeypatch)
    assert {name for name, (_, secret) in found.items() if secret} == {"endpointKey"}
    assert PASSWORD not in str(found)


def test_an_endpoint_without_keys_tells_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "endpointKey" not in told(arguments(tmp_path, endpoint={"auth": "aad-token"}), monkeypatch)


class WithoutKeys(Cloud):
    """Azure as a reader sees it."""

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        if args.token.endswith(":listOnlineEndpointKeys"):
            return {}, [("", "AuthorizationFailed")]
        return super().call(args)


def test_who_may_only_read_previews_without_the_key_and_an_update_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match="AuthorizationFailed"):
        told(arguments(tmp_path), monkeypatch, WithoutKeys())
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    assert told(arguments(tmp_path), monkeypatch, WithoutKeys())["endpointKey"] == ("", True)
    assert told(arguments(tmp_path), monkeypatch)["endpointKey"] == (ENDPOINT_KEY, True)
