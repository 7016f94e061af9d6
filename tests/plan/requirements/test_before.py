import re
from datetime import date
from pathlib import Path

import pytest
from azureml_scoring.plan.requirements import Checks, ImageInspection, after, before, named, reference
from azureml_scoring.plan.requirements.dockerfile import chain, read
from azureml_scoring.settings.requirements import RULES

TODAY = date(2026, 11, 24)
ROOT = Path(__file__).parents[3]

DOCUMENT = r"""FROM ubuntu:16.04

ARG CONDA_VERSION=4.7.12
ARG PYTHON_VERSION=3.7
ARG AZUREML_SDK_VERSION=1.13.0
ARG INFERENCE_SCHEMA_VERSION=1.1.0

ENV LANG=C.UTF-8 LC_ALL=C.UTF-8
ENV PATH /opt/miniconda/bin:$PATH
ENV DEBIAN_FRONTEND=noninteractive

RUN apt-get update --fix-missing && \
    apt-get install -y wget bzip2 && \
    apt-get install -y fuse && \
    apt-get clean -y && \
    rm -rf /var/lib/apt/lists/*

RUN useradd --create-home dockeruser
WORKDIR /home/dockeruser
USER dockeruser

RUN wget --quiet https://repo.anaconda.com/miniconda/Miniconda3-${CONDA_VERSION}-Linux-x86_64.sh -O ~/miniconda.sh && \
    /bin/bash ~/miniconda.sh -b -p ~/miniconda && \
    rm ~/miniconda.sh && \
    ~/miniconda/bin/conda clean -tipsy
ENV PATH="/home/dockeruser/miniconda/bin/:${PATH}"

RUN conda install -y conda=${CONDA_VERSION} python=${PYTHON_VERSION} && \
    pip install azureml-defaults==${AZUREML_SDK_VERSION} inference-schema==${INFERENCE_SCHEMA_VERSION} &&\
    conda clean -aqy && \
    rm -rf ~/miniconda/pkgs && \
    find ~/miniconda/ -type d -name __pycache__ -prune -exec rm -rf {} \;
"""
SERVE = 'USER 10001\nCMD ["azmlinfsrv", "--entry_script", "score.py"]\n'
GOOD = f"FROM python:3.12-slim-bookworm\nRUN pip install azureml-inference-server-http==1.5.1\n{SERVE}"


def ids(text: str, files: dict[str, str] | None = None, **more: object) -> list[str]:
    arguments = more.pop("arguments", None)
    checks = Checks(today=TODAY, **more)  # type: ignore[arg-type]
    return [finding.id for finding in before(text, files, arguments, checks)]  # type: ignore[arg-type]


def test_the_documents_dockerfile_gets_what_time_has_changed_and_nothing_else() -> None:
    found = {finding.id: finding for finding in before(DOCUMENT, checks=Checks(today=TODAY))}
    assert sorted(found) == ["AML-IMG-002", "AML-IMG-004", "AML-IMG-009", "AML-IMG-013"]
    assert "Ubuntu 16.04" in found["AML-IMG-002"].text
    assert "Python 3.7" in found["AML-IMG-004"].text
    assert all(finding.level != "error" for finding in found.values())


def test_the_examples_dockerfile_is_as_it_should_be() -> None:
    folder = ROOT / "examples" / "sklearn"
    text = (folder / "Dockerfile").read_text()
    assert named(text) == ["requirements.txt"]
    files = {"requirements.txt": (folder / "requirements.txt").read_text()}
    assert ids(text, files) == []


