"""Claims about building images: tar, task file, and the way through ACR Tasks."""

import base64
import io
import os
import re
import shlex
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from azureml_scoring.plan.content import context_files
from azureml_scoring.plan.reference import Reference
from azureml_scoring.provider import blobs
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.image_build import ImageBuild, errors_in, pack, run_request, task_yaml
from azureml_scoring.provider.registry_client import resolve_digest
from azureml_scoring.provider.values import UNKNOWN, Properties
from azureml_scoring.settings.arguments import ImageBuildArgs

from tests.provider.fake_azure import DIGEST, REGISTRY, Answer, FakeAzure, Sent

KEY = "0123456789abcdef" * 4
TAG = KEY[:12]
LOG = b"Step 1/2 : FROM base\nStep 2/2 : RUN pip install nonsense\nERROR: no matching distribution for nonsense\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    (tmp_path / "score.py").write_text("print()\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o700)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "big.bin").write_bytes(b"x" * 100)
    (tmp_path / ".dockerignore").write_text("data\nDockerfile\n")
    return tmp_path


def news(folder: Path, **more: object) -> Properties:
    values = {
        "registryId": REGISTRY,
        "loginServer": "acr.azurecr.io",
        "repository": "team/iris",
        "contentKey": KEY,
        "context": str(folder),
        **more,
    }
    checked = ImageBuild().check(values)
    assert not checked.failures, checked.failures
    return checked.inputs


def inputs(folder: Path, **more: object) -> ImageBuildArgs:
    return ImageBuildArgs.model_validate(news(folder, **more))


@dataclass
class Builder:
    """A registry with its build service, as far as its protocol goes."""

    azure: FakeAzure
    tags: dict[str, str] = field(default_factory=dict)
    ends: str = "Succeeded"
    polls: int = 0
    blocks: dict[str, bytes] = field(default_factory=dict)
    blob: bytes = b""
    scheduled: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.azure.documents[REGISTRY] = {"id": REGISTRY, "properties": {}}
        upload = {"uploadUrl": "https://blobs.test/source/1.tar.gz?sig=hush", "relativePath": "source/1.tar.gz"}
        on = self.azure.on
        on("POST", "listBuildSourceUploadUrl", lambda _: (200, {}, upload))
        on("PUT", "blobs.test/source", self.put)
        on("POST", "scheduleRun", self.schedule)
        on("GET", "/runs/ca1", self.run)
        on("POST", "listLogSasUrl", lambda _: (200, {}, {"logLink": "https://blobs.test/log?sig=hush"}))
        on("GET", "blobs.test/log", self.log)
        on("HEAD", "acr.azurecr.io/v2", self.manifest)
        on("GET", "acr.azurecr.io/v2", lambda _: (404, {}, None))
        on("POST", "acr.azurecr.io/oauth2/exchange", self.exchange)
        on("POST", "acr.azurecr.io/oauth2/token", lambda _: (200, {}, {"access_token": "pull-token"}))

    def put(self, sent: Sent) -> Answer:
        if "comp" not in sent.query:
            assert sent.headers["x-ms-blob-type"] == "BlockBlob"
            self.blob = sent.body
        elif sent.query["comp"] == "block":
            assert isinstance(sent.body, bytes)
            self.blocks[sent.query["blockid"]] = sent.body
        else:
            names = re.findall("<Latest>(.*?)</Latest>", sent.body.decode())
            self.blob = b"".join(self.blocks[name] for name in names)
        return 201, {}, None

    def schedule(self, sent: Sent) -> Answer:
        self.scheduled.append(sent.body)
        return 200, {}, {"name": "ca1", "properties": {"runId": "ca1", "status": "Queued"}}

    def run(self, _: Sent) -> Answer:
        self.polls += 1
        status = self.ends if self.polls > 2 else "Running"
        images = []
        if status == "Succeeded":
            self.tags[TAG] = DIGEST
            images = [{"registry": "acr.azurecr.io", "repository": "team/iris", "tag": TAG, "digest": DIGEST}]
        return 200, {}, {"name": "ca1", "properties": {"runId": "ca1", "status": status, "outputImages": images}}

    def log(self, sent: Sent) -> Answer:
        start = int(sent.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        here = LOG[: self.polls * 60] if self.polls <= 2 else LOG
        return (416, {}, None) if start >= len(here) else (206, {}, here[start:])

    def manifest(self, sent: Sent) -> Answer:
        if sent.headers.get("Authorization") != "Bearer pull-token":
            realm = 'Bearer realm="https://acr.azurecr.io/oauth2/token",service="acr.azurecr.io"'
            return 401, {"WWW-Authenticate": realm}, None
        name = sent.path.rsplit("/", 1)[-1]
        digest = self.tags.get(name) or (name if name in self.tags.values() else None)
        return (200, {"Docker-Content-Digest": digest}, None) if digest else (404, {}, None)

    def exchange(self, sent: Sent) -> Answer:
        assert sent.body["access_token"] == "token for https://arm.test/.default"
        assert sent.body["service"] == "acr.azurecr.io"
        return 200, {}, {"refresh_token": "refresh"}


# -- tar -------------------------------------------------------------------------------------------------------------


def packed(folder: Path) -> bytes:
    target = io.BytesIO()
    pack(context_files(folder), target)
    return target.getvalue()


def test_the_context_is_the_same_bytes_whatever_the_times_modes_and_owners(folder: Path) -> None:
    before = packed(folder)
    os.utime(folder / "score.py", (1, 1))
    (folder / "score.py").chmod(0o600)
    assert packed(folder) == before


def test_dockerignore_is_honoured_and_the_dockerfile_goes_always(folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(folder))) as archive:
        names = archive.getnames()
        modes = {entry.name: entry.mode for entry in archive.getmembers()}
        owners = {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in archive.getmembers()}
    assert sorted(names) == [".dockerignore", "Dockerfile", "run.sh", "score.py"]
    assert modes["run.sh"] == 0o755
    assert modes["score.py"] == 0o644
    assert owners == {(0, 0, "", 0)}


