"""What every section of settings is: a frozen, closed model whose fields carry all that is known of them.

Owns the base class and the markers of a field: where it lies in ARM, which endpoint kind has it, whether it names a
file of this machine, whether it may be an output of another resource. Refuses to own any field. Pure.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, Self, TypeAlias, TypeVar, get_args, overload

import pulumi
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    SkipValidation,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel, to_snake
from pydantic.fields import FieldInfo

from azureml_scoring.settings.rules import Text

T = TypeVar("T")
M = TypeVar("M")
OPTIONAL: Final[Any] = None
"""Default of an input that may be left out."""


def holds_output(value: object) -> bool:
    """Tell whether a value is, or contains, an output of another resource: nobody can check it yet."""
    if isinstance(value, Mapping):
        return any(holds_output(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(holds_output(each) for each in value)
    return isinstance(value, pulumi.Output)


def _pass_outputs(value: Any, check: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any input
    return value if holds_output(value) else check(value)


@dataclass(frozen=True)
class Hidden:
    """Marks a field that is no input of the package's schema."""


if TYPE_CHECKING:

    class In(Generic[T]):
        """A field that takes `pulumi.Input[T]` and reads as `T`: a program writes it, the provider process reads it."""

        @overload
        def __get__(self, instance: None, owner: type) -> "In[T]": ...
        @overload
        def __get__(self, instance: object, owner: type) -> T: ...
        def __get__(self, instance: object | None, owner: type) -> Any: ...  # noqa: D105
        def __set__(self, instance: object, value: pulumi.Input[T]) -> None: ...  # noqa: D105

    Secret = str | SecretStr | pulumi.Output[str]
    Internal: TypeAlias = "T | None"
else:

    class In:
        """A field that takes `pulumi.Input[T]`; an output passes unchecked."""

        def __class_getitem__(cls, item: Any) -> Any:  # noqa: ANN401, D105 - a type
            return Annotated[item, WrapValidator(_pass_outputs)]

    Secret = Annotated[SecretStr, Field(min_length=1), WrapValidator(_pass_outputs)]
    """A secret: never shown, sealed in the state. Plain text is refused in stack files."""

    class Internal:
        """What components hand on to each other inside one program: no input of the package's schema."""

        def __class_getitem__(cls, item: Any) -> Any:  # noqa: ANN401, D105 - a type
            return Annotated[SkipValidation[item | None], Hidden()]


def default(value: object) -> Any:  # noqa: ANN401 - as pydantic's own
    """Give an `In` field a default."""
    return Field(default=value)


def sealed(secret: object) -> pulumi.Output[str]:
    """Make a secret output of a `Secret`."""
    value: Any = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    return pulumi.Output.secret(value)


@dataclass(frozen=True)
class _Local:
    """Marks a path that a stack file writes as seen from the project's root."""


LocalPath = Annotated[Text, _Local()]


@dataclass(frozen=True)
class Only:
    """Marks a field that one endpoint kind alone has."""

    kind: Literal["managed", "kubernetes"]
    remedy: str
    """What to write instead with the other kind."""


@dataclass(frozen=True, init=False)
class Arm:
    """Where a field lies: which argument of which resource it becomes, and at which places of the ARM document."""

    resource: str
    """The own resource, or the ARM type of one that azure-native makes."""
    places: tuple[str, ...]
    """Dotted paths in the document; none where the field only steers the resource."""
    argument: str
    """The resource's property by wire name: the end of the first place unless said otherwise."""
    encode: Callable[[Any], Any] | None
    """Turns the value into the argument; without it a section becomes an object, everything else stays."""
    encoded: Any
    """Type of the argument where `encode` changes it."""
    decode: Callable[[Any], Any] | None
    """Turns the argument back into what a stack file writes, where `encode` changes it."""

    def __init__(
        self,
        resource: str,
        *places: str,
        argument: str = "",
        encode: Callable[[Any], Any] | None = None,
        encoded: object = Any,
        decode: Callable[[Any], Any] | None = None,
    ) -> None:
        for name, value in (
            ("resource", resource),
            ("places", places),
            ("argument", argument or places[0].rpartition(".")[2]),
            ("encode", encode),
            ("encoded", encoded),
            ("decode", decode),
        ):
            object.__setattr__(self, name, value)

    def value(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        """Spell a value as the argument."""
        if value is None or self.encode is None:
            return value.wire() if isinstance(value, Section) else value
        return self.encode(value)


class Section(BaseModel):
    """A part of the settings: frozen and closed, snake_case in Python and camelCase in files and on the wire."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        alias_generator=to_camel,
        validate_by_name=True,
        hide_input_in_errors=True,
        defer_build=True,
        arbitrary_types_allowed=True,
    )

    def written(self, name: str) -> bool:
        """Tell whether a field was written, as opposed to left to its default."""
        return name in self.model_fields_set and getattr(self, name) is not None

    def wire(self) -> dict[str, Any]:
        """Return the values by wire name, without what is not there."""
        return self.model_dump(by_alias=True, exclude_none=True)

    def rooted(self, root: Path) -> Self:
        """Resolve every path that is seen from the project's root."""
        changed: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, str) and marker(field, _Local) is not None:
                changed[name] = str((root / value).resolve())
            elif isinstance(value, Section) and name in self.model_fields_set:
                changed[name] = value.rooted(root)
            elif isinstance(value, Mapping) and any(isinstance(each, Section) for each in value.values()):
                changed[name] = {key: each.rooted(root) for key, each in value.items()}
            elif isinstance(value, list) and name in self.model_fields_set and section_of(field.annotation):
                changed[name] = [each.rooted(root) for each in value]
        return self.model_copy(update=changed)


