"""The api-versions that Azure serves, by resource type.

Taken from the azure-native SDK 3.x and the Azure CLI 2.91; previews since 2022.

https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-register-resource-provider
"""

import re

from emulator.core.errors import AzureError
from emulator.core.locations import REGIONS

_TEXTS = {
    # https://learn.microsoft.com/rest/api/resources/subscriptions
    "Microsoft.Resources/subscriptions": "2016-06-01 2018-06-01 2019-06-01 2019-11-01 2020-01-01 2021-01-01 2022-12-01",
    # https://learn.microsoft.com/rest/api/monitor/metrics/list
    "Microsoft.Insights/metrics": "2018-01-01 2019-07-01 2021-05-01 2023-10-01 2024-02-01",
    "Microsoft.Resources": (
        "2015-11-01 2016-02-01 2016-07-01 2016-09-01 2017-05-10 2018-02-01 2018-05-01 2019-03-01 2019-05-01 "
        "2019-05-10 2019-07-01 2019-08-01 2019-10-01 2020-06-01 2020-08-01 2020-10-01 2021-01-01 2021-04-01 "
        "2022-09-01 2023-07-01 2024-03-01 2024-07-01 2024-11-01 2025-03-01 2025-04-01 "
    ),
    "Microsoft.Authorization/roleAssignments": (
        "2015-07-01 2017-10-01-preview 2018-01-01-preview 2018-09-01-preview 2020-03-01-preview 2020-04-01-preview "
        "2020-08-01-preview 2020-10-01-preview 2022-04-01 "
    ),
    "Microsoft.Authorization/permissions": "2015-07-01 2018-01-01-preview 2022-04-01 2022-05-01-preview",
    "Microsoft.Authorization/roleDefinitions": "2015-07-01 2018-01-01-preview 2022-04-01 2022-05-01-preview",
    "Microsoft.ManagedIdentity": (
        "2018-11-30 2022-01-31-preview 2023-01-31 2023-07-31-preview 2024-11-30 2025-01-31-preview 2025-05-31-preview "
    ),
    "Microsoft.Storage": (
        "2015-06-15 2016-01-01 2016-05-01 2016-12-01 2017-06-01 2017-10-01 2018-02-01 2018-07-01 2018-11-01 "
        "2019-04-01 2019-06-01 2021-01-01 2021-02-01 2021-04-01 2021-06-01 2021-08-01 2021-09-01 2022-05-01 "
        "2022-09-01 2023-01-01 2023-04-01 2023-05-01 2024-01-01 2025-01-01 2025-06-01 2025-08-01 2026-04-01 "
    ),
    "Microsoft.KeyVault": (
        "2015-06-01 2016-10-01 2018-02-14 2019-09-01 2021-10-01 2022-02-01-preview 2022-07-01 2022-11-01 "
        "2023-02-01 2023-07-01 2024-04-01-preview 2024-11-01 2024-12-01-preview 2025-05-01 2026-02-01 "
        "2026-03-01-preview "
    ),
    "Microsoft.OperationalInsights": (
        "2020-08-01 2020-10-01 2021-06-01 2021-12-01-preview 2022-10-01 2023-09-01 2025-02-01 2025-07-01 "
    ),
    "Microsoft.Insights/components": "2015-05-01 2020-02-02",
    "Microsoft.Insights/autoscaleSettings": "2014-04-01 2015-04-01 2021-05-01-preview 2022-10-01",
    "Microsoft.Insights/diagnosticSettings": "2017-05-01-preview 2021-05-01-preview",
    "Microsoft.ContainerRegistry/registries": (
        "2017-03-01 2017-10-01 2019-05-01 2021-09-01 2022-02-01-preview 2022-12-01 2023-01-01-preview "
        "2023-06-01-preview 2023-07-01 2023-08-01-preview 2023-11-01-preview 2024-11-01-preview 2025-03-01-preview "
        "2025-04-01 2025-05-01-preview 2025-06-01-preview 2025-11-01 2026-01-01-preview 2026-03-01-preview "
        "2026-09-01-preview "
    ),
    "Microsoft.ContainerRegistry/registries/runs": "2019-06-01-preview 2025-03-01-preview",
    "Microsoft.MachineLearningServices": (
        "2018-11-19 2019-05-01 2019-06-01 2019-11-01 2020-01-01 2020-03-01 2020-04-01 2020-06-01 2020-08-01 "
        "2021-01-01 2021-04-01 2021-07-01 2022-01-01-preview 2022-02-01-preview 2022-05-01 2022-06-01-preview "
        "2022-10-01 2022-10-01-preview 2022-12-01-preview 2023-02-01-preview 2023-04-01 2023-04-01-preview "
        "2023-06-01-preview 2023-08-01-preview 2023-10-01 2024-01-01-preview 2024-04-01 2024-04-01-preview "
        "2024-07-01-preview 2024-10-01 2024-10-01-preview 2025-01-01-preview 2025-04-01 2025-04-01-preview "
        "2025-06-01 2025-07-01-preview 2025-09-01 2025-10-01-preview 2025-12-01 2026-01-15-preview 2026-03-01 "
        "2026-03-15-preview 2026-05-01 2026-05-15-preview "
    ),
    "Microsoft.ContainerRegistry/registries/agentPools": "2019-06-01-preview 2025-03-01-preview",
    "Microsoft.Network": (
        "2019-04-01 2019-06-01 2019-07-01 2019-08-01 2019-09-01 2019-11-01 2019-12-01 2020-03-01 2020-04-01 2020-05-01 "
        "2020-06-01 2020-07-01 2020-08-01 2020-11-01 2021-02-01 2021-03-01 2021-05-01 2021-08-01 2022-01-01 2022-05-01 "
        "2022-07-01 2022-09-01 2022-11-01 2023-02-01 2023-04-01 2023-05-01 2023-06-01 2023-09-01 2023-11-01 2024-01-01 "
        "2024-03-01 2024-05-01 2024-07-01 2024-10-01 2025-01-01 2025-03-01 2025-05-01 2025-07-01 "
    ),
    "Microsoft.Network/privateDnsZones": "2018-09-01 2020-01-01 2020-06-01 2024-06-01",
    "Microsoft.ContainerService": (
        "2022-01-01 2022-02-01 2022-03-01 2022-04-01 2022-06-01 2022-07-01 2022-09-01 2022-11-01 2023-01-01 "
        "2023-02-01 2023-03-01 2023-04-01 2023-05-01 2023-06-01 2023-07-01 2023-08-01 2023-09-01 2023-10-01 "
        "2023-11-01 2024-01-01 2024-02-01 2024-05-01 2024-07-01 2024-08-01 2024-09-01 2024-10-01 2025-01-01 "
        "2025-02-01 2025-03-01 2025-04-01 2025-05-01 2025-07-01 2025-08-01 2025-09-01 2025-10-01 2026-01-01 "
        "2026-02-01 2026-03-01 2026-04-01 2026-05-01 2026-06-01 "
    ),
    "Microsoft.Kubernetes": (
        "2021-03-01 2021-10-01 2022-05-01-preview 2022-10-01-preview 2023-11-01-preview 2024-01-01 "
        "2024-02-01-preview 2024-06-01-preview 2024-07-01-preview 2024-07-15-preview 2024-12-01-preview "
        "2025-08-01-preview 2025-12-01-preview 2026-02-01-preview 2026-05-01 "
    ),
    "Microsoft.KubernetesConfiguration": (
        "2021-09-01 2022-01-01-preview 2022-03-01 2022-04-02-preview 2022-07-01 2022-11-01 2023-05-01 2024-11-01 "
        "2025-03-01 "
    ),
}
_VERSIONS = {name.lower(): tuple(text.split()) for name, text in _TEXTS.items()}
#: Actions of a registry that belong to ACR Tasks, and so have its versions.
_TASKS = re.compile(r"microsoft\.containerregistry/registries/(runs|schedulerun|listbuildsourceuploadurl)")


def versions(type_: str) -> tuple[str, ...]:
    """The versions of a resource type (or `TYPE/ACTION`), oldest first; none where the type is unknown."""
    name = type_.lower()
    if _TASKS.match(name):
        name = "microsoft.containerregistry/registries/runs"
    if name in {"microsoft.resources/subscriptions/resources", "microsoft.resources/subscriptions/providers"}:
        name = "microsoft.resources"
    while name not in _VERSIONS and "/" in name:
        name = name.rpartition("/")[0]
    return _VERSIONS.get(name, ())


def check(type_: str, version: str) -> None:
    """Refuse an api-version that Azure does not serve for a resource type (or `TYPE/ACTION`)."""
    known = versions(type_)
    if not known or version.lower() in known:
        return
    namespace, _, name = type_.partition("/")
    supported = ", ".join(reversed(known))
    if namespace.lower() == "microsoft.resources":
        raise AzureError(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{supported}'.",
        )
    raise AzureError(
        400,
        "NoRegisteredProviderFound",
        f"No registered resource provider found for location '' and API version '{version}' for type '{name}'."
        f" The supported api-versions are '{supported}'. The supported locations are '{', '.join(sorted(REGIONS))}'.",
    )
