"""What every own resource of this package is, seen from the plugin that hosts it.

Owns: the `Resource` shape (check, diff, create, read, update, delete on plain dicts), the closed input model with
one-line failures, the preview rules, and the schema that is derived from the models.
Refuses to own: gRPC and property values (the plugin, with `values.py`), and anything about Azure (`arm.py`, one module
a resource).

The state of a resource is its checked inputs plus its outputs, so `diff` needs no more than the old state and the new
inputs, and what `read` finds changed on Azure shows in the next diff. A property that was secret in the inputs is
secret in the state. `ResourceError` is a complete one-line message for the user: no traceback.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from pydantic import ValidationError

from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.values import UNKNOWN, Properties, has_unknown
from azureml_scoring.settings.arguments import PACKAGE, ResourceArgs
from azureml_scoring.settings.parsing import error_lines
from azureml_scoring.settings.section import Section

if TYPE_CHECKING:
    from azureml_scoring.provider.arm import Arm


class Outputs(Section):
    """Base of what a resource gives a program, beyond its inputs."""


def _silent(text: str) -> None:
    """Say nothing."""
    del text


@dataclass(frozen=True)
class Context:
    """What the plugin hands to every step: whose step it is, where progress goes, and how Azure is reached.

    `progress` writes a line into `pulumi up` that is of use while the step goes on, `log` one that Pulumi also repeats
    at the end, `warn` one that it repeats as a warning. `connect` is only called when a step needs Azure, so that a
    preview of an unchanged stack asks for no credentials.
    """

    urn: str
    preview: bool
    log: Callable[[str], None]
    connect: "Callable[[], Arm] | None" = None
    warn: Callable[[str], None] = _silent
    progress: Callable[[str], None] = _silent

    @cached_property
    def arm(self) -> "Arm":
        """The client for Azure, made at first use."""
        if self.connect is not None:
            return self.connect()
        from azureml_scoring.provider.arm import connect  # noqa: PLC0415 - azure-identity is slow to import; most steps need none

        return connect()


@dataclass(frozen=True)
class Failure:
    """One wrong input; `reason` is a complete line of its own."""

    property: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """The inputs with their defaults filled in, and what is wrong with them."""

    inputs: Properties
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Diff:
    """Which properties differ, by kind, and which of them force a new resource."""

    added: frozenset[str] = field(default_factory=frozenset)
    deleted: frozenset[str] = field(default_factory=frozenset)
    updated: frozenset[str] = field(default_factory=frozenset)
    replaces: frozenset[str] = field(default_factory=frozenset)
    delete_before_replace: bool = False

    @property
    def changed(self) -> frozenset[str]:
        """Every property that differs."""
        return self.added | self.deleted | self.updated


@dataclass(frozen=True)
class ReadResult:
    """A resource as it is on Azure now: the state to keep, and the inputs that would lead to it."""

    resource_id: str
    state: Properties
    inputs: Properties


InputsT = TypeVar("InputsT", bound=ResourceArgs)


class Resource(ABC, Generic[InputsT]):
    """One own resource: its models, and the steps that make them true on Azure.

    A subclass sets the class variables and writes the underscored steps: they get validated inputs, never in preview.
    """

    name: ClassVar[str]
    """The last part of the token."""
    inputs: type[InputsT]
    outputs: ClassVar[type[Outputs]]
    replace_on: ClassVar[frozenset[str]] = frozenset()
    """Inputs (wire names) whose change needs a new resource."""
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset()
    """Inputs (wire names) whose change alone is no change: they say how, not what."""
    secret: ClassVar[frozenset[str]] = frozenset()
    """Inputs (wire names) that are sealed in the state whatever the program says."""
    delete_before_replace: ClassVar[bool] = False

    @property
    def token(self) -> str:
        """The type token, such as `azureml-scoring:index:ImageBuild`."""
        return f"{PACKAGE}:index:{self.name}"

    # -- what the plugin calls -------------------------------------------------------------------------------------

    def check(self, news: Properties, secrets: Iterable[str] = ()) -> Checked:
        """Validate inputs; those not known yet are taken as right. Defaults are filled in, so that diffs see them."""
        written = {name: value for name, value in news.items() if value is not None}
        later = {name: value for name, value in written.items() if has_unknown(value)}
        try:
            model = self._validated({name: value for name, value in written.items() if name not in later})
        except ValidationError as error:
            failures = tuple(self._failures(error, written, later, frozenset(secrets)))
            if failures:
                return Checked(written, failures)
            return Checked({**self._defaults(), **written})
        return Checked({**model.wire(), **later})

    def diff(self, resource_id: str, olds: Properties, news: Properties) -> Diff:
        """Compare old state and new inputs, over the inputs only."""
        del resource_id
        names = {field.alias for field in self.inputs.model_fields.values()} - self.ignored_in_diff
        added = frozenset(name for name in names if name in news and name not in olds)
        deleted = frozenset(name for name in names if name in olds and name not in news)
        updated = frozenset(name for name in names if name in news and name in olds and news[name] != olds[name])
        return Diff(added, deleted, updated, (added | deleted | updated) & self.replace_on, self.delete_before_replace)

    def warn_on_diff(self, context: Context, olds: Properties, news: Properties) -> None:
        """Say what a preview or update should know beyond the difference; by default there is nothing."""

    def create(self, context: Context, news: Properties) -> tuple[str, Properties]:
        """Make it; in preview only tell what is known. The id is empty in preview."""
        if context.preview:
            return "", self.preview_state({}, news)
        inputs = self._parse(news)
        resource_id, outputs = self._create(context, inputs)
        return resource_id, {**inputs.wire(), **outputs.wire()}

    def read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        """Look at it on Azure; None when it is gone. Without inputs (`pulumi import`) they come off Azure as well."""
        return self._read(context, resource_id, olds, inputs)

    def update(self, context: Context, resource_id: str, olds: Properties, news: Properties) -> Properties:
        """Change it in place; in preview only tell what is known."""
        if context.preview:
            return self.preview_state(olds, news)
        inputs = self._parse(news)
        return {**inputs.wire(), **self._update(context, resource_id, olds, inputs).wire()}

    def delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Remove it; gone already is fine."""
        self._delete(context, resource_id, olds)

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell the state after the step, with UNKNOWN where only the step will know. Asks nobody."""
        del olds
        return {**news, **{str(field.alias): UNKNOWN for field in self.outputs.model_fields.values()}}

    # -- what a resource writes ------------------------------------------------------------------------------------

    @abstractmethod
    def _create(self, context: Context, inputs: InputsT) -> tuple[str, Outputs]:
        """Make it, or adopt what stands there under its name; return the id and the outputs."""

    @abstractmethod
    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        """Look at it on Azure."""

    @abstractmethod
    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: InputsT) -> Outputs:
        """Change it in place."""

    @abstractmethod
    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Remove it."""

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _validated(self, values: Properties) -> InputsT:
        return self.inputs.model_validate(values, by_alias=True, by_name=False)

    def _parse(self, news: Properties) -> InputsT:
        """Validate once more: what was unknown at the check is known now."""
        checked = self.check(news)
        if checked.failures:
            raise ResourceError(f"{self.name}: {checked.failures[0].reason}")
        if late := sorted(name for name, value in checked.inputs.items() if has_unknown(value)):
            raise ResourceError(f"{self.name}: {late[0]} is still unknown; what it comes from was not created")
        return self._validated(checked.inputs)

    def _defaults(self) -> Properties:
        defaults = {
            str(field.alias): field.get_default(call_default_factory=True, validated_data={})
            for field in self.inputs.model_fields.values()
            if not field.is_required()
        }
        return {name: value for name, value in defaults.items() if value is not None}

    def _failures(
        self, error: ValidationError, news: Properties, later: Properties, secrets: frozenset[str]
    ) -> Iterable[Failure]:
        for issue, line in error_lines(error, self.inputs, news, hidden=secrets):
            top = str(issue["loc"][0]) if issue["loc"] else ""
            # A rule over several properties (no path) saw a default in place of what is not known yet.
            if not ((issue["type"] == "missing" and top in later) or (later and not top)):
                yield Failure(top, line)