def test_links_stay_links(folder: Path) -> None:
    (folder / "link").symlink_to("score.py")
    with tarfile.open(fileobj=io.BytesIO(packed(folder))) as archive:
        assert archive.getmember("link").linkname == "score.py"


def test_what_an_image_is_made_from_is_told_and_alone_changes_nothing(folder: Path) -> None:
    """A state of before has none of it: the next `up` keeps it and stays a no-op."""
    before = ImageBuild().check(news(folder)).inputs
    told = {"files": {"score.py": "1"}, "bases": ["python:3.12"], "packages": {"numpy": "2.0"}}
    after = ImageBuild().check({**news(folder), **told})
    assert not after.failures
    assert {name: after.inputs[name] for name in told} == told
    olds = {name: value for name, value in before.items() if name not in told}
    assert not ImageBuild().diff("id", olds, after.inputs).changed


# -- task file -------------------------------------------------------------------------------------------------------


def unaliased(text: str) -> str:
    """Do what ACR does to a task file before it runs it: templates, then aliases (`$$` is `$`)."""
    text = text.replace('{{"{{"}}', "{{")
    return text.replace("$$", "\0").replace("$Registry", "acr.azurecr.io").replace("\0", "$")


@pytest.mark.parametrize(
    "value", ["plain", "two words", "it's", 'say "hi"', "a $Registry b", "{{.Run.ID}}", "a=b", "#x: [y]", "ü", "", "\\"]
)
def test_a_build_argument_arrives_as_it_was_written(folder: Path, value: str) -> None:
    task = yaml.safe_load(unaliased(task_yaml(inputs(folder, buildArguments={"ARG": value}))))
    words = shlex.split(task["steps"][0]["build"])
    assert words[words.index("--build-arg") + 1] == f"ARG={value}"


def test_the_task_builds_with_buildkit_and_pushes_what_it_tagged(folder: Path) -> None:
    task = yaml.safe_load(task_yaml(inputs(folder, target="serve", platform="linux/arm64")))
    build, push = task["steps"]
    assert build["env"] == ["DOCKER_BUILDKIT=1"]
    assert push["push"] == [f"$Registry/team/iris:{TAG}"]
    words = shlex.split(build["build"])
    assert words == [
        *("--tag", f"$Registry/team/iris:{TAG}", "--file", "Dockerfile"),
        *("--platform", "linux/arm64", "--target", "serve", "."),
    ]


@pytest.mark.parametrize("arguments", [{"A": "x\ny"}, {"A B": "x"}, {"A;rm": "x"}])
def test_a_build_argument_that_cannot_travel_is_refused(folder: Path, arguments: dict[str, str]) -> None:
    values = {**news(folder), "buildArguments": arguments}
    assert len(ImageBuild().check(values).failures) == 1


def test_a_build_secret_travels_beside_the_task_and_is_mounted_for_buildkit(folder: Path) -> None:
    built = inputs(folder, buildSecrets={"TOKEN": "hush $x {{y}}", "CONF": "two\nlines"})
    task = yaml.safe_load(task_yaml(built))
    step = task["steps"][0]
    assert (
        "--secret id=CONF,src=/run/build-secrets/CONF --secret id=TOKEN,src=/run/build-secrets/TOKEN" in step["build"]
    )
    assert step["volumeMounts"] == [{"name": "build-secrets", "mountPath": "/run/build-secrets"}]
    files = {"CONF": "{{.Values.CONF | b64enc}}", "TOKEN": "{{.Values.TOKEN | b64enc}}"}
    assert task["volumes"] == [{"name": "build-secrets", "secret": files}]
    request = run_request(built, "x")
    assert request["values"] == [
        {"name": "CONF", "value": "two\nlines", "isSecret": True},
        {"name": "TOKEN", "value": "hush $x {{y}}", "isSecret": True},
    ]
    assert "hush" not in task_yaml(built)
    assert "values" not in run_request(inputs(folder), "x")


