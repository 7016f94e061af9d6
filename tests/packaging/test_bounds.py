"""Both ends of the ranges in pyproject.toml: the oldest versions with the oldest Python, the newest with the newest."""

import subprocess

import pytest

from tests.conftest import PATIENCE, ROOT
from tests.distribution import python, resolved

pytestmark = pytest.mark.slow

TOOLS = ("pytest", "pytest-timeout", "hypothesis", "jsonschema", "httpx")
"""What the tests below need beside the package."""
TESTS = (
    "tests/settings/test_rules.py",
    "tests/components/test_sdk.py",
    "tests/components/test_hosting.py",
    "tests/components/test_stack.py::test_builder_docker_pushes_the_same_content_to_the_same_place",
    "tests/delivery/test_html_report.py",
    "tests/provider/test_plugin.py",
)
"""Every library of the ranges is met: the settings' validation, each kind of resource, schema, gRPC, the report."""


@pytest.mark.parametrize(("version", "resolution"), [("3.11", "lowest-direct"), ("3.13", "highest")])
def test_settings_components_and_plugin_work_with(version: str, resolution: str) -> None:
    if not python(version):
        pytest.skip(f"no Python {version} on this machine")
    command = [str(resolved(version, resolution, *TOOLS)), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE * 4, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
