"""`azureml-scoring schema` writes the JSON Schema of `Pulumi.<stack>.yaml`, by which editors complete and check one.

Owns how the model of `settings/stack_file.py` looks in a stack file: keys with a namespace, secrets as Pulumi keeps
them, and the description of each field, which stands at the field or at its twin in `settings/types.py`. Refuses to
own a field or a rule: whoever adds one runs it again. What goes together (`settings/validation.py`) no schema can
tell.
https://www.pulumi.com/docs/iac/concepts/projects/stack-settings-file
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, get_args, is_typeddict

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from azureml_scoring.settings.stack_file import NAMESPACE, Config, sections
from azureml_scoring.stack import ScoringStackArgs

FILE: Final = Path(__file__).resolve().parents[3] / "schema" / "pulumi-stack.schema.json"

HEADER: Final = f"# yaml-language-server: $schema={FILE.parent.name}/{FILE.name}"
"""The line on top of a stack file by which editors find the schema."""

_SECURE: Final = {"$ref": "#/$defs/Secret"}
_SECRET: Final = {
    "description": "A secret, written by `pulumi config set --secret --path`.",
    "type": "object",
    "properties": {"secure": {"type": "string", "description": "The value, sealed with the stack's key."}},
    "required": ["secure"],
    "additionalProperties": False,
}
_OTHERS: Final = {
    "secretsprovider": {"type": "string", "description": "Who seals the secrets; `pulumi stack init` writes it."},
    "encryptedkey": {"type": "string", "description": "The sealed key of the secrets; Pulumi writes it."},
    "encryptionsalt": {"type": "string", "description": "The salt of the passphrase; Pulumi writes it."},
    "environment": {"type": ["array", "object"], "description": "Pulumi ESC environments that the stack imports."},
}


class _Generate(GenerateJsonSchema):
    """Says it as a person would write it: a field that may be left out is left out, not null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if isinstance(found["default"], dict) or not found["default"]:
            del found["default"]
        return found

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        # A key that breaks the pattern is wrong, not free.
        found = super().dict_schema(schema)
        for pattern, values in found.pop("patternProperties", {}).items():
            names = {**found.get("propertyNames", {}), "pattern": pattern}
            found |= {"additionalProperties": values, "propertyNames": names}
        return found

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False


def stack_schema() -> dict[str, Any]:
    """The JSON Schema of a stack file."""
    found = Config.model_json_schema(by_alias=True, schema_generator=_Generate)
    definitions = found.pop("$defs")
    for model, twin in _twins(Config, ScoringStackArgs):
        told = {**_docstrings(twin), **_docstrings(model)}
        shown = found if model is Config else definitions[model.__name__]
        shown.pop("title", None)
        for field in model.model_fields:
            shown["properties"][to_camel(field)].setdefault("description", told[field])
    keys = {f"{NAMESPACE}:{name}": _or_secret(section) for name, section in found["properties"].items()}
    known = "|".join(found["properties"])
    config = {
        "type": "object",
        "description": found["description"],
        "properties": keys,
        "required": [f"{NAMESPACE}:{name}" for name in found["required"]],
        # Other namespaces belong to providers.
        "patternProperties": {f"^{NAMESPACE}:(?!({known})$)": False},
    }
    whole = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "azureml-scoring: Pulumi.<stack>.yaml",
        "type": "object",
        "properties": {"config": config, **_OTHERS},
        "required": ["config"],
        "$defs": {**definitions, "Secret": _SECRET},
    }
    return dict(_sealed(whole))


def text() -> str:
    """The file's text."""
    return json.dumps(stack_schema(), indent=2, ensure_ascii=False) + "\n"


def _or_secret(section: dict[str, Any]) -> dict[str, Any]:
    """Let a whole key be a secret too: Pulumi seals what it is told to."""
    described = {"description": section.pop("description")}
    return {**described, "anyOf": [section, _SECURE]}


def _sealed(node: Any) -> Any:  # noqa: ANN401 - JSON
    """Allow a secret text only as Pulumi keeps it: sealed."""
    match node:
        case {"format": "password", **field}:
            return {**{key: value for key, value in field.items() if key == "description"}, **_SECURE}
        case dict():
            return {key: _sealed(value) for key, value in node.items()}
        case list():
            return [_sealed(value) for value in node]
        case _:
            return node


def _twins(model: type[BaseModel], twin: type) -> Iterator[tuple[type[BaseModel], type]]:
    """Each section of the config with the settings of the components that it becomes."""
    yield model, twin
    for name, field in model.model_fields.items():
        for section in sections(field.annotation):
            for settings in _settings(twin.__annotations__.get(name)):
                yield from _twins(section, settings)


def _settings(hint: object) -> Iterator[type]:
    if isinstance(hint, type) and is_typeddict(hint):
        yield hint
    for argument in get_args(hint):
        yield from _settings(argument)


def _docstrings(owner: type) -> dict[str, str]:
    """What stands below each field of a class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    told = {}
    for field, below in pairwise(tree.body if isinstance(tree, ast.ClassDef) else []):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                told[name] = inspect.cleandoc(words).replace("\n", " ")
    return told
