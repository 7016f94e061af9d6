"""The plugin from a second Python program, on the real engine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import azure as tools_azure

PATIENCE = 600.0
PROGRAM = """
import json
import pulumi
from pulumi_azure_native import containerregistry, resources

config = json.loads(open("image.json").read())
group = resources.ResourceGroup("group", resource_group_name=config["group"], location="westeurope")
registry = containerregistry.Registry(
    "registry",
    registry_name=config["registry"],
    resource_group_name=group.name,
    location=group.location,
    sku={"name": "Standard"},
)


class CustomImage(pulumi.ComponentResource):
    # As a generated SDK has it: a component that the plugin makes.
    image: pulumi.Output[str]

    def __init__(self, name, args, opts=None):
        outputs = dict.fromkeys(("image", "digest", "tag"))
        super().__init__("azureml-scoring:index:CustomImage", name, {**outputs, **args}, opts, True)


given = {"image": config["image"], "registryId": registry.id, "loginServer": registry.login_server}
made = CustomImage("app", given)
pulumi.export("image", pulumi.get(made, "image"))
pulumi.export("tag", pulumi.get(made, "tag"))
"""


class Second:
    """A program of somebody else's, in its own folder with its own backend."""

    def __init__(self, folder: Path, azure: Any) -> None:  # noqa: ANN401 - the fixture of conftest
        self.folder = folder
        self.azure = azure
        name = folder.name.lower().replace("_", "")[-12:]
        context = folder / "context"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM scratch\nCOPY a.txt /\n")
        (context / "a.txt").write_text(name)
        (folder / "Pulumi.yaml").write_text(
            "name: second\nruntime: python\nplugins:\n  providers:\n"
            f"    - name: azureml-scoring\n      path: {Path(sys.executable).parent}\n"
        )
        (folder / "__main__.py").write_text(PROGRAM)
        self.config = {
            "group": f"rg-{name}",
            "registry": f"second{name.replace('-', '')}",
            "image": {"context": str(context), "repository": "second/app"},
        }
        self.save()
        backend = folder / "backend"
        backend.mkdir()
        self.environment = {
            **os.environ,
            **azure.environment,
            **tools_azure.machine(),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": "local",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONWARNINGS": "ignore",
        }
        assert self.pulumi("stack", "init", "dev").returncode == 0

    def save(self) -> None:
        """Write what the program reads."""
        (self.folder / "image.json").write_text(json.dumps(self.config))

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """Start the Pulumi CLI."""
        return subprocess.Popen(
            ["pulumi", "--non-interactive", "--color=never", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def pulumi(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the Pulumi CLI to its end."""
        process = self.begin(*words)
        text, _ = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(words, process.returncode, text)

    def up(self) -> str:
        """`pulumi up`; its text."""
        done = self.pulumi("up", "--yes", "--skip-preview")
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def second(tmp_path: Path, azure: Any) -> Iterator[Second]:  # noqa: ANN401 - the fixture of conftest
    program = Second(tmp_path, azure)
    yield program
    azure.tell("fault", "build-delay")
    program.pulumi("cancel", "--yes")
    program.pulumi("destroy", "--yes", "--skip-preview")


def test_a_second_program_builds_an_image_and_finds_it_unchanged_afterwards(second: Second) -> None:
    first = second.up()
    assert "Successfully pushed image" in first, "the build's log is not in the engine's"
    outputs = json.loads(second.pulumi("stack", "output", "--json").stdout)
    assert re.fullmatch(r"localhost:\d+/second/app@sha256:[0-9a-f]{64}", outputs["image"])
    assert "from $PATH" not in first
    again = second.up()
    assert re.search(r"\b\d+ unchanged", again)
    assert not re.search(r"\b\d+ (created|updated|replaced)", again)


def test_a_preview_knows_the_tag_and_not_the_image(second: Second) -> None:
    text = second.pulumi("preview").stdout
    assert re.search(r'tag *: "[0-9a-f]{12}"', text), text
    assert re.search(r"image: \[unknown\]", text), text


def test_what_is_wrong_with_a_component_is_one_line(second: Second) -> None:
    second.config["image"] = {"context": str(second.folder / "nowhere"), "repository": "second/app"}
    second.save()
    done = second.pulumi("preview")
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if line.strip().startswith("error:") and "nowhere" in line]
    assert lines, done.stdout
    assert "components/" not in done.stdout, "a traceback of the plugin reached the user"


def test_the_plugin_ends_when_its_engine_is_killed_in_the_middle_of_a_step(second: Second) -> None:
    second.azure.tell("fault", "build-delay", "600")
    second.azure.tell("reset-stats")
    engine = second.begin("up", "--yes", "--skip-preview")
    try:
        until(lambda: _builds(second) > 0)
        plugins = [pid for pid in _descendants(engine.pid) if b"pulumi-resource-azureml-scoring" in _command(pid)]
        assert plugins
        engine.send_signal(signal.SIGKILL)
    finally:
        engine.kill()
        engine.communicate()
    until(lambda: not any(_command(pid) for pid in plugins))


def _builds(second: Second) -> int:
    return int(json.loads(second.azure.tell("stats")).get("builds", 0))


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def _command(pid: int) -> bytes:
    """The command line of a process; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found, left = [], [pid]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found
