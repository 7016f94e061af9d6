"""Comparison of a deployment's reply with the expected one. Pure."""

import json
from collections.abc import Mapping
from typing import Any

_SHOWN = 200
"""Characters of a reply that is not JSON."""


def problem(expected: object, text: str, tolerance: float) -> str:
    """Say what is wrong with a reply; empty where it is as expected."""
    try:
        actual = json.loads(text)
    except ValueError:
        return f"with text that is not JSON: {text[:_SHOWN]}"
    deviation = difference(expected, actual, tolerance)
    return deviation and f"wrongly: {deviation}"


def difference(expected: object, actual: object, tolerance: float, path: str = "reply") -> str:
    """Say where a reply is not the expected one; numbers may differ by a relative tolerance. Empty: it is the same."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        names = [*expected, *actual]
        if lone := next((name for name in names if name not in actual or name not in expected), None):
            return f"{path}.{lone} is {'not expected' if lone in actual else 'missing'}"
        pairs = [(f"{path}.{name}", expected[name], actual[name]) for name in expected]
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return f"{path} has {len(actual)} entries instead of {len(expected)}"
        pairs = [(f"{path}[{at}]", *pair) for at, pair in enumerate(zip(expected, actual, strict=True))]
    elif _is_number(expected) and _is_number(actual):
        return "" if _is_close(expected, actual, tolerance) else f"{path} is {actual} instead of {expected}"
    else:
        is_same = type(expected) is type(actual) and expected == actual
        return "" if is_same else f"{path} is {actual!r} instead of {expected!r}"
    return next((text for at, one, other in pairs if (text := difference(one, other, tolerance, at))), "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_close(a: Any, b: Any, tolerance: float) -> bool:  # noqa: ANN401 - numbers
    return bool(abs(a - b) <= tolerance * max(abs(a), abs(b), 1.0))
