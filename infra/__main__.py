"""The program of this project's stacks: load the stack file, build, export. Owns nothing; the work is in the package.

`azureml_scoring` and `infra` are importable because the project itself is installed in its virtual environment.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pulumi
from azureml_scoring.settings import stack_file
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.stack import ScoringStackArgs
from azureml_scoring.stack import ScoringStack

from infra import outputs

_EXPLAINED = 32
"""Exit code by which the language host knows that the user has read the reason, and adds no line of its own."""


def main() -> None:
    """Build the stack that the stack file describes."""
    # The project's own root: the stack file names paths from there, wherever Pulumi starts the program.
    settings = stack_file.load(Path(__file__).resolve().parents[1])
    chosen: dict[str, Any] = {name: getattr(settings, name) for name in settings.model_fields_set}
    args = ScoringStackArgs(**chosen, **_push())
    try:
        stack = ScoringStack("scoring", args)
    except SettingsError as error:
        raise stack_file.prefixed(error) from None
    outputs.export(stack, args)


def _push() -> dict[str, Any]:
    """Push as the deployer with builder docker; without these, by the Docker engine's own login (`az acr login`)."""
    names = {"push_username": "ARM_CLIENT_ID", "push_password": "ARM_CLIENT_SECRET"}
    values = {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
    return values if len(values) == len(names) else {}


try:
    main()
except SettingsError as error:
    for problem in str(error).splitlines():
        pulumi.log.error(problem)
    sys.exit(_EXPLAINED)
