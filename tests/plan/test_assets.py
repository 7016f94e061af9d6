"""Which files become a model or code, and how their versions are named."""

from pathlib import Path

import pytest
from azureml_scoring.plan.assets import AssetPlan, plan_code, plan_model
from azureml_scoring.plan.content import asset_files
from azureml_scoring.plan.stack import plan_endpoint
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.image import CodeSettings, ModelSettings
from azureml_scoring.settings.stack import StackSettings


def model(**fields: str) -> AssetPlan:
    plan = plan_model(At.root(ModelSettings.model_validate(fields), "model"))
    assert plan is not None
    return plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model v1"
    (made / "deep").mkdir(parents=True)
    (made / "weights.bin").write_bytes(b"weights")
    (made / "deep" / "notes.txt").write_text("notes")
    return made


def test_the_folders_own_name_stands_first(folder: Path) -> None:
    assert list(asset_files(folder)) == ["model v1/deep/notes.txt", "model v1/weights.bin"]
    assert list(asset_files(folder / "weights.bin")) == ["weights.bin"]


def test_ignored_files_and_what_python_leaves_behind_stay_here(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "score.pyc").write_bytes(b"x")
    (folder / ".gitignore").write_text("*.bin\n")
    assert list(asset_files(folder)) == ["model v1/.gitignore", "model v1/deep/notes.txt"]
    (folder / ".amlignore").write_text("deep/\n.gitignore\n")
    assert list(asset_files(folder)) == ["model v1/.amlignore", "model v1/weights.bin"]


def test_links_are_followed_and_a_circle_ends(folder: Path) -> None:
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "same.bin").symlink_to(folder / "weights.bin")
    assert list(asset_files(folder)) == [
        "model v1/deep/notes.txt",
        "model v1/same.bin",
        "model v1/weights.bin",
    ]


def test_a_models_version_is_a_whole_number_that_follows_the_content(folder: Path) -> None:
    first = model(path=str(folder))
    assert first.name == "model-v1"
    assert 1 <= int(first.version) < 2**31
    (folder / "weights.bin").touch()
    assert model(path=str(folder)) == first
    (folder / "weights.bin").write_bytes(b"Weights")
    assert model(path=str(folder)).version != first.version


def test_a_renamed_file_is_another_version(folder: Path) -> None:
    first = model(path=str(folder)).version
    (folder / "weights.bin").rename(folder / "weights.dat")
    assert model(path=str(folder)).version != first


def test_a_model_of_one_file_goes_by_its_name_without_the_ending(folder: Path) -> None:
    assert model(path=str(folder / "weights.bin")).name == "weights"
    assert model(path=str(folder), name="iris").name == "iris"


def test_codes_version_is_the_start_of_its_key(folder: Path) -> None:
    (folder / "score.py").write_text("def init(): ...\n")
    plan = plan_code(At.root(CodeSettings(path=str(folder), entry_script="score.py"), "code"))
    assert plan is not None
    assert plan.version == plan.content_key[:12]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"model": {"path": "/gone"}}, 'model.path = "/gone": no such folder or file'),
        (
            {"code": {"entry_script": "a.py"}},
            'code.path = "": name the entry script\'s folder, or a registered version by',
        ),
        ({"code": {"path": "/gone", "entry_script": "a.py"}}, 'code.path = "/gone": the folder does not exist'),
        ({"code": {"path": "/etc/hosts", "entry_script": "a.py"}}, 'code.path = "/etc/hosts": the folder is a file'),
        ({"code": {"path": "/etc", "entry_script": "a.py"}}, 'code.entryScript = "a.py": no such file in /etc'),
    ],
)
def test_what_is_not_there_is_one_line_with_its_field(section: dict[str, object], said: str) -> None:
    for settings, field in (
        ({**section, "deployments": {}}, ""),
        ({"deployments": {"blue": section}}, "deployments.blue."),
    ):
        with pytest.raises(SettingsError) as told:
            plan_endpoint(At.root(StackSettings.model_validate({"location": "westeurope", **settings})))
        assert str(told.value).startswith(field + said)
        assert "\n" not in str(told.value)


def test_a_folder_without_files_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^model\.path = .*: there is no file in it"):
        model(path=str(tmp_path))
