import pytest
from azureml_scoring.provider.reply import difference, problem


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.0000001, 2]}, ""),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.1]}, "reply.a[1] is 2.1 instead of 2.0"),
        ({"a": 1}, {"a": 1, "b": 2}, "reply.b is not expected"),
        ({"a": 1}, {}, "reply.a is missing"),
        ([1, 2], [1], "reply has 1 entries instead of 2"),
        ("class_0", "class_1", "reply is 'class_1' instead of 'class_0'"),
        (True, 1, "reply is 1 instead of True"),
        (None, None, ""),
    ],
)
def test_replies_are_compared_with_a_tolerance_for_numbers(expected: object, got: object, said: str) -> None:
    assert difference(expected, got, 1e-6) == said


def test_a_reply_that_is_not_json_is_shown() -> None:
    assert problem({"a": 1}, "<html>busy</html>", 0) == "with text that is not JSON: <html>busy</html>"
    assert problem({"a": 1}, '{"a": 2}', 0) == "wrongly: reply.a is 2 instead of 1"
    assert problem({"a": 1}, '{"a": 1}', 0) == ""
