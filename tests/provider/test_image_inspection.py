"""Claims about looking into a built image: config, layers, whiteouts, limits."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.plan.requirements import Checks, ImageInspection, after
from azureml_scoring.provider import image_inspection
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.image_build import ImageBuild
from azureml_scoring.provider.image_inspection import inspect_image

from tests.provider.fake_azure import REGISTRY, Answer, FakeAzure, Sent

SERVER = "acr.azurecr.io"
SITE = "opt/scoring/lib/python3.12/site-packages"
BASE = {
    "etc/os-release": 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n',
    "usr/bin/python3.12": "",
    "var/lib/dpkg/status": (
        "Package: libc6\nStatus: install ok installed\n\nPackage: libfuse2\nStatus: deinstall ok config-files\n"
    ),
}
SERVES = {
    f"{SITE}/azureml_inference_server_http-1.5.1.dist-info/METADATA": "",
    f"{SITE}/numpy-2.0.1.dist-info/RECORD": "",
}
CONFIG = {"User": "10001", "Cmd": ["azmlinfsrv", "--entry_script", "score.py"], "Env": ["PATH=/usr/bin", "A=b=c"]}


def layer(files: Mapping[str, str]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(target.getvalue())


@dataclass
class FakeRegistry:
    """A registry's data plane with one image, the oldest layer first."""

    layers: list[bytes]
    config: Mapping[str, Any] = field(default_factory=lambda: CONFIG)
    index: bool = False
    azure: FakeAzure = field(default_factory=FakeAzure)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layers = [{"digest": self.add(content), "size": len(content)} for content in self.layers]
        config = {"digest": self.add(json.dumps({"config": self.config}).encode())}
        self.digest = self.add(json.dumps({"config": config, "layers": layers}).encode())
        if self.index:
            noise = {"digest": "sha256:0", "platform": {"os": "unknown", "architecture": "unknown"}}
            own = {"digest": self.digest, "platform": {"os": "linux", "architecture": "amd64"}}
            self.digest = self.add(json.dumps({"manifests": [noise, own]}).encode())
        realm = f'Bearer realm="https://{SERVER}/oauth2/token",service="{SERVER}"'
        self.refused = {"WWW-Authenticate": realm}
        self.azure.on("GET", f"{SERVER}/v2/team/iris", self.get)
        self.azure.on("GET", "blobs.test", self.redirected)
        self.azure.on("POST", "oauth2/exchange", lambda _: (200, {}, {"refresh_token": "refresh"}))
        self.azure.on("POST", "oauth2/token", lambda _: (200, {}, {"access_token": "pull-token"}))

    def add(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return digest

    def get(self, sent: Sent) -> Answer:
        if sent.headers.get("Authorization") != "Bearer pull-token":
            return 401, self.refused, None
        if "/blobs/" in sent.path:
            return 307, {"Location": f"https://blobs.test/{sent.path.rpartition('/')[2]}?sig=hush"}, None
        content = self.blobs.get(sent.path.rpartition("/")[2])
        return (200, {}, content) if content is not None else (404, {}, None)

    def redirected(self, sent: Sent) -> Answer:
        assert "Authorization" not in sent.headers
        return 200, {}, self.blobs[sent.path.lstrip("/")]

    def inspect(self) -> ImageInspection:
        return inspect_image(self.azure.arm(), SERVER, "team/iris", self.digest)


def test_system_python_packages_and_start_are_read_off_the_layers() -> None:
    image = FakeRegistry([layer(BASE), layer(SERVES)]).inspect()
    assert (image.system, image.system_version, image.python) == ("debian", "12", "3.12")
    assert image.packages == {"azureml-inference-server-http": "1.5.1", "numpy": "2.0.1"}
    assert (image.user, image.start.is_azmlinfsrv, image.environment["A"]) == ("10001", True, "b=c")
    assert image.whole
    assert not image.fuse
    assert after(image) == []


def test_an_index_leads_to_the_image_of_the_platform() -> None:
    assert FakeRegistry([layer(BASE)], index=True).inspect().system == "debian"
    registry = FakeRegistry([layer(BASE)], index=True)
    with pytest.raises(ResourceError, match="no image for linux/arm64"):
        inspect_image(registry.azure.arm(), SERVER, "team/iris", registry.digest, "linux/arm64")


def test_what_a_newer_layer_writes_goes_before_and_what_it_deletes_is_gone() -> None:
    newer = {
        "etc/os-release": "ID=ubuntu\nVERSION_ID=24.04\n",
        f"{SITE}/.wh.numpy-2.0.1.dist-info": "",
        f"{SITE}/numpy-2.3.0.dist-info/METADATA": "",
        "usr/.wh.bin": "",
    }
    image = FakeRegistry([layer(BASE | SERVES), layer(newer)]).inspect()
    assert (image.system, image.system_version) == ("ubuntu", "24.04")
    assert image.packages["numpy"] == "2.3.0"
    assert image.python == ""


def test_an_opaque_folder_hides_the_older_and_not_its_own_layer() -> None:
    newer = {f"{SITE}/.wh..wh..opq": "", f"{SITE}/scipy-1.2.dist-info/METADATA": ""}
    assert FakeRegistry([layer(BASE | SERVES), layer(newer)]).inspect().packages == {"scipy": "1.2"}


def test_the_python_on_path_counts_and_conda_is_seen() -> None:
    files = {
        "opt/conda/bin/python3.9": "",
        "opt/conda/conda-meta/conda-4.4.11-py39_0.json": "",
        "opt/conda/conda-meta/python-3.9.2-h1_0.json": "",
    }
    image = FakeRegistry([layer(BASE | files)], {**CONFIG, "Env": ["PATH=/opt/conda/bin:/usr/bin"]}).inspect()
    assert (image.python, image.conda) == ("3.9", "4.4.11")
    assert [finding.id for finding in after(image) if finding.level == "error"] == ["AML-IMG-005"]


def test_layers_beyond_the_limit_are_left_out_and_nothing_is_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    base, big = layer(BASE), layer({"noise": "".join(map(str, range(5000)))})
    monkeypatch.setattr(image_inspection, "PACKED_LIMIT", len(base) + len(big) // 2)
    registry = FakeRegistry([base, big])
    image = registry.inspect()
    assert image.system == "debian"
    assert not image.whole
    assert registry.azure.count("GET", "blobs.test") == 2
    assert after(image) == []


@pytest.mark.parametrize(
    "broken",
    [b"\x28\xb5\x2f\xfd zstd", b"", gzip.compress(b"x" * 5000, mtime=0)[:20]],
    ids=["another compression", "nothing", "cut short"],
)
def test_a_layer_that_cannot_be_read_is_no_reason_to_fail(broken: bytes) -> None:
    image = FakeRegistry([layer(BASE), broken]).inspect()
    assert image.system == "debian"
    assert not image.whole


def test_a_layer_that_is_a_bomb_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_inspection, "UNPACKED_LIMIT", 10_000)
    image = FakeRegistry([layer(BASE), layer({"a": "x" * 20_000, "usr/bin/python3.5": ""})]).inspect()
    assert not image.whole
    assert image.python == "3.12"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({**CONFIG, "User": ""}, "AML-IMG-011"),
        ({**CONFIG, "User": "0:0"}, "AML-IMG-011"),
        ({**CONFIG, "ExposedPorts": {"8080/tcp": {}}}, "AML-IMG-012"),
        ({**CONFIG, "Cmd": ["python3"]}, "AML-IMG-013"),
        ({**CONFIG, "Cmd": None, "Entrypoint": None}, "AML-IMG-013"),
    ],
)
def test_the_images_config_is_judged(config: dict[str, Any], expected: str) -> None:
    assert [finding.id for finding in after(FakeRegistry([layer(BASE | SERVES)], config).inspect())] == [expected]


