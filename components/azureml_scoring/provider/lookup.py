"""Look-ups before the first resource: a registry by its address, a password by its secret's URL, deleted resources.

Owns: the search through the subscriptions that the caller can see, the reading of a vault's secret, and what a
subscription has of vaults and workspaces that were deleted. Refuses to own: changing anything.
https://learn.microsoft.com/rest/api/containerregistry/registries/list
https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults/list-deleted
"""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

from azureml_scoring.provider.arm import ML_API, Arm, ArmError, error_of, json_object, request_name
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.outside import refuse_outside

SUBSCRIPTIONS_API = "2022-12-01"
REGISTRIES_API = "2023-07-01"
VAULT_API = "7.4"
VAULTS_API = "2023-07-01"
PUBLIC_VAULTS = "vault.azure.net"
T = TypeVar("T")


def registry_at(arm: Arm, login_server: str) -> str:
    """Return the ARM id of the Azure registry at an address; raise where no visible subscription has it."""
    if registry_id := find_registry(arm, login_server):
        return registry_id
    msg = (
        f'registry.loginServer = "{login_server}": no such Azure registry in the subscriptions that are visible; '
        "write registry.id, or registry.mode: private with address, username and password"
    )
    raise ResourceError(msg)


def find_registry(arm: Arm, login_server: str) -> str | None:
    """Search all visible subscriptions for the Azure registry at an address; its ARM id."""
    for subscription in arm.list_all("/subscriptions", SUBSCRIPTIONS_API):
        path = f"/subscriptions/{subscription['subscriptionId']}/providers/Microsoft.ContainerRegistry/registries"
        for registry in arm.list_all(path, REGISTRIES_API):
            if str(registry["properties"].get("loginServer", "")).lower() == login_server.lower():
                return str(registry["id"])
    return None


def secret_at(arm: Arm, field: str, url: str) -> str:
    """Return the value of a vault's secret, the latest unless the URL names a version; errors name `field`."""
    # Tokens are for all vaults of a cloud; the caller has checked that the host is one of them.
    cloud = urlsplit(url).netloc.lower().partition(".")[2] or PUBLIC_VAULTS
    headers = {"Authorization": f"Bearer {arm.token(f'https://{cloud}/.default')}"}
    response = arm.http.send("GET", url, params={"api-version": VAULT_API}, headers=headers)
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise ResourceError(f'{field} = "{url}": no such secret in the vault; correct the id')
    value = json_object(response).get("value")
    if response.status_code != HTTPStatus.OK or not isinstance(value, str):
        reason = error_of(response, request_name("GET", url)).message
        refuse_outside(f'{field} = "{url}": the vault', response.status_code, reason)
        remedy = "give the deployer the role Key Vault Secrets User on it"
        raise ResourceError(f'{field} = "{url}": HTTP {response.status_code}; {remedy}; {reason}')
    return value


def deleted_vault(arm: Arm, subscription: str, name: str) -> dict[str, Any] | None:
    """Return the deleted vault that holds a name."""
    path = f"/subscriptions/{subscription}/providers/Microsoft.KeyVault/deletedVaults"
    return next((each for each in arm.list_all(path, VAULTS_API) if each["name"].lower() == name.lower()), None)


def workspaces(arm: Arm, subscription: str) -> list[dict[str, Any]]:
    """Return all workspaces of a subscription. Deleted ones are among them, which a GET does not find.

    https://github.com/Azure/azure-powershell/issues/28286
    """
    path = f"/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/workspaces"
    return list(arm.list_all(path, ML_API))


def computes_named(arm: Arm, name: str) -> list[str]:
    """Return the ARM ids of the computes of a name that are attached to visible workspaces."""
    ids: list[str] = []
    for subscription in arm.list_all("/subscriptions", SUBSCRIPTIONS_API):
        nothing: list[dict[str, Any]] = []
        for workspace in where_visible(partial(workspaces, arm, subscription["subscriptionId"]), nothing):
            compute = arm.get(f"{workspace['id']}/computes/{name}", ML_API)
            ids += [str(compute["id"])] if compute else []
    return ids


def where_visible(query: Callable[[], T], otherwise: T) -> T:
    """Return what a list says; `otherwise` where the caller may not see it, having rights on one group alone."""
    try:
        return query()
    except ArmError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return otherwise
