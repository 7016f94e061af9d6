"""What the example's files promise, without an engine."""

import fnmatch
import json
import math
import re
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "examples" / "sklearn"


def requirements(name: str) -> dict[str, str]:
    pins = re.findall(r"^([a-z0-9._-]+)==(\S+)", (PROJECT / name).read_text(), flags=re.MULTILINE | re.IGNORECASE)
    return dict(pins)


def test_every_requirement_is_pinned_with_a_hash() -> None:
    logical = (PROJECT / "requirements.txt").read_text().replace("\\\n", " ")
    lines = [line for line in logical.splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9._-]+==\S+(\s+--hash=sha256:[0-9a-f]{64})+", line.strip()), line[:80]


def test_lock_holds_what_is_asked_for_by_name() -> None:
    locked = requirements("requirements.txt")
    asked = requirements("requirements.in")
    assert asked.items() <= locked.items()
    assert {"scikit-learn", "azureml-inference-server-http"} <= asked.keys()


def test_inference_server_is_new_enough() -> None:
    major, minor = requirements("requirements.in")["azureml-inference-server-http"].split(".")[:2]
    assert (int(major), int(minor)) >= (1, 4)


def test_dockerfile_fetches_no_build_frontend() -> None:
    first = (PROJECT / "Dockerfile").read_text().splitlines()[0]
    assert not re.match(r"#\s*syntax\s*=", first)


def test_dockerfile_ends_as_a_user_without_rights() -> None:
    users = re.findall(r"^USER (.+)$", (PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert users[-1] == "10001:10001"


def test_packages_come_before_code_in_the_dockerfile() -> None:
    text = (PROJECT / "Dockerfile").read_text()
    assert text.index("pip --python") < text.index("COPY --chmod=0555 model/") < text.index("score.py ./")


def test_context_holds_only_what_the_image_needs() -> None:
    rules = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    copied = ("Dockerfile", "requirements.txt", "score.py", "model/model.joblib")
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    assert all(any(fnmatch.fnmatch(name, rule) for rule in kept) for name in copied)
    assert not any(
        fnmatch.fnmatch(name, rule) for name in ("train.py", "request.json", "reply.json", "README.md") for rule in kept
    )


def test_request_has_one_wine_of_thirteen_measures_per_grower() -> None:
    rows = json.loads((PROJECT / "request.json").read_text())["data"]
    assert [len(row) for row in rows] == [13, 13, 13]
    assert all(math.isfinite(value) for row in rows for value in row)


def test_the_reply_that_a_version_must_give_is_the_documented_one() -> None:
    documented = re.findall(r"```json\n(.*?)```", (PROJECT / "README.md").read_text(), flags=re.DOTALL)
    assert json.loads((PROJECT / "reply.json").read_text()) in [json.loads(block) for block in documented]
