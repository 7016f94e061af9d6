"""What a release holds, and what it does in an environment that knows nothing of the checkout."""

import json
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import PATIENCE, ROOT
from tests.distribution import Distribution, build, install

SCRIPTS = {"azureml-scoring", "pulumi-resource-azureml-scoring"}


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def programs(distribution: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(distribution.wheel, tmp_path_factory.mktemp("bare") / "venv")


def _names(distribution: Distribution) -> set[str]:
    with zipfile.ZipFile(distribution.wheel) as wheel:
        return set(wheel.namelist())


def _metadata(distribution: Distribution, file: str) -> str:
    with zipfile.ZipFile(distribution.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(f".dist-info/{file}"))
        return wheel.read(name).decode()


def _run(programs: Path, folder: Path, program: str, *words: str) -> str:
    """Run one of the environment's programs outside the checkout, with nothing but this environment."""
    done = subprocess.run(
        [programs / program, *words], cwd=folder, env={}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_its_metadata_alone(distribution: Distribution) -> None:
    names = _names(distribution)
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"azureml_scoring"}
    assert "azureml_scoring/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_wheel_has_every_file_of_the_package(distribution: Distribution) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "azureml_scoring"], cwd=ROOT / "components", capture_output=True, text=True, check=True
    ).stdout.split()
    assert tracked
    assert set(tracked) <= _names(distribution)


def test_both_programs_are_installed(distribution: Distribution) -> None:
    scripts = _metadata(distribution, "entry_points.txt")
    assert {line.partition(" = ")[0] for line in scripts.splitlines() if " = " in line} == SCRIPTS


def test_the_version_stands_in_pyproject_alone_and_everything_tells_it(
    distribution: Distribution, programs: Path, tmp_path: Path
) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nVersion: {version}\n" in _metadata(distribution, "METADATA")
    text = "from azureml_scoring.provider.schema import version; print(version())"
    assert _run(programs, tmp_path, "python", "-c", text).strip() == version


def test_the_sdist_holds_what_the_wheel_is_built_from_and_no_tests(distribution: Distribution) -> None:
    with tarfile.open(distribution.sdist) as sdist:
        folders = {name.split("/")[1] for name in sdist.getnames() if name.count("/") > 1}
    assert folders == {"components"}


def test_importing_the_package_reads_nothing_of_the_program_the_local_azure_or_the_tools(
    programs: Path, tmp_path: Path
) -> None:
    text = """
import importlib, json, pkgutil, sys
import azureml_scoring
for module in pkgutil.walk_packages(azureml_scoring.__path__, "azureml_scoring."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(json.dumps([azureml_scoring.__file__, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    file, modules = json.loads(_run(programs, tmp_path, "python", "-c", text))
    assert Path(file).is_relative_to(programs.parent)
    assert not {"infra", "emulator", "tools", "tests"} & set(modules)


def test_the_command_line_explains_itself(programs: Path, tmp_path: Path) -> None:
    told = _run(programs, tmp_path, "azureml-scoring", "--help")
    for command in ("report", "prices", "comment", "pin", "rollout", "rollback", "recover", "convert-v1", "schema"):
        assert command in told
