"""The copy of a build context: named by its content, whole, private, and gone with the last process that needs it."""

import subprocess
import sys
from pathlib import Path

import pytest
from azureml_scoring import staging
from azureml_scoring.plan.image import ImagePlan, plan_image
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.image import ImageSettings

from tests.components.cloud import context

PROGRAM = """
import pathlib, sys
from azureml_scoring import staging
from azureml_scoring.plan.image import plan_image
from azureml_scoring.settings.at import At
from azureml_scoring.settings.image import ImageSettings

staging._ROOT = pathlib.Path(sys.argv[1])
image = ImageSettings(context=sys.argv[2], builder="docker")
print(staging.staged(image, plan_image(At.root(image))), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(staging, "_ROOT", tmp_path / "root")
    return tmp_path / "root"


def planned(folder: Path) -> tuple[ImageSettings, ImagePlan]:
    image = ImageSettings(context=str(context(folder)), builder="docker")
    return image, plan_image(At.root(image))


def test_a_copy_that_has_lost_a_file_is_made_anew(root: Path, tmp_path: Path) -> None:
    image, plan = planned(tmp_path / "app")
    copy = staging.staged(image, plan)
    assert copy == root / plan.content_key
    (copy / "score.py").unlink()
    assert (staging.staged(image, plan) / "score.py").is_file()
    assert {each.name for each in root.iterdir()} == {plan.content_key, "lock"}


def test_programs_stay_programs_and_links_stay_links(root: Path, tmp_path: Path) -> None:  # noqa: ARG001 - moved away
    image, _ = planned(tmp_path / "app")
    (tmp_path / "app" / "bin").mkdir(mode=0o700)
    (tmp_path / "app" / "bin" / "start.sh").write_text("exec python3")
    (tmp_path / "app" / "bin" / "start.sh").chmod(0o700)
    (tmp_path / "app" / "run").symlink_to("bin/start.sh")
    copy = staging.staged(image, plan_image(At.root(image)))
    assert (copy / "run").readlink() == Path("bin/start.sh")
    assert [(copy / name).stat().st_mode & 0o777 for name in ("bin", "bin/start.sh", "score.py")] == [
        0o755,
        0o755,
        0o644,
    ]


@pytest.mark.parametrize("mode", [0o777, 0o750])
def test_a_folder_that_others_reach_is_refused(root: Path, tmp_path: Path, mode: int) -> None:
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(SettingsError, match=f"{root} is not this user's alone; remove it, or write builder: acr"):
        staging.staged(*planned(tmp_path / "app"))


def test_the_last_process_takes_the_copies_along(tmp_path: Path) -> None:
    folder, root = context(tmp_path / "app"), tmp_path / "root"
    command = [sys.executable, "-c", PROGRAM, str(root), str(folder)]
    runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    copies = set()
    for run in runs:
        assert run.stdout
        copies.add(Path(run.stdout.readline().strip()))
    (copy,) = copies
    runs[0].communicate()
    assert (copy / "Dockerfile").is_file()
    runs[1].communicate()
    assert [each.name for each in root.iterdir()] == ["lock"]
