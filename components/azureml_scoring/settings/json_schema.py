"""`azureml-scoring schema` writes the JSON Schema of `Pulumi.STACK.yaml`, by which editors complete and check one.

Owns how the settings look in a stack file: keys with a namespace, secrets as Pulumi seals them. Refuses to own a field
or a rule: whoever adds one runs it again. What goes together (`validation.py`) no schema can tell.
https://www.pulumi.com/docs/iac/concepts/projects/stack-settings-file
"""

import json
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from azureml_scoring.settings.section import Arm, Only, Section, description, marker, section_of
from azureml_scoring.settings.stack import StackSettings
from azureml_scoring.settings.stack_file import NAMESPACE

FILE: Final = Path("schema") / "pulumi-stack.schema.json"
"""Where a project keeps the schema, seen from its root."""

HEADER: Final = f"# yaml-language-server: $schema={FILE}"
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
        described = super().default_schema(schema)
        if isinstance(described["default"], dict) or described["default"] in (None, "", []):
            del described["default"]
        return described

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        # A key that breaks the pattern is wrong, not free.
        described = super().dict_schema(schema)
        for pattern, values in described.pop("patternProperties", {}).items():
            names = {**described.get("propertyNames", {}), "pattern": pattern}
            described |= {"additionalProperties": values, "propertyNames": names}
        return described

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False


def stack_schema() -> dict[str, Any]:
    """Make the JSON Schema of a stack file."""
    described = StackSettings.model_json_schema(by_alias=True, schema_generator=_Generate)
    definitions = described.pop("$defs")
    _annotate(StackSettings, described)
    for model in _sections(StackSettings):
        _annotate(model, definitions[model.__name__])
    keys = {f"{NAMESPACE}:{name}": _or_secret(section) for name, section in described["properties"].items()}
    known = "|".join(described["properties"])
    config = {
        "type": "object",
        "description": described["description"],
        "properties": keys,
        "required": [f"{NAMESPACE}:{name}" for name in described["required"]],
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
    """Return the file's text."""
    return json.dumps(stack_schema(), indent=2, ensure_ascii=False) + "\n"


def _sections(model: type[Section]) -> set[type[Section]]:
    below = {each for field in model.model_fields.values() if (each := section_of(field.annotation)) is not None}
    return below.union(*map(_sections, below))


def _annotate(model: type[Section], schema: dict[str, Any]) -> None:
    """Add what JSON Schema has no word for: the endpoint kind that has a field, and its place in ARM."""
    schema.pop("title", None)
    for name, field in model.model_fields.items():
        key = field.alias or name
        described = dict(sorted({**schema["properties"][key], "description": description(model, name)}.items()))
        schema["properties"][key] = described
        if (only := marker(field, Only)) is not None:
            described["x-sides"] = [only.kind]
        if (arm := marker(field, Arm)) is not None and arm.places:
            described["x-arm"] = [f"{arm.resource}: {place}" for place in arm.places]
        if "SecretStr" in str(field):
            described["x-secret"] = True


def _or_secret(section: dict[str, Any]) -> dict[str, Any]:
    """Let a whole key be a secret too: Pulumi seals what it is told to."""
    described = {"description": section.pop("description")}
    return {**described, "anyOf": [section, _SECURE]}


def _sealed(node: Any) -> Any:  # noqa: ANN401 - JSON
    """Allow a secret text only as Pulumi keeps it: sealed."""
    match node:
        case {"format": "password", **field}:
            kept = {key: value for key, value in field.items() if key in {"description", "x-secret"}}
            return {**kept, **_SECURE}
        case dict():
            return {key: _sealed(value) for key, value in node.items()}
        case list():
            return [_sealed(value) for value in node]
        case _:
            return node
