import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from emulator.core.azure import Azure, Request, ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import OWNER
from emulator.core.store import Document
from emulator.services.authorization import types as authorization
from emulator.services.graph import access as entra
from emulator.services.resources.types import ResourceGroup, Subscription, make_subscription


class Slow(ResourceType):
    """A type that works until it is told to end."""

    type = "Test.Slow/things"
    long = True
    gate = threading.Event()
    broken: str | None = None
    refused: str | None = None
    removed: list[str] = []  # noqa: RUF012 - emptied by the fixture
    olds: list[Document | None] = []  # noqa: RUF012 - emptied by its test

    def check(self, new: Document, old: Document | None) -> Document:
        del old
        if self.refused:
            raise AzureError(400, "Refused", self.refused)
        return new

    def provision(self, new: Document, old: Document | None) -> Document:
        assert self.gate.wait(120)
        self.olds.append(old)
        if self.broken:
            raise AzureError(400, "Broken", self.broken)
        return new.having(made=True)

    def check_delete(self, document: Document) -> None:
        if document.properties.get("guarded"):
            raise AzureError(409, "Guarded", document.id.name)

    def remove(self, document: Document) -> None:
        assert self.gate.wait(120)
        self.removed.append(document.id.name)


class Child(Slow):
    type = "Test.Slow/things/parts"
    long = False


@pytest.fixture
def azure(tmp_path_factory: pytest.TempPathFactory) -> Azure:
    made = Azure(tmp_path_factory.mktemp("state"))
    made.ports.choose("https")
    authorization.grant(made, entra.deployer(made).object_id, OWNER, make_subscription(made))
    made.serve((Subscription, ResourceGroup, Slow, Child))
    Slow.gate.set()
    Slow.broken = Slow.refused = None
    Slow.removed.clear()
    return made


def _thing(azure: Azure, name: str = "thing") -> str:
    return f"/subscriptions/{azure.subscription}/resourceGroups/rg/providers/Test.Slow/things/{name}"