def test_an_image_without_the_server_and_an_old_one_are_told() -> None:
    assert [finding.id for finding in after(FakeRegistry([layer(BASE)]).inspect())] == ["AML-IMG-014"]
    old = {f"{SITE}/azureml_defaults-1.0.30.dist-info/METADATA": ""}
    assert [finding.id for finding in after(FakeRegistry([layer(BASE | old)]).inspect())] == ["AML-IMG-015"]
    mounts = {f"{SITE}/mltable-1.6.dist-info/METADATA": ""}
    assert [finding.id for finding in after(FakeRegistry([layer(BASE | SERVES | mounts)]).inspect())] == ["AML-IMG-007"]


# -- in the build ----------------------------------------------------------------------------------------------------


def build(registry: FakeRegistry, folder: Path, **more: object) -> dict[str, Any]:
    (folder / "Dockerfile").write_text("FROM base\n")
    registry.azure.documents[REGISTRY] = {"id": REGISTRY, "properties": {}}
    registry.azure.on("HEAD", "", lambda _: (200, {"Docker-Content-Digest": registry.digest}, None))
    values = {
        "registryId": REGISTRY,
        "loginServer": SERVER,
        "repository": "team/iris",
        "contentKey": "0" * 64,
        "context": str(folder),
        **more,
    }
    return ImageBuild().create(registry.azure.context(), ImageBuild().check(values).inputs)[1]


def test_findings_of_a_built_image_are_logged_and_kept(tmp_path: Path) -> None:
    registry = FakeRegistry([layer(BASE | SERVES)], {**CONFIG, "User": ""})
    state = build(registry, tmp_path)
    assert len(state["findings"]) == 1
    assert state["findings"][0].startswith("warning: AML-IMG-011 ")
    assert state["findings"][0] in registry.azure.logged


def test_an_error_fails_the_step_in_one_line_that_says_how_to_pass(tmp_path: Path) -> None:
    registry = FakeRegistry(
        [layer(BASE | SERVES | {"usr/bin/python3.12": "", "etc/os-release": "ID=alpine\nVERSION_ID=3.20\n"})]
    )
    levels = {"AML-IMG-001": "error"}
    with pytest.raises(ResourceError) as caught:
        build(registry, tmp_path, requirements=levels)
    assert "AML-IMG-001 alpine: Azure ML v1 took" in str(caught.value)
    assert "image.requirements.AML-IMG-001: warning" in str(caught.value)
    assert "\n" not in str(caught.value)
    levels = {"AML-IMG-001": "off"}
    assert build(registry, tmp_path, requirements=levels)["findings"] == []


def test_an_image_that_cannot_be_inspected_is_built_all_the_same(tmp_path: Path) -> None:
    registry = FakeRegistry([layer(BASE)])
    registry.azure.on("GET", f"{SERVER}/v2", lambda _: (403, {}, None))
    assert build(registry, tmp_path)["findings"] == []
    assert any("could not be inspected" in text for text in registry.azure.logged)


def test_a_change_of_levels_alone_builds_nothing(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    olds = {"contentKey": "0" * 64}
    news = {**olds, "requirements": {"AML-IMG-011": "off"}}
    assert ImageBuild().diff("id", olds, news).changed == frozenset()


def test_levels_take_known_ids_only(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    values = {"requirements": {"AML-IMG-099": "off"}}
    reasons = [failure.reason for failure in ImageBuild().check(values).failures]
    assert any("no such check" in reason for reason in reasons)
    assert Checks().levels == {}
