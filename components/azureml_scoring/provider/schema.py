"""The package's schema: what other languages and `pulumi package` learn of it, derived from the models.

Owns Pulumi's type language. Owns no description: each stands at its field, class or output.
https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/
"""

import importlib
import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, SecretStr
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from azureml_scoring.component import Component
from azureml_scoring.provider.framework import Resource
from azureml_scoring.settings.arguments import PACKAGE
from azureml_scoring.settings.section import Hidden, Section, attribute_docstrings, description, marker

_COMPONENTS: Final = {
    "WorkspaceRegistry": "registry",
    "PullPrincipal": "principal",
    "CustomImage": "image",
    "ScoringEndpoint": "endpoint",
    "ScoringStack": "stack",
}
"""The components by name, and the module that each is in."""
_SCALARS: Final = {str: "string", int: "integer", float: "number", bool: "boolean", SecretStr: "string"}
_ANY: Final = {"$ref": "pulumi.json#/Any"}
_REPOSITORY: Final = "https://github.com/azureml-scoring/azureml-scoring"


def version() -> str:
    """Return the version of this package, which is the plugin's."""
    return metadata.version(PACKAGE)


@cache
def components() -> Mapping[str, type[Component]]:
    """Return the components by type token; imported at first use, because most steps need none."""
    modules = {name: importlib.import_module(f"azureml_scoring.{module}") for name, module in _COMPONENTS.items()}
    return {f"{PACKAGE}:index:{name}": getattr(module, name) for name, module in modules.items()}


def package_schema(resources: Iterable[Resource[Any]]) -> dict[str, Any]:
    """Describe the whole package."""
    types: dict[str, Any] = {}
    described = {token: _component(kind, types) for token, kind in components().items()}
    described |= {resource.token: _resource(resource, types) for resource in resources}
    return {
        "name": PACKAGE,
        "version": version(),
        "displayName": "Azure ML scoring",
        "description": metadata.metadata(PACKAGE)["Summary"],
        "keywords": ["pulumi", "azure", "machine-learning", "category/cloud", "kind/component"],
        "publisher": PACKAGE,
        "license": "Apache-2.0",
        "repository": _REPOSITORY,
        "language": {
            "nodejs": {"packageName": PACKAGE, "respectSchemaVersion": True},
            "python": {"respectSchemaVersion": True},
        },
        "resources": described,
        "types": dict(sorted(types.items())),
    }


def _component(kind: type[Component], types: dict[str, Any]) -> dict[str, Any]:
    outputs = {name: annotation for name, annotation in kind.__annotations__.items() if name in [*kind.output_names()]}
    descriptions = attribute_docstrings(kind)
    return {
        "isComponent": True,
        "description": inspect.cleandoc(kind.__doc__ or ""),
        **_inputs(kind.Args, types, plain=True),
        "properties": {
            to_camel(name): {**_type(get_args(annotation)[0], types), "description": descriptions[name]}
            for name, annotation in outputs.items()
        },
        "required": sorted(map(to_camel, outputs)),
    }


def _resource(resource: Resource[Any], types: dict[str, Any]) -> dict[str, Any]:
    inputs = _inputs(resource.inputs, types, plain=False)
    for name in resource.secret:
        inputs["inputProperties"][name]["secret"] = True
    outputs = _properties(resource.outputs, types, plain=False)
    required = [str(field.alias) for field in resource.outputs.model_fields.values() if field.is_required()]
    return {
        "description": inspect.cleandoc(resource.__doc__ or "").split("\n\n")[0],
        **inputs,
        "properties": {**inputs["inputProperties"], **outputs},
        "required": sorted({*inputs["requiredInputs"], *required}),
    }


def _inputs(model: type[Section], types: dict[str, Any], *, plain: bool) -> dict[str, Any]:
    required = [str(field.alias) for field in _fields(model).values() if field.is_required()]
    return {"inputProperties": _properties(model, types, plain=plain), "requiredInputs": sorted(required)}


def _fields(model: type[Section]) -> dict[str, FieldInfo]:
    return {name: field for name, field in model.model_fields.items() if marker(field, Hidden) is None}


def _properties(model: type[Section], types: dict[str, Any], *, plain: bool) -> dict[str, Any]:
    return {
        str(field.alias): {**_property(field, types, plain=plain), "description": description(model, name)}
        for name, field in _fields(model).items()
    }


def _property(field: FieldInfo, types: dict[str, Any], *, plain: bool) -> dict[str, Any]:
    described = _type(field.annotation, types)
    if "SecretStr" in str(field.annotation):
        described["secret"] = True
    elif plain and "_pass_outputs" not in str(field.metadata) and "$ref" not in str(described):
        described["plain"] = True  # it must be known before the run
    return described


def _type(annotation: Any, types: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401, PLR0911 - a return a type
    """Say a type in Pulumi's type language; what it cannot say closer is Any."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        # Where more is taken than is kept, what is taken.
        taken = [each.json_schema_input_type for each in arguments if isinstance(each, BeforeValidator)]
        return _type(next((each for each in taken if each is not PydanticUndefined), arguments[0]), types)
    if origin in {Union, UnionType}:
        options = [each for each in arguments if each is not NoneType]
        return _type(options[0], types) if len(options) == 1 else _ANY
    if origin is Literal:
        return {"type": "string"}
    if origin is list:
        return {"type": "array", "items": _type(arguments[0], types)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], types)}
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        return {"$ref": f"#/types/{_section(annotation, types)}"}
    return {"type": _SCALARS[annotation]} if annotation in _SCALARS else _ANY


def _section(model: type[Section], types: dict[str, Any]) -> str:
    token = f"{PACKAGE}:index:{model.__name__}"
    if token not in types:
        types[token] = {}  # a section that holds itself would come here again
        required = [str(field.alias) for field in _fields(model).values() if field.is_required()]
        types[token] = {
            "type": "object",
            "description": inspect.cleandoc(model.__doc__ or ""),
            "properties": _properties(model, types, plain=True),
            "required": sorted(required),
        }
    return token
