"""The journal of requests, and the fault that refuses one."""

import pytest

from emulator.core.azure import NEXT_CALL
from emulator.core.errors import AzureError
from emulator.core.journal import Entry, Journal
from tests.emulator.conftest import InProcessAzure
from tests.ml import ENDPOINT, make_workspace

ACCOUNT = "providers/Microsoft.Storage/storageAccounts/sttest"
BODY = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}


def test_each_request_is_noted_with_who_asked_and_how_it_was_answered(local: InProcessAzure) -> None:
    local.azure.journal.begin_run()
    local.ask("PUT", ACCOUNT, BODY)
    with pytest.raises(AzureError):
        local.ask("GET", "providers/Microsoft.Storage/storageAccounts/nothing")
    made, missing = local.azure.journal.run()
    assert (made.method, made.status, made.client, made.failure) == ("PUT", 202, local.deployer.name, "")
    assert made.target.endswith(ACCOUNT)
    assert (missing.method, missing.status) == ("GET", 404)
    assert missing.failure.startswith("ResourceNotFound: ")


def test_a_failed_operation_is_the_requests_failure(local: InProcessAzure) -> None:
    make_workspace(local)
    local.ask("PUT", ENDPOINT, {"location": "westeurope", "properties": {"authMode": "Key"}})
    local.azure.fault("deployment-fails", "OutOfCapacity")
    with pytest.raises(AzureError) as caught:
        local.ask("PUT", f"{ENDPOINT}/deployments/blue", _deployment(local))
    entry = local.azure.journal.entries()[-1]
    assert (entry.status, entry.error, entry.failure) == (201, "", str(caught.value))


def _deployment(local: InProcessAzure) -> dict[str, object]:
    environment = f"{local.group}/{ENDPOINT.rpartition('/onlineEndpoints')[0]}/environments/e/versions/1"
    routes = {name: {"port": 8080, "path": "/"} for name in ("livenessRoute", "readinessRoute", "scoringRoute")}
    local.ask("PUT", environment, {"properties": {"image": "shop.azurecr.io/app:1", "inferenceConfig": routes}})
    properties = {"endpointComputeType": "Managed", "instanceType": "Standard_DS3_v2", "environmentId": environment}
    return {"location": "westeurope", "sku": {"name": "Default", "capacity": 1}, "properties": properties}


def test_a_run_begins_where_it_is_said_to() -> None:
    journal = Journal()
    journal.add(Entry("service", "PUT", "before"))
    journal.begin_run()
    journal.add(Entry("service", "PUT", "after"))
    assert [entry.target for entry in journal.run()] == ["after"]
    assert [entry.number for entry in journal.entries()] == [1, 2]


@pytest.mark.parametrize("type_", ["", "Microsoft.Storage/storageAccounts"])
def test_the_next_write_is_refused_once_and_reads_are_not(local: InProcessAzure, type_: str) -> None:
    local.azure.fault(NEXT_CALL, {"status": 503, "code": "ServiceUnavailable", "type": type_})
    local.ask("GET", local.group)
    with pytest.raises(AzureError) as caught:
        local.ask("PUT", ACCOUNT, BODY)
    assert (caught.value.status, caught.value.code) == (503, "ServiceUnavailable")
    assert local.azure.faults == {}
    local.ask("PUT", ACCOUNT, BODY)


def test_a_write_of_another_type_passes(local: InProcessAzure) -> None:
    local.azure.fault(NEXT_CALL, {"status": 503, "type": "Microsoft.KeyVault/vaults"})
    local.ask("PUT", ACCOUNT, BODY)
    local.ask("POST", f"{ACCOUNT}/listKeys")
    assert NEXT_CALL in local.azure.faults
