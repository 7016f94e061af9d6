import importlib.metadata
import os
from pathlib import Path

import pytest

from tools import gobuild, shell, toolchain
from tools.shell import ToolError

GO = Path(gobuild.__file__).parent / "go"


def test_the_provider_that_builds_images_is_of_the_sdks_version() -> None:
    version = importlib.metadata.version("pulumi-docker-build")
    assert f"github.com/pulumi/pulumi-docker-build v{version}\n" in (GO / "docker-build" / "go.mod").read_text()


@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ("v3.259.0\n", (3, 259, 0)),
        ("3.259.1", (3, 259, 1)),
        ("v3.260.0-alpha.1+dirty", (3, 260, 0)),
        ("warning: a new version is out\nv3.259.0", (3, 259, 0)),
    ],
)
def test_version_is_read_from_what_pulumi_shows(shown: str, version: tuple[int, int, int]) -> None:
    assert toolchain.parse_version(shown) == version


def test_text_without_a_version_is_answered_with_one_line_that_names_it() -> None:
    with pytest.raises(ToolError, match="'no such thing' is none; expected something like v3"):
        toolchain.parse_version("no such\nthing")


def test_engine_fits_the_sdk_of_the_same_minor_version_only() -> None:
    assert toolchain.fits((3, 259, 4), (3, 259, 0))
    assert not toolchain.fits((3, 260, 0), (3, 259, 0))
    assert not toolchain.fits((2, 259, 0), (3, 259, 0))


def test_go_module_builds_the_engine_that_the_sdk_is_pinned_to() -> None:
    assert f"github.com/pulumi/pulumi/pkg/v3 v{toolchain.wanted()}" in (GO / "pulumi" / "go.mod").read_text()


def test_the_bridge_of_node_calls_the_generator_of_the_same_engine() -> None:
    assert f"github.com/pulumi/pulumi/pkg/v3 v{toolchain.wanted()}" in (GO / "language-nodejs" / "go.mod").read_text()


@pytest.mark.parametrize("module", sorted(folder.name for folder in GO.iterdir()))
def test_go_modules_are_pinned_by_checksum(module: str) -> None:
    assert "h1:" in (GO / module / "go.sum").read_text()


def test_language_host_beside_the_engine_is_taken_and_nothing_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "pulumi-language-nodejs", "exit 0")
    monkeypatch.setattr(toolchain, "ensure", lambda: tmp_path)
    assert toolchain.language("nodejs") == tmp_path


def test_a_changed_source_is_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "_MODULES", tmp_path)
    source = tmp_path / "host" / "main.go"
    source.parent.mkdir()
    marks = set()
    for text in ("package main", "package main // changed"):
        source.write_text(text)
        marks |= {gobuild.mark("host"), gobuild.mark("host")}
    assert len(marks) == 2


def test_engine_of_the_right_version_on_path_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "pulumi", f"echo v{toolchain.wanted()}")
    program(tmp_path / "pulumi-language-python", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert toolchain.ensure() == tmp_path


def test_engine_without_its_language_host_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "pulumi", f"echo v{toolchain.wanted()}")
    monkeypatch.setattr(shell, "_SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert toolchain._on_path() is None


def test_engine_of_another_version_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "pulumi", "echo v3.1.0")
    program(tmp_path / "pulumi-language-python", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert toolchain._on_path() is None


def test_without_go_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"^pulumi is neither on PATH .* install Go 1\.\d+ or newer[^\n]*$"):
        gobuild.build("pulumi", "any", tmp_path / "pulumi")


def program(place: Path, line: str) -> None:
    place.write_text(f"#!/bin/sh\n{line}\n")
    place.chmod(0o755)
