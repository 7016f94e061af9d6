"""What is sealed stands in no output: of Pulumi's documented commands and ours, of images, of the local Azure's logs.

Two stacks live their whole life, once with a service principal and build secrets, once with a private registry. All
that their states seal, and all that Azure gives out as a secret, is searched in whatever the commands have printed and
written: as it is, and as JSON, URLs and base64 write it.
"""

import base64
import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, quote_plus

import docker
import pytest
from azureml_scoring.cli import cli

from tests.delivery.apis import TOKEN, serving
from tests.modes import DOCKERFILE, configure, registry_of_its_own, served, shelve, workspace
from tests.project import PATIENCE, ROOT, LocalAzure, Project

pytestmark = pytest.mark.slow

BUILD_SECRET = 'canary of a build: "ä", \\ / + & ='
OLD_KEY = "canary-key-of-an-old-service"
AZ_ML = """name: blue
endpoint_name: old
environment:
  image: a.io/b:1
instance_type: Standard_DS3_v2
instance_count: 1
"""
SHORTEST = 6
"""Characters; what is shorter stands in texts by chance."""
NOT_TRIED = {
    *("cancel", "config set", "import", "login", "package add", "package get-schema", "stack import", "stack init"),
}
"""Documented commands that are given a secret, or none: they print none of a stack's."""


