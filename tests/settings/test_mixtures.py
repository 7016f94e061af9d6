"""Odd stack files, made from the declarations: each reaches a plan or is refused in lines with a field."""

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.plan.stack import plan_file
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.section import Section, section_of
from azureml_scoring.settings.stack import StackSettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from tests.settings.values import value_of

_BASES: tuple[dict[str, Any], ...] = (
    {
        "location": "westeurope",
        "image": {"context": "app"},
        "deployments": {"blue": {"instanceType": "Standard_DS3_v2"}},
    },
    {
        "location": "westeurope",
        "registry": {"mode": "workspace"},
        "environment": {"base": "a.io/b:1", "condaFile": "conda.yml"},
        "code": {"path": "app", "entryScript": "score.py"},
        "deployments": {"blue": {"instanceType": "Standard_DS3_v2"}},
    },
    {
        "location": "westeurope",
        "registry": {"mode": "public"},
        "image": {"reference": "ghcr.io/team/app:1"},
        "endpoint": {
            "compute": "aks",
            "traffic": {"blue": 100},
            "kind": "kubernetes",
            "cluster": {"id": value_of(StackSettings.model_fields["endpoint"])["cluster"]["id"]},
        },
        "deployments": {"blue": {}, "green": {}},
    },
)
_ODD_CHARACTERS = (
    "\0",
    "\ufeff",
    "\u202e",
    "\ud800",
    "\n",
    "\r",
    "\u2028",
    "\x85",
    " ",
    "٣",
    "é",
    "%",
    "..",
    "//",
    ":",
    "A",
)
_ODD: tuple[Any, ...] = (
    *_ODD_CHARACTERS,
    *("", "   ", "~", "null", "a" * 70_000, "PT0S", "2027-02-30T00:00:00Z", "0o17", "1_000", "1e400", "-0"),
    *(True, False, None, 0, -1, 1.5, 10**400, 10**5000, -(2**63), float("inf"), float("nan"), 1e308),
    *(date(2027, 1, 31), datetime(2027, 1, 31, tzinfo=UTC), b"bytes", object),
    *(
        [],
        {},
        [[]],
        {"": {}},
        {1: 2},
        {None: None},
        [None],
        [True, "x"],
        {"a\nb": {}},
        {"a" * 70_000: {}},
        {"blue": {"x": 1}},
        {"secure": "v1:x"},
    ),
)


def _fields(model: type[Section] = StackSettings, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, FieldInfo]]:
    for field in model.model_fields.values():
        here = (*path, str(field.alias))
        yield here, field
        if (below := section_of(field.annotation)) is not None:
            text = str(field.annotation)
            yield from _fields(below, (*here, "blue") if "dict[" in text else (*here, 0) if "list[" in text else here)


_FIELDS = list(_fields())


def _needed(model: type[Section] | None) -> dict[str, Any]:
    """What a section must have."""
    fields = model.model_fields.values() if model else ()
    return {str(field.alias): value_of(field) for field in fields if field.is_required()}


def _put(values: Any, path: tuple[str | int, ...], value: object) -> None:  # noqa: ANN401 - JSON
    """Write a value at a path; what stands in the way stays."""
    model: type[Section] | None = StackSettings
    last = path[-1]
    for parent, following in pairwise(path):
        field = next((each for each in model.model_fields.values() if each.alias == parent), None) if model else None
        model = section_of(field.annotation) if field else model
        if isinstance(values, list):
            values += [_needed(model)] * (not values)
            values = values[0]
        else:
            values = values.setdefault(parent, [] if following == 0 else _needed(model) if following != "blue" else {})
        if not isinstance(values, dict | list):
            return
    if isinstance(values, dict):
        values[last] = value
    else:
        values[:] = [value]


@st.composite
def _value(draw: st.DrawFn, field: FieldInfo) -> Any:  # noqa: ANN401 - any value
    """A right value of a field, one that is nearly right, or one of another kind."""
    right = value_of(field)
    kind = draw(st.sampled_from(("right", "right", "right", "near", "near", "odd")))
    if kind == "odd":
        return draw(st.sampled_from(_ODD))
    return right if kind == "right" else draw(_near(right))


@st.composite
def _near(draw: st.DrawFn, right: Any) -> Any:  # noqa: ANN401 - any value
    match right:
        case str():
            at, odd = draw(st.integers(0, len(right))), draw(st.sampled_from(_ODD_CHARACTERS))
            taken = draw(st.integers(0, 1))
            return right[:at] + odd + right[at + taken :]
        case bool():
            return draw(st.sampled_from((str(right), int(right), [right])))
        case int() | float():
            return draw(st.sampled_from((str(right), right + 1, -right, right * 10**6, bool(right), right + 0.5)))
        case list():
            return draw(st.sampled_from((right * 2, right * 60, [*right, None], {"0": right})))
        case dict():
            key = draw(st.sampled_from(sorted(right)))
            twin, odd = (
                draw(st.sampled_from((key.upper(), key, f"{key}\n", f"{key}é", ""))),
                draw(st.sampled_from(_ODD)),
            )
            return draw(st.sampled_from(({**right, twin: right[key]}, {**right, key: odd}, [right])))
    return right


@st.composite
def mixtures(draw: st.DrawFn) -> dict[str, Any]:
    """A stack file with some fields written anew."""
    values: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(_BASES)))
    for path, field in draw(st.lists(st.sampled_from(_FIELDS), min_size=1, max_size=3)):
        _put(values, path, copy.deepcopy(draw(_value(field))))
    return values


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A mixture may write `..`, which then is a folder of this test as well.
    folder = tmp_path_factory.mktemp("mixtures") / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "Dockerfile").write_text("FROM debian:12 AS base\nFROM base AS runtime\n")
    (folder / "app" / "score.py").write_text("def run(): ...\n")
    (folder / "conda.yml").write_text("dependencies: [python=3.12, pip: [azureml-inference-server-http==1.4.0]]\n")
    (folder / "a text").write_text("numpy==2.0.0\n")
    return folder


# Without it Hypothesis, asked to show a mixture that failed, fails over its length and hides why.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_every_mixture_reaches_a_plan_or_is_refused_in_lines_with_a_field(root: Path, count: int) -> None:
    @settings(max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck])
    @given(mixtures())
    def run(values: dict[str, Any]) -> None:
        try:
            accepted, _ = plan_file(values, root)
        except SettingsError as error:
            for line in str(error).split("\n"):
                assert re.match(r"scoring:[A-Za-z]+[^ ]* ?(=|is missing|: )", line), line
                assert line.isprintable(), line
                assert len(line) < 2_000, line[:300]
        else:
            json.dumps(accepted.model_dump(mode="json"), allow_nan=False).encode()

    run()