def test_a_build_secret_is_sealed_and_another_value_builds_nothing(folder: Path) -> None:
    build = ImageBuild()
    assert build.secret == {"buildSecrets"}
    olds = {**news(folder, buildSecrets={"TOKEN": "old"}), "tag": TAG, "digest": DIGEST}
    assert not build.diff("", olds, news(folder, buildSecrets={"TOKEN": "new"})).changed


def test_a_build_that_tells_its_secret_does_not_tell_it_to_the_log(folder: Path) -> None:
    builder = Builder(FakeAzure())
    ImageBuild().create(builder.azure.context(), news(folder, buildSecrets={"TOKEN": "nonsense", "SHORT": "for"}))
    assert "ERROR: no matching distribution for [hidden]" in builder.azure.logged
    assert "nonsense" not in "".join(builder.azure.logged)


def test_the_run_request_carries_the_task_and_the_source(folder: Path) -> None:
    request = run_request(inputs(folder), "source/1.tar.gz")
    assert request["type"] == "EncodedTaskRunRequest"
    assert request["sourceLocation"] == "source/1.tar.gz"
    assert request["platform"] == {"os": "Linux", "architecture": "amd64"}
    assert base64.b64decode(request["encodedTaskContent"]).decode() == task_yaml(inputs(folder))


# -- build -----------------------------------------------------------------------------------------------------------


def test_a_build_uploads_runs_and_pins_by_digest(folder: Path) -> None:
    azure = FakeAzure()
    builder = Builder(azure)
    resource_id, state = ImageBuild().create(azure.context(), news(folder))
    assert resource_id == "acr.azurecr.io/team/iris"
    assert state["image"] == f"acr.azurecr.io/team/iris@{DIGEST}"
    assert (state["digest"], state["tag"], state["runId"]) == (DIGEST, TAG, "ca1")
    assert state["durationSeconds"] > 0
    assert len(builder.scheduled) == 1
    with tarfile.open(fileobj=io.BytesIO(builder.blob)) as archive:
        assert "score.py" in archive.getnames()


def test_a_big_context_travels_in_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "BLOCK_SIZE", 1000)
    (folder / "noise.bin").write_bytes(os.urandom(5000))
    azure = FakeAzure()
    builder = Builder(azure)
    ImageBuild().create(azure.context(), news(folder))
    assert len(builder.blocks) >= 5
    assert max(len(block) for block in builder.blocks.values()) == 1000
    with tarfile.open(fileobj=io.BytesIO(builder.blob)) as archive:
        assert archive.getmember("noise.bin").size == 5000


def test_the_log_comes_line_by_line_and_once(folder: Path) -> None:
    azure = FakeAzure()
    Builder(azure)
    ImageBuild().create(azure.context(), news(folder))
    assert [line for line in azure.logged if line.startswith(("Step", "ERROR"))] == LOG.decode().splitlines()


def test_an_image_that_the_registry_has_is_neither_uploaded_nor_built(folder: Path) -> None:
    azure = FakeAzure()
    builder = Builder(azure, tags={TAG: DIGEST})
    _, state = ImageBuild().create(azure.context(), news(folder))
    assert state["image"].endswith(DIGEST)
    assert state["runId"] == ""
    assert builder.scheduled == []
    assert azure.count("PUT") == 0


@pytest.mark.parametrize("status", ["Failed", "Canceled", "Error", "Timeout"])
def test_a_failed_build_is_one_line_with_run_reason_and_the_way_to_the_log(folder: Path, status: str) -> None:
    azure = FakeAzure()
    Builder(azure, ends=status)
    with pytest.raises(ResourceError) as caught:
        ImageBuild().create(azure.context(), news(folder))
    text = str(caught.value)
    assert f"image build ca1 {status.lower()}" in text
    assert "no matching distribution for nonsense" in text
    assert "az acr task logs --registry acr --run-id ca1" in text
    assert "\n" not in text
    assert "hush" not in text


def test_the_same_content_in_an_update_asks_nobody(folder: Path) -> None:
    azure = FakeAzure()
    olds = {**news(folder), "image": f"x@{DIGEST}", "digest": DIGEST, "tag": TAG, "runId": "", "durationSeconds": 0}
    state = ImageBuild().update(azure.context(), "id", olds, news(folder, dockerfile="./Dockerfile"))
    assert state["digest"] == DIGEST
    assert azure.sent == []


