"""VersionPin: the version of a model or an environment that was the latest when it was first asked for.

Owns the version that `@latest` is pinned to, and the notice when there is a newer one. Refuses to own the versions, and
to follow the latest: a newer one is taken when its number is written, or when the pin itself is replaced.
Latest is what was created last, as azure-ai-ml has it.
https://learn.microsoft.com/rest/api/azureml/model-versions/list ($orderBy)
"""

from typing import ClassVar

from pydantic import Field

from azureml_scoring.provider.arm import ML_API
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Context, Outputs, ReadResult
from azureml_scoring.provider.pin import Pin
from azureml_scoring.provider.values import UNKNOWN, Properties, has_unknown
from azureml_scoring.settings.arguments import VersionPinArgs


class VersionPinOutputs(Outputs):
    """Which version that is."""

    version_id: str = Field(description="ARM id of the version.")
    version: str = Field(description="The version that is pinned.")
    moved_to: str = Field(
        default="",
        description="The latest version, where a refresh found a newer one: a difference until the next up.",
    )


class VersionPin(Pin[VersionPinArgs]):
    """The version that was the latest when it was first asked for; it does not follow newer ones."""

    name = "VersionPin"
    inputs = VersionPinArgs
    outputs = VersionPinOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"workspaceId", "kind", "assetName"})

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell the version where it is pinned already."""
        known = {name: olds.get(name, UNKNOWN) for name in ("versionId", "version")}
        return {**news, **known, "movedTo": ""}

    def warn_on_diff(self, context: Context, olds: Properties, news: Properties) -> None:
        """Say that there is a newer version."""
        if has_unknown(news) or not olds.get("version"):
            return
        inputs = self._parse(news)
        try:
            latest = _latest(context, inputs)
        except ResourceError as error:
            context.log(f"whether {inputs.asset_name} has a newer version is not known: {error}")
            return
        if latest and latest != olds["version"]:
            remedy = f"to take it, write azureml:{inputs.asset_name}:{latest}"
            context.warn(f"{_title(inputs)} is version {latest} now; {olds['version']} stays deployed; {remedy}")

    def _first(self, context: Context, inputs: VersionPinArgs) -> Outputs:
        return _pin(context, inputs)

    def _postponed(self, news: Properties) -> str:
        return f"the latest version of {news['assetName']} is asked for"

    def _create(self, context: Context, inputs: VersionPinArgs) -> tuple[str, Outputs]:
        return inputs.container, _pin(context, inputs)

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: VersionPinArgs) -> Outputs:
        del context, resource_id, inputs
        return VersionPinOutputs(version_id=olds["versionId"], version=olds["version"])

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        """Ask again, and keep the pinned version: without it, the next up would follow the latest."""
        head, _, name = resource_id.rpartition("/")
        workspace, _, kind = head.rpartition("/")
        model = VersionPinArgs.model_validate({"workspaceId": workspace, "kind": kind, "assetName": name})
        if not olds:
            return ReadResult(resource_id, {**model.wire(), **_pin(context, model).wire()}, model.wire())
        latest = _latest(context, model)
        return ReadResult(resource_id, {**olds, "movedTo": "" if latest == olds.get("version") else latest}, inputs)


def _title(inputs: VersionPinArgs) -> str:
    return f"{inputs.kind.removesuffix('s')} {inputs.asset_name}@latest"


def _pin(context: Context, inputs: VersionPinArgs) -> VersionPinOutputs:
    version = _latest(context, inputs)
    if not version:
        raise ResourceError(f"{_title(inputs)}: the workspace has no version of it; register one, or correct the name")
    return VersionPinOutputs(version_id=f"{inputs.container}/versions/{version}", version=version)


def _latest(context: Context, inputs: VersionPinArgs) -> str:
    """Return the version that was created last; empty where there is none."""
    query = {"$orderBy": "createdtime desc", "$top": "1"}
    versions = context.arm.list_all(f"{inputs.container}/versions", ML_API, query)
    return str(next((each["name"] for each in versions), ""))