def forms(secret: str) -> set[bytes]:
    """How texts may write a secret: plain, in JSON, in a URL, in base64 wherever it begins there."""
    texts = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    texts |= {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    raw = secret.encode()
    for before in range(3):
        # Only whole characters of base64 that follow from the secret alone.
        first, last = (0, 2, 3)[before], (before + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            texts.add(encode(b"\0" * before + raw).decode()[first:last])
    return {text.encode() for text in texts}


def leaks(texts: Mapping[str, bytes], secrets: Mapping[str, str]) -> list[tuple[str, str]]:
    """Which text has which secret, by the names of both."""
    wanted = {name: forms(secret) for secret, name in secrets.items()}
    return [(text, name) for text in texts for name, each in wanted.items() if any(one in texts[text] for one in each)]


@pytest.mark.parametrize(
    "text",
    [
        BUILD_SECRET,
        json.dumps({"a": BUILD_SECRET}),
        json.dumps({"a": BUILD_SECRET}, ensure_ascii=False),
        f"https://host/?{quote_plus(BUILD_SECRET)}",
        *(base64.b64encode(b"x" * n + BUILD_SECRET.encode() + b"yz").decode() for n in range(5)),
        *(base64.urlsafe_b64encode(b"x" * n + BUILD_SECRET.encode()).decode() for n in range(5)),
    ],
)
def test_a_secret_is_found_however_it_is_written(text: str) -> None:
    assert leaks({"text": text.encode()}, {BUILD_SECRET: "secret"}) == [("text", "secret")]
    assert leaks({"text": text.encode()}, {BUILD_SECRET + "!": "secret"}) == []


def sealed(node: Any, name: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """What a state seals, by its path, in what `stack export --show-secrets` prints."""
    if isinstance(node, dict):
        if "plaintext" in node:
            yield from _texts(json.loads(node["plaintext"]), name)
        for key, each in node.items():
            yield from sealed(each, f"{name}.{key}")
    elif isinstance(node, list):
        for number, each in enumerate(node):
            yield from sealed(each, f"{name}.{number}")


def _texts(node: Any, name: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    if isinstance(node, Mapping | list):
        for key, each in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from _texts(each, f"{name}.{key}")
    elif isinstance(node, str) and len(node) >= SHORTEST:
        yield name, node


@dataclass
class Life:
    """A stack, what its commands printed, and the secrets that it had."""

    project: Project
    printed: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """Names by secret."""

    def run(self, *words: str, codes: tuple[int, ...] = (0,), extra: Mapping[str, str] = MappingProxyType({})) -> str:
        """Run a command, keep what it prints, and return its standard output."""
        program = [sys.executable, "-m", "azureml_scoring"] if words[0] == "azureml-scoring" else [words[0]]
        done = subprocess.run(
            [*program, *words[1:]],
            cwd=self.project.folder,
            env={**self.project.environment, **extra},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        self.printed[" ".join([*extra, *words])] = done.stdout + done.stderr
        assert done.returncode in codes, (words, done.stdout[-3000:] + done.stderr[-3000:])
        return done.stdout.decode()

    def pulumi(self, *words: str, **extra: str) -> str:
        """Run a command of Pulumi on the stack."""
        return self.run("pulumi", *words, "--non-interactive", "--stack", self.project.stack, extra=extra)

    def update(self, verb: str, *words: str) -> None:
        """Change the stack; the event log of it is kept as well."""
        events = f"{verb}-{len(self.printed)}.events"
        self.pulumi(verb, "--yes", "--skip-preview", "--event-log", events, *words, PULUMI_DEBUG_COMMANDS="true")

    def preview(self, file: str, *words: str, **extra: str) -> None:
        """Preview into a file, as the pipelines do."""
        events = file.replace(".json", ".events")
        extra["PULUMI_DEBUG_COMMANDS"] = "true"
        (self.project.folder / file).write_text(
            self.pulumi("preview", "--json", "--show-sames", "--event-log", events, *words, **extra)
        )

    def read(self) -> None:
        """Look at the stack in all documented ways, and note its secrets."""
        for words in (["output"], ["output", "--json"], ["export"], []):
            self.pulumi("stack", *words)
        self.pulumi("config", "--json")
        state = json.loads(self.project.pulumi("stack", "export", "--show-secrets", "--stack", self.project.stack).text)
        for name, secret in (*sealed(state["deployment"]["resources"]), *_of_azure(self.project)):
            self.secrets.setdefault(secret, name)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """All files of the project and of the local Azure that are no setting, and what the containers run."""
        folders = (self.project.folder, self.project.azure.folder)
        for path in (path for folder in folders for path in folder.rglob("*")):
            # The local Azure tells clients who the deployer is by ready.json.
            if path.is_file() and not path.is_symlink() and path.name != "ready.json":
                yield str(path), path.read_bytes()


def _of_azure(project: Project) -> Iterator[tuple[str, str]]:
    """The secrets of Azure that a deployer can ask for."""
    yield "the deployer's secret", project.azure.environment["ARM_CLIENT_SECRET"]
    actions = {"onlineEndpoints": "listKeys", "storageAccounts": "listKeys", "connections": "listsecrets"}
    for resource in project.state()["deployment"]["resources"]:
        kind = str(resource.get("id", "")).split("/")[-2:-1]
        if kind and kind[0] in actions:
            answer = project.azure.cloud.ask("POST", f"{resource['id']}/{actions[kind[0]]}")
            assert answer.is_success, answer.text
            for name, secret in _texts(answer.json(), kind[0]):
                if re.search("key$|value|password$", name, re.IGNORECASE):
                    yield name, secret


def _layers(azure: LocalAzure) -> Iterator[tuple[str, bytes]]:
    """The files and settings of the images that serve, layer by layer."""
    client = docker.from_env()
    try:
        for container in client.containers.list(filters={"label": f"azureml-scoring.state={azure.folder.resolve()}"}):
            yield f"container {container.name}", json.dumps(container.attrs).encode()
            assert container.image is not None
            with tarfile.open(fileobj=io.BytesIO(b"".join(container.image.save()))) as archive:
                for member in archive:
                    content = file.read() if (file := archive.extractfile(member)) else b""
                    packed = content.startswith(b"\x1f\x8b")
                    yield f"image {container.name}/{member.name}", gzip.decompress(content) if packed else content
    finally:
        client.close()


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    with LocalAzure(tmp_path_factory.mktemp("azure")) as local:
        yield local


@pytest.fixture(scope="module")
def with_a_principal(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Life:
    """A stack with a service principal, a build secret and a key, through each command."""
    project = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))
    dockerfile = DOCKERFILE.replace(
        "COPY", "RUN --mount=type=secret,id=TOKEN sha256sum /run/secrets/TOKEN > /proof\nCOPY", 1
    )
    (project.folder / "app" / "Dockerfile").write_text(dockerfile)
    life = Life(project)
    _configure(life, {"first": {}})
    life.preview("first.json")
    life.pulumi("preview", "--diff")
    life.update("up", "--json")
    life.read()
    # A password is rotated, and somebody changes the registry behind the stack's back.
    _configure(life, {"first": {}, "second": {}}, current="second")
    life.preview("classic.json")
    life.preview("streaming.json", PULUMI_ENABLE_STREAMING_JSON_PREVIEW="true")
    life.pulumi("preview", "--json", "-v=3", "--logtostderr")
    life.update("up", "--diff")
    registry = project.resource("azure-native:containerregistry:Registry", "::scoring-registry")["id"]
    assert azure.cloud.ask("PATCH", registry, {"properties": {"adminUserEnabled": True}}).is_success
    life.preview("drift.json", "--refresh")
    life.update("refresh", "--json")
    life.update("up", "--refresh")
    _commands_of_ours(life)
    life.read()
    life.printed.update(_layers(azure))
    life.update("destroy", "--json")
    life.printed.update(life.files())
    return life


def _configure(life: Life, passwords: dict[str, Any], **principal: Any) -> None:  # noqa: ANN401 - YAML
    configure(
        life.project,
        registry={"mode": "standalone"},
        principal={"passwords": passwords, **principal},
        rollout={"checks": [{"request": "request.json", "reply": "reply.json"}]},
    )
    (life.project.folder / "request.json").write_text("{}")
    (life.project.folder / "reply.json").write_text('{"served": true}')
    path = "scoring:image.buildSecrets.TOKEN"
    set_ = ("config", "set", "--secret", "--path", path, BUILD_SECRET, "--stack", life.project.stack)
    assert life.project.pulumi(*set_).code == 0


def _commands_of_ours(life: Life) -> None:
    stack = life.project.stack
    (life.project.folder / "old.json").write_text(json.dumps({"entryScript": "score.py", "environment": {"name": "e"}}))
    (life.project.folder / "aks.json").write_text(
        json.dumps({"computeType": "aks", "keys": {"primaryKey": OLD_KEY, "secondaryKey": OLD_KEY}})
    )
    life.secrets[OLD_KEY] = "v1's key"
    life.run("azureml-scoring", "doctor", stack, codes=(0, 1))
    life.run("azureml-scoring", "doctor", "--json", stack, codes=(0, 1))
    life.run("azureml-scoring", "pin", stack)
    life.project.edit("app/server.py", "from stub_server", "# an edit\nfrom stub_server")
    life.run("azureml-scoring", "rollout", "--dry-run", "--json", stack)
    life.run("azureml-scoring", "rollout", stack)
    life.run("azureml-scoring", "rollback", "--dry-run", "--json", stack)
    life.run("azureml-scoring", "rollback", stack)
    life.run("azureml-scoring", "status", stack)
    life.run("azureml-scoring", "status", "--json", stack)
    life.run("azureml-scoring", "recover", "--yes", stack)
    life.run("azureml-scoring", "report", "--out", "report.md", "first.json", "classic.json", "streaming.json")
    life.run("azureml-scoring", "report", "--drift", "drift.json")
    with serving() as double:
        github = {"GITHUB_API_URL": double.url, "GITHUB_REPOSITORY": "owner/name", "GITHUB_TOKEN": TOKEN}
        github["GITHUB_REF"] = "refs/pull/7/merge"
        life.run("azureml-scoring", "comment", "--to", "github", "report.md", extra=github)
        life.printed["the comment"] = json.dumps(double.comments).encode()
    life.run("azureml-scoring", "convert-v1", "old.json", "aks.json")
    (life.project.folder / "aks.json").unlink()
    (life.project.folder / "endpoint.yml").write_text("name: old\nauth_mode: key\n")
    (life.project.folder / "blue.yml").write_text(AZ_ML)
    life.run("azureml-scoring", "convert", "endpoint.yml", "blue.yml", "--location", "westeurope")
    outputs = life.project.outputs()
    life.run("azureml-scoring", "adopt", f"{outputs['workspaceId']}/onlineEndpoints/{outputs['endpointName']}")
    life.run("azureml-scoring", "prices", codes=(0, 2))  # 2: the list is not reached from here
    life.run("azureml-scoring", "schema", "--out", "-")


@pytest.fixture(scope="module")
def with_a_private_registry(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Iterator[Life]:
    """A stack whose image comes from a private registry, by a password in the stack file."""
    project = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure, "private"))
    with ExitStack() as stack:
        registry = stack.enter_context(registry_of_its_own(azure.cloud, adminUserEnabled=True))
        own = stack.enter_context(registry_of_its_own(azure.cloud))
        theirs = stack.enter_context(workspace(azure.cloud))
        admin = registry.post("listCredentials").json()
        shelve(registry, project, tag="latest")
        source = {"mode": "private", "address": registry.login_server, "username": admin["username"], "id": own.id}
        image = {"reference": f"{registry.login_server}/served"}
        configure(project, registry=source, workspace={"id": theirs}, image=image)
        password = admin["passwords"][0]["value"]
        set_ = ("config", "set", "--secret", "--path", "scoring:registry.password", password, "--stack", "private")
        assert project.pulumi(*set_).code == 0
        life = Life(project)
        life.preview("preview.json")
        life.update("up", "--json")
        life.read()
        assert password in life.secrets
        life.preview("drift.json", "--refresh")
        life.run("azureml-scoring", "report", "preview.json", "drift.json")
        life.update("destroy", "--json")
        life.printed.update(life.files())
        yield life


@pytest.mark.parametrize("name", ["with_a_principal", "with_a_private_registry"])
def test_nothing_that_is_sealed_is_printed_or_written(name: str, request: pytest.FixtureRequest) -> None:
    life: Life = request.getfixturevalue(name)
    assert len(life.secrets) > 3
    assert leaks(life.printed, life.secrets) == []


def test_the_secrets_are_those_that_a_stack_has(with_a_principal: Life) -> None:
    names = [*with_a_principal.secrets.values()]
    assert BUILD_SECRET in with_a_principal.secrets
    assert len([name for name in names if name.endswith(".outputs.value")]) == 2, "not both passwords"
    assert {"onlineEndpoints.secondaryKey", "storageAccounts.keys.0.value", "the deployer's secret"} <= {*names}


def test_each_command_of_ours_was_tried_in_each_of_its_shapes(with_a_principal: Life) -> None:
    tried = [set(label.split()) for label in with_a_principal.printed]
    for name, command in cli.commands.items():
        shapes = [{name}, *({name, "--json"} for each in command.params if "--json" in each.opts)]
        for shape in shapes:
            assert [words for words in tried if {"azureml-scoring", *shape} <= words], shape


def test_each_documented_command_of_pulumi_was_tried(with_a_principal: Life) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").rglob("*.yml")]
    word = re.compile(r"\bpulumi ((?:config|package|stack) [a-z-]+|config\b|[a-z]+\b)(?=[ `\"\n])")
    documented = {match for page in pages for match in word.findall(page.read_text())}
    tried = " | ".join(with_a_principal.printed)
    assert {"up", "preview", "refresh", "destroy", "stack output"} <= documented
    assert {each for each in documented - NOT_TRIED if f"pulumi {each}" not in tried} == set()