def test_new_content_is_built_in_place(folder: Path) -> None:
    azure = FakeAzure()
    builder = Builder(azure)
    olds = {**news(folder), "contentKey": "f" * 64, "tag": "f" * 12, "digest": "sha256:" + "b" * 64}
    assert ImageBuild().diff("id", olds, news(folder)).replaces == frozenset()
    state = ImageBuild().update(azure.context(), "id", olds, news(folder))
    assert state["digest"] == DIGEST
    assert len(builder.scheduled) == 1


def test_a_preview_knows_the_tag_and_not_the_digest(folder: Path) -> None:
    azure = FakeAzure()
    context = azure.context(preview=True)
    _, state = ImageBuild().create(context, news(folder))
    assert state["tag"] == TAG
    assert state["image"] is UNKNOWN
    olds = {**state, "image": "x", "digest": DIGEST, "runId": "ca1", "durationSeconds": 3}
    assert ImageBuild().update(context, "id", olds, news(folder))["image"] == "x"
    changed = ImageBuild().update(context, "id", olds, news(folder, contentKey="f" * 64))
    assert changed["image"] is UNKNOWN
    assert changed["tag"] == "f" * 12
    assert azure.sent == []


def built(folder: Path) -> Properties:
    return {**news(folder), "image": f"acr.azurecr.io/team/iris@{DIGEST}", "digest": DIGEST, "tag": TAG}


def test_a_refresh_finds_the_image(folder: Path) -> None:
    azure = FakeAzure()
    Builder(azure, tags={TAG: DIGEST})
    result = ImageBuild().read(azure.context(), "id", built(folder), news(folder))
    assert result is not None
    assert result.state["digest"] == DIGEST


@pytest.mark.parametrize("lose", [lambda b: b.tags.clear(), lambda b: b.azure.documents.clear()])
def test_a_refresh_misses_a_deleted_tag_or_registry(folder: Path, lose: Callable[[Builder], None]) -> None:
    azure = FakeAzure()
    lose(Builder(azure, tags={TAG: DIGEST}))
    assert ImageBuild().read(azure.context(), "id", built(folder), news(folder)) is None


def test_a_registry_that_lets_nobody_look_keeps_the_image_with_a_warning(folder: Path) -> None:
    azure = FakeAzure()
    Builder(azure, tags={TAG: DIGEST})
    azure.on("HEAD", "acr.azurecr.io", lambda _: (403, {}, None))
    result = ImageBuild().read(azure.context(), "id", built(folder), news(folder))
    assert result is not None
    assert result.state == built(folder)
    assert [line for line in azure.warned if "could not be looked up and stays at" in line]


def test_a_tag_that_was_moved_to_another_image_does_not_move_us(folder: Path) -> None:
    azure = FakeAzure()
    Builder(azure, tags={TAG: "sha256:" + "b" * 64, "other": DIGEST})
    result = ImageBuild().read(azure.context(), "id", built(folder), news(folder))
    assert result is not None
    assert result.state["digest"] == DIGEST


def test_deleting_a_build_leaves_the_image_to_the_registry(folder: Path) -> None:
    azure = FakeAzure()
    ImageBuild().delete(azure.context(), "id", built(folder))
    assert azure.sent == []


# -- registry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("realm", ["https://evil.test/oauth2/token", "http://acr.azurecr.io/oauth2/token", ""])
def test_our_token_goes_to_the_registry_only(realm: str) -> None:
    azure = FakeAzure()
    azure.on("HEAD", "", lambda _: (401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}, None))
    with pytest.raises(ResourceError, match="not its own"):
        resolve_digest(azure.arm(), Reference("acr.azurecr.io", "iris", "1"), "deployer")
    assert azure.count("POST") == 0


def test_a_registry_on_this_machine_is_asked_in_plain_http() -> None:
    azure = FakeAzure()
    azure.on("HEAD", "http://localhost:5000/v2/iris/manifests/1", lambda _: (404, {}, None))
    assert resolve_digest(azure.arm(), Reference("localhost:5000", "iris", "1"), "deployer") is None


def test_a_registry_that_denies_names_the_missing_role() -> None:
    azure = FakeAzure()
    azure.on("HEAD", "", lambda _: (403, {}, None))
    with pytest.raises(ResourceError, match="AcrPull"):
        resolve_digest(azure.arm(), Reference("acr.azurecr.io", "iris", "1"), "deployer")


def test_telling_lines_are_picked_from_a_log() -> None:
    assert errors_in(LOG.decode()) == ["ERROR: no matching distribution for nonsense"]
    assert errors_in("a\nb\nc\nd") == ["b", "c", "d"]
    log = "#2 ERROR: no answer\n------\n > [internal] load metadata for host/base:1:\n------\nsteps failed"
    assert errors_in(log)[1:] == ["> [internal] load metadata for host/base:1:", "steps failed"]
