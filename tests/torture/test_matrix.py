"""The kill matrix sees a difference where there is one; the table counts what was tried, and what failed."""

from pathlib import Path

from tests.torture.matrix import VICTIMS, differences, named, points
from tests.torture.parts import Outcome, Row, counted, kill_rows


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


def test_two_of_one_name_may_be_made_in_any_order() -> None:
    ids = ("0a0a0a0a-0000-0000-0000-000000000000", "0b0b0b0b-0000-0000-0000-000000000000")
    pair = [(f"principal {id_}", {"name": name}) for id_, name in zip(ids, ("pull", "ml"), strict=True)]
    assert differences(named(pair[::-1], "/folder"), named(pair, "/folder")) == []
    assert differences(named(pair[:1] * 2, "/folder"), named(pair, "/folder")) != []


def test_a_fifth_of_the_matrix_has_every_victim() -> None:
    every = points([f"type#{number}" for number in range(21)])
    assert len(every) == 21 * 2 * len(VICTIMS)
    assert {each.victim for each in every[::5]} == set(VICTIMS)


def test_a_row_counts_the_points_of_a_victim() -> None:
    every = points([f"type#{number}" for number in range(3)])
    outcomes = [Outcome(each, Path("/"), 2.0, "it is gone" if n == 0 else "") for n, each in enumerate(every[::4])]
    assert list(kill_rows(every, outcomes)) == [Row("kills: engine", 6, 1, 12.0, "6 points, 2 s each")]


def test_a_report_of_tests_is_counted_and_one_of_none_has_failed() -> None:
    report = """<testsuites><testsuite tests="3" failures="1" errors="1"><testcase>
      <properties><property name="figures" value="9 requests, 0 failed"/></properties>
    </testcase></testsuite></testsuites>"""
    assert counted("load", report, 5.0) == Row("load", 3, 2, 5.0, "9 requests, 0 failed")
    assert counted("load", "", 5.0) == Row("load", 0, 1, 5.0)
