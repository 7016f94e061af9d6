"""ImageBuild: an image built by ACR Tasks and named by its content.

Owns: the upload of the context, the run, its log in `pulumi up`, and the digest. Refuses to own: which files belong
to the content and its key (`azureml_scoring.plan.content`), and deleting the image: the registry's retention decides.

ARM: Microsoft.ContainerRegistry/registries (listBuildSourceUploadUrl, scheduleRun) and registries/runs.
https://learn.microsoft.com/rest/api/containerregistry and
https://learn.microsoft.com/azure/container-registry/container-registry-tasks-reference-yaml
"""

import base64
import gzip
import re
import shlex
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, ClassVar, cast

import yaml
from pydantic import Field

from azureml_scoring.plan.content import ContextFile, build_files, check_context
from azureml_scoring.plan.reference import Reference
from azureml_scoring.plan.requirements import Checks, after
from azureml_scoring.provider.arm import ACR_TASKS_API, clean, redact
from azureml_scoring.provider.blobs import BLOCK_SIZE, upload_blob
from azureml_scoring.provider.build_log import BuildProgress, plain
from azureml_scoring.provider.errors import CancelledError, ResourceError
from azureml_scoring.provider.fields import last
from azureml_scoring.provider.framework import Checked, Context, Failure, Outputs, ReadResult, Resource
from azureml_scoring.provider.image_inspection import inspect_image
from azureml_scoring.provider.lookup import REGISTRIES_API
from azureml_scoring.provider.registry_client import resolve_digest
from azureml_scoring.provider.values import UNKNOWN, Properties
from azureml_scoring.settings.arguments import ImageBuildArgs
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.rules import TAG_LENGTH

RUN_SECONDS = 3300
"""The timeout of a run: less than `OPERATION_LIMIT`, so that the error is Azure's own."""
ERROR_LINES = 3
"""Lines of a failed log that its error repeats."""
VOLUME, MOUNT_PATH = "build-secrets", "/run/build-secrets"
"""The volume of the build's secrets on the agent."""
HIDDEN_LENGTH = 4
"""Characters from which on a line of a secret is hidden in logs: shorter ones would hide half of every log."""
TERMINAL_STATUSES = frozenset({"succeeded", "failed", "canceled", "error", "timeout"})


class ImageBuildOutputs(Outputs):
    """Which image came out."""

    image: str = Field(description="The image by digest: host/repository@sha256:….")
    digest: str = Field(description="The manifest's digest.")
    tag: str = Field(description="The tag, made from the content key; known in preview.")
    run_id: str = Field(default="", description="The ACR run that built it; empty when the registry had it already.")
    duration_seconds: float = Field(default=0.0, description="How long the build took; 0 when there was none.")
    findings: list[str] = Field(default_factory=list, description="What the checks of the image found, a line each.")


