import os
import shutil
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from azureml_scoring.plan.content import Progress, context_files, read_content
from azureml_scoring.plan.progress import ProgressLogger
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.image import ImageSettings


def content_key(
    context: Path, dockerfile: str = "Dockerfile", progress: Progress | None = None, **fields: object
) -> str:
    image = ImageSettings.model_validate({"dockerfile": dockerfile, **fields})
    return read_content(context, image, progress).key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    context = tmp_path / "context"
    (context / "model").mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM scratch\n")
    (context / "score.py").write_text("x = 1\n")
    (context / "model" / "weights").write_bytes(bytes(range(256)))
    (context / "start.sh").write_text("#!/bin/sh\n")
    (context / "start.sh").chmod(0o755)
    (context / "link").symlink_to("score.py")
    return context


def names(context: Path) -> list[str]:
    return [file.name for file in context_files(context)]


def test_the_key_is_64_hexadecimal_digits_and_does_not_move(folder: Path) -> None:
    assert content_key(folder) == "bf8bef13b3b17a8e4f97ad6eb44fd07f2be75e9ba8c143136ebfa66bffb2a135"


@pytest.mark.parametrize(
    ("ignore", "key"),
    [
        (
            "# a comment\n\n*.log\n**/cache\nmodel/*\n!model/weights\nDockerfile\n",
            "32152ef8bc549c755c2264cdd910d307afe686a19b900eef7ec7bd006f14742f",
        ),
        ("*\n!model\nmodel/notes\n", "ce6dbec5db4ab48584dbc3aa8eec36722cbd567e4f46ac98e8e74774c3454af8"),
        ("*\n!model\n!score.py\n", "46f6f25f38a2199ba80463bbcd4998a650e01cf5899bc94b76aefd02d8108f39"),
    ],
)
def test_the_key_of_a_context_that_an_ignore_file_thins_out_is_that_of_earlier_versions(
    folder: Path, ignore: str, key: str
) -> None:
    for name in ("notes.log", "model/notes", "model.d/a"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / ".dockerignore").write_text(ignore)
    assert content_key(folder) == key


def touch(folder: Path) -> None:
    for path in folder.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1, 1))


def umask(folder: Path) -> None:
    (folder / "score.py").chmod(0o600)
    (folder / "start.sh").chmod(0o700)
    (folder / "model").chmod(0o700)


def empty_folder(folder: Path) -> None:
    (folder / "empty").mkdir()


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    listener.close()


def other_order(folder: Path) -> None:
    for name in ("score.py", "Dockerfile"):
        text = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(text)


@pytest.mark.parametrize("change", [touch, umask, empty_folder, pipe, other_order])
def test_what_differs_between_machines_does_not_count(folder: Path, change: Callable[[Path], None]) -> None:
    before = content_key(folder)
    change(folder)
    assert content_key(folder) == before


