"""The example's image, built and run by the real engine."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.examples.engine import PROJECT, Engine, certificates, until

pytestmark = pytest.mark.slow

REQUEST = json.loads((PROJECT / "request.json").read_text())
ROW = REQUEST["data"][0]


def documented_reply() -> dict[str, Any]:
    blocks = re.findall(r"```json\n(.*?)```", (PROJECT / "README.md").read_text(), flags=re.DOTALL)
    reply: dict[str, Any] = next(json.loads(block) for block in blocks if "predictions" in block)
    return reply


def score(service: str, body: str) -> httpx.Response:
    return httpx.post(f"{service}/score", content=body, headers={"Content-Type": "application/json"}, timeout=60)


def test_reply_is_the_documented_one(service: str) -> None:
    reply = score(service, json.dumps(REQUEST))
    assert reply.status_code == 200, reply.text
    assert reply.json()["predictions"] == documented_reply()["predictions"]
    for found, told in zip(reply.json()["probabilities"], documented_reply()["probabilities"], strict=True):
        assert found == pytest.approx(told, abs=1e-5)


def test_reply_depends_on_the_request(service: str) -> None:
    reply = score(service, json.dumps({"data": REQUEST["data"][::-1]})).json()
    assert reply["predictions"] == documented_reply()["predictions"][::-1]


def test_health_path_answers(service: str) -> None:
    assert httpx.get(service, timeout=60).text == "Healthy"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("", "body: not JSON"),
        ("{", "body: not JSON"),
        ("[" * 100_000, "body: not JSON"),
        ("[]", 'body: must be an object with the one field "data"'),
        (json.dumps({"data": [ROW], "more": 1}), 'body: must be an object with the one field "data"'),
        ('{"data": []}', "data: must be a list of 1 to 1000 rows"),
        (json.dumps({"data": [ROW] * 1001}), "data: must be a list of 1 to 1000 rows"),
        (json.dumps({"data": [ROW, ROW[:-1]]}), "data[1]: must be a list of 13 numbers, got 12 values"),
        (json.dumps({"data": ["wine"]}), "data[0]: must be a list of 13 numbers, got str"),
        (json.dumps({"data": [[*ROW[:-1], "1"]]}), "data[0][12]: must be a finite number"),
        (json.dumps({"data": [[True, *ROW[1:]]]}), "data[0][0]: must be a finite number"),
        (json.dumps({"data": [[float("nan"), *ROW[1:]]]}), "data[0][0]: must be a finite number"),
        (json.dumps({"data": [[10**400, *ROW[1:]]]}), "data[0][0]: must be a finite number"),
    ],
)
def test_wrong_request_gets_400_and_one_line_that_names_the_place(service: str, body: str, place: str) -> None:
    reply = score(service, body)
    assert reply.status_code == 400, reply.text
    message = reply.json()["message"]
    assert message.startswith(place)
    assert "\n" not in message


def test_committed_model_is_what_train_makes(docker: Engine, image: str) -> None:
    code = """
import subprocess, sys
import joblib
for name in ("one", "two"):
    command = [sys.executable, "/tmp/train.py", "--output", f"/tmp/{name}.joblib"]
    done = subprocess.run(command, check=True, capture_output=True)
same = pathlib.Path("/tmp/one.joblib").read_bytes() == pathlib.Path("/tmp/two.joblib").read_bytes()
def told(path):
    model = joblib.load(path)
    scaler, regression = (step for _, step in model.pop("pipeline").steps)
    learnt = (scaler.mean_, scaler.scale_, regression.coef_.ravel(), regression.intercept_)
    return model, *(array.tolist() for array in learnt)
made, committed = told("/tmp/one.joblib"), told("/srv/scoring/model/wine/1/model.joblib")
accuracy = json.loads(done.stdout)["held_out_accuracy"]
print(json.dumps({"same": same, "accuracy": accuracy, "made": made, "committed": committed}))
"""
    found = docker.python(image, code, files={"train.py": (PROJECT / "train.py").read_text()})
    assert found["same"], "two trainings on one machine must give the same bytes"
    assert found["accuracy"] > 0.95
    assert found["made"][0] == found["committed"][0]
    for made, committed in zip(found["made"][1:], found["committed"][1:], strict=True):
        assert made == pytest.approx(committed, rel=1e-4, abs=1e-6)


def test_process_has_no_rights_and_cannot_change_its_code(docker: Engine, image: str) -> None:
    code = """
import os
paths = ("/srv/scoring", "/srv/scoring/score.py", "/opt/scoring")
writable = [path for path in paths if os.access(path, os.W_OK)]
print(json.dumps({"user": [os.getuid(), os.getgid()], "writable": writable}))
"""
    assert docker.python(image, code) == {"user": [10001, 10001], "writable": []}


def test_model_that_a_deployment_mounts_wins_over_the_baked_one(docker: Engine, image: str) -> None:
    with docker.container(image, "--env", "AZUREML_MODEL_DIR=/tmp/mounted", "--tmpfs", "/tmp/mounted") as container:  # noqa: S108
        until(lambda: not docker.state(container)["Running"], "a server without a model to give up")
        assert docker.state(container)["ExitCode"] != 0
        assert "/tmp/mounted holds 0 files named model.joblib" in docker.run("logs", container).stdout  # noqa: S108


def test_sigterm_ends_the_server_cleanly(docker: Engine, image: str) -> None:
    with docker.container(image) as container:
        docker.address(container)
        docker.run("stop", "--time", "120", container)
        assert docker.state(container)["ExitCode"] == 0


def test_change_of_score_reinstalls_no_package(docker: Engine, image: str, tmp_path: Path) -> None:
    context = shutil.copytree(PROJECT, tmp_path / "context", ignore=shutil.ignore_patterns("__pycache__"))
    with (context / "score.py").open("a") as code:
        code.write("# changed\n")
    log = docker.build(context, f"{image}-changed")
    docker.run("rmi", f"{image}-changed")
    step = re.search(r"^(#\d+) \[.*RUN .*pip --python", log, flags=re.MULTILINE)
    assert step, log[-3000:]
    assert re.search(rf"^{step[1]} CACHED$", log, flags=re.MULTILINE), log[-3000:]


def test_build_secret_is_not_in_the_image(docker: Engine, image: str, tmp_path: Path) -> None:
    marker = "# this line stands in the bundle only"
    bundle = tmp_path / "bundle.pem"
    told = certificates()
    bundle.write_text(f"{marker}\n{told.read_text() if told else ''}")
    if told is None:
        pytest.skip("this machine reaches its package index without a bundle of its own")
    tag = f"{image}-secret"
    docker.build(PROJECT, tag, "--no-cache", secret=bundle)
    saved = tmp_path / "image.tar"
    try:
        docker.run("save", "--output", str(saved), tag)
    finally:
        docker.run("rmi", tag)
    needle, tail = marker.encode(), b""
    with saved.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            assert needle not in tail + chunk
            tail = chunk[-len(needle) :]
    saved.unlink()
