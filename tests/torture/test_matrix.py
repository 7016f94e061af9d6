"""The kill matrix sees a difference where there is one, and none where only names and times differ."""

from tests.torture.matrix import VICTIMS, differences, named, points


def test_two_ends_differ_by_what_is_there_twice_or_missing_or_otherwise() -> None:
    expected = named([("group g", {"location": "westeurope"}), ("vault v", {"sku": "standard"})], "/folder")
    end = named([("group g", {"location": "norway"}), ("app a", {}), ("app a", {})], "/folder")
    kinds = [line.partition(":")[0] for line in differences(end, expected)]
    assert kinds == ["+ app a 1", "+ app a 2", "- vault v 1", "~ group g 1"]


def test_ids_times_ports_and_folders_are_no_difference() -> None:
    first, second = (
        named(
            [(f"secret pull-password-{digit * 6}", {"at": f"2026-01-0{digit}T00:00:00Z", "file": f"/{digit}/app"})],
            f"/{digit}",
        )
        for digit in ("1", "2")
    )
    assert differences(first, second) == []


def test_a_fifth_of_the_matrix_has_every_victim() -> None:
    every = points([f"type#{number}" for number in range(21)])
    assert len(every) == 21 * 2 * len(VICTIMS)
    assert {each.victim for each in every[::5]} == set(VICTIMS)
