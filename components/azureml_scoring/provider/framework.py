"""What every own resource of this package is, seen from the plugin that hosts it.

Owns: the `Resource` shape (check, diff, create, read, update, delete on plain dicts), the closed input model with
one-line failures, the preview rules, and the schema that is derived from the models.
Refuses to own: gRPC and property values (the plugin, with `values.py`), and anything about Azure (`arm.py`, one module
a resource).

The state of a resource is its checked inputs plus its outputs, so `diff` needs no more than the old state and the new
inputs, and what `read` finds changed on Azure shows in the next diff. A property that was secret in the inputs is
secret in the state. `ResourceError` is a complete one-line message for the user: no traceback.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.values import UNKNOWN, Properties, has_unknown

if TYPE_CHECKING:
    from azureml_scoring.provider.arm import Arm

PACKAGE = "azureml-scoring"
"""The plugin's package name: the first part of every token."""

SHOWN = 60
"""How many characters of a wrong value an error repeats."""


class Model(BaseModel):
    """Base of input and output models: closed, frozen, snake_case here and camelCase on the wire."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )

    def properties(self) -> Properties:
        """Return the properties by wire name, without those that were not given."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Inputs(Model):
    """Base of what a program gives a resource."""


class Outputs(Model):
    """Base of what a resource gives a program, beyond its inputs."""


def _silent(text: str) -> None:
    """Say nothing."""
    del text


@dataclass(frozen=True)
class Context:
    """What the plugin hands to every step: whose step it is, where progress goes, and how Azure is reached.

    `log` writes one progress line into `pulumi up`, `warn` one that stays. `connect` is only called when a step
    needs Azure, so that a preview of an unchanged stack asks for no credentials.
    """

    urn: str
    preview: bool
    log: Callable[[str], None]
    connect: "Callable[[], Arm] | None" = None
    warn: Callable[[str], None] = _silent

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


InputsT = TypeVar("InputsT", bound=Inputs)


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
        given = {name: value for name, value in news.items() if value is not None}
        later = {name: value for name, value in given.items() if has_unknown(value)}
        try:
            model = self.inputs.model_validate({name: value for name, value in given.items() if name not in later})
        except ValidationError as error:
            failures = tuple(self._failures(error, given, later, frozenset(secrets)))
            if failures:
                return Checked(given, failures)
            return Checked({**self._defaults(), **given})
        return Checked({**model.properties(), **later})

    def diff(self, resource_id: str, olds: Properties, news: Properties) -> Diff:
        """Compare old state and new inputs, over the inputs only."""
        del resource_id
        names = {self._wire(field) for field in self.inputs.model_fields} - self.ignored_in_diff
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
        return resource_id, {**inputs.properties(), **outputs.properties()}

    def read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        """Look at it on Azure; None when it is gone. Without inputs (`pulumi import`) they come off Azure as well."""
        return self._read(context, resource_id, olds, inputs)

    def update(self, context: Context, resource_id: str, olds: Properties, news: Properties) -> Properties:
        """Change it in place; in preview only tell what is known."""
        if context.preview:
            return self.preview_state(olds, news)
        inputs = self._parse(news)
        return {**inputs.properties(), **self._update(context, resource_id, olds, inputs).properties()}

    def delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Remove it; gone already is fine."""
        self._delete(context, resource_id, olds)

    def schema(self) -> dict[str, Any]:
        """Describe the resource as an entry of `resources` in a Pulumi package schema."""
        given = _properties(self.inputs, validation=True)
        for name in self.secret:
            given[name]["secret"] = True
        return {
            "description": (self.__doc__ or "").split("\n\n")[0].strip(),
            "inputProperties": given,
            "requiredInputs": sorted(self._wire(n) for n, f in self.inputs.model_fields.items() if f.is_required()),
            "properties": {**given, **_properties(self.outputs, validation=False)},
            "required": sorted(
                self._wire(name)
                for model in (self.inputs, self.outputs)
                for name, info in model.model_fields.items()
                if info.is_required()
            ),
        }

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell the state after the step, with UNKNOWN where only the step will know. Asks nobody."""
        del olds
        return {**news, **{self._wire(name): UNKNOWN for name in self.outputs.model_fields}}

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

    def _parse(self, news: Properties) -> InputsT:
        """Validate once more: what was unknown at the check is known now."""
        checked = self.check(news)
        if checked.failures:
            raise ResourceError(f"{self.name}: {checked.failures[0].reason}")
        if late := sorted(name for name, value in checked.inputs.items() if has_unknown(value)):
            raise ResourceError(f"{self.name}: {late[0]} is still unknown; what it comes from was not created")
        return self.inputs.model_validate(checked.inputs)

    def _defaults(self) -> Properties:
        defaults = {
            self._wire(name): info.get_default(call_default_factory=True, validated_data={})
            for name, info in self.inputs.model_fields.items()
            if not info.is_required()
        }
        return {name: value for name, value in defaults.items() if value is not None}

    def _wire(self, name: str) -> str:
        return to_camel(name)

    def _failures(
        self, error: ValidationError, given: Properties, later: Properties, secrets: frozenset[str]
    ) -> Iterable[Failure]:
        known = sorted(self._wire(name) for name in self.inputs.model_fields)
        for issue in error.errors(include_url=False, include_context=True, include_input=False):
            path = [str(part) for part in issue["loc"]]
            top = path[0] if path else ""
            where = ".".join(path)
            # A rule over several properties (no path) saw a default in place of what is not known yet.
            if (issue["type"] == "missing" and top in later) or (later and not path):
                continue
            if issue["type"] == "missing":
                yield Failure(top, f"{where} is missing; give it a value")
            elif issue["type"] == "extra_forbidden":
                near = difflib.get_close_matches(top, known, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"it knows {', '.join(known)}"
                yield Failure(top, f"{where} is no property of {self.name}; {remedy}")
            else:
                shown = "[secret]" if top in secrets else repr(given.get(top))[:SHOWN] if top else ""
                text = issue["msg"].removeprefix("Value error, ").replace("Input should", "it should")
                yield Failure(top, f"{where} = {shown}: {text}" if top else text)


def _properties(model: type[BaseModel], *, validation: bool) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, mode="validation" if validation else "serialization")
    return {name: _property(part) for name, part in schema.get("properties", {}).items()}


def _property(part: dict[str, Any]) -> dict[str, Any]:
    """Turn one JSON schema into Pulumi's type language; what Pulumi cannot say closer is Any."""
    options = [option for option in part.get("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        part = {**options[0], **{key: value for key, value in part.items() if key == "description"}}
    described = {"description": part["description"]} if "description" in part else {}
    match part.get("type"):
        case "string" | "integer" | "number" | "boolean" as kind:
            return {"type": kind, **described}
        case "array":
            return {"type": "array", "items": _property(part.get("items", {})), **described}
        case "object" if isinstance(part.get("additionalProperties"), dict):
            return {"type": "object", "additionalProperties": _property(part["additionalProperties"]), **described}
        case "object":
            return {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Any"}, **described}
        case _:
            return {"$ref": "pulumi.json#/Any", **described}
