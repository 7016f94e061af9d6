"""What pins have in common: a name whose meaning may change is resolved once, and what it meant then stays.

Owns that a preview resolves as well, that a move which a refresh saw is a difference, and that nothing is deleted.
Refuses to own what a name means, and the notice when it means something else.
"""

from abc import abstractmethod
from dataclasses import replace
from typing import TypeVar

from azureml_scoring.provider.arm import UnreachableError
from azureml_scoring.provider.framework import Context, Diff, Outputs, Resource
from azureml_scoring.provider.values import Properties, has_unknown
from azureml_scoring.settings.arguments import ResourceArgs

InputsT = TypeVar("InputsT", bound=ResourceArgs)


class Pin(Resource[InputsT]):
    """A name that is resolved once. Its outputs have `movedTo`, which a refresh fills in."""

    def create(self, context: Context, news: Properties) -> tuple[str, Properties]:
        """Resolve in preview as well, where that is possible: it only reads."""
        if context.preview and not has_unknown(news):
            try:
                return "", {**news, **self._first(context, self._parse(news)).wire()}
            except UnreachableError as error:
                context.log(f"{self._postponed(news)} by the update: {error}")
        return super().create(context, news)

    def diff(self, resource_id: str, olds: Properties, news: Properties) -> Diff:
        """Count a move that a refresh has found as a difference, so that drift detection reports it."""
        diff = super().diff(resource_id, olds, news)
        return replace(diff, updated=diff.updated | {"movedTo"}) if olds.get("movedTo") else diff

    @abstractmethod
    def _first(self, context: Context, inputs: InputsT) -> Outputs:
        """Resolve for the first time."""

    @abstractmethod
    def _postponed(self, news: Properties) -> str:
        """Say what the update resolves, where a preview cannot: the line goes on with "by the update"."""

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Forget what is pinned: nothing of it is on Azure."""
        del context, resource_id, olds
