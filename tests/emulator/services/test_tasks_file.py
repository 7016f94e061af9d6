"""Run requests and task files, read into steps. No engine."""

import base64
import re
from typing import Any

import pytest

from emulator.backends.task_file import Build, Push, Run, Task, read
from emulator.core.errors import AzureError

RUN = Run("ca7", "localhost:5000", "shop", "20260101-000000z")


def _read(task: str, **more: Any) -> Task:  # noqa: ANN401 - JSON
    body = {
        "type": "EncodedTaskRunRequest",
        "encodedTaskContent": base64.b64encode(task.encode()).decode(),
        "sourceLocation": "tasks-source/x/source.tar.gz",
        "platform": {"os": "Linux"},
        **more,
    }
    return read(body, RUN)


def _steps(line: str, version: str = "v1.1.0") -> str:
    return f"version: {version}\nsteps:\n  - {line}\n"


def _build(line: str) -> Build:
    (step,) = _read(_steps(f"build: {line}")).steps
    assert isinstance(step, Build)
    return step


@pytest.mark.parametrize("name", ["$Registry/a/b:$ID", "{{.Run.Registry}}/a/b:{{ .Run.ID }}"])
def test_templates_and_aliases_mean_the_run(name: str) -> None:
    assert _build(f"-t {name} .").images[0].name == "localhost:5000/a/b:ca7"


def test_aliases_are_unknown_to_the_first_version_of_the_format() -> None:
    with pytest.raises(AzureError, match=r"\$Registry"):
        _read(_steps("build: -t $Registry/a .", "v1.0.0"))


def test_values_come_with_the_request() -> None:
    task = _steps('push: ["$Registry/a:{{.Values.tag}}"]')
    (step,) = _read(task, values=[{"name": "tag", "value": "one"}]).steps
    assert isinstance(step, Push)
    assert step.images[0].tag == "one"
    with pytest.raises(AzureError, match="has no value"):
        _read(task)


def test_build_arguments_travel_by_environment() -> None:
    step = _build("""-t $Registry/a --build-arg 'WORD=two words' --build-arg=N=1 -f sub/Dockerfile --target=last .""")
    assert step.options == ("--build-arg", "WORD", "--build-arg", "N", "--target", "last")
    assert step.variables == {"WORD": "two words", "N": "1"}
    assert (step.dockerfile, step.context) == ("sub/Dockerfile", ".")
    assert "two words" not in repr(step)


SECRET = """
version: v1.1.0
volumes:
  - name: kept
    secret: {token: "{{.Values.token | b64enc}}", fixed: aGVsbG8=}
steps:
  - build: --secret id=one,src=/run/kept/token --secret id=two,source=/run/kept/fixed -t $Registry/a .
    env: [DOCKER_BUILDKIT=1]
    volumeMounts: [{name: kept, mountPath: /run/kept}]
"""


def test_a_volume_of_secrets_is_mounted_into_a_build_and_not_shown() -> None:
    task = _read(SECRET, values=[{"name": "token", "value": "hush {{x}}", "isSecret": True}])
    (step,) = task.steps
    assert isinstance(step, Build)
    assert step.secrets == {"one": b"hush {{x}}", "two": b"hello"}
    assert task.hidden == {"hush {{x}}"}
    assert "hush" not in repr(task)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("name: kept, mount", "name: lost, mount", "there is no volume 'lost'"),
        ("src=/run/kept/token", "src=/etc/passwd", "--secret id=one,src=/etc/passwd is not id=NAME,src=PATH"),
        ("src=/run/kept/token", "env=TOKEN", "--secret id=one,env=TOKEN is not id=NAME,src=PATH"),
        ("aGVsbG8=", "hello!", "a secret is not base64"),
        ("fixed: aGV", "'../x': aGV", "the file name '../x' is not well formed"),
        ("name: kept\n", "name: k/t\n", "the volume's name 'k/t' is not well formed"),
        ("mountPath: /run/kept}", "mountPath: ''}", "needs a mountPath of its own"),
    ],
)
def test_a_wrong_volume_is_named(old: str, new: str, text: str) -> None:
    with pytest.raises(AzureError, match=re.escape(text)):
        _read(SECRET.replace(old, new, 1), values=[{"name": "token", "value": "hush"}])


