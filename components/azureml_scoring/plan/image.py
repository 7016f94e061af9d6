"""What a preview knows of an image: its repository, its content key, and what the checks before the build say.

Owns the reading of the build context, once a run. Refuses to own which files belong to it (`content.py`), the checks
(`requirements/`) and the build (`provider/`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from azureml_scoring.plan.content import check_context, read_content, reading
from azureml_scoring.plan.progress import ProgressLogger
from azureml_scoring.plan.provenance import MOST_PACKAGES, Provenance
from azureml_scoring.plan.reference import Reference, short
from azureml_scoring.plan.requirements import Checks, Finding, before, dockerfile, made_of, named
from azureml_scoring.plan.requirements import reference as check_reference
from azureml_scoring.plan.requirements.dockerfile import DockerfileError
from azureml_scoring.plan.requirements.packages import decoded, listed
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.image import ImageSettings
from azureml_scoring.settings.rules import RULES, TAG_LENGTH

_TEXT_LIMIT: Final = 4 << 20
"""Bytes of a Dockerfile or requirements file that are read."""


@dataclass(frozen=True)
class ImagePlan:
    """What a preview knows of an image, before any provider is asked."""

    repository: str
    tag: str
    """The start of the content key; empty for an existing image."""
    reference: str | None = None
    """The image's name, when it exists already."""
    promote: str | None = None
    """The image in the registry it was built in, when it is imported from there."""
    content_key: str = ""
    context: Path = field(default_factory=Path)
    findings: tuple[Finding, ...] = ()
    """What the checks before the build say."""
    provenance: Provenance = field(default_factory=Provenance)
    """What it is built from, for people to compare; nothing for an existing image."""

    @property
    def content(self) -> tuple[str, str]:
        """Tell apart what is built or imported: the same content in the same repository is one image."""
        return self.repository, self.content_key or str(self.promote)


def plan_image(image: At) -> ImagePlan:
    """Read what an image is built from; raise a `SettingsError` when there is nothing to build."""
    settings: ImageSettings = image()
    if settings.reference is not None:
        findings = _accepted(check_reference(settings.reference, settings.requirements), image)
        return ImagePlan(Reference.parse(settings.reference).repository, "", settings.reference, findings=findings)
    if settings.promote is not None:
        findings = _accepted(check_reference(settings.promote, settings.requirements), image)
        repository = Reference.parse(settings.promote).repository
        return ImagePlan(repository, short(settings.promote), promote=settings.promote, findings=findings)
    return _plan_build(image, settings)


def check_dockerfile(settings: ImageSettings, text: str, files: Mapping[str, str]) -> list[Finding]:
    """Check a Dockerfile and the requirements files that it names."""
    checks = Checks(settings.requirements, settings.target, settings.platform)
    return before(text, files, settings.build_arguments, checks)


def _plan_build(image: At, settings: ImageSettings) -> ImagePlan:
    context = Path(settings.context or ".").resolve()
    check_context(context, settings.dockerfile, image.path_)
    text = _start(context / settings.dockerfile).decode("utf-8", "replace")
    try:
        _check_target(image.target, text)
        files = _requirements(context, named(text, settings.build_arguments))
    except DockerfileError as error:
        raise SettingsError(image.dockerfile.refused(str(error), settings.dockerfile)) from None
    findings = _accepted(check_dockerfile(settings, text, files), image)
    with reading(context, image.context):
        content = read_content(context, settings, ProgressLogger(image.context.path_))
    repository = settings.repository or re.sub("[^a-z0-9]+", "-", context.name.lower()).strip("-") or "scoring"
    if problem := RULES["repository"].problem(repository):
        raise SettingsError(image.repository.refused(problem, repository))
    bases, packages = made_of(text, files, settings.build_arguments)
    if settings.base_digest is not None:
        bases.append(settings.base_digest)
    provenance = Provenance(content.files, bases, packages if len(packages) <= MOST_PACKAGES else {})
    return ImagePlan(
        repository,
        content.key[:TAG_LENGTH],
        content_key=content.key,
        context=context,
        findings=findings,
        provenance=provenance,
    )


def _check_target(target: At, text: str) -> None:
    """Refuse the name of a stage that the Dockerfile does not have."""
    stages = dockerfile.read(text) if target else []
    if stages and dockerfile.stage_named(stages, target()) is None:
        names = ", ".join(stage.name for stage in stages if stage.name) or "none has a name"
        raise SettingsError(target.refused(f"no stage of the Dockerfile is called so ({names}); correct it"))


def _requirements(context: Path, names: list[str]) -> dict[str, str]:
    """Read the files of the context that list packages, and those that they include."""
    files: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in files and not name.startswith(("/", "..")) and (context / name).is_file():
            files[name] = _decoded(name, _start(context / name))
            waiting += [each.name for each in listed(name, files[name]) if each.kind == "file"]
    return files


def _start(path: Path) -> bytes:
    """Read a file; a huge one is no list of requirements, and its start is enough."""
    with path.open("rb") as file:
        return file.read(_TEXT_LIMIT)


def _decoded(name: str, data: bytes) -> str:
    try:
        return decoded(name, data)
    except (ValueError, LookupError):
        return data.decode("utf-8", "replace")


def _accepted(findings: list[Finding], image: At) -> tuple[Finding, ...]:
    """Raise what forbids the build, a line each; return the rest."""
    if errors := [finding for finding in findings if finding.level == "error"]:
        path = image.path_
        lines = (f"{path}: {finding}; {path}.requirements.{finding.id}: warning lets it pass" for finding in errors)
        raise SettingsError("\n".join(lines))
    return tuple(findings)
