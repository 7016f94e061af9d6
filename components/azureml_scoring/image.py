"""The image that serves: built from a folder into the registry, brought there from another, or an existing one.

Owns the content key, the check that there is something to build, the choice of a builder, and that a tag is pinned.
Refuses to own the registry and how ACR Tasks is driven (`resources/`). What comes out is always pinned:
`host/repository@sha256:…`.
https://learn.microsoft.com/azure/container-registry/container-registry-tasks-overview
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NotRequired, TypedDict

import pulumi
import pulumi_docker as docker

from azureml_scoring.plan.content import TAG_LENGTH, check_context, read_content
from azureml_scoring.plan.progress import ProgressLogger
from azureml_scoring.plan.provenance import MOST_PACKAGES, Ingredients
from azureml_scoring.plan.reference import Reference
from azureml_scoring.plan.requirements import Checks, Finding, before, made_of, named
from azureml_scoring.plan.requirements import reference as judge_reference
from azureml_scoring.sdk import ImageBuild, ImageBuildArgs, ImageImport, ImageImportArgs, ImagePin, ImagePinArgs
from azureml_scoring.settings.types import ImageSettings, RegistryLogin, SettingsError, require

_PLATFORM: Final = "linux/amd64"
_DOCKERFILE: Final = "Dockerfile"
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
    """The image where it was built, when it is brought into the registry from there."""
    content_key: str = ""
    context: Path = field(default_factory=Path)
    findings: tuple[Finding, ...] = ()
    """What the checks before the build have to say."""
    ingredients: Ingredients = field(default_factory=Ingredients)
    """What it is made from, for people to compare; nothing for an existing image."""


class CustomImageArgs(TypedDict):
    """Inputs of `CustomImage`."""

    image: ImageSettings
    """What to build, or which image to use."""
    registry_id: pulumi.Input[str]
    """The registry that gets the image; empty with `image.reference`."""
    login_server: pulumi.Input[str]
    """Its address; empty with `image.reference`."""
    build_secrets: NotRequired[dict[str, pulumi.Input[str]]]
    """What a step of the Dockerfile may read and the image never holds, by id; builder acr only."""
    login: NotRequired[RegistryLogin | None]
    """Who reads a private registry in which a tag is looked up."""
    push_username: NotRequired[pulumi.Input[str]]
    """Who pushes, builder docker only; without it the engine's own login (`az acr login`)."""
    push_password: NotRequired[pulumi.Input[str]]
    """The secret of who pushes."""


