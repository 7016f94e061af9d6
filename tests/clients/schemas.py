"""Prints the fields of azure-ai-ml's schemas of online endpoints and deployments, as JSON: nested by name.

Runs in the clients' own environment: `python schemas.py REPORT.json`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from azure.ai.ml._schema._deployment.online.online_deployment import (
    KubernetesOnlineDeploymentSchema,
    ManagedOnlineDeploymentSchema,
)
from azure.ai.ml._schema._endpoint.online.online_endpoint import (
    KubernetesOnlineEndpointSchema,
    ManagedOnlineEndpointSchema,
)
from azure.ai.ml.constants._common import BASE_PATH_CONTEXT_KEY
from marshmallow.fields import Nested

SCHEMAS = {
    "endpoint": ManagedOnlineEndpointSchema,
    "deployment": ManagedOnlineDeploymentSchema,
    "kubernetes_endpoint": KubernetesOnlineEndpointSchema,
    "kubernetes_deployment": KubernetesOnlineDeploymentSchema,
}


def fields_of(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - marshmallow is not installed here
    """List a schema's fields, those of nested schemas below them."""
    return {field.data_key or name: nested(field) for name, field in schema.fields.items()}


def nested(field: Any) -> dict[str, Any]:  # noqa: ANN401
    """List what is nested in a field; all members of a union together."""
    fields: dict[str, Any] = {}
    for each in getattr(field, "union_fields", [field]):
        inner = getattr(each, "_experimental_field", each)
        if isinstance(inner, Nested):
            fields |= fields_of(inner.schema)
    return fields


def main() -> None:
    """Write the report."""
    context = {BASE_PATH_CONTEXT_KEY: Path.cwd()}
    report = {name: fields_of(schema(context=context)) for name, schema in SCHEMAS.items()}
    Path(sys.argv[1]).write_text(json.dumps(report))


main()
