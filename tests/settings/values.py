"""Values for any field of the settings, made from its type and rule alone: a new field gets one without a line here."""

from inspect import isclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from azureml_scoring.settings.rules import RULES
from azureml_scoring.settings.section import Section
from pydantic import SecretStr
from pydantic.fields import FieldInfo

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g/providers"
ML = f"{GROUP}/Microsoft.MachineLearningServices/workspaces/ml"
_IDS = {
    "registryId": f"{GROUP}/Microsoft.ContainerRegistry/registries/acr01",
    "workspaceId": ML,
    "computeId": f"{ML}/computes/aks",
    "clusterId": f"{GROUP}/Microsoft.ContainerService/managedClusters/aks01",
    "identityId": f"{GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/pull",
    "logWorkspaceId": f"{GROUP}/Microsoft.OperationalInsights/workspaces/logs",
    "endpointId": f"{ML}/onlineEndpoints/scoring",
    "environmentId": f"{ML}/environments/app/versions/1",
    "modelId": f"{ML}/models/iris/versions/3",
    "codeId": f"{ML}/codes/app/versions/1",
    "vaultSecret": "https://v1.vault.azure.net/secrets/pull",
    "subnet": f"{GROUP}/Microsoft.Network/virtualNetworks/hub/subnets/private",
    "privateZone": f"{GROUP}/Microsoft.Network/privateDnsZones/privatelink.azurecr.io",
    "resourceId": f"{GROUP}/Microsoft.Storage/storageAccounts/data",
    "digest": f"sha256:{'c' * 64}",
    "pinnedImage": f"ghcr.io/team/app@sha256:{'c' * 64}",
    "python": "3.12",
    "route": "/predict",
    "timeOfDay": "08:30",
    "platform": "linux/arm64",
    "date": "2041-01-31T00:00:00Z",
}
"""Where a rule's example is a way to get one, or a shortened one."""


def value_of(field: FieldInfo) -> Any:  # noqa: ANN401 - any field
    """Make a value that is right for a field, and not its default."""
    return _value(field.annotation, field.metadata, field.default)


def _value(kind: Any, metadata: list[Any], default: object = None) -> Any:  # noqa: ANN401, PLR0911 - a return a type
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _value(arguments[0], [*kind.__metadata__, *metadata], default)
    if origin in {Union, UnionType}:
        return _value(next(each for each in arguments if each is not NoneType), metadata, default)
    if origin is Literal:
        return next(choice for choice in reversed(arguments) if choice != default)
    if origin is list:
        return [_value(arguments[0], [])]
    if origin is dict:
        return {_value(arguments[0], []): _value(arguments[1], [])}
    if isclass(kind) and issubclass(kind, Section):
        return {field.alias: value_of(field) for field in kind.model_fields.values()}
    return _scalar(kind, metadata, default)


def _scalar(kind: Any, metadata: list[Any], default: object) -> Any:  # noqa: ANN401 - any field
    flat = [*metadata, *(inner for each in metadata if isinstance(each, FieldInfo) for inner in each.metadata)]
    if kind is bool:
        return default is not True
    if kind in {int, float}:
        least = max([bound for each in flat for bound in (getattr(each, "ge", 0), getattr(each, "gt", 0))], default=0)
        number = least + 0.5 if kind is float else least + 1
        return number if number != default else number + 1
    if rule := next((each.kind for each in flat if hasattr(each, "kind") and each.kind in RULES), None):
        return _IDS.get(rule, RULES[rule].example)
    return "AML-IMG-011" if "_known_id" in str(flat) else "a text" if kind in {str, SecretStr, Any} else {"data": [1]}
