"""Claims about ignore files: the files that stay are those that BuildKit's client sends."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from azureml_scoring.plan.content import build_files, context_files
from azureml_scoring.plan.ignore import Ignore, IgnoreError
from azureml_scoring.provider.image_build import pack
from azureml_scoring.settings.errors import SettingsError

from tests.docker_read import ask
from tests.plan.ignore_files import FILES, IGNORE_FILES


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "empty" / "er").mkdir(parents=True)
    (folder / "link").symlink_to("main.py")
    (folder / "dirlink").symlink_to("a")
    return folder


def ours(folder: Path, text: str) -> list[str] | str:
    try:
        return [name for name, _ in Ignore(text).files(folder)]
    except IgnoreError:
        return "refused"


def buildkits(folder: Path, texts: list[str]) -> list[list[str] | str]:
    answers = ask("contexts", [{"path": str(folder), "ignore": text} for text in texts])
    return ["refused" if isinstance(each, dict) else sorted(each, key=os.fsencode) for each in answers]


def test_what_stays_is_what_buildkit_sends(tree: Path) -> None:
    answers = buildkits(tree, IGNORE_FILES)
    wrong = {
        text: {*mine} ^ {*theirs} if isinstance(mine, list) and isinstance(theirs, list) else (mine, theirs)
        for text, theirs in zip(IGNORE_FILES, answers, strict=True)
        if (mine := ours(tree, text)) != theirs
    }
    assert not wrong
    assert len({tuple(each) for each in answers}) > 100


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("models\n", "Models/m.pkl", "models/n.pkl"),
        ("*\n!**/*.py\n", "src/pkg/a.py", "src/pkg/b.txt"),
        ("docs\n!docs/a\ndocs/a/guide.md\n", "docs/a/README.md", "docs/a/guide.md"),
    ],
)
def test_case_counts_and_the_last_pattern_that_matches_decides_in_any_folder(
    tree: Path, text: str, kept: str, gone: str
) -> None:
    assert kept in ours(tree, text)
    assert gone not in ours(tree, text)


@pytest.mark.parametrize("text", ["*\n!**/*.py", "Dockerfile*\n.dockerignore", "**\n!src", "*.md", "*\n!Dockerfile"])
@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore", "docker/Dockerfile.dockerignore"])
def test_what_is_built_from_the_upload_is_what_buildkit_would_have_sent(tmp_path: Path, text: str, name: str) -> None:
    folder, unpacked = tmp_path / "context", tmp_path / "unpacked"
    dockerfile = "docker/Dockerfile" if "/" in name else "Dockerfile"
    for each in ("a.py", "src/b.py", "src/c.txt", "README.md", dockerfile, ".dockerignore", name):
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_text(text if each == name else "b.py")
    packed = io.BytesIO()
    pack(build_files(folder, dockerfile), packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        archive.extractall(unpacked, filter="data")
    (sent,) = buildkits(folder, [text])
    assert buildkits(unpacked, [text]) == [sent]
    assert (unpacked / name).read_text() == text
    assert [file.name for file in context_files(folder, dockerfile)] == sorted({*sent, dockerfile, ".dockerignore"})


def test_a_pattern_that_docker_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / ".dockerignore").write_text("a\n[b\n")
    with pytest.raises(SettingsError) as told:
        context_files(tmp_path)
    assert str(told.value) == (
        f'image.context = "{tmp_path}/.dockerignore": [b is no pattern; '
        "close what [ opens, and write something behind ! and \\"
    )


def test_a_name_that_is_no_text_stays_or_goes_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / ".dockerignore").write_bytes(b"gone-\xff\n")
    for name in (b"gone-\xff", b"kept-\xfe"):
        (tmp_path / os.fsdecode(name)).write_text("")
    assert [os.fsencode(file.name) for file in context_files(tmp_path)] == [
        b".dockerignore",
        b"Dockerfile",
        b"kept-\xfe",
    ]
