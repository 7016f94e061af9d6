"""The plugin from TypeScript and YAML programs: the examples themselves, on the real engine and the local Azure."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import PATIENCE, ROOT, Cloud
from tests.modes import REPLY, SERVER, write_image
from tests.second import Second
from tools import toolchain
from tools.shell import cache

pytestmark = pytest.mark.slow

PLUGIN = Path(sys.executable).parent / "pulumi-resource-azureml-scoring"


def example(language: str, host: str, folder: Path, azure: Cloud) -> Iterator[Second]:
    """A copy of an example with its stack, whose image is the tests' small server; destroyed at the end."""
    shutil.copytree(
        ROOT / "examples" / language, folder / language, ignore=shutil.ignore_patterns("node_modules", "sdks")
    )
    context = folder / "app"
    write_image(context, SERVER)
    program = Second(folder / language, azure, toolchain.language(host))
    program.environment |= {
        "npm_config_cache": str(cache() / "npm"),
        "npm_config_prefer_offline": "true",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
    }
    assert program.pulumi("config", "set", "context", str(context)).returncode == 0
    yield program
    gone = program.pulumi("destroy", "--yes", "--skip-preview")
    assert gone.returncode == 0, gone.stdout


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory, cloud: Cloud) -> Iterator[Second]:
    if shutil.which("npm") is None:
        pytest.skip("no Node.js with npm on PATH")
    yield from example("typescript", "nodejs", tmp_path_factory.mktemp("typescript"), cloud)


@pytest.fixture(scope="module")
def yaml(tmp_path_factory: pytest.TempPathFactory, cloud: Cloud) -> Iterator[Second]:
    yield from example("yaml", "yaml", tmp_path_factory.mktemp("yaml"), cloud)


@pytest.fixture(scope="module")
def added(typescript: Second) -> str:
    """What Pulumi says when the TypeScript program adds the package."""
    done = typescript.pulumi("package", "add", str(PLUGIN))
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_typescript_program_adds_the_package_and_takes_a_whole_stack_up_that_answers(
    typescript: Second, added: str
) -> None:
    assert 'from "azureml-scoring"' in added
    typescript.up()
    outputs = typescript.outputs()
    assert re.search(r"/scoring/typescript@sha256:[0-9a-f]{64}$", outputs["image"])
    keys = typescript.azure.ask("POST", f"{outputs['endpointId']}/listKeys").json()
    headers = {"Authorization": f"Bearer {keys['primaryKey']}"}
    reply = httpx.post(outputs["scoringUri"], json={}, headers=headers, timeout=PATIENCE, trust_env=False)
    assert reply.json() == REPLY


@pytest.mark.usefixtures("added")
def test_a_misspelt_input_does_not_compile_in_typescript(typescript: Second) -> None:
    program = typescript.folder / "index.ts"
    text = program.read_text()
    program.write_text(text.replace("instanceType:", "instancetype:"))
    try:
        done = typescript.pulumi("preview")
    finally:
        program.write_text(text)
    assert done.returncode != 0
    assert "'instancetype' does not exist in type" in done.stdout, done.stdout


def test_a_yaml_program_makes_a_registry_and_builds_an_image_into_it(yaml: Second) -> None:
    yaml.up()
    assert re.search(r"/scoring/yaml@sha256:[0-9a-f]{64}$", yaml.outputs()["image"])