def marker(field: FieldInfo, kind: type[M]) -> M | None:
    """Return the first marker of a kind on a field, or inside its type."""
    return next(_markers((*field.metadata, field.annotation), kind), None)


def _markers(parts: tuple[Any, ...], kind: type[M]) -> Iterator[M]:
    for part in parts:
        if isinstance(part, kind):
            yield part
        yield from _markers((*getattr(part, "__metadata__", ()), *get_args(part)), kind)


@dataclass(frozen=True)
class Taken:
    """Marks a field that another section declares."""

    section: "type[Section]"
    path: str
    """Names of fields, with dots between them."""


def description(model: type[Section], name: str) -> str:
    """Return what stands below a field's declaration. It is read from the source: schemas alone need it."""
    field = model.model_fields[name]
    if field.description:
        return field.description
    if (taken := marker(field, Taken)) is not None:
        *parents, name = taken.path.split(".")
        model = taken.section
        for parent in parents:
            model = section_of(model.model_fields[parent].annotation) or model
        return description(model, name)
    owners = (each for each in model.__mro__ if issubclass(each, Section) and each is not Section)
    return next((found[name] for found in map(_docstrings_of, owners) if name in found), "")


def attribute_docstrings(owner: type) -> dict[str, str]:
    """Read what stands below each attribute of a class."""
    return dict(_docstrings(ast.parse(textwrap.dedent(inspect.getsource(owner)))))


@functools.cache
def _docstrings_of(model: type[Section]) -> dict[str, str]:
    try:
        return attribute_docstrings(model)
    except OSError:  # made by `create_model`: its fields are described where they are declared
        return {}


def _docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    (definition,) = tree.body
    for attribute, below in pairwise(definition.body if isinstance(definition, ast.ClassDef) else []):
        match attribute, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                yield name, " ".join(words.split())


def section_of(annotation: object) -> type[Section] | None:
    """Find the section that a field's type leads to."""
    if inspect.isclass(annotation):
        return annotation if issubclass(annotation, Section) else None
    return next(filter(None, map(section_of, get_args(annotation))), None)


def arm_fields(model: type[Section], resource: str) -> Iterator[tuple[str, FieldInfo, Arm]]:
    """List the fields of a section that become arguments of a resource; those of nested sections included."""
    for name, field in model.model_fields.items():
        arm = marker(field, Arm)
        if arm is not None:
            if arm.resource == resource:
                yield name, field, arm
        elif (nested := section_of(field.annotation)) is not None and "dict" not in str(field.annotation):
            for inner, each, place in arm_fields(nested, resource):
                yield f"{name}.{inner}", each, place


def arguments(settings: Section, resource: str) -> dict[str, Any]:
    """Return what a section says of a resource, as keyword arguments of that resource's `Args`."""
    values = {}
    for path, _, arm in arm_fields(type(settings), resource):
        value: Any = settings
        for name in path.split("."):
            value = getattr(value, name, None)
        values[to_snake(arm.argument)] = arm.value(value)
    return {name: value for name, value in values.items() if value is not None}


# -- ARM documents -----------------------------------------------------------------------------------------------------


def to_document(args: Section) -> dict[str, Any]:
    """Write what lies in ARM of a resource's arguments, each at its places."""
    document: dict[str, Any] = {}
    for name, field in type(args).model_fields.items():
        arm, value = marker(field, Arm), getattr(args, name)
        for place in arm.places if arm and value is not None else ():
            *parents, last = place.split(".")
            inside = document
            for parent in parents:
                inside = inside.setdefault(parent, {})
            inside[last] = value
    return document


def from_document(model: type[Section], document: Mapping[str, Any]) -> dict[str, Any]:
    """Read a resource's arguments off its ARM document, by wire name: the way back of `to_document`."""
    values = {}
    for name, field in model.model_fields.items():
        if (arm := marker(field, Arm)) is not None and arm.places:
            values[to_camel(name)] = at_path(document, arm.places[0].split("."))
    return {name: value for name, value in values.items() if value is not None}


def at_path(values: object, path: Iterable[str | int]) -> Any:  # noqa: ANN401 - JSON
    """Return what stands at a path of nested objects; None where it does not lead on."""
    value: Any = values
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
