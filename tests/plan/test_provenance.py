"""What a state keeps of an image's ingredients: every change of a file shows, and the list stays short."""

from pathlib import Path

from azureml_scoring.plan.content import read_content
from azureml_scoring.plan.image import plan_image
from azureml_scoring.plan.provenance import MOST_FILES, MOST_PACKAGES, shortened
from azureml_scoring.settings.at import At
from azureml_scoring.settings.image import ImageSettings


def _many(folder: str, number: int) -> list[tuple[str, str]]:
    return [(f"{folder}/{n // 10}/{n}.bin", f"{n:08x}") for n in range(number)]


def test_few_files_stand_there_by_name() -> None:
    assert shortened([("Dockerfile", "1"), ("a/b.py", "2")]) == {"Dockerfile": "1", "a/b.py": "2"}


def test_a_folder_of_many_files_is_one_line_and_the_others_stay_open() -> None:
    found = shortened([("Dockerfile", "1"), *_many("data", 5000), ("src/score.py", "2"), ("src/deep/x.py", "3")])
    assert {"Dockerfile", "src/score.py", "src/deep/x.py", "data/"} == set(found)


def test_folders_are_opened_as_far_as_the_list_is_long() -> None:
    found = shortened([("Dockerfile", "1"), *_many("data", 1000)])
    assert 101 < len(found) <= MOST_FILES
    assert "data/99/" in found
    assert len(shortened([(f"{n}.py", "1") for n in range(10_000)])) == 1


def test_a_change_deep_in_a_folder_shows_at_that_folder_alone() -> None:
    files = [("Dockerfile", "1"), *_many("data", 1000)]
    before, after = shortened(files), shortened([*files[:-1], (files[-1][0], "other")])
    assert [name for name in before if before[name] != after[name]] == ["data/99/"]


def test_the_list_is_as_short_as_it_must_be_whatever_the_context() -> None:
    for depth in (1, 3, 30):
        names = sorted({"/".join(str(n % (k + 2)) for k in range(depth)) + f"/{n}" for n in range(3000)})
        assert 0 < len(shortened([(name, "1") for name in names])) <= MOST_FILES


def test_a_content_tells_its_files_and_keeps_its_key(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "link").symlink_to("run.sh")
    before = read_content(tmp_path, ImageSettings())
    assert list(before.files) == ["Dockerfile", "link", "run.sh"]
    (tmp_path / "run.sh").chmod(0o755)
    after = read_content(tmp_path, ImageSettings())
    assert {name for name in after.files if after.files[name] != before.files[name]} == {"run.sh"}


def test_a_name_that_is_no_text_can_still_be_told(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "caf\udce9").write_text("x")
    assert "\n".join(read_content(tmp_path, ImageSettings()).files).encode()


def _plan(folder: Path, dockerfile: str, requirements: str = "", **settings: str) -> tuple[list[str], dict[str, str]]:
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / "requirements.txt").write_text(requirements)
    image = ImageSettings.model_validate({"context": str(folder), **settings})
    found = plan_image(At.root(image, "image")).provenance
    return list(found.bases), dict(found.packages)


def test_bases_and_packages_come_from_the_dockerfile_and_its_requirements(tmp_path: Path) -> None:
    bases, packages = _plan(
        tmp_path,
        "ARG V=3.12\nFROM python:${V}-slim AS build\nRUN pip install -r requirements.txt\n"
        "FROM debian:13-slim\nCOPY --from=build /x /x\nRUN apt-get install -y libgomp1=14.2 curl\n",
        "numpy==2.1.0\nscikit-learn>=1\n",
        base_digest=f"sha256:{'1' * 64}",
    )
    assert bases == ["python:3.12-slim", "debian:13-slim", f"sha256:{'1' * 64}"]
    assert packages == {"apt curl": "any", "apt libgomp1": "14.2", "numpy": "2.1.0", "scikit-learn": "any"}


def test_of_too_many_packages_none_is_kept(tmp_path: Path) -> None:
    lines = "".join(f"p{n}==1\n" for n in range(MOST_PACKAGES + 1))
    _, packages = _plan(tmp_path, "FROM python:3.12\nRUN pip install -r requirements.txt\n", lines)
    assert packages == {}