class ImageBuild(Resource[ImageBuildArgs]):
    """An image built by ACR Tasks and named by the content it was built from: one build a content."""

    name = "ImageBuild"
    inputs = ImageBuildArgs
    outputs = ImageBuildOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"registryId", "loginServer", "repository"})
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset(
        {"context", "requirements", "files", "bases", "packages", "buildSecrets", "agentPool"}
    )
    secret: ClassVar[frozenset[str]] = frozenset({"buildSecrets"})

    def check(self, news: Properties, secrets: Iterable[str] = ()) -> Checked:
        """Check the folder too: there must be something to build."""
        checked, dockerfile = super().check(news, secrets), str(news.get("dockerfile") or "Dockerfile")
        try:
            check_context(Path(str(checked.inputs["context"])), dockerfile)
        except KeyError:
            return checked
        except SettingsError as error:
            return replace(checked, failures=(*checked.failures, Failure("context", str(error))))
        return checked

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell the tag from the key; an unchanged tag is an unchanged image."""
        key = news["contentKey"]
        tag = key[:TAG_LENGTH] if isinstance(key, str) else UNKNOWN
        same = tag is not UNKNOWN and olds.get("tag") == tag
        later = {
            name: olds.get(name, UNKNOWN) if same else UNKNOWN for name in ("image", "digest", "runId", "findings")
        }
        return {**news, **later, "tag": tag, "durationSeconds": olds.get("durationSeconds", 0) if same else UNKNOWN}

    def _create(self, context: Context, inputs: ImageBuildArgs) -> tuple[str, Outputs]:
        return f"{inputs.login_server}/{inputs.repository}", _checked(context, inputs, build(context, inputs))

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: ImageBuildArgs) -> Outputs:
        del resource_id
        if olds.get("tag") == inputs.tag and olds.get("digest"):
            return ImageBuildOutputs.model_validate(
                {name: value for name, value in olds.items() if name in OUTPUT_NAMES}
            )
        return _checked(context, inputs, build(context, inputs))

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        """Resolve the tag. When it has moved to another image, the stack keeps the one it built, while that exists."""
        server, repository, tag, digest = (str(olds.get(name) or "") for name in IMAGE_NAMES)
        if not tag:
            msg = f"ImageBuild {resource_id} cannot be imported: its content is unknown; run up, it adopts the image"
            raise ResourceError(msg)
        if context.arm.get(str(olds.get("registryId") or ""), REGISTRIES_API) is None:
            return None
        try:
            current = resolve_digest(context.arm, Reference(server, repository, tag), "deployer")
        except ResourceError as error:
            # A registry whose network somebody has closed lets nobody look: that is its own drift, and can be repaired.
            context.warn(f"{server}/{repository}:{tag} could not be looked up and stays at {digest}: {error}")
            return ReadResult(resource_id, olds, inputs)
        if current is None:
            context.log(f"{server}/{repository}:{tag} is gone; the next up builds it again")
            return None
        if current != digest:
            context.log(f"{server}/{repository}:{tag} was moved to {current}; this stack keeps {digest}")
            if resolve_digest(context.arm, Reference(server, repository, digest=digest), "deployer") is None:
                return None
        return ReadResult(resource_id, olds, inputs)

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        del resource_id, olds
        context.log("the image stays in the registry")


OUTPUT_NAMES = frozenset({"image", "digest", "tag", "runId", "durationSeconds", "findings"})
IMAGE_NAMES = ("loginServer", "repository", "tag", "digest")


def build(context: Context, inputs: ImageBuildArgs) -> ImageBuildOutputs:
    """Adopt the image that the registry has under the tag, or build it there."""
    arm, reference = context.arm, Reference(inputs.login_server, inputs.repository, inputs.tag)
    digest = resolve_digest(arm, reference, "deployer")
    if digest is not None:
        context.log(f"{inputs.repository}:{inputs.tag} is in the registry already; nothing to build")
        return ImageBuildOutputs(image=reference.at(digest), digest=digest, tag=inputs.tag)
    start = arm.clock()
    source = _upload_context(context, inputs)
    run = arm.post(f"{inputs.registry_id}/scheduleRun", ACR_TASKS_API, run_request(inputs, source), once=True)
    run_id = str((run.get("properties") or {}).get("runId") or run.get("name") or "")
    context.log(f"run {run_id} builds {inputs.repository}:{inputs.tag}; {_whole_log(inputs, run_id)} shows its log")
    try:
        ended = _follow_run(context, inputs, run_id)
    except CancelledError:
        # The run would go on, and the next up would build the same beside it.
        with suppress(ResourceError):
            arm.post(f"{inputs.registry_id}/runs/{run_id}/cancel", ACR_TASKS_API)
        raise
    images = (ended.get("properties") or {}).get("outputImages") or []
    digest = digest_of(images, inputs.repository, inputs.tag) or resolve_digest(arm, reference, "deployer")
    if digest is None:
        msg = f"run {run_id} succeeded, but {reference.tagged} is not in the registry; run up again"
        raise ResourceError(msg)
    return ImageBuildOutputs(
        image=reference.at(digest),
        digest=digest,
        tag=inputs.tag,
        run_id=run_id,
        duration_seconds=round(arm.clock() - start, 1),
    )


def _checked(context: Context, inputs: ImageBuildArgs, built: ImageBuildOutputs) -> ImageBuildOutputs:
    """Inspect the image; log the findings, and raise where a requirement makes one an error."""
    try:
        image = inspect_image(context.arm, inputs.login_server, inputs.repository, built.digest, inputs.platform)
    except CancelledError:
        raise
    except ResourceError as error:
        context.log(f"the image could not be inspected: {error}")
        return built
    findings = after(image, Checks(dict(inputs.requirements), platform=inputs.platform))
    for finding in findings:
        if finding.level != "error":
            context.log(f"{finding.level}: {finding}")
    if errors := [finding for finding in findings if finding.level == "error"]:
        texts = " | ".join(map(str, errors))
        msg = f"image {built.image}: {texts}; image.requirements.{errors[0].id}: warning lets it pass"
        raise ResourceError(msg)
    return built.model_copy(update={"findings": [f"{finding.level}: {finding}" for finding in findings]})


def task_yaml(inputs: ImageBuildArgs) -> str:
    """Write the task: build with BuildKit, push. Each word survives the shell, the template and the alias language.

    Secrets come as values of the run, in files that only the agent's build step sees; BuildKit mounts those.
    """
    image = f"$Registry/{inputs.repository}:{inputs.tag}"
    words = ["--tag", image, "--file", literal(inputs.dockerfile), "--platform", inputs.platform]
    if inputs.target:
        words += ["--target", inputs.target]
    for name, value in sorted(inputs.build_arguments.items()):
        words += ["--build-arg", literal(f"{name}={value}")]
    task: dict[str, Any] = {"version": "v1.1.0"}
    mounts: dict[str, Any] = {}
    if secrets := sorted(inputs.build_secrets or {}):
        words += [f"--secret id={name},src={MOUNT_PATH}/{name}" for name in secrets]
        files = {name: f"{{{{.Values.{name} | b64enc}}}}" for name in secrets}
        task["volumes"] = [{"name": VOLUME, "secret": files}]
        mounts = {"volumeMounts": [{"name": VOLUME, "mountPath": MOUNT_PATH}]}
    build_step = {"build": " ".join([*words, "."]), "env": ["DOCKER_BUILDKIT=1"], **mounts}
    task["steps"] = [build_step, {"push": [image]}]
    return yaml.safe_dump(task, sort_keys=False, width=1 << 20, allow_unicode=True)


def literal(text: str) -> str:
    """Quote one word of a build step: for the shell-like splitting, for templates (`{{`) and for aliases (`$`)."""
    return shlex.quote(text).replace("{{", '{{"{{"}}').replace("$", "$$")


def run_request(inputs: ImageBuildArgs, source: str) -> dict[str, Any]:
    """Build the body of scheduleRun: EncodedTaskRunRequest."""
    system, processor = inputs.platform.split("/")
    secrets = sorted((inputs.build_secrets or {}).items())
    values = [{"name": name, "value": value, "isSecret": True} for name, value in secrets]
    return {
        "type": "EncodedTaskRunRequest",
        "encodedTaskContent": base64.b64encode(task_yaml(inputs).encode()).decode(),
        "sourceLocation": source,
        "platform": {"os": system.capitalize(), "architecture": processor},
        "timeout": RUN_SECONDS,
        **({"values": values} if values else {}),
        **({"agentPoolName": inputs.agent_pool} if inputs.agent_pool else {}),
    }


def digest_of(images: Iterable[Mapping[str, Any]], repository: str, tag: str) -> str | None:
    """Return the digest of an image among those that a run reports."""
    for image in images:
        if (image.get("repository"), image.get("tag")) == (repository, tag) and image.get("digest"):
            return str(image["digest"])
    return None


def pack(files: Iterable[ContextFile], target: IO[bytes]) -> int:
    """Write the files as tar.gz, the same bytes on every machine, in bounded memory; returns how many."""
    count = 0
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK_SIZE) as archive,
    ):
        for file in files:
            entry = tarfile.TarInfo(file.name)
            entry.mode = 0o755 if file.executable else 0o644
            count += 1
            if file.link is not None:
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, file.link, 0o777
                archive.addfile(entry)
                continue
            with file.path.open("rb") as content:
                entry.size = content.seek(0, 2)
                content.seek(0)
                archive.addfile(entry, content)
    return count


def errors_in(log: str) -> list[str]:
    """Pick the lines of a build log that say why it failed, else its last ones."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    # BuildKit's ` > [step]:` names what failed: a command, or the image whose registry did not answer.
    matching = [line for line in lines if re.search(r"(?i)^> \[|\b(error|failed|denied|not found|no such)\b", line)]
    reasons: list[str] = []
    for line in matching or lines:
        # Builders repeat themselves with ever more around it: the first wording is the shortest.
        if not any(before in line or line in before for before in reasons):
            reasons.append(line)
    return reasons[-ERROR_LINES:]


