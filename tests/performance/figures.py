"""Figures of `make bench`: kept as JSON with date and machine, printed, and shown in the documentation as one table.

Owns the file and the table. Refuses to own what is measured, and to judge it: machines are shared, and only ratios
within one run can be compared.
"""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "performance.json"
PAGE = ROOT / "docs" / "performance.md"
_BEGIN, _END = "<!-- figures -->\n", "<!-- /figures -->"
_PACKAGES = ("pulumi", "pulumi-azure-native", "pulumi-azuread")


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str = "s"
    processor: float | None = None
    """Seconds of processors, of all processes together."""
    ratio: float | None = None
    to: str = ""
    """What the ratio is to; measured in the same run."""
    aim: str = ""
    """What it shall reach."""


def save(part: str, figures: Iterable[Figure], title: str) -> None:
    """Print the figures of one part, and keep them in place of its earlier ones."""
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    kept[part] = {"title": title, **_conditions(), "figures": [asdict(each) for each in figures]}
    FILE.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n" + table({part: kept[part]}), flush=True)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    PAGE.write_text(f"{before}{_BEGIN}\n{table(kept)}\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")


def table(parts: Mapping[str, Any]) -> str:
    """Write the figures of parts as tables in Markdown."""
    return "\n".join(_section(part) for part in parts.values())


def _section(part: Mapping[str, Any]) -> str:
    lines = [
        f"**{part['title']}**",
        "",
        "| Figure | Measured | Processor time | Ratio | To reach |",
        "| --- | --- | --- | --- | --- |",
        *(_row(Figure(**each)) for each in part["figures"]),
        "",
        f"{part['date']}, {part['machine']}; load {part['load']}; {', '.join(part['versions'])}.",
        "",
    ]
    return "\n".join(lines)


def _row(figure: Figure) -> str:
    processor = "" if figure.processor is None else f"{_number(figure.processor)} s"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f} of {figure.to}"
    cells = (figure.name, f"{_number(figure.value)} {figure.unit}", processor, ratio, figure.aim)
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _conditions() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    engine = subprocess.run(["pulumi", "version"], check=True, capture_output=True, text=True).stdout.strip()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} processors ({_processor()}), {memory} GB, Linux {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f} at the end",
        "versions": [
            f"Python {platform.python_version()}",
            f"Pulumi {engine}",
            *(f"{each} {version(each)}" for each in _PACKAGES),
        ],
    }


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()