def _ask(azure: Azure, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
    return azure.request(Request(method, path, entra.deployer(azure).principal, body or {}))


def _group(azure: Azure) -> str:
    path = f"/subscriptions/{azure.subscription}/resourceGroups/rg"
    _ask(azure, "PUT", path, {"location": "westeurope"})
    return path


def test_a_resource_needs_its_group(azure: Azure) -> None:
    with pytest.raises(AzureError, match="ResourceGroupNotFound: Resource group 'rg' could not be found"):
        _ask(azure, "PUT", _thing(azure))


def test_a_long_put_goes_through_its_states(azure: Azure) -> None:
    _group(azure)
    Slow.gate.clear()
    started = _ask(azure, "PUT", _thing(azure), {"properties": {"a": 1}})
    assert (started.status, started.body["properties"]["provisioningState"]) == (201, "Creating")
    with pytest.raises(AzureError, match="Conflict"):
        _ask(azure, "PUT", _thing(azure))
    Slow.gate.set()
    done = azure.wait(started)
    assert done is not None
    assert done["properties"] == {"a": 1, "made": True, "provisioningState": "Succeeded"}
    assert _ask(azure, "PUT", _thing(azure)).body["properties"]["provisioningState"] == "Updating"


def test_a_failed_put_leaves_a_failed_resource_and_tells_the_error(azure: Azure) -> None:
    _group(azure)
    Slow.broken = "no room"
    with pytest.raises(AzureError, match="Broken: no room"):
        azure.wait(_ask(azure, "PUT", _thing(azure)))
    assert _ask(azure, "GET", _thing(azure)).body["properties"]["provisioningState"] == "Failed"


def test_a_deleted_group_takes_everything_along_newest_first(azure: Azure) -> None:
    group = _group(azure)
    azure.wait(_ask(azure, "PUT", _thing(azure), {"properties": {"guarded": True}}))
    _ask(azure, "PUT", _thing(azure) + "/parts/part")
    azure.wait(_ask(azure, "DELETE", group))
    assert Slow.removed == ["part", "thing"]
    assert azure.store.under(ResourceId.parse(group)) == []


def test_nothing_is_made_in_a_group_that_is_being_deleted(azure: Azure) -> None:
    group = _group(azure)
    azure.wait(_ask(azure, "PUT", _thing(azure)))
    Slow.gate.clear()
    going = _ask(azure, "DELETE", group)
    with pytest.raises(AzureError, match="ResourceGroupBeingDeleted"):
        _ask(azure, "PUT", _thing(azure, "late"))
    Slow.gate.set()
    azure.wait(going)


def test_a_refused_delete_changes_nothing(azure: Azure) -> None:
    _group(azure)
    azure.wait(_ask(azure, "PUT", _thing(azure), {"properties": {"guarded": True}}))
    with pytest.raises(AzureError, match="Guarded"):
        _ask(azure, "DELETE", _thing(azure))
    assert _ask(azure, "GET", _thing(azure)).body["properties"]["provisioningState"] == "Succeeded"


def test_a_delete_of_what_is_not_there_is_no_error(azure: Azure) -> None:
    _group(azure)
    assert _ask(azure, "DELETE", _thing(azure)).status == 204


def test_what_a_crash_left_half_made_is_failed_after_a_restart(azure: Azure) -> None:
    _group(azure)
    azure.wait(_ask(azure, "PUT", _thing(azure)))
    half = azure.find(_thing(azure)).having(provisioningState="Creating")
    azure.store.put(half)
    azure.store.close()
    again = Azure(azure.folder)
    again.serve((Subscription, ResourceGroup, Slow, Child))
    again.resume()
    assert again.find(_thing(again)).properties["provisioningState"] == "Failed"
    assert (again.tenant, again.subscription) == (azure.tenant, azure.subscription)


def test_what_was_never_finished_is_made_as_if_it_were_new(azure: Azure) -> None:
    _group(azure)
    Slow.olds.clear()
    Slow.broken = "the first time"
    with pytest.raises(AzureError, match="the first time"):
        azure.wait(_ask(azure, "PUT", _thing(azure)))
    Slow.broken = None
    for _ in range(2):
        azure.wait(_ask(azure, "PUT", _thing(azure)))
    assert [old is None for old in Slow.olds] == [True, True, False]


def test_another_subscription_does_not_exist(azure: Azure) -> None:
    with pytest.raises(AzureError, match="SubscriptionNotFound: The subscription 'other' could not be found"):
        _ask(azure, "GET", "/subscriptions/other/resourceGroups/rg")


def test_a_patch_keeps_what_it_does_not_name(azure: Azure) -> None:
    _group(azure)
    azure.wait(_ask(azure, "PUT", _thing(azure), {"tags": {"a": "1"}, "properties": {"a": 1, "b": 2}}))
    azure.wait(_ask(azure, "PATCH", _thing(azure), {"properties": {"b": 3}}))
    shown = _ask(azure, "GET", _thing(azure)).body
    assert shown["tags"] == {"a": "1"}
    assert (shown["properties"]["a"], shown["properties"]["b"]) == (1, 3)


def test_locations_are_written_as_azure_does_and_checked(azure: Azure) -> None:
    _group(azure)
    azure.wait(_ask(azure, "PUT", _thing(azure), {"location": "West Europe"}))
    assert azure.find(_thing(azure)).body["location"] == "westeurope"
    with pytest.raises(AzureError, match=r"LocationNotAvailableForResourceType: .*'atlantis'"):
        _ask(azure, "PUT", _thing(azure), {"location": "atlantis"})


def test_a_resource_stays_where_it_was_made(azure: Azure) -> None:
    _group(azure)
    azure.wait(_ask(azure, "PUT", _thing(azure), {"location": "West Europe"}))
    azure.wait(_ask(azure, "PUT", _thing(azure), {"location": "westeurope"}))
    with pytest.raises(AzureError, match=r"InvalidResourceLocation: The resource 'thing' already exists in location"):
        _ask(azure, "PUT", _thing(azure), {"location": "northeurope"})


def test_writes_are_counted_by_type_and_reads_are_not(azure: Azure) -> None:
    group = _group(azure)
    _ask(azure, "GET", group)
    assert dict(azure.counts) == {"Microsoft.Resources/resourceGroups": 1}


def test_a_write_that_is_refused_is_none(azure: Azure) -> None:
    _group(azure)
    with pytest.raises(AzureError, match="LocationNotAvailableForResourceType"):
        _ask(azure, "PUT", _thing(azure), {"location": "atlantis"})
    Slow.refused = "not so"
    with pytest.raises(AzureError, match="not so"):
        _ask(azure, "PUT", _thing(azure))
    assert dict(azure.counts) == {"Microsoft.Resources/resourceGroups": 1}


def test_what_a_fault_holds_back_goes_on_when_the_fault_is_ended(azure: Azure) -> None:
    azure.delay("answer-delay", "x:Thing")
    azure.fault("answer-delay", {"x:Thing": 3600})
    azure.delay("answer-delay", "x:Other")
    azure.delay("endpoint-delay")
    held = threading.Thread(target=azure.delay, args=("answer-delay", "x:Thing"), daemon=True)
    held.start()
    assert held.is_alive()
    azure.fault("answer-delay", None)
    held.join(60)
    assert not held.is_alive()


def test_a_fault_survives_a_restart_until_it_is_ended(azure: Azure) -> None:
    azure.fault("build-delay", 5)
    assert Azure(azure.folder).faults == {"build-delay": 5}
    azure.fault("build-delay", None)
    azure.fault("never set", None)
    assert Azure(azure.folder).faults == {}


def test_a_held_write_waits_before_or_after_it_is_made_and_goes_on_or_is_dropped(azure: Azure) -> None:
    group = f"/subscriptions/{azure.subscription}/resourceGroups/held"
    principal, made = entra.deployer(azure).principal, ResourceId.parse(group)

    def put() -> int:
        try:
            return azure.request(Request("PUT", group, principal, {"location": "westeurope"})).status
        except AzureError as error:
            return error.status

    write = "Microsoft.Resources/resourceGroups#{}"
    with ThreadPoolExecutor() as pool:
        for number, when, more, exists, status in [
            (1, "before", {"drop": True}, False, 503),
            (1, "before", None, False, 201),
            (2, "after", None, True, 200),
        ]:
            moment = {"write": write.format(number), "when": when}
            azure.fault("hold", moment)
            sent = pool.submit(put)
            while azure.held.items() < moment.items():
                assert not sent.done()
            assert (azure.store.get(made) is not None) is exists
            azure.fault("hold", more and {**moment, **more})
            assert sent.result(120) == status
            azure.fault("hold", None)
    assert dict(azure.counts) == {"Microsoft.Resources/resourceGroups": 2}