def _upload_context(context: Context, inputs: ImageBuildArgs) -> str:
    target = context.arm.post(f"{inputs.registry_id}/listBuildSourceUploadUrl", ACR_TASKS_API)
    if not target.get("uploadUrl") or not target.get("relativePath"):
        msg = f"registry {last(inputs.registry_id)} gave no URL to upload the context to; run up again"
        raise ResourceError(msg)
    with tempfile.TemporaryFile(prefix="azureml-scoring-") as file:
        archive = cast("IO[bytes]", file)
        count = pack(build_files(Path(inputs.context), inputs.dockerfile), archive)
        context.progress(f"uploading {count} files, {archive.tell() / 1e6:.1f} MB packed")
        archive.seek(0)
        upload_blob(context.arm, str(target["uploadUrl"]), archive, "the build context")
    return str(target["relativePath"])


def _follow_run(context: Context, inputs: ImageBuildArgs, run_id: str) -> dict[str, Any]:
    """Wait for the run and pass its log on; a failure is one line with the reason and the way to the whole log."""
    registry_id = inputs.registry_id
    path = f"{registry_id}/runs/{run_id}"
    log = RunLog(context, registry_id, run_id, (inputs.build_secrets or {}).values())
    run = _ended_run(context, path, log)
    log.finish()
    properties = run["properties"]
    status = str(properties["status"])
    if status.lower() == "succeeded":
        return run
    reason = " | ".join(errors_in(log.tail)) or clean(str(properties.get("runErrorMessage") or "no log"))
    remedy = f"{_whole_log(inputs, run_id)} shows the whole log"
    msg = f"image build {run_id} {status.lower()}: {redact(reason)}; {remedy}"
    raise ResourceError(msg)


