"""The environment that Azure ML builds: what is read from its file, and what is refused before anything is made."""

import re
from pathlib import Path

import pytest
import yaml
from azureml_scoring.plan.environment import EnvironmentPlan, plan_environment
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.image import EnvironmentSettings

CONDA = "dependencies:\n- python=3.11\n- pip:\n  - azureml-inference-server-http==1.5.0\n"


def plan(folder: Path, text: str, name: str = "conda_file", **more: str) -> EnvironmentPlan:
    path = folder / ("conda.yml" if name == "conda_file" else "requirements.txt")
    path.write_text(text)
    return planned(**{"base": "mcr.microsoft.com/azureml/base:1", name: str(path), **more})


def planned(**fields: str) -> EnvironmentPlan:
    return plan_environment(At.root(EnvironmentSettings.model_validate(fields), "environment"))


def test_a_conda_file_goes_as_it_is_and_names_the_version(tmp_path: Path) -> None:
    first = plan(tmp_path, CONDA)
    assert (first.conda, first.base, first.name) == (CONDA, "mcr.microsoft.com/azureml/base:1", "conda")
    assert plan(tmp_path, CONDA) == first
    assert plan(tmp_path, CONDA + "  - six\n").version != first.version
    assert plan(tmp_path, CONDA, base="mcr.microsoft.com/azureml/base:2").version != first.version


def test_a_requirements_file_becomes_a_conda_file_of_pip(tmp_path: Path) -> None:
    text = "# server\nazureml-defaults==1.60 \\\n  --hash=sha256:ab\nsix  # small\n"
    conda = plan(tmp_path, text, "requirements_file", python="3.11").conda
    dependencies = yaml.safe_load(conda)["dependencies"]
    assert dependencies[:2] == ["python=3.11", "pip"]
    assert [line.split() for line in dependencies[2]["pip"]] == [
        ["azureml-defaults==1.60", "--hash=sha256:ab"],
        ["six"],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dependencies: [python=3.11]", "no server is among the packages; add azureml-inference-server-http"),
        (
            "dependencies: [{pip: [azureml-defaults==1.0.44]}]",
            r"azureml-defaults 1\.0\.44 cannot serve; write 1\.0\.45",
        ),
        ("- six", "it is no conda environment"),
        ("{", "it is no conda environment"),
    ],
)
def test_a_file_that_cannot_serve_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=rf'^environment\.condaFile = ".*conda\.yml": {said}') as told:
        plan(tmp_path, text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("server", ["azureml-defaults", "azureml-defaults==1.0.45", "azureml_inference_server_http>=1"])
def test_each_server_will_do(tmp_path: Path, server: str) -> None:
    assert plan(tmp_path, f"dependencies: [{{pip: ['{server}']}}]")


@pytest.mark.parametrize(
    "line",
    [
        "-r more.txt",
        "-rmore.txt",
        "--requirement=more.txt",
        "-c pins.txt",
        "--constraint pins.txt",
        "-e .",
        "--editable=./app",
        "-f wheels",
        ".",
        "./app",
        "../app[x]",
        "/wheels/app-1.0-py3-none-any.whl",
        "wheels/app-1.0.tar.gz",
        "file:///wheels/app-1.0.zip",
        "app @ file:///wheels/app",
    ],
)
def test_a_line_that_names_another_file_is_refused_before_anything_is_made(tmp_path: Path, line: str) -> None:
    said = rf'= "{re.escape(line)}": Azure ML gets this one file only; write the packages themselves into it$'
    with pytest.raises(SettingsError, match=rf"^environment\.requirementsFile {said}"):
        plan(tmp_path, f"azureml-defaults==1.60\n{line}\n", "requirements_file")
    conda = yaml.safe_dump({"dependencies": ["pip", {"pip": ["azureml-defaults==1.60", line]}]})
    with pytest.raises(SettingsError, match=rf"^environment\.condaFile {said}"):
        plan(tmp_path, conda)


@pytest.mark.parametrize(
    "line",
    [
        "-r https://example.org/more.txt",
        "-e git+https://example.org/app.git#egg=app",
        "-f https://example.org/wheels",
        "--find-links=https://example.org/wheels",
        "--extra-index-url https://example.org/simple",
        "--require-hashes",
        "https://example.org/app-1.0-py3-none-any.whl",
        "app @ https://example.org/app-1.0.zip",
        "git+https://example.org/app.git",
        "app[x]==1.0; python_version < '4'",
    ],
)
def test_addresses_options_and_markers_are_pips_own(tmp_path: Path, line: str) -> None:
    text = f"azureml-defaults==1.60\n{line}\n"
    assert line in yaml.safe_load(plan(tmp_path, text, "requirements_file").conda)["dependencies"][-1]["pip"]
    assert plan(tmp_path, yaml.safe_dump({"dependencies": [{"pip": ["azureml-defaults==1.60", line]}]}))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_file_is_decoded_as_pip_and_conda_do(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "requirements.txt").write_bytes("azureml-defaults==1.60  # ä\n".encode(encoding))
    fields = {"base": "a.io/b:1", "requirements_file": str(tmp_path / "requirements.txt")}
    assert yaml.safe_load(planned(**fields).conda)["dependencies"][-1]["pip"] == ["azureml-defaults==1.60"]
    if encoding != "utf-32":
        (tmp_path / "conda.yml").write_bytes(CONDA.encode(encoding))
        assert planned(base="a.io/b:1", conda_file=str(tmp_path / "conda.yml")).conda == CONDA


def test_the_version_of_an_environment_is_that_of_earlier_versions(tmp_path: Path) -> None:
    text = (
        "# server\nazureml-defaults==1.60 \\\n  --hash=sha256:ab \\\n    --hash=sha256:cd\n"
        "six\\\n  ==1.0 # small\n\n-i https://e.org\n"
    )
    first = plan(tmp_path, text, "requirements_file", python="3.11", base="a.io/b:1")
    assert first.version == "d4466825fc91"


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'environment\.condaFile = ".*gone\.yml": no such text file'):
        planned(base="a.io/b:1", conda_file=str(tmp_path / "gone.yml"))
