"""What a program loads: SDK modules cost most of a no-op's time, so each is loaded where it is first used.

Counted in modules, not in seconds; `make bench` measures.
"""

import subprocess
import sys
from pathlib import Path

import pytest

# azure-native's modules are in `sys.modules` before they are loaded; a loaded one has submodules.
_LOADED = """
import re, sys
sdks = re.compile(r"pulumi_azure_native[.](?!_)\\w+(?=[.])|pulumi_azuread|pulumi_docker|docker|azure[.]identity")
print(*{found[0] for each in sys.modules if (found := sdks.match(each))})
"""
_IMPORT = f"import azureml_scoring.stack{_LOADED}"
_UP = f"""
from pathlib import Path
from tests.components.cloud import arguments, up
from tests.components.test_workspace import standing, workspace
up(arguments(Path("."), **SECTIONS), standing(workspace())){_LOADED}"""
_DEFAULT = {
    "applicationinsights",
    "authorization",
    "containerregistry",
    "keyvault",
    "machinelearningservices",
    "operationalinsights",
    "resources",
    "storage",
}


def loaded(code: str, folder: Path) -> set[str]:
    """The SDKs, azure-native's by module, that a program has loaded at its end."""
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_components_loads_no_sdk_module(tmp_path: Path) -> None:
    assert loaded(_IMPORT, tmp_path) == set()


@pytest.mark.parametrize(
    ("sections", "more"),
    [("{}", "pulumi_azuread"), ("{'principal': {'kind': 'managed-identity'}}", "pulumi_azure_native.managedidentity")],
    ids=["service-principal", "managed-identity"],
)
def test_a_no_op_of_the_default_stack_loads_the_sdk_modules_of_its_resources(
    tmp_path: Path, sections: str, more: str
) -> None:
    names = loaded(_UP.replace("SECTIONS", sections), tmp_path)
    assert names == {*(f"pulumi_azure_native.{each}" for each in _DEFAULT), more}