def test_every_finding_is_one_line_with_a_remedy() -> None:
    for finding in before(DOCUMENT, checks=Checks(today=TODAY)):
        assert "\n" not in finding.text
        assert re.search(r"[;:] ", finding.text)
        assert finding.id in RULES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, []),
        (GOOD.replace("python:3.12-slim-bookworm", "ubuntu:14.04"), ["AML-IMG-001"]),
        (GOOD.replace("python:3.12-slim-bookworm", "python:3.12-alpine"), ["AML-IMG-001"]),
        (GOOD.replace("python:3.12-slim-bookworm", "python:3.12-slim-buster"), ["AML-IMG-002"]),
        (GOOD.replace("python:3.12-slim-bookworm", "nvidia/cuda:10.0-cudnn7-devel-ubuntu16.04"), ["AML-IMG-002"]),
        (GOOD.replace("python:3.12-slim", "python:3.5-slim"), ["AML-IMG-003"]),
        (GOOD.replace("python:3.12-slim", "python:3.10-slim"), ["AML-IMG-004"]),
        (GOOD.replace("python:3.12-slim-bookworm", "python"), ["AML-IMG-010"]),
        (GOOD.replace("python:3.12-slim-bookworm", "localhost:5000/team/base"), ["AML-IMG-010"]),
        (GOOD.replace("python:3.12-slim-bookworm", f"python@sha256:{'ab' * 32}"), []),
        (GOOD.replace("pip install", "conda install -y conda=4.4.1 && pip install"), ["AML-IMG-005"]),
        (GOOD.replace("==1.5.1", "==1.5.1 azureml-dataset-runtime==1.60"), ["AML-IMG-007"]),
        (GOOD.replace("==1.5.1", " 'scipy>=1.2'"), ["AML-IMG-008"]),
        (GOOD.replace("pip install", "apt-get install -y curl && pip install"), ["AML-IMG-009"]),
        (GOOD.replace("pip install", "apt-get install -y curl=7.88.1-10 && pip install"), []),
        (GOOD.replace("USER 10001\n", ""), ["AML-IMG-011"]),
        (GOOD.replace("USER 10001", "USER root:root"), ["AML-IMG-011"]),
        (GOOD.replace('"score.py"', '"score.py", "--port", "8080"'), ["AML-IMG-012"]),
        (GOOD + "EXPOSE 80\n", ["AML-IMG-012"]),
        (GOOD + "EXPOSE 80 5001/tcp\n", []),
        (GOOD + "ENTRYPOINT /bin/bash\n", ["AML-IMG-013"]),
        (GOOD.replace("azureml-inference-server-http==1.5.1", "flask==3.1"), ["AML-IMG-014"]),
        (GOOD.replace("azureml-inference-server-http==1.5.1", "azureml-defaults==1.0.44"), ["AML-IMG-015"]),
        (GOOD.replace("azureml-inference-server-http==1.5.1", "azureml-defaults==1.0.45"), []),
        (
            GOOD.replace("python:3.12-slim-bookworm", "mcr.microsoft.com/azureml/onnxruntime:v1.6.0-cuda"),
            ["AML-IMG-016"],
        ),
    ],
)
def test_each_check_finds_its_own(text: str, expected: list[str]) -> None:
    assert ids(text) == expected


def test_an_own_server_needs_no_azmlinfsrv() -> None:
    text = 'FROM python:3.12-slim-bookworm\nUSER 7\nCMD ["gunicorn", "-b", "0.0.0.0:5001", "app:app"]\n'
    assert ids(text) == []
    assert ids(text.replace(":5001", ":8000")) == ["AML-IMG-012"]


def test_of_a_base_that_is_not_known_nothing_is_guessed() -> None:
    assert ids("FROM acme.azurecr.io/base:2026-11\nRUN echo\n") == []
    assert ids("ARG BASE\nFROM ${BASE}\nRUN echo\n") == []


def test_a_build_argument_decides_over_the_default() -> None:
    text = f"ARG BASE=ubuntu:24.04\nFROM ${{BASE}}\nRUN pip install azureml-defaults==1.60\n{SERVE}"
    assert ids(text) == []
    assert ids(text, arguments={"BASE": "ubuntu:14.04"}) == ["AML-IMG-001"]


