"""The plugin from a second Python program, on the real engine."""

import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Cloud
from tests.second import PATIENCE, Second

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


class Builder(Second):
    """A Python program that builds one image into a registry of its own."""

    def __init__(self, folder: Path, azure: Cloud) -> None:
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
        super().__init__(folder, azure)
        self.save()

    def save(self) -> None:
        """Write what the program reads."""
        (self.folder / "image.json").write_text(json.dumps(self.config))


@pytest.fixture
def second(tmp_path: Path, azure: Cloud) -> Iterator[Builder]:
    program = Builder(tmp_path, azure)
    yield program
    azure.tell("fault", "build-delay")


def test_a_second_program_builds_an_image_and_finds_it_unchanged_afterwards(second: Builder) -> None:
    first = second.up()
    assert "Successfully pushed image" in first, "the build's log is not in the engine's"
    assert re.fullmatch(r"localhost:\d+/second/app@sha256:[0-9a-f]{64}", second.outputs()["image"])
    assert "from $PATH" not in first
    again = second.up()
    assert re.search(r"\b\d+ unchanged", again)
    assert not re.search(r"\b\d+ (created|updated|replaced)", again)


def test_a_preview_knows_the_tag_and_not_the_image(second: Builder) -> None:
    text = second.pulumi("preview").stdout
    assert re.search(r'tag *: "[0-9a-f]{12}"', text), text
    assert re.search(r"image: \[unknown\]", text), text


def test_what_is_wrong_with_a_component_is_one_line(second: Builder) -> None:
    second.config["image"] = {"context": str(second.folder / "nowhere"), "repository": "second/app"}
    second.save()
    done = second.pulumi("preview")
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if line.strip().startswith("error:") and "nowhere" in line]
    assert lines, done.stdout
    assert "components/" not in done.stdout, "a traceback of the plugin reached the user"


def test_the_plugin_ends_when_its_engine_is_killed_in_the_middle_of_a_step(second: Builder) -> None:
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


def _builds(second: Builder) -> int:
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
