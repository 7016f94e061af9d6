"""The package's schema: what other languages and `pulumi package` learn of it.

Owns how the two halves come together: components by the SDK's analyzer, from their type annotations and docstrings; own
resources from their models (`provider/framework.py`). Owns no description: each stands at its thing.
"""

import importlib
import inspect
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

from pulumi.provider.experimental.component import ComponentProvider

from azureml_scoring.provider.framework import PACKAGE, Resource

_DISTRIBUTION = "azureml-scoring"
_COMPONENTS = {
    "WorkspaceRegistry": "registry",
    "PullPrincipal": "principal",
    "CustomImage": "image",
    "ScoringEndpoint": "endpoint",
    "ScoringStack": "stack",
}
"""The components by name, and the module of `azureml_scoring` each lives in."""


def version() -> str:
    """The version of this package, which is the plugin's."""
    return metadata.version(_DISTRIBUTION)


@cache
def hosted() -> ComponentProvider:
    """The SDK's host of the components. Made at first use: it reads the sources, and most steps need no component."""
    classes = [
        getattr(importlib.import_module(f"azureml_scoring.{module}"), name) for name, module in _COMPONENTS.items()
    ]
    return ComponentProvider(classes, PACKAGE, version=version())


def package_schema(components: ComponentProvider, resources: Iterable[Resource[Any]]) -> Mapping[str, Any]:
    """The schema of the whole package."""
    found: dict[str, Any] = json.loads(components.schema or "{}", object_hook=_flush)
    own = {resource.token: resource.schema() for resource in resources}
    return {
        **found,
        "displayName": "Azure ML scoring",
        "description": metadata.metadata(_DISTRIBUTION)["Summary"],
        "keywords": ["pulumi", "azure", "machine-learning", "category/cloud", "kind/component"],
        "resources": {**found.get("resources", {}), **own},
    }


def _flush(node: dict[str, Any]) -> dict[str, Any]:
    """Take the source's indentation out of a description: in Markdown it would be code."""
    if isinstance(node.get("description"), str):
        node["description"] = inspect.cleandoc(node["description"])
    return node
