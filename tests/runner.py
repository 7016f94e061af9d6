"""A machine on which a job of a pipeline runs: an empty folder, the variables of the job, and bash.

Owns what the runners of GitHub and of Azure Pipelines have in common, and the doubles of what this machine cannot get:
the checkout, an installed Python, Pulumi. Everything else of a job is run as it is written: uv and the packages of the
lock file are installed from the package index.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.project import PATIENCE, finish
from tools import azure, registry, toolchain
from tools.shell import bin_folder

_HIDDEN = (".local", ".venv", ".git")


@dataclass
class Machine:
    """The machine of one job."""

    folder: Path
    """Its disk."""
    repository: Path
    """What a checkout gets."""
    variables: dict[str, str]
    path: list[str] = field(default_factory=list)
    """Folders that steps put in front of PATH."""
    log: str = ""
    """Output of all steps."""
    summary: str = ""
    """The Markdown on the page of the job."""

    def __post_init__(self) -> None:
        self.workspace.mkdir(parents=True)

    @property
    def workspace(self) -> Path:
        """Where steps run."""
        return self.folder / "work"

    def checkout(self) -> None:
        """Get the files of the repository, as a checkout does."""
        shutil.copytree(self.repository, self.workspace, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_HIDDEN))

    def install_python(self) -> None:
        """Put a Python on PATH that has pip, and nothing of this repository's environment."""
        python = Path(sys.prefix, "bin", "python").resolve()
        subprocess.run([python, "-m", "venv", self.folder / "python"], check=True, timeout=PATIENCE)
        self.path.insert(0, str(self.folder / "python" / "bin"))

    def install_pulumi(self, version: str) -> None:
        """Put Pulumi on PATH; the job must ask for the version of the toolchain."""
        assert version == toolchain.wanted()
        self.path.insert(0, str(self.pulumi))

    @cached_property
    def pulumi(self) -> Path:
        """A folder of Pulumi's programs; without policy packs where the language host, as built here, starts none."""
        folder, programs = self.folder / "pulumi", toolchain.ensure()
        folder.mkdir()
        for program in programs.iterdir():
            (folder / program.name).symlink_to(program)
        if not (programs / "pulumi-analyzer-policy-python").exists():
            (folder / "pulumi").unlink()
            _write(folder / "pulumi", f'{_WITHOUT_POLICIES}\nexec {programs}/pulumi "$@"')
        return folder

    def program(self, name: str, script: str) -> None:
        """Put a program on PATH that the machine has from the start."""
        (self.folder / "bin").mkdir(exist_ok=True)
        _write(self.folder / "bin" / name, script)

    def bash(self, script: str, options: Sequence[str], variables: Mapping[str, str]) -> tuple[int, str]:
        """Run a script from a file; return its exit code and its output."""
        file = self.folder / "script.sh"
        file.write_text(script)
        system = [str(self.folder / "bin"), str(registry.ensure()), str(bin_folder()), "/usr/bin", "/bin", "/usr/sbin"]
        path = {"PATH": os.pathsep.join([*self.path, *system])}
        environment = {**self._machine(), **self.variables, **variables, **path}
        done = finish(self.workspace, environment, "bash", *options, str(file))
        self.log += done.stdout
        return done.returncode, done.stdout

    def _machine(self) -> dict[str, str]:
        """What any process needs here, without the environment that the tests run in."""
        dropped = {"VIRTUAL_ENV", "PYTHONPATH", "GITHUB_STEP_SUMMARY", "TF_BUILD"}
        return {**{name: value for name, value in os.environ.items() if name not in dropped}, **_UNTOUCHED}


_WITHOUT_POLICIES = """for word; do
  shift
  if [ "$word" = --policy-pack ] || [ "$before" = --policy-pack ]; then :; else set -- "$@" "$word"; fi
  before=$word
done"""


def _write(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


_UNTOUCHED = {"PYTHONDONTWRITEBYTECODE": "", "PULUMI_SKIP_UPDATE_CHECK": "true"}


def repository(folder: Path) -> Path:
    """Copy the files that this repository tracks, or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=azure.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (source := azure.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder
