"""A program of another team, in its own folder with its own backend, that uses the package or its plugin.

Owns the folder, the backend and Pulumi's processes. Refuses to own what the program is written in.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import Cloud
from tests.project import begin, finish
from tools import azure as tools_azure

PATIENCE = 600.0


class Second:
    """The program in a folder that has a Pulumi.yaml, with one stack."""

    def __init__(self, folder: Path, azure: Cloud, *programs: Path) -> None:
        self.folder = folder
        self.azure = azure
        state = folder.parent / f"{folder.name}-pulumi"
        (state / "backend").mkdir(parents=True)
        machine = tools_azure.machine()
        self.environment = {
            **os.environ,
            **azure.environment,
            **machine,
            "PATH": tools_azure.path_of(list(programs), machine["PATH"]),
            "PULUMI_HOME": str(state / "home"),
            "PULUMI_BACKEND_URL": f"file://{state / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "local",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONWARNINGS": "ignore",
        }
        assert self.pulumi("stack", "init", "dev").returncode == 0

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """Start the Pulumi CLI."""
        return begin(self.folder, self.environment, *words)

    def pulumi(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the Pulumi CLI to its end."""
        process = self.begin(*words)
        text, _ = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(words, process.returncode, text)

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run another of its programs in its folder."""
        return finish(self.folder, self.environment, *command)

    def up(self) -> str:
        """`pulumi up`; its text."""
        done = self.pulumi("up", "--yes", "--skip-preview")
        assert done.returncode == 0, done.stdout
        return done.stdout

    def outputs(self) -> Any:  # noqa: ANN401 - JSON
        """The stack's outputs."""
        return json.loads(self.pulumi("stack", "output", "--json").stdout)
