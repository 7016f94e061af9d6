import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.core.ports import HOST, PortInUseError, Ports
from emulator.core.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as made:
        yield made


def test_a_port_is_chosen_once(store: Store) -> None:
    port = Ports(store).choose("registry")
    assert Ports(store).choose("registry") == port
    assert Ports(store).of("registry") == port


def test_a_taken_port_gives_way_to_the_next_free_one(store: Store, listener: socket.socket) -> None:
    wanted = listener.getsockname()[1]
    assert wanted < Ports(store).choose("scoring", wanted) < wanted + 100


def test_two_local_azures_do_not_ask_for_the_same_ports_also_where_a_program_seeds_random(store: Store) -> None:
    def chosen() -> list[int]:
        random.seed(0)
        store.put_fact("ports", {})
        return [Ports(store).choose(name) for name in "abc"]

    assert chosen() != chosen()


def test_two_names_get_two_ports(store: Store) -> None:
    ports = Ports(store)
    first = ports.choose("one")
    assert ports.choose("two", first) != first


def test_a_port_that_was_told_to_clients_is_not_swapped_for_another(store: Store, listener: socket.socket) -> None:
    store.put_fact("ports", {"https": listener.getsockname()[1]})
    with pytest.raises(PortInUseError, match=f"port {listener.getsockname()[1]} .https. is in use"):
        Ports(store).bind("https")


def test_a_bound_port_is_kept_for_the_next_start(store: Store) -> None:
    with Ports(store).bind("https") as first:
        port = first.getsockname()[1]
    with Ports(store).bind("https") as second:
        assert second.getsockname()[:2] == (HOST, port)


def test_a_forgotten_name_gives_its_port_back(store: Store) -> None:
    ports = Ports(store)
    ports.choose("registry")
    ports.forget("registry")
    assert ports.of("registry") is None
