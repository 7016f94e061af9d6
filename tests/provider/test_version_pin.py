"""Claims about pinning the latest version of an asset: asked for once, watched ever after, never followed."""

import pytest
from azure.core.exceptions import ServiceRequestError
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.values import UNKNOWN, Properties
from azureml_scoring.provider.version_pin import VersionPin

from tests.provider.fake_azure import Answer, FakeAzure, Sent

PIN = VersionPin()
WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/"
    "Microsoft.MachineLearningServices/workspaces/ml"
)
NEWS = {"workspaceId": WORKSPACE, "kind": "models", "assetName": "iris"}
ID = f"{WORKSPACE}/models/iris"


def azure(*versions: str) -> FakeAzure:
    """Azure ML with these versions of the model, the newest first."""
    made = FakeAzure()

    def listed(sent: Sent) -> Answer:
        assert sent.query["$orderBy"] == "createdtime desc"
        return 200, {}, {"value": [{"name": version} for version in versions[: int(sent.query["$top"])]]}

    made.on("GET", "/models/iris/versions", listed)
    return made


def pinned(version: str) -> Properties:
    """The state of a pin."""
    return PIN.create(azure(version).context(), NEWS)[1]


def test_the_latest_version_is_pinned_in_preview_already() -> None:
    id_, state = PIN.create(azure("7", "3").context(), NEWS)
    assert (id_, state["version"], state["versionId"], state["movedTo"]) == (ID, "7", f"{ID}/versions/7", "")
    assert PIN.create(azure("7").context(preview=True), NEWS)[1]["version"] == "7"


def test_a_preview_without_a_network_does_not_fail() -> None:
    away = FakeAzure()

    def nobody(_: Sent) -> Answer:
        raise ServiceRequestError("no route")

    away.on("GET", "/models/iris/versions", nobody)
    assert PIN.create(away.context(preview=True), NEWS)[1]["versionId"] == UNKNOWN
    assert "is asked for by the update" in away.logged[-1]


def test_a_newer_version_is_warned_about_and_not_taken() -> None:
    here = azure("8", "7")
    PIN.warn_on_diff(here.context(), pinned("7"), NEWS)
    assert here.warned == ["model iris@latest is version 8 now; 7 stays deployed; to take it, write azureml:iris:8"]
    assert not PIN.diff(ID, pinned("7"), NEWS).changed
    assert PIN.update(here.context(), ID, pinned("7"), NEWS)["version"] == "7"


def test_a_refresh_keeps_the_version_and_shows_the_newer_one_as_drift_until_the_next_up() -> None:
    read = PIN.read(azure("8", "7").context(), ID, pinned("7"), NEWS)
    assert read is not None
    assert (read.state["version"], read.state["movedTo"]) == ("7", "8")
    assert PIN.diff(ID, read.state, NEWS).changed == {"movedTo"}
    assert PIN.update(azure("8").context(), ID, read.state, NEWS)["movedTo"] == ""


def test_an_asset_without_versions_is_one_line() -> None:
    with pytest.raises(ResourceError, match="model iris@latest: the workspace has no version of it; register one"):
        PIN.create(azure().context(), NEWS)


def test_a_pin_can_be_imported_by_the_id_of_the_asset() -> None:
    read = PIN.read(azure("4").context(), ID, {}, {})
    assert read is not None
    assert (read.inputs, read.state["version"]) == (NEWS, "4")