class CustomImage(pulumi.ComponentResource):
    """One image, named by what it was made from and pinned by digest.

    Owns the build; refuses to own the registry and the image's end: what was pushed stays with the registry.
    """

    image: pulumi.Output[str]
    """host/repository@sha256:…"""
    digest: pulumi.Output[str]
    """sha256:…"""
    tag: pulumi.Output[str]
    """The start of the content key, known in preview; of the digest for an existing image."""
    content_key: pulumi.Output[str]
    """The whole content key; empty for an existing image."""
    repository: pulumi.Output[str]
    """The repository inside the registry."""

    def __init__(self, name: str, args: CustomImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("azureml-scoring:index:CustomImage", name, None, opts)
        plan = plan_image(args["image"], secrets=args.get("build_secrets") or ())
        tell("image", plan, self)
        if plan.reference is not None:
            image = pinned(f"{name}-image", plan.reference, args.get("login"), self)
        elif plan.promote is not None:
            image = ImageImport(
                f"{name}-import",
                ImageImportArgs(
                    registry_id=args["registry_id"], login_server=args["login_server"], source=plan.promote
                ),
                opts=pulumi.ResourceOptions(parent=self),
            ).image
        elif args["image"].get("builder") == "docker":
            image = self._docker(name, args, plan)
        else:
            image = self._acr(name, args, plan)
        self.image = image
        self.digest = image.apply(lambda text: text.rpartition("@")[2])
        self.tag = pulumi.Output.from_input(plan.tag) if plan.tag else self.digest.apply(short)
        self.content_key = pulumi.Output.from_input(plan.content_key)
        self.repository = pulumi.Output.from_input(plan.repository)
        self.register_outputs(
            {
                "image": self.image,
                "digest": self.digest,
                "tag": self.tag,
                "contentKey": self.content_key,
                "repository": self.repository,
            }
        )

    def _acr(self, name: str, args: CustomImageArgs, plan: ImagePlan) -> pulumi.Output[str]:
        settings = args["image"]
        return ImageBuild(
            f"{name}-build",
            ImageBuildArgs(
                registry_id=args["registry_id"],
                login_server=args["login_server"],
                repository=plan.repository,
                content_key=plan.content_key,
                context=str(plan.context),
                dockerfile=settings.get("dockerfile") or _DOCKERFILE,
                build_arguments=settings.get("build_arguments") or {},
                platform=settings.get("platform") or _PLATFORM,
                target=settings.get("target"),
                requirements=settings.get("requirements"),
                files=plan.ingredients.files,
                bases=plan.ingredients.bases,
                packages=plan.ingredients.packages,
                build_secrets=_sealed(args.get("build_secrets") or {}) or None,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        ).image

    def _docker(self, name: str, args: CustomImageArgs, plan: ImagePlan) -> pulumi.Output[str]:
        settings = args["image"]
        registry: docker.RegistryArgsDict = {"server": args["login_server"]}
        if "push_username" in args and "push_password" in args:
            registry["username"] = args["push_username"]
            registry["password"] = pulumi.Output.secret(args["push_password"])
        return docker.Image(
            f"{name}-build",
            image_name=pulumi.Output.concat(args["login_server"], "/", plan.repository, ":", plan.tag),
            build=docker.DockerBuildArgs(
                context=str(plan.context),
                dockerfile=str(plan.context / (settings.get("dockerfile") or _DOCKERFILE)),
                args=settings.get("build_arguments") or {},
                platform=settings.get("platform") or _PLATFORM,
                target=settings.get("target"),
            ),
            build_on_preview=False,
            registry=registry,
            opts=pulumi.ResourceOptions(parent=self),
        ).repo_digest


def pinned(name: str, reference: str, login: RegistryLogin | None, parent: pulumi.Resource) -> pulumi.Output[str]:
    """Return an existing image by digest; a tag is looked up once, and the digest kept in the stack's state."""
    wanted = Reference.parse(reference)
    if wanted.fixed:
        return pulumi.Output.from_input(reference)
    args = ImagePinArgs(reference)
    if login is not None and login["address"].lower() == wanted.host.lower():
        args = ImagePinArgs(reference, login["username"], pulumi.Output.secret(login["password"]))
    return ImagePin(f"{name}-pin", args, opts=pulumi.ResourceOptions(parent=parent)).image


def tell(field: str, plan: ImagePlan, resource: pulumi.Resource) -> None:
    """Say what the checks before the build have found."""
    for finding in plan.findings:
        say = pulumi.log.warn if finding.level == "warning" else pulumi.log.info
        say(f"{field}: {finding}", resource)


def short(image: str) -> str:
    """Name an image by the start of its digest."""
    return image.rpartition("sha256:")[2][:TAG_LENGTH]


def _sealed(secrets: Mapping[str, pulumi.Input[str]]) -> dict[str, pulumi.Input[str]]:
    return {name: pulumi.Output.secret(value) for name, value in secrets.items()}


def plan_image(image: ImageSettings, field: str = "image.reference", secrets: Iterable[str] = ()) -> ImagePlan:
    """Find out what a preview can know; raise one line when there is nothing to build."""
    reference, promote = image.get("reference"), image.get("promote")
    if (there := reference or promote) is not None:
        kind, place = ("imageReference", field) if reference else ("pinnedImage", "image.promote")
        repository = Reference.parse(require(kind, place, there)).repository
        found = _refused(judge_reference(there, image.get("requirements")))
        return ImagePlan(repository, short(promote or ""), reference, promote, findings=found)
    context = Path(image.get("context") or ".").resolve()
    dockerfile = image.get("dockerfile") or _DOCKERFILE
    check_context(context, dockerfile)
    text, files = _texts(image, context, dockerfile)
    found = _refused(judge(image, text, files))
    content = read_content(
        context,
        dockerfile,
        image.get("build_arguments"),
        image.get("base_digest"),
        image.get("platform") or _PLATFORM,
        image.get("target"),
        secrets,
        progress=ProgressLogger("image.context"),
    )
    repository = image.get("repository") or re.sub("[^a-z0-9]+", "-", context.name.lower()).strip("-") or "scoring"
    bases, packages = made_of(text, files, image.get("build_arguments"))
    if "base_digest" in image:
        bases.append(image["base_digest"])
    ingredients = Ingredients(content.files, bases, packages if len(packages) <= MOST_PACKAGES else {})
    require("repository", "image.repository", repository)
    return ImagePlan(
        repository,
        content.key[:TAG_LENGTH],
        content_key=content.key,
        context=context,
        findings=found,
        ingredients=ingredients,
    )


def judge(image: ImageSettings, text: str, files: Mapping[str, str]) -> list[Finding]:
    """Check a Dockerfile and the requirements files that it names."""
    checks = Checks(image.get("requirements") or {}, image.get("target"), image.get("platform") or _PLATFORM)
    return before(text, files, image.get("build_arguments"), checks)


def _texts(image: ImageSettings, context: Path, dockerfile: str) -> tuple[str, dict[str, str]]:
    """Read the Dockerfile, and the requirements files that it names."""
    text = _text(context / dockerfile)
    names = named(text, image.get("build_arguments"))
    return text, {name: _text(context / name) for name in names if (context / name).is_file()}


def _text(path: Path) -> str:
    """Read a text; a huge one is no list of requirements, and its start is enough."""
    with path.open("rb") as file:
        return file.read(_TEXT_LIMIT).decode("utf-8", "replace")


def _refused(found: list[Finding]) -> tuple[Finding, ...]:
    """Raise what forbids the build, a line each; return the rest."""
    if errors := [finding for finding in found if finding.level == "error"]:
        lines = (f"image: {finding}; image.requirements.{finding.id}: warning lets it pass" for finding in errors)
        raise SettingsError("\n".join(lines))
    return tuple(found)
