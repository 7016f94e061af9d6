"""The builders of the machine that deploys, on the real engine: pulumi-docker, and the real pulumi-docker-build."""

import hashlib
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import PATIENCE, Cloud
from tests.modes import REPLY, answer, configure, registry_of_its_own, served, told, workspace
from tests.project import LocalAzure, Project, until
from tests.registries import BASE, LocalRegistry, docker, push_image
from tools import toolchain
from tools.shell import ToolError

pytestmark = pytest.mark.slow

IMAGE = "docker:index/image:Image"
DOCKER_BUILD = "docker-build:index:Image"
TOKEN = f"token-{uuid.uuid4().hex}"
DOCKERFILE = f"""ARG BASE={BASE}
FROM --platform=$BUILDPLATFORM $BASE AS proof
RUN --mount=type=secret,id=TOKEN sha256sum /run/secrets/TOKEN > /proof && date +%N > /made
FROM $BASE
COPY --from=proof /proof /made /
COPY server.py stub_server.py /
CMD ["python3", "/server.py"]
"""


@pytest.fixture(scope="module", autouse=True)
def programs() -> Iterator[Future[Path]]:
    """pulumi-docker-build and BuildKit, built beside the other test: where the cache has none, that takes minutes."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(toolchain.builder)


@pytest.fixture
def project(tmp_path: Path, azure: LocalAzure) -> Project:
    return served(Project.copied(tmp_path / "copy", azure))


def elsewhere(project: Project, folder: Path) -> Project:
    """Another checkout of the same project on the same backend, by somebody with another umask."""
    shutil.copytree(project.folder, folder, symlinks=True)
    for file in (folder / "app").iterdir():
        file.chmod(file.stat().st_mode | 0o020)
    backend = f"file://{project.folder / '.local' / 'state'}"
    return Project(folder, project.azure, project.stack, {**project.extra, "PULUMI_BACKEND_URL": backend})


def the_same_is_not_built_again(project: Project, cloud: Cloud) -> None:
    cloud.tell("reset-stats")
    preview = project.preview("--expect-no-changes")
    assert preview.code == 0, preview.text
    again = project.up("--expect-no-changes")
    assert again.code == 0, again.text
    assert json.loads(cloud.tell("stats")) == {"writes": {}, "builds": 0, "uploads": 0}


def test_docker_deploys_only_what_has_a_digest_and_builds_the_same_content_once(
    project: Project, cloud: Cloud, tmp_path: Path
) -> None:
    image = {"context": "app", "repository": "served", "builder": "docker"}
    configure(project, registry={"mode": "workspace"}, image=image)
    cloud.tell("fault", "no-digest", "true")
    failed = project.up()
    cloud.tell("fault", "no-digest")
    assert failed.code != 0
    why = [line for line in told(failed) if "the build yielded no digest but <none>@<none>" in line]
    assert len(why) == 1, failed.text
    assert "Traceback" not in failed.text
    assert "OnlineDeployment" not in {each["type"].rpartition(":")[2] for each in _resources(project)}
    urn = project.resource(IMAGE)["urn"]
    assert f"build again by `pulumi up --replace '{urn}'`" in why[0]
    try:
        run = project.up("--replace", urn)
        assert run.code == 0, run.text
        assert answer(project.outputs()) == REPLY
        the_same_is_not_built_again(elsewhere(project, tmp_path / "elsewhere"), cloud)
    finally:
        gone = project.destroy()
        assert gone.code == 0, gone.text


def _resources(project: Project) -> list[dict[str, str]]:
    found: list[dict[str, str]] = project.state()["deployment"]["resources"]
    return found


@contextmanager
def buildkit(folder: Path) -> Iterator[dict[str, str]]:
    """Run BuildKit; the variables by which pulumi-docker-build finds it, as `docker buildx create` would write them."""
    folder.mkdir()
    address = f"unix://{folder}/buildkitd.sock"
    words = ["--addr", address, "--root", f"{folder}/root", "--oci-worker-net=host", "--containerd-worker=false"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([toolchain.builder() / "buildkitd", *words], stdout=log, stderr=log)
    node = {"Name": "local0", "Endpoint": address}
    instances = folder / "buildx" / "instances"
    instances.mkdir(parents=True)
    (instances / "local").write_text(json.dumps({"Name": "local", "Driver": "remote", "Nodes": [node]}))
    try:
        until((folder / "buildkitd.sock").exists, "BuildKit")
        yield {"BUILDX_CONFIG": str(folder / "buildx")}
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder / "root", ignore_errors=True)


@pytest.fixture(scope="module")
def registry(cloud: Cloud) -> Iterator[LocalRegistry]:
    with registry_of_its_own(cloud) as made:
        yield made


@pytest.mark.timeout(1800)
@pytest.mark.skipif(bool(os.geteuid()), reason="BuildKit runs as root here")
def test_docker_build_passes_secrets_builds_for_two_platforms_and_keeps_its_layers_in_the_registry(
    project: Project, cloud: Cloud, registry: LocalRegistry, tmp_path: Path, programs: Future[Path]
) -> None:
    try:
        programs.result()
    except ToolError as error:
        pytest.skip(f"no pulumi-docker-build: {error}")
    (project.folder / "app" / "Dockerfile").write_text(DOCKERFILE)
    with workspace(cloud) as theirs:
        _write(project, registry, theirs)
        _seal(project, TOKEN)
        with buildkit(tmp_path / "one") as variables:
            project.extra.update(variables)
            preview = project.preview()
            assert preview.code == 0, preview.text
            first = _deployed(project)
            assert _file(first, "/proof").split()[0] == hashlib.sha256(TOKEN.encode()).hexdigest()
            _nowhere(project, TOKEN)
            assert _platforms(registry, first) == {"linux/amd64", "linux/arm64"}
            the_same_is_not_built_again(elsewhere(project, tmp_path / "elsewhere"), cloud)
            _seal(project, f"another-{TOKEN}")
            the_same_is_not_built_again(project, cloud)
        # Another machine, as a runner of CI is: nothing of the first build is on it.
        with buildkit(tmp_path / "two") as variables:
            project.extra.update(variables)
            project.edit("app/server.py", "'served': True", "'served': 'anew'")
            second = _deployed(project)
            assert answer(project.outputs()) == {"served": "anew"}
            assert second != first
            assert _file(second, "/made") == _file(first, "/made")
            gone = project.destroy()
            assert gone.code == 0, gone.text
    assert _platforms(registry, first) == _platforms(registry, second)


def _write(project: Project, registry: LocalRegistry, theirs: str) -> None:
    image = {
        "context": "app",
        "repository": "served",
        "builder": "docker-build",
        "platforms": ["linux/amd64", "linux/arm64"],
        "buildArguments": {"BASE": push_image(registry, "base", image=BASE)},
    }
    configure(project, registry={"mode": "standalone", "id": registry.id}, workspace={"id": theirs}, image=image)


def _deployed(project: Project) -> str:
    """Take the stack up; the image that serves."""
    run = project.up()
    assert run.code == 0, run.text
    assert TOKEN not in run.text
    found: str = project.outputs()["image"]
    assert found.rpartition("@")[2] == project.resource(DOCKER_BUILD)["outputs"]["digest"]
    return found


def _seal(project: Project, token: str) -> None:
    words = ("config", "set", "--secret", "--path", "scoring:image.buildSecrets.TOKEN", token)
    sealed = project.pulumi(*words, "--stack", project.stack)
    assert sealed.code == 0, sealed.text


def _nowhere(project: Project, token: str) -> None:
    files = [*project.folder.glob("*.yaml"), *(project.folder / ".local").rglob("*")]
    assert not [file for file in files if file.is_file() and token.encode() in file.read_bytes()]


def _file(image: str, name: str) -> str:
    """What a file of an image has that the engine pulled."""
    with docker() as client:
        return client.good("run", "--rm", image, "cat", name)


def _platforms(registry: LocalRegistry, image: str) -> set[str]:
    """The platforms that an image in the registry is for."""
    repository, _, digest = image.removeprefix(f"{registry.login_server}/").partition("@")
    environment = registry.cloud.environment
    login = (environment["ARM_CLIENT_ID"], environment["ARM_CLIENT_SECRET"])
    token = registry.token(login, f"repository:{repository}:pull").json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.oci.image.index.v1+json"}
    url = f"http://{registry.login_server}/v2/{repository}/manifests/{digest}"
    found = httpx.get(url, headers=headers, timeout=PATIENCE, trust_env=False)
    assert found.is_success, found.text
    platforms = [each["platform"] for each in found.json()["manifests"]]
    return {f"{each['os']}/{each['architecture']}" for each in platforms}
