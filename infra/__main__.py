"""The program: load the stack's config, build, tell. Owns nothing; the work is in `components/`.

`azureml_scoring` and `infra` are importable because the project itself is installed in its virtual environment.
"""

import os
import sys
from pathlib import Path

import pulumi
from azureml_scoring.settings import stack_file
from azureml_scoring.settings.types import SettingsError
from azureml_scoring.stack import ScoringStack

from infra import outputs

_TOLD = 32
"""Exit code by which the language host knows that the user has read the reason, and adds no line of its own."""


def main() -> None:
    """Build the stack that the config describes."""
    # The project's own root: config names the build context from there, wherever Pulumi starts the program.
    settings = stack_file.load(Path(__file__).resolve().parents[1])
    # Builder docker pushes as whoever deploys; without these, by the Docker engine's own login (`az acr login`).
    builder = settings.get("image", {}).get("builder")
    if builder == "docker" and {"ARM_CLIENT_ID", "ARM_CLIENT_SECRET"} <= os.environ.keys():
        settings["push_username"] = os.environ["ARM_CLIENT_ID"]
        settings["push_password"] = pulumi.Output.secret(os.environ["ARM_CLIENT_SECRET"])
    outputs.export(ScoringStack("scoring", settings), settings)


try:
    main()
except SettingsError as error:
    for problem in str(error).splitlines():
        pulumi.log.error(problem)
    sys.exit(_TOLD)
