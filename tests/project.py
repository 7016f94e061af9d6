"""A copy of the project in a folder of its own, driven by the real Pulumi engine against a local Azure of its own.

Owns the folder, the backend and the child processes of one test module. The program, the stack file and the example
are the project's own, copied, so that a test may change them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.local_azure import ROOT, LocalAzure
from tools import azure

__all__ = ["ROOT", "LocalAzure", "Project", "Run", "begin", "finish", "kill", "polling", "scheduled", "until"]

PATIENCE = 900.0
"""Seconds that one run of Pulumi, or one wait, may take on a loaded machine."""


@dataclass(frozen=True)
class Run:
    """One finished run of a command."""

    code: int
    text: str

    @property
    def errors(self) -> list[str]:
        """The lines of the run that tell an error."""
        return [line.strip() for line in self.text.splitlines() if "error:" in line]


@dataclass
class Project:
    """A copy of the project with one stack."""

    folder: Path
    azure: LocalAzure
    stack: str = "local"
    extra: dict[str, str] = field(default_factory=dict)

    @classmethod
    def copied(cls, folder: Path, local: LocalAzure, stack: str = "local") -> "Project":
        """Copy what a user's checkout holds, and make the stack."""
        folder.mkdir(parents=True)
        for name in ("infra", "examples"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules", "sdks")
            )
        for name in ("Pulumi.yaml", "Pulumi.local.yaml"):
            shutil.copy(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(Path(sys.prefix))
        project = cls(folder, local, stack)
        if stack != "local":
            shutil.copy(folder / "Pulumi.local.yaml", folder / f"Pulumi.{stack}.yaml")
        assert project.pulumi("stack", "init", stack).code == 0
        return project

    @property
    def environment(self) -> dict[str, str]:
        """What `make env` would print for this copy."""
        return {**os.environ, **azure.environment(self.folder, self.azure.folder), **self.extra}

    def pulumi(self, *words: str) -> Run:
        """Run the Pulumi CLI to its end."""
        process = self.begin(*words)
        text, _ = process.communicate(timeout=PATIENCE)
        return Run(process.returncode, text)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start the Pulumi CLI in a session of its own."""
        return begin(self.folder, self.environment, *words)

    def up(self, *words: str) -> Run:
        """`pulumi up` without questions."""
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", self.stack, *words)

    def preview(self, *words: str) -> Run:
        """`pulumi preview` with what differs."""
        return self.pulumi("preview", "--diff", "--stack", self.stack, *words)

    def destroy(self) -> Run:
        """`pulumi destroy` without questions."""
        return self.pulumi("destroy", "--yes", "--skip-preview", "--stack", self.stack)

    def delivery(self, *words: str) -> Run:
        """Run `azureml-scoring` in this copy."""
        done = finish(self.folder, self.environment, sys.executable, "-m", "azureml_scoring", *words)
        return Run(done.returncode, done.stdout)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets shown."""
        found: dict[str, Any] = json.loads(
            self.pulumi("stack", "output", "--json", "--show-secrets", "--stack", self.stack).text
        )
        return found

    def state(self) -> dict[str, Any]:
        """The stack's state as the engine exports it; secrets stay sealed."""
        found: dict[str, Any] = json.loads(self.pulumi("stack", "export", "--stack", self.stack).text)
        return found

    def resource(self, type_: str, name: str = "") -> dict[str, Any]:
        """The one resource in the state of a type, by the end of its logical name where there are several."""
        found = [
            resource
            for resource in self.state()["deployment"]["resources"]
            if resource["type"] == type_ and resource["urn"].endswith(name)
        ]
        assert len(found) == 1, [resource["urn"] for resource in found]
        return dict(found[0])

    def edit(self, file: str, old: str, new: str) -> None:
        """Change one text in a file of this copy."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1))


def finish(folder: Path, environment: Mapping[str, str], *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; all that it prints is its standard output."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def begin(folder: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """Start the Pulumi CLI in a folder, in a session of its own."""
    return subprocess.Popen(
        ["pulumi", "--non-interactive", "--color=never", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def scheduled(project: Project) -> Run:
    """Run the very command of the scheduled job, as its runner does."""
    job = yaml.safe_load((ROOT / ".github/workflows/drift.yml").read_text())["jobs"]["drift"]
    script = next(step["run"] for step in job["steps"] if step.get("name") == "Compare")
    summary = project.folder / "summary.md"
    summary.write_text("")
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=project.folder,
        env={**project.environment, "STACK": project.stack, "GITHUB_STEP_SUMMARY": str(summary)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Run(done.returncode, summary.read_text() or done.stdout + done.stderr)


def kill(run: subprocess.Popen[str], name: str = "") -> None:
    """End the engine and all that it started as a power cut would; or those of them alone whose command has a name."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if session == run.pid and name in command:
            os.kill(int(folder.name), signal.SIGKILL)


def until(true: Callable[[], object], what: str, seconds: float = PATIENCE, pause: float = 0.5) -> None:
    """Wait for a condition; fail with what was waited for."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(pause)


@contextmanager
def polling(url: str, key: str, body: Any, pause: float = 0.05) -> Iterator[list[str]]:  # noqa: ANN401 - JSON
    """Score all the while, with a pause in seconds; what is yielded fills with whatever was not a 200."""
    failed: list[str] = []
    asked = 0
    stop = threading.Event()

    def ask() -> None:
        nonlocal asked
        with httpx.Client(timeout=60, headers={"Authorization": f"Bearer {key}"}) as client:
            while not stop.is_set():
                try:
                    reply = client.post(url, json=body)
                    if reply.status_code != HTTPStatus.OK:
                        failed.append(f"{reply.status_code} {reply.text[:200]}")
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                asked += 1
                stop.wait(pause)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield failed
        before = asked
        until(lambda: asked > before, "one more request")
    finally:
        stop.set()
        thread.join()
