"""Claims about the provisioning of a managed network, against a scripted Azure."""

import pytest
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.managed_network import ManagedNetwork
from azureml_scoring.provider.values import Properties

from tests.provider.fake_azure import HOST, WORKSPACE, Answer, FakeAzure, Sent

INPUTS: Properties = {"workspaceId": WORKSPACE, "outboundRules": []}


def isolated(status: str = "Inactive") -> FakeAzure:
    """An Azure with a workspace whose managed network has a status."""
    azure = FakeAzure()
    network = {"isolationMode": "AllowOnlyApprovedOutbound", "status": {"status": status, "sparkReady": False}}
    azure.documents[WORKSPACE] = {"id": WORKSPACE, "properties": {"managedNetwork": network}}
    return azure


def provisioning(azure: FakeAzure, end: str) -> None:
    """Provision when asked to, in three polls; the network then has this status."""

    def started(_: Sent) -> Answer:
        azure.operations["/operations/network"] = [{"status": "InProgress"}] * 3 + [{"status": "Succeeded"}]
        azure.documents[WORKSPACE]["properties"]["managedNetwork"]["status"]["status"] = end
        return 202, {"Azure-AsyncOperation": f"{HOST}/operations/network?api-version=x"}, None

    azure.on("POST", "/provisionManagedNetwork", started)


def test_it_is_provisioned_once_and_tells_how_it_goes() -> None:
    azure = isolated()
    provisioning(azure, "Active")
    id_, state = ManagedNetwork().create(azure.context(), INPUTS)
    assert state["status"] == "Active"
    assert azure.of("POST")[0].body == {"includeSpark": False}
    assert any("InProgress" in line for line in azure.logged)
    ManagedNetwork().update(azure.context(), id_, state, {**INPUTS, "outboundRules": ["a rule"]})
    assert azure.count("POST") == 1


def test_one_that_is_active_already_is_left_alone() -> None:
    azure = isolated("Active")
    ManagedNetwork().create(azure.context(), INPUTS)
    assert azure.count("POST") == 0


def test_one_that_is_not_active_in_the_end_is_an_error() -> None:
    azure = isolated()
    provisioning(azure, "Inactive")
    with pytest.raises(ResourceError, match="managed network of ws is Inactive; run up again"):
        ManagedNetwork().create(azure.context(), INPUTS)


def test_a_refresh_sees_that_it_is_gone() -> None:
    azure = isolated("Active")
    id_, state = ManagedNetwork().create(azure.context(), INPUTS)
    read = ManagedNetwork().read(azure.context(), id_, state, INPUTS)
    assert read is not None
    assert not ManagedNetwork().diff(id_, read.state, INPUTS).changed
    azure.documents[WORKSPACE]["properties"]["managedNetwork"]["status"]["status"] = "Inactive"
    assert ManagedNetwork().read(azure.context(), id_, state, INPUTS) is None


def test_its_end_is_that_of_its_workspace() -> None:
    azure = isolated("Active")
    id_, state = ManagedNetwork().create(azure.context(), INPUTS)
    ManagedNetwork().delete(azure.context(), id_, state)
    assert azure.count("DELETE") == 0
