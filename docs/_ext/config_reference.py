"""Writes the config reference: one table a section, from the JSON Schema of a stack file.

Owns how a field is shown. Refuses to own any fact about one: type, rule, default, sides and description stand at the
field's declaration, and `azureml_scoring.settings.json_schema` reads them there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azureml_scoring.settings.json_schema import stack_schema
from azureml_scoring.settings.stack_file import NAMESPACE
from sphinx.application import Sphinx

MARKER = "<!-- config-reference -->"
"""The line of a page that the tables replace."""

_Schema = Mapping[str, Any]
_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "minProperties": "at least {} entries",
    "maxProperties": "at most {} entries",
}


@dataclass
class Section:
    """A section of a stack file, with every path at which it can stand; the top level has the path ``""``."""

    schema: _Schema
    paths: list[str]


def sections(schema: _Schema) -> list[Section]:
    """All sections in the order of the stack file, each shape once."""
    config = schema["properties"]["config"]
    properties = {name.removeprefix(f"{NAMESPACE}:"): field for name, field in config["properties"].items()}
    required = [name.removeprefix(f"{NAMESPACE}:") for name in config["required"]]
    top = Section({**config, "properties": properties, "required": required}, [""])
    by_name: dict[str, Section] = {"": top}
    for path, name in _references(top.schema, "", schema["$defs"]):
        known = by_name.setdefault(name, Section(schema["$defs"][name], []))
        known.paths.append(path)
    return list(by_name.values())


def anchor(path: str) -> str:
    """The id in the page of a section or a field: `deployments.NAME.routes` is `config-deployments-name-routes`."""
    return "-".join(["config", *path.replace("[]", "").lower().split(".")]) if path else "config-top"


def reference(schema: _Schema) -> str:
    """The tables, in Markdown."""
    return "\n".join(line for section in sections(schema) for line in _section(section))


def _references(schema: _Schema, path: str, definitions: _Schema) -> Iterator[tuple[str, str]]:
    """Path and name of every section below one."""
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}".removeprefix(".")
        node = _plain(field)
        if "additionalProperties" in node and isinstance(node["additionalProperties"], dict):
            node, below = _plain(node["additionalProperties"]), f"{below}.NAME"
        elif "items" in node:
            node, below = _plain(node["items"]), f"{below}[]"
        target = node.get("$ref", "").rpartition("/")[2]
        if target and target != "Secret":
            yield below, target
            yield from _references(definitions[target], below, definitions)


def _plain(field: _Schema) -> _Schema:
    """A field without the alternative that it is a secret as a whole, which Pulumi allows for every key."""
    match field:
        case {"anyOf": [first, *_], **rest}:
            return {**first, **rest}
        case _:
            return field


def _section(section: Section) -> Iterator[str]:
    schema, paths = section.schema, section.paths
    for path in paths:
        yield f"({anchor(path)})="
    yield "## " + (", ".join(f"`{path}`" for path in paths) if paths[0] else "Top level")
    yield ""
    yield schema["description"]
    yield ""
    fields = schema["properties"]
    titles = {"x-sides": "Endpoint kinds", "x-arm": "In Azure Resource Manager"}
    extra = [key for key in titles if any(key in _plain(field) for field in fields.values())]
    head = ["Field", "Description", "Value", "Default", *(titles[key] for key in extra)]
    yield _row(head)
    yield _row(["---"] * len(head))
    for name, field in fields.items():
        yield _row(_cells(paths[0], name, _plain(field), extra, required=name in schema.get("required", ())))
    yield ""


def _cells(path: str, name: str, field: _Schema, extra: list[str], *, required: bool) -> list[str]:
    whole = f"{path}.{name}".removeprefix(".")
    default = "required" if required else f"`{_literal(field['default'])}`" if "default" in field else ""
    shown = [f"[`{name}`]{{#{anchor(whole)}--field}}", field.get("description", ""), _value(field, whole), default]
    return shown + [_words(field.get(key, "")) for key in extra]


def _value(field: _Schema, path: str) -> str:
    """What may stand there, in words."""
    match field:
        case {"x-secret": True} | {"$ref": "#/$defs/Secret"}:
            words = "secret text"
        case {"$ref": _}:
            words = f"[section](#{anchor(path)})"
        case {"enum": values}:
            words = ", ".join(f"`{_literal(each)}`" for each in values)
        case {"type": "array", "items": items}:
            words = f"list of {_kind(_plain(items), path + '[]')}"
        case {"additionalProperties": dict() as values}:
            names = _rule(field.get("propertyNames", {}))
            words = f"mapping of names to {_kind(_plain(values), path + '.NAME')}"
            words += f"; a name takes {names}" if names else ""
        case {"type": "object"}:
            words = "any JSON object"
        case _:
            words = _joined(_TYPES[field["type"]], _rule(field))
    return _joined(words, _bounds(field))


def _kind(field: _Schema, path: str) -> str:
    """What the entries of a list or a mapping are."""
    if not field.get("$ref", "#/$defs/Secret").endswith("/Secret"):
        return f"[sections](#{anchor(path)})"
    return _value(field, path).replace("number", "numbers", 1)


def _rule(field: _Schema) -> str:
    """The rule's own words: what stands after "takes" in the line that an error shows."""
    if "enum" in field:
        return f"`{field['enum'][0]}` to `{field['enum'][-1]}`"
    words = field.get("patternErrorMessage", "").partition(" takes ")[2].replace("\\", "\\\\")
    examples = ", ".join(f"`{each}`" if "`" not in each else each for each in field.get("examples", []))
    return _joined(words, f"for instance {examples}" if words and examples else "")


def _bounds(field: _Schema) -> str:
    return ", ".join(words.format(field[key]) for key, words in _BOUNDS.items() if key in field)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(value: object) -> str:
    return ", ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;") for cell in cells) + " |"


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    del app, name
    if MARKER in source[0]:
        source[0] = source[0].replace(MARKER, reference(stack_schema()))


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill the page when it is read."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
