"""The events of a shift, and the summary on the page of a job."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azureml_scoring.delivery.rollout_events import engine_event
from azureml_scoring.delivery.rollout_summary import Row, show, write_summary
from azureml_scoring.provider.smoke_test import check_line
from azureml_scoring.provider.traffic_split import TrafficSplit, bake_line, step_line

BEGIN = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def rows() -> list[Row]:
    shifts = [(at(1), 0), (at(2), 10), (at(17), 50), (at(22), 100)]
    return [
        Row("dev", "4b8dc10c2f77", "green", "serves", 1500.4, shifts, at(25)),
        Row("prod | x", result="waits for approval"),
    ]


@pytest.mark.parametrize(
    ("split", "percent"),
    [
        (TrafficSplit({"blue": 90, "green": 10}), 10),
        (TrafficSplit({"blue": 100}, {"green": 50}), 0),
        (TrafficSplit({"green": 100, "blue": 0}), 100),
    ],
)
def test_the_share_of_the_new_deployment_is_read_off_the_line_that_the_resource_writes(
    split: TrafficSplit, percent: int
) -> None:
    event = engine_event("dev", "green", f"    scoring-traffic: {step_line('e-1', 2, 3, split)}")
    assert (event.kind, event.percent) == ("shift", percent)


def test_the_length_of_a_step_is_read_off_its_line_and_other_lines_are_about_resources() -> None:
    event = engine_event("dev", "green", f"    scoring-traffic: {bake_line('e-1', 900)}")
    assert (event.kind, event.seconds, event.percent) == ("bake", 900, None)
    assert engine_event("dev", "green", "    scoring-build: ImageBuild created").kind == "resource"


@pytest.mark.parametrize("is_new", [True, False])
def test_a_check_is_read_off_its_line(is_new: bool) -> None:  # noqa: FBT001 - a parameter of the test
    line = f"    scoring-traffic: {check_line('green', ['one.json', 'two.json'], is_new=is_new)}"
    assert engine_event("dev", "green", line).kind == "check"


def test_on_github_the_job_has_a_table_and_a_chart_of_the_shift(tmp_path: Path) -> None:
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    assert write_summary(rows(), {"GITHUB_STEP_SUMMARY": str(page)}) == ""
    assert (
        page.read_text()
        == """before
### Rollout

| Stack | Version | Deployment | Traffic | Result | Duration |
| --- | --- | --- | --- | --- | --- |
| dev | `4b8dc10c2f77` | green | 0 % for 1 min, 10 % for 15 min, 50 % for 5 min, 100 % for 3 min | serves | 25 min |
| prod &#124; x | `-` | - | - | waits for approval | 0 s |

```mermaid
gantt
  title Share of the traffic (UTC)
  dateFormat YYYY-MM-DD HH:mm:ss
  axisFormat %H:%M:%S
  section dev
  green 0 % :2026-11-30 04:01:00, 2026-11-30 04:02:00
  green 10 % :2026-11-30 04:02:00, 2026-11-30 04:17:00
  green 50 % :2026-11-30 04:17:00, 2026-11-30 04:22:00
  green 100 % :2026-11-30 04:22:00, 2026-11-30 04:25:00
```
"""
    )


def test_azure_pipelines_is_told_the_file_of_the_table(tmp_path: Path) -> None:
    line = write_summary(rows(), {"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": str(tmp_path)})
    command, _, name = line.partition("]")
    assert command == "##vso[task.uploadsummary"
    text = Path(name).read_text()
    assert Path(name).parent == tmp_path
    assert "| dev | `4b8dc10c2f77` | green |" in text
    assert "mermaid" not in text, "it would be shown as text"


def test_elsewhere_nothing_is_written_and_the_terminal_has_its_table() -> None:
    assert write_summary(rows(), {}) == ""
    assert show(rows())[1].split() == ["dev", "4b8dc10c2f77", "green", "serves", "1500"]
