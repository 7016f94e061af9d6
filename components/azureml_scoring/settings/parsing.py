"""Reading values into sections, with one line for each error: field, value and what to write.

Owns the words for what pydantic finds wrong. Refuses to own where values come from (`stack_file.py`, component inputs).
"""

import difflib
import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import pulumi
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from azureml_scoring.settings.errors import HIDDEN, SettingsError, error_line, missing_line
from azureml_scoring.settings.section import Section, at_path, section_of

SectionT = TypeVar("SectionT", bound=Section)
_REMEDIES: Final = {
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "string_type": "write a text, in quotes where it looks like a number",
    "string_too_short": "write at least one character, or take it out",
    "list_type": "write a list, such as [10, 50, 100]",
}
"""What to write, by pydantic's type of error."""
_SECRET: Final = re.compile("(?i)pass|pwd|secret|token")
"""Names of fields whose values are not shown, misspelt ones included, in a section that holds a secret."""
RENAMED: Final = {"probe": "smokeTest"}
"""Old names of fields, refused with the new one."""


def parse(model: type[SectionT], values: object, prefix: str = "", *, file: bool = False) -> SectionT:
    """Read values into a section; raise a `SettingsError` with one line for each that is wrong.

    A stack file (`file`) has camelCase names only; a program may write Python's names as well.
    """
    if isinstance(values, model):
        return values
    try:
        return model.model_validate(values, by_alias=True, by_name=not file)
    except ValidationError as error:
        raise SettingsError("\n".join(line for _, line in error_lines(error, model, values, prefix))) from None


def error_lines(
    error: ValidationError,
    model: type[Section],
    values: object,
    prefix: str = "",
    hidden: frozenset[str] = frozenset(),
) -> Iterator[tuple[ErrorDetails, str]]:
    """Say each of pydantic's findings in one line; values of fields named in `hidden` are not shown."""
    for problem in error.errors(include_url=False):
        yield problem, _line(problem, model, values, prefix, hidden)


def _line(  # noqa: PLR0911 - one return a kind of error
    problem: ErrorDetails, root: type[Section], values: object, prefix: str, hidden: frozenset[str]
) -> str:
    path = [part for part in problem["loc"] if part != "[key]"]
    *parents, last = path or [""]
    names = [*_alias(root, parents), last]
    field = f"{prefix}{'.'.join(map(str, _alias(root, path)))}"
    secret = _is_secret(root, path) or bool(hidden.intersection(map(str, path[:1])))
    value = HIDDEN if secret else problem.get("input", at_path(values, path))
    context = problem.get("ctx") or {}
    match problem["type"]:
        case "extra_forbidden":
            return error_line(f"{prefix}{'.'.join(map(str, names))}", value, _unknown(root, path))
        case "missing":
            return missing_line(field, f"write it{_example('; see', prefix, path)}")
        case "literal_error":
            return error_line(field, value, f"one of {context['expected']}".replace("'", "").replace(" or ", ", "))
        case "value_error":
            return error_line(field, value, str(context["error"])) if path else str(context["error"])
        case "dict_type" | "model_type" | "model_attributes_type":
            return error_line(
                field, value, f"this is a section; write its fields below it{_example(', as in', prefix, path)}"
            )
        case _ if isinstance(value, pulumi.Output):
            return error_line(field, "an output", "it must be known before the run; write a plain value")
        case kind:
            return error_line(field, value, _REMEDIES.get(kind) or _plain(problem["msg"]))


def _plain(message: str) -> str:
    return message.replace("Input should be", "write").replace("Value should have", "it takes")


def _alias(root: type[Section], path: list[Any]) -> Iterator[Any]:
    """Spell a path as files do."""
    model: type[BaseModel] | None = root
    for part in path:
        field = _field(model, part)
        yield to_camel(part) if field is not None else part
        model = section_of(field.annotation) if field is not None else model


def _field(model: type[BaseModel] | None, part: object) -> Any:  # noqa: ANN401 - pydantic's FieldInfo
    fields = model.model_fields if model else {}
    return next((field for name, field in fields.items() if part in {name, field.alias}), None)


def model_at(root: type[Section], path: list[Any]) -> type[Section]:
    """Follow a path to the section it leads to."""
    model = root
    for part in path:
        if (field := _field(model, part)) is not None:
            model = section_of(field.annotation) or model
    return model


def _is_secret(root: type[Section], path: list[Any]) -> bool:
    """Tell whether a value is, or was probably meant to be, a secret."""
    for depth, part in enumerate(path):
        fields = model_at(root, path[:depth]).model_fields.values()
        if any("SecretStr" in str(field) for field in fields) and _SECRET.search(str(part)):
            return True
    return False


def _unknown(root: type[Section], path: list[Any]) -> str:
    """Name the field that was probably meant."""
    *parents, last = path
    known = [to_camel(name) for name in model_at(root, parents).model_fields]
    if RENAMED.get(str(last)) in known:
        return f"it is called {RENAMED[str(last)]} now; write that"
    close = difflib.get_close_matches(str(last), known, n=1, cutoff=0.6)
    lower = [name for name in known if name.lower() == str(last).lower().replace("_", "").replace("-", "")]
    if lower or close:
        return f"no such field; did you mean {(lower or close)[0]}?"
    return f"no such field; one of {', '.join(known)}"


def _example(before: str, prefix: str, path: list[Any]) -> str:
    """Point to an example, where the values come from a stack file."""
    return f"{before} Pulumi.local.yaml, {prefix}{path[0]}" if prefix else ""
