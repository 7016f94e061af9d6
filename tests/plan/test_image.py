"""Claims about what a preview knows of an image that is built: files in any encoding, and what ends the run."""

import codecs
from pathlib import Path

import pytest
from azureml_scoring.plan.image import ImagePlan, plan_image
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.image import ImageSettings

DOCKERFILE = """\
FROM python:3.12-slim-bookworm
COPY {name} .
RUN {install} {name}
USER 1
CMD azmlinfsrv --entry_script score.py
"""
SERVER = "azureml-inference-server-http==1.4.1"


def plan(context: Path, dockerfile: str, **files: bytes) -> ImagePlan:
    (context / "Dockerfile").write_text(dockerfile)
    for name, data in files.items():
        path = context / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return plan_image(At.root(ImageSettings.model_validate({"context": str(context), "repository": "app"}), "image"))


def found(context: Path, dockerfile: str, **files: bytes) -> list[str]:
    return [finding.id for finding in plan(context, dockerfile, **files).findings]


@pytest.mark.parametrize(
    "data",
    [
        f"# ä\r\n{SERVER}\r\n".encode(),
        codecs.BOM_UTF8 + SERVER.encode(),
        codecs.BOM_UTF16_LE + SERVER.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + SERVER.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + SERVER.encode("utf-32-le"),
        f"# -*- coding: latin-1 -*-\n# ä\n{SERVER}\n".encode("latin-1"),
        f"# -*- coding: none -*-\n{SERVER}\n".encode(),
        f"# ä\n{SERVER}\n".encode("latin-1"),
        f"{SERVER} \\\n  --hash=sha256:00 \\\n  --hash=sha256:11\n".encode(),
        f"--index-url https://example.org/simple\n--no-binary :all:\n{SERVER}  # the server\n".encode(),
        b"azureml-inference-server-http[x,y] == 1.4.1 ; python_version >= '3.9'\n",
        b"https://example.org/azureml_inference_server_http-1.4.1-py3-none-any.whl\n",
        b"azureml-inference-server-http @ https://example.org/a.zip\n",
        b"-e git+https://example.org/a.git@v1#egg=azureml-inference-server-http\n",
    ],
)
def test_a_requirements_file_is_read_as_pip_reads_it(tmp_path: Path, data: bytes) -> None:
    dockerfile = DOCKERFILE.format(name="all", install="pip install -r")
    assert found(tmp_path, dockerfile, all=data) == []
    assert plan(tmp_path, dockerfile).provenance.packages.keys() == {"azureml-inference-server-http"}
    assert found(tmp_path, dockerfile, all=b"# " + SERVER.encode()) == ["AML-IMG-014"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_conda_file_is_read_as_conda_reads_it(tmp_path: Path, encoding: str) -> None:
    text = f"# ä\ndependencies:\n- python=3.12\n- pip:\n  - {SERVER}\n"
    (tmp_path / "env.yml").write_bytes(text.encode(encoding))
    assert found(tmp_path, DOCKERFILE.format(name="env.yml", install="conda env update -f")) == []


def test_files_that_a_requirements_file_names_are_read_beside_it(tmp_path: Path) -> None:
    dockerfile = DOCKERFILE.format(name="needs/all", install="pip install -r")
    chain = {"needs__all": b"-r ../base\n", "base": b"--requirement=needs/last\n", "needs__last": SERVER.encode()}
    assert found(tmp_path, dockerfile, **chain) == []
    assert found(tmp_path, dockerfile, needs__last=b"-r all\nflask\n") == ["AML-IMG-008", "AML-IMG-014"]
    assert found(tmp_path, dockerfile, needs__last=b"-r ../../outside\n") == []


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("FROM a\nRUN <<EOF\ntrue\n", "line 2: the here-document has no end; write a line EOF behind it"),
        ("FROM a\nRUN true &&\n  pip install x\n", "line 3: PIP is no instruction of a Dockerfile"),
        ("FROM a\nENV A\n", "line 2: ENV A has no value; write ENV A=VALUE"),
        ("RUN true\n", "line 1: RUN stands before the first FROM"),
        ("# nothing\n", "it has no FROM"),
        ("ARG A=${\nFROM a:$A\n", "a substitution has no variable"),
    ],
)
def test_a_dockerfile_that_buildkit_refuses_is_one_line(tmp_path: Path, dockerfile: str, said: str) -> None:
    with pytest.raises(SettingsError) as told:
        plan(tmp_path, dockerfile)
    assert str(told.value).startswith('image.dockerfile = "Dockerfile": ')
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_another_frontend_reads_is_not_judged(tmp_path: Path) -> None:
    assert found(tmp_path, "# syntax=example.org/mopy:1\napiVersion: v1\n") == []
    with pytest.raises(SettingsError):
        plan(tmp_path, "# syntax=example.org/mirror/dockerfile:1\napiVersion: v1\n")
