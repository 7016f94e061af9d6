"""Claims about the arithmetic of traffic; pure."""

import pytest
from azureml_scoring.provider.traffic_split import TrafficSplit, rounded, steps


def test_a_shift_goes_through_the_asked_percents_and_ends_at_the_target() -> None:
    assert steps({"blue": 100}, {"green": 100}, [10, 50]) == {
        10: {"blue": 90, "green": 10},
        50: {"blue": 50, "green": 50},
        100: {"green": 100},
    }


def test_steps_come_in_rising_order_and_once_each() -> None:
    assert steps({"blue": 100}, {"green": 100}, [50, 10, 50, 100]) == {
        10: {"blue": 90, "green": 10},
        50: {"blue": 50, "green": 50},
        100: {"green": 100},
    }


def test_every_step_sums_to_one_hundred() -> None:
    for split in steps({"a": 34, "b": 33, "c": 33}, {"c": 1, "d": 99}, range(1, 100)).values():
        assert sum(split.values()) == 100
        assert all(share >= 0 for share in split.values())


def test_an_endpoint_that_sends_nowhere_gets_the_split_at_once() -> None:
    assert steps({}, {"blue": 100}, [10, 50]) == {100: {"blue": 100}}
    assert steps({"blue": 0}, {"blue": 100}, [10, 50]) == {100: {"blue": 100}}


def test_no_change_needs_no_step() -> None:
    assert steps({"blue": 100, "green": 0}, {"blue": 100}, [10, 50]) == {}


def test_sending_nowhere_is_one_step_that_names_its_deployments() -> None:
    assert steps({"blue": 100}, {"blue": 0}, [10]) == {100: {"blue": 0}}


def test_steps_too_small_to_change_anything_are_left_out() -> None:
    assert steps({"blue": 100}, {"blue": 99, "green": 1}, [10, 20]) == {100: {"blue": 99, "green": 1}}


@pytest.mark.parametrize("shares", [{"a": 33.4, "b": 33.3, "c": 33.3}, {"a": 0.5, "b": 99.5}, {"a": 100.0}])
def test_rounding_keeps_the_sum(shares: dict[str, float]) -> None:
    assert sum(rounded(shares).values()) == 100


def test_the_share_of_a_leaving_deployment_goes_to_the_others_in_proportion() -> None:
    assert TrafficSplit({"a": 50, "b": 30, "c": 20}).without("a").traffic == {"b": 60, "c": 40}


def test_the_last_receiver_leaves_nobody() -> None:
    assert TrafficSplit({"a": 100, "b": 0}, {"b": 10}).without("a") == TrafficSplit({}, {})


def test_a_split_reads_as_a_sentence() -> None:
    assert str(TrafficSplit({"blue": 90, "green": 10, "red": 0}, {"red": 5})) == "blue 90 %, green 10 %, mirror red 5 %"
    assert str(TrafficSplit()) == "nowhere"


def test_receivers_get_live_or_mirrored_requests() -> None:
    assert TrafficSplit({"blue": 100, "green": 0}, {"red": 5}).receivers == {"blue", "red"}


def test_a_split_is_read_from_an_endpoint_and_a_share_of_0_is_no_difference() -> None:
    split = TrafficSplit.of({"properties": {"traffic": {"blue": 100, "green": 0}, "mirrorTraffic": None}})
    assert split.same(TrafficSplit({"blue": 100}))
    assert not split.same(TrafficSplit({"blue": 100}, {"green": 5}))