def test_files_that_list_requirements_are_read_wherever_the_image_puts_them() -> None:
    text = (
        f"{GOOD}COPY build/reqs.txt env.yml /tmp/\n"
        "RUN pip install -r /tmp/reqs.txt && conda env update --file=/tmp/env.yml\n"
    )
    assert named(text) == ["build/reqs.txt", "reqs.txt", "env.yml"]
    pinned = "numpy==2.0 \\\n  --hash=sha256:00\n-r more.txt\npkg @ https://example.org/pkg.zip # a comment\n"
    files = {"build/reqs.txt": pinned, "env.yml": "dependencies: [python=3.12, {pip: [scipy==1.1]}]"}
    assert ids(text, files) == []
    loose = {**files, "env.yml": "dependencies: [python=3.5.2, 'numpy>=1', {pip: [scipy]}]"}
    assert ids(text, loose) == ["AML-IMG-003", "AML-IMG-008"]


def test_a_level_can_be_changed_and_a_check_switched_off() -> None:
    text = GOOD.replace("USER 10001\n", "")
    assert ids(text, levels={"AML-IMG-011": "off"}) == []
    found = before(text, checks=Checks({"AML-IMG-011": "error"}, today=TODAY))
    assert [finding.level for finding in found] == ["error"]


def test_stages_and_targets_are_followed() -> None:
    text = (
        "FROM ubuntu:14.04 AS old\nRUN pip install x\n"
        "FROM python:3.12-slim-bookworm AS new\nUSER 5\nFROM new AS last\nCMD serve\n"
    )
    assert [stage.base for stage in chain(read(text))] == ["python:3.12-slim-bookworm", "new"]
    assert ids(text) == []
    assert "AML-IMG-001" in ids(text, target="old")


VENV = (
    "FROM python:3.12-slim-bookworm AS build\nCOPY requirements.txt .\nRUN /venv/bin/pip install -r requirements.txt\n"
    "FROM python:3.12-slim-bookworm\nCOPY --from=build /venv /venv\n" + SERVE
)
SERVER = {"requirements.txt": "azureml-inference-server-http==1.4.1\n"}


@pytest.mark.parametrize("source", ["--from=build", "--from=0", "--from=BUILD"])
def test_what_a_stage_installs_that_is_copied_from_counts(source: str) -> None:
    assert ids(VENV.replace("--from=build", source), SERVER) == []
    assert ids(VENV.replace("--from=build", source), {"requirements.txt": "flask==3.1\n"}) == ["AML-IMG-014"]
    assert ids(VENV.replace("COPY --from=build /venv /venv\n", ""), SERVER) == ["AML-IMG-014"]
    mounted = f"RUN --mount=type=bind,from={source[7:]},target=/b cp -r /b/venv /venv\n"
    assert ids(VENV.replace("COPY --from=build /venv /venv\n", mounted), SERVER) == []


def test_what_stages_below_a_copied_one_install_counts() -> None:
    text = VENV.replace("COPY requirements.txt .\n", "").replace(
        "FROM python:3.12-slim-bookworm AS build", "FROM low AS build"
    )
    low = "FROM python:3.12-slim-bookworm AS low\nRUN pip install azureml-inference-server-http==1.4.1\n"
    assert ids(low + text, {"requirements.txt": "flask==3.1\n"}) == []


@pytest.mark.parametrize(
    "install",
    [
        "RUN uv sync --frozen",
        "RUN /root/.local/bin/poetry install --no-root",
        "RUN python -m pip install --no-cache-dir .",
        "RUN pip install -e .",
        "RUN pip install --editable=.[serve]",
        "RUN pip install ./app[serve]",
        "RUN pip install git+https://example.org/app.git@v1",
        "RUN pip install dist/*.whl",
        "RUN pip install $PACKAGES",
        "RUN pip install --group serve",
        "RUN pip install -r generated.txt",
        "RUN uv export > all.txt && uv pip install -rall.txt",
        "RUN uv pip sync lock.txt",
        "RUN pipenv install --deploy",
        "RUN pdm sync",
        "RUN make install",
        "RUN ./install.sh",
        "RUN bash -ex /tmp/install.sh",
        "RUN <<EOF\nset -e\nuv sync\nEOF",
        "RUN bash -e <<'EOF'\nuv sync\nEOF",
        "COPY --from=example.org/venv:1 /venv /venv",
    ],
)
def test_what_cannot_be_known_before_the_build_is_left_to_the_check_after_it(install: str) -> None:
    assert ids(f"FROM python:3.12-slim-bookworm\n{install}\n{SERVE}") == []


