"""Bodies of the wrong shape are refused with 4xx and a code, whatever the type: never a fault of the local Azure."""

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.core.azure import Request
from emulator.core.errors import AzureError
from emulator.core.store import Document
from tests.conftest import Cloud
from tests.emulator.conftest import InProcessAzure
from tests.emulator.test_inputs import DEPLOYMENTS, WELL
from tests.ml import ENDPOINT, deployment_body, scene

_EXAMPLES = int(os.environ.get("MALFORMED", "40"))
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, 1e308, "", " ", "\0", "a" * 5000, "٣", "../..", "/", "null", "x\ny"),
    *([], {}, [None], [[]], [{}], {"": None}, {"a": {"b": []}}, [1, "a"], {"type": 1}, "/subscriptions/x"),
)
_NAMES = st.sampled_from(
    ("properties", "location", "tags", "sku", "identity", "kind", "zones", "unknown", "name", "id")
)
_FUZZ = settings(
    max_examples=_EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck]
)


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    """The path of every value inside a body."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, key)
        yield from _places(value, (*path, key))


@st.composite
def _malformed(draw: st.DrawFn, body: dict[str, Any]) -> dict[str, Any]:
    """A right body with one to three values that are of another kind, missing or too many."""
    made = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(made))
        inside = bool(places) and draw(st.integers(0, 3)) > 0
        path: tuple[Any, ...] = draw(st.sampled_from(places)) if inside else (draw(_NAMES),)
        node: Any = made
        for part in path[:-1]:
            node = node[part]
        if draw(st.integers(0, 4)) or path[-1] not in (node if isinstance(node, dict) else {}):
            node[path[-1]] = copy.deepcopy(draw(st.sampled_from(_ODD)))
        else:
            del node[path[-1]]
    return made


@pytest.fixture(autouse=True)
def ended(local: InProcessAzure) -> Iterator[None]:
    yield
    local.azure.suspend()


def _faults(local: InProcessAzure, path: str, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the local Azure answered to mutations of a body with 5xx, or did not answer at all."""
    faults: list[str] = []
    for kind in (local.azure.service(each) for each in local.azure.types):
        if kind.long:  # the work itself has its own tests, and starts real programs
            monkeypatch.setattr(kind, "provision", _as_it_is)

    def ask(method: str, wrong: dict[str, Any]) -> None:
        try:
            response = local.azure.request(Request(method, path, local.deployer, wrong))
            json.dumps(response.body, allow_nan=False, ensure_ascii=False).encode()
            local.azure.wait(response)
        except AzureError as error:
            if error.status >= 500 or not error.code:
                faults.append(f"{method} {wrong}: {error.status} {error.code} {error.message}")
        except Exception as error:  # noqa: BLE001 - that is what is counted
            faults.append(f"{method} {wrong}: {type(error).__name__}: {error}")

    @_FUZZ
    @given(_malformed(body))
    def run(wrong: dict[str, Any]) -> None:
        ask("PUT", wrong)
        ask("PATCH", wrong)

    run()
    return faults


def _as_it_is(new: Document, old: Document | None) -> Document:
    del old
    return new


@pytest.mark.parametrize("kind", sorted(WELL))
def test_a_malformed_body_is_a_fault_of_the_caller(
    local: InProcessAzure, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, make = WELL[kind]
    path, body = path.format(subscription=local.azure.subscription), make(local)
    whole = path if path.startswith("/") else f"{local.group}/{path}"
    assert _faults(local, whole, body, monkeypatch) == []


def test_a_malformed_deployment_is_a_fault_of_the_caller(
    local: InProcessAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DEPLOYMENTS
    with scene(local, listen=False):
        path = f"{local.group}/{ENDPOINT}/deployments/blue"
        assert _faults(local, path, deployment_body(local), monkeypatch) == []


@pytest.mark.parametrize(
    "raw",
    [
        b'{"location": "westeurope", "tags": {"a": NaN}}',
        b'{"location": "westeurope", "tags": {"a": "\\ud800"}}',
        b'{"location": "westeurope", "properties": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"location": 1' + b"0" * 5000 + b"}",
        b'{"location": Infinity}',
        b"[]",
        b'"westeurope"',
        b"1",
        b"{",
        b"\xff\xfe{}",
        b"\x00",
        '{"location": "westeurope"}'.encode("utf-16"),
    ],
    ids=[
        *("not a number", "half a character", "deep list", "deep object", "a number of 5000 digits", "infinity"),
        *("list", "text", "number", "half an object", "no UTF-8", "NUL", "UTF-16"),
    ],
)
def test_what_is_no_json_object_is_refused_as_azure_does(azure: Cloud, raw: bytes) -> None:
    path = f"{azure.subscription}/resourceGroups/malformed?api-version=2024-03-01"
    headers = {"Authorization": f"Bearer {azure.token()}", "Content-Type": "application/json"}
    answer = azure.http.put(path, content=raw, headers=headers)
    assert answer.status_code == 400, answer.text[:300]
    assert answer.json()["error"]["code"] == "InvalidRequestContent"