def test_buildkit_is_asked_for_by_the_step_or_by_the_task() -> None:
    own = "version: v1.1.0\nsteps:\n  - build: -t $Registry/a .\n    env: [DOCKER_BUILDKIT=1]\n"
    common = "version: v1.1.0\nenv: [DOCKER_BUILDKIT=1]\nsteps:\n  - build: -t $Registry/a .\n"
    asked = [step.buildkit for task in (own, common) for step in _read(task).steps if isinstance(step, Build)]
    assert asked == [True, True]
    assert not _build("-t $Registry/a .").buildkit


@pytest.mark.parametrize(
    "line",
    [
        "build: -t $Registry/a --secret id=x,src=/etc/passwd .",
        "build: -t $Registry/a --output type=local,dest=/ .",
        "build: -t $Registry/a --network=host .",
        "build: -t $Registry/a --allow security.insecure .",
        "build: -t $Registry/a --ssh default .",
        "build: -t $Registry/a --iidfile /tmp/x .",
        "build: -t $Registry/a https://example.com/x.git",
        "build: -t $Registry/a git@example.com:x.git",
        "build: -t $Registry/a . .",
        "build: -t $Registry/a",
        "build: -t azureml-scoring-base:bookworm .",
        "build: -t $Registry/a --build-arg HTTP_PROXY .",
        "build: -t $Registry/a 'unfinished .",
        "build: -t",
        "cmd: bash",
        "push: []\n    build: .",
        "nothing: here",
    ],
)
def test_what_no_build_of_acr_tasks_may_say_is_refused(line: str) -> None:
    with pytest.raises(AzureError, match="The run request is invalid") as refused:
        _read(_steps(line))
    assert refused.value.status == 400
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"platform": {"os": "Windows"}}, "platform.os"),
        ({"platform": {"os": "Linux", "architecture": "s390x"}}, "platform.architecture"),
        ({"timeout": 10}, "timeout"),
        ({"sourceLocation": ""}, "sourceLocation"),
        ({"type": "FileTaskRunRequest"}, "type"),
        ({"encodedTaskContent": "%%%"}, "encodedTaskContent"),
        ({"encodedTaskContent": base64.b64encode(b"steps: 3").decode()}, "encodedTaskContent"),
        ({"encodedTaskContent": base64.b64encode(b"a: [").decode()}, "no YAML"),
        ({"credentials": {"customRegistries": {"other.io": {"userName": {"value": "x"}}}}}, "other.io"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], text: str) -> None:
    with pytest.raises(AzureError, match=text):
        _read(_steps("build: -t $Registry/a ."), **change)


def test_a_docker_build_request_pushes_unless_told_otherwise() -> None:
    body = {
        "type": "DockerBuildRequest",
        "imageNames": ["a:{{.Run.ID}}", "localhost:5000/b"],
        "sourceLocation": "x",
        "platform": {"os": "Linux", "architecture": "arm64"},
        "noCache": True,
        "target": "last",
        "arguments": [{"name": "HUSH", "value": "secret-word", "isSecret": True}],
    }
    task = read(body, RUN)
    build, push = task.steps
    assert isinstance(build, Build)
    assert isinstance(push, Push)
    assert [image.name for image in push.images] == ["localhost:5000/a:ca7", "localhost:5000/b:latest"]
    assert build.options == ("--build-arg", "HUSH", "--no-cache", "--target", "last")
    assert task.platform == "linux/arm64"
    assert task.hidden == frozenset({"secret-word"})
    assert "secret-word" not in repr(task)
    assert len(read({**body, "isPushEnabled": False}, RUN).steps) == 1


def test_other_registries_credentials_are_taken_and_not_shown() -> None:
    found = {"userName": {"type": "Opaque", "value": "me"}, "password": {"type": "Opaque", "value": "hush-hush"}}
    task = _read(_steps("build: -t $Registry/a ."), credentials={"customRegistries": {"other.io": found}})
    assert task.credentials == {"other.io": ("me", "hush-hush")}
    assert "hush-hush" not in repr(task)