@pytest.mark.parametrize(
    "install",
    [
        "RUN echo",
        "RUN python3 <<EOF\nuv = sync\nEOF",
        "RUN <<EOF\n#!/usr/bin/env python3\nimport make\nEOF",
        "RUN wget https://example.org/Miniconda3-py311_24.1.2-0-Linux-x86_64.sh -O m.sh && bash miniconda.sh -b",
        "COPY start.sh /",
        "RUN pip install flask==3.1 && chmod +x start.sh",
        "RUN pip install 'azureml-inference-server-http==1.4.1; sys_platform == \"win32\"'",
    ],
)
def test_what_brings_no_server_is_told_before_the_build(install: str) -> None:
    assert ids(f"FROM python:3.12-slim-bookworm\n{install}\n{SERVE}") == ["AML-IMG-014"]


def test_a_requirements_file_that_a_here_document_writes_is_read() -> None:
    text = (
        "FROM python:3.12-slim-bookworm\nCOPY <<EOF /tmp/reqs.txt\nazureml-inference-server-http==1.4.1\nEOF\n"
        f"RUN pip install -r /tmp/reqs.txt\n{SERVE}"
    )
    assert ids(text) == []
    assert ids(text.replace("==1.4.1", "")) == ["AML-IMG-008"]


@pytest.mark.parametrize(
    ("base", "system"),
    [
        ("alpine:3.20", "alpine"),
        ("python:3.12-alpine3.20", "alpine"),
        ("registry.access.redhat.com/ubi9/python-312:1", "rhel"),
        ("redhat/ubi8-minimal:8.10", "rhel"),
        ("nvidia/cuda:12.4.1-runtime-ubi9", "rhel"),
        ("mcr.microsoft.com/azurelinux/base/python:3.12", "azurelinux"),
        ("opensuse/leap:15.6", "opensuse-leap"),
        ("rockylinux:9", "rocky"),
    ],
)
def test_another_system_is_no_error_and_is_told_alike_before_and_after_the_build(base: str, system: str) -> None:
    text = f"FROM {base}\nUSER 7\nCMD serve\n"
    (early,) = [each for each in before(text, checks=Checks(today=TODAY)) if each.id == "AML-IMG-001"]
    (late,) = [each for each in after(ImageInspection(system=system, system_version="9")) if each.id == "AML-IMG-001"]
    assert early == late
    assert early.level == "warning"


def test_here_documents_escapes_and_comments_are_read_as_docker_does() -> None:
    text = (
        "# escape=`\nFROM python:3.12-slim-bookworm\nRUN <<EOF\npip install scipy\nEOF\n"
        "RUN pip install `\n  # a comment inside\n  numpy==2.0\n" + SERVE
    )
    assert ids(text) == ["AML-IMG-008", "AML-IMG-014"]
    assert "scipy" in before(text, checks=Checks(today=TODAY))[0].text


def test_a_reference_to_a_retired_image_names_the_successor() -> None:
    found = reference(f"mcr.microsoft.com/azureml/o16n-sample-user-base/ubuntu-miniconda@sha256:{'0' * 64}")
    assert [finding.id for finding in found] == ["AML-IMG-016"]
    assert "minimal-py312-inference" in found[0].text
    assert reference("mcr.microsoft.com/azureml/minimal-py312-inference:latest") == []
    assert reference("acme.azurecr.io/onnxruntime:1") == []
    (finding,) = reference("mcr.microsoft.com/azureml/onnxruntime:latest-cuda")
    assert "use mcr.microsoft.com/azureml/minimal-ubuntu22.04-py39-cuda11.8-gpu-inference" in str(finding)


def test_a_reference_without_a_tag_says_that_latest_is_meant() -> None:
    (finding,) = reference("ghcr.io/team/app")
    assert (finding.id, finding.level) == ("AML-IMG-010", "warning")
    assert "ghcr.io/team/app has no tag, which means ghcr.io/team/app:latest as it is now" in str(finding)
    assert reference(f"ghcr.io/team/app@sha256:{'0' * 64}") == []
    assert reference("localhost:5000/app:latest") == []