def test_a_copy_elsewhere_has_the_same_key(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other" / "place", symlinks=True)
    assert content_key(tmp_path / "other" / "place") == content_key(folder)


def _link(path: Path, to: str) -> Path:
    path.symlink_to(to)
    return path


CHANGES: dict[str, Callable[[Path], object]] = {
    "one byte": lambda folder: (folder / "model" / "weights").write_bytes(bytes(range(255)) + b"\0"),
    "the Dockerfile": lambda folder: (folder / "Dockerfile").write_text("FROM scratch\n\n"),
    "a new file": lambda folder: (folder / "new").write_text(""),
    "a file gone": lambda folder: (folder / "score.py").unlink(),
    "another name": lambda folder: (folder / "score.py").rename(folder / "scoring.py"),
    "the executable bit": lambda folder: (folder / "start.sh").chmod(0o644),
    "where a link points": lambda folder: _link(folder / "other", "start.sh").replace(folder / "link"),
    "a file for a link": lambda folder: (folder / "score.py").replace(folder / "link"),
    "a byte moved to the next file": lambda folder: (
        (folder / "model" / "weights").write_bytes(bytes(range(255))),
        (folder / "score.py").write_bytes(b"\xffx = 1\n"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_a_build_can_see_counts(folder: Path, change: str) -> None:
    before = content_key(folder)
    CHANGES[change](folder)
    assert content_key(folder) != before


def test_arguments_base_platform_and_target_count(folder: Path) -> None:
    keys = [
        content_key(folder),
        content_key(folder, build_arguments={"A": "1"}),
        content_key(folder, build_arguments={"A": "1", "B": ""}),
        content_key(folder, build_arguments={"A": "2"}),
        content_key(folder, base_digest=f"sha256:{'1' * 64}"),
        content_key(folder, platform="linux/arm64"),
        content_key(folder, target="test"),
    ]
    assert len(set(keys)) == len(keys)


def test_of_secrets_the_names_count(folder: Path) -> None:
    assert content_key(folder, build_secrets={"TOKEN": "x"}) != content_key(folder)
    assert content_key(folder, build_secrets={"A": "1", "B": "2"}) == content_key(
        folder, build_secrets={"B": "x", "A": "y"}
    )


def test_the_order_of_arguments_does_not_count(folder: Path) -> None:
    assert content_key(folder, build_arguments={"A": "1", "B": "2"}) == content_key(
        folder, build_arguments={"B": "2", "A": "1"}
    )


def test_ignored_files_are_neither_sent_nor_counted(folder: Path) -> None:
    (folder / ".dockerignore").write_text("# a comment\n\n*.log\n**/cache\nmodel/*\n!model/weights\n")
    before = content_key(folder)
    (folder / "a.log").write_text("x")
    (folder / "model" / "notes").write_text("x")
    (folder / "deep" / "cache").mkdir(parents=True)
    (folder / "deep" / "cache" / "x").write_text("x")
    assert content_key(folder) == before
    assert names(folder) == [".dockerignore", "Dockerfile", "link", "model/weights", "score.py", "start.sh"]


def test_the_dockerfile_counts_even_when_ignored(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n!score.py\n")
    assert "Dockerfile" in names(folder)


def test_a_dockerfiles_own_ignore_file_goes_first(folder: Path) -> None:
    (folder / ".dockerignore").write_text("model\n")
    (folder / "Dockerfile.dockerignore").write_text("score.py\n")
    assert "model/weights" in names(folder)
    assert "score.py" not in names(folder)


def test_a_link_out_of_the_context_is_a_link_and_not_what_it_points_to(folder: Path) -> None:
    (folder / "out").symlink_to("/nonexistent/secret")
    entry = next(file for file in context_files(folder) if file.name == "out")
    assert entry.link == "/nonexistent/secret"
    assert content_key(folder)


def test_a_large_file_is_read_in_blocks(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(64 << 20)
    content_key(folder)
    tracemalloc.start()
    content_key(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_progress_is_told_for_every_file(folder: Path) -> None:
    told: list[tuple[int, int, int]] = []
    content_key(folder, progress=lambda *counts: told.append(counts))
    assert [files for files, _, _ in dict.fromkeys(told)][-1] == 5
    assert {total for _, total, _ in told} == {5}
    assert told[-1][2] == sum(file.path.stat().st_size for file in context_files(folder) if file.link is None)


def test_a_large_context_says_how_far_it_is_by_files_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("pulumi.log.info", lambda text, ephemeral: said.append(text) if ephemeral else None)
    told = ProgressLogger("image.context")
    for files in range(10_001):
        told(files, 10_001, files)
    told(10_001, 10_001, 300 << 20)
    assert said == [
        "image.context: 5000 of 10001 files, 0 MB read",
        "image.context: 10000 of 10001 files, 0 MB read",
        "image.context: 10001 of 10001 files, 300 MB read",
    ]


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ("Dockerfile.gone", "no such file in"),
        ("../Dockerfile", "it must lie inside the context"),
        ("/etc/hosts", "it must lie inside the context"),
    ],
)
def test_a_missing_dockerfile_is_one_line(folder: Path, dockerfile: str, words: str) -> None:
    with pytest.raises(SettingsError) as told:
        content_key(folder, dockerfile)
    assert str(told.value).startswith(f'image.dockerfile = "{dockerfile}": {words}')
    assert "\n" not in str(told.value)


def test_a_missing_context_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'^image\.context = ".*/gone": the folder does not exist; name the folder'):
        content_key(tmp_path / "gone")
