"""Azure's own clients use a stack on the local Azure as they use one on Azure."""

from collections.abc import Iterator

import pytest

from tests.acceptance import __main__ as acceptance
from tests.clients.clients import VENV, Clients, sign_in
from tests.clients.journeys import JOURNEYS, Journey

pytestmark = pytest.mark.skipif(not VENV, reason="Azure's own clients run by `make clients`")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with acceptance.local(tmp_path_factory.mktemp("clients")) as stack:
        stack.prepare()
        up = stack.up()
        assert up.code == 0, up.text
        yield sign_in(stack)


@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda each: each.name)
def test_a_journey_with_azures_own_clients_succeeds(clients: Clients, journey: Journey) -> None:
    journey.check(clients)