def _whole_log(inputs: ImageBuildArgs, run_id: str) -> str:
    return f"`az acr task logs --registry {last(inputs.registry_id)} --run-id {run_id}`"


def _ended_run(context: Context, path: str, log: "RunLog") -> dict[str, Any]:
    """Wait until a run has ended, whichever way, and pass its log on."""
    timer = context.arm.timer(f"run {last(path)}")
    while True:
        run = context.arm.get(path, ACR_TASKS_API) or {}
        log.advance()
        if str((run.get("properties") or {}).get("status") or "").lower() in TERMINAL_STATUSES:
            return run
        timer.wait()


class RunLog:
    """The log of a run as it grows: each part is read once, and a line a step is shown; only its tail is held."""

    TAIL_LENGTH = 64_000

    def __init__(self, context: Context, registry_id: str, run_id: str, secrets: Iterable[str] = ()) -> None:
        self.tail = ""
        parts = {part.strip() for secret in secrets for part in secret.splitlines()}
        self._hidden = sorted((part for part in parts if len(part) >= HIDDEN_LENGTH), key=len, reverse=True)
        self._context = context
        self._path = f"{registry_id}/runs/{run_id}/listLogSasUrl"
        self._url = ""
        self._read = 0
        self._open = b""
        self._progress = BuildProgress()

    def advance(self) -> None:
        """Read and log the new part. A log that cannot be read does not fail a build."""
        try:
            self._url = self._url or str(self._context.arm.post(self._path, ACR_TASKS_API).get("logLink") or "")
            if not self._url:
                return
            response = self._context.arm.http.send("GET", self._url, headers={"Range": f"bytes={self._read}-"})
        except ResourceError:
            return
        if response.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            return
        # A server that ignores the range sends everything again.
        whole = response.status_code == HTTPStatus.OK
        new = response.content[self._read :] if whole else response.content
        self._read += len(new)
        *lines, self._open = (self._open + new).split(b"\n")
        self._log(lines)

    def finish(self) -> None:
        """Read the rest, with the last line even if it has no end."""
        self.advance()
        self._log([self._open])
        self._open = b""

    def _log(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            text = plain(line.decode("utf-8", "replace"))
            for hidden in self._hidden:
                text = text.replace(hidden, "[hidden]")
            text = redact(text)
            if text:
                self.tail = f"{self.tail}\n{text}"[-self.TAIL_LENGTH :]
                if shown := self._progress(text):
                    self._context.progress(shown)
