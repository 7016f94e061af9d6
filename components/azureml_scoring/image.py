"""The image that serves: built into the registry, imported from another one, or an existing one by name.

Owns the choice of a builder, and that a tag is pinned. Refuses to own the registry and how ACR Tasks is driven
(`provider/`). The output is always pinned: `host/repository@sha256:…`.
https://learn.microsoft.com/azure/container-registry/container-registry-tasks-overview
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pulumi

from azureml_scoring.component import Component, Inputs, Options
from azureml_scoring.plan.image import ImagePlan, plan_image
from azureml_scoring.plan.reference import Reference, short
from azureml_scoring.sdk import ImageBuild, ImageImport, ImagePin
from azureml_scoring.settings.arguments import ImageBuildArgs, ImageImportArgs, ImagePinArgs
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError, error_line
from azureml_scoring.settings.image import BUILD, ImageSettings
from azureml_scoring.settings.parsing import parse
from azureml_scoring.settings.registry import RegistryLogin
from azureml_scoring.settings.section import OPTIONAL, In, Internal, Secret, Section, arguments, sealed
from azureml_scoring.staging import staged

if TYPE_CHECKING:
    import pulumi_docker_build as docker_build

_DIGEST: Final = re.compile("sha256:[0-9a-f]{64}")
_CACHE_TAG: Final = "cache"
"""Where docker-build keeps layers between runs, beside the images; their own tags are hexadecimal."""


class CustomImageArgs(Section):
    """Inputs of `CustomImage`."""

    image: ImageSettings
    """What to build, or which image to use."""
    registry_id: In[str]
    """ARM id of the registry that gets the image; empty with `image.reference`, unless `login` is written."""
    login_server: In[str]
    """Its login server; empty with `image.reference`, unless `login` is written."""
    login: RegistryLogin | None = None
    """Credentials of a private registry: a tag is resolved there, and the image imported from there."""
    push_username: Secret | None = OPTIONAL
    """User name that pushes, not with builder `acr`; the Docker engine's own login (`az acr login`) by default."""
    push_password: Secret | None = OPTIONAL
    """Password of `pushUsername`."""
    agent_pool: In[str | None] = OPTIONAL
    """Name of the registry's agent pool that builds, with builder `acr`; ACR Tasks' own machines by default."""
    plan: Internal[ImagePlan] = OPTIONAL
    """What the build context holds, where it was read already."""


class CustomImage(Component):
    """One image, named by its content and pinned by digest.

    Owns the build; refuses to own the registry and the image's end: what was pushed stays with the registry.
    """

    Args = CustomImageArgs
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

    def __init__(self, name: str, args: CustomImageArgs | Inputs, opts: Options = None) -> None:
        args = parse(CustomImageArgs, args)
        plan = args.plan or plan_image(At.root(args).image)
        super().__init__(name, opts)
        log_findings("image", plan, self)
        if plan.reference is not None:
            target = ImportTarget(args.registry_id, args.login_server)
            self.image = pullable(f"{name}-image", plan.reference, args.login, target, self)
        elif plan.promote is not None:
            self.image = self._import(name, args, plan.promote)
        else:
            build = {"acr": self._acr, "docker": self._docker, "docker-build": self._docker_build}[args.image.builder]
            self.image = build(name, args, plan)
        self.digest = self.image.apply(lambda text: text.rpartition("@")[2])
        self.tag = pulumi.Output.from_input(plan.tag) if plan.tag else self.digest.apply(short)
        self.content_key = pulumi.Output.from_input(plan.content_key)
        self.repository = pulumi.Output.from_input(plan.repository)
        self.finish()

    def _import(self, name: str, args: CustomImageArgs, source: str) -> pulumi.Output[str]:
        importing = ImageImportArgs(registry_id=args.registry_id, login_server=args.login_server, source=source)
        return ImageImport(f"{name}-import", importing, self.child).image

    def _acr(self, name: str, args: CustomImageArgs, plan: ImagePlan) -> pulumi.Output[str]:
        build = ImageBuildArgs(
            registry_id=args.registry_id,
            login_server=args.login_server,
            repository=plan.repository,
            content_key=plan.content_key,
            context=str(plan.context),
            files=dict(plan.provenance.files),
            bases=list(plan.provenance.bases),
            packages=dict(plan.provenance.packages),
            agent_pool=args.agent_pool or None,
            **arguments(args.image, BUILD),
        )
        return ImageBuild(f"{name}-build", build, self.child).image

    def _docker(self, name: str, args: CustomImageArgs, plan: ImagePlan) -> pulumi.Output[str]:
        import pulumi_docker as docker  # noqa: PLC0415 - it takes half a second, and most stacks need none of it

        registry: docker.RegistryArgsDict = {"server": args.login_server}
        if args.push_username is not None and args.push_password is not None:
            registry["username"] = sealed(args.push_username)
            registry["password"] = sealed(args.push_password)
        folder = staged(args.image, plan)
        image = docker.Image(
            f"{name}-build",
            image_name=_tagged(args, plan, plan.tag),
            build=docker.DockerBuildArgs(
                context=str(folder),
                dockerfile=str(folder / args.image.dockerfile),
                args=args.image.build_arguments,
                platform=args.image.platform,
                target=args.image.target,
            ),
            build_on_preview=False,
            registry=registry,
            opts=self.child,
        )
        return _by_digest(args, plan, image, image.repo_digest)

    def _docker_build(self, name: str, args: CustomImageArgs, plan: ImagePlan) -> pulumi.Output[str]:
        sdk = _docker_build_sdk()
        folder, cache = staged(args.image, plan), _tagged(args, plan, _CACHE_TAG)
        secrets = args.image.build_secrets or {}
        image = sdk.Image(
            f"{name}-build",
            tags=[_tagged(args, plan, plan.tag)],
            push=True,
            context=sdk.BuildContextArgs(location=str(folder)),
            dockerfile=sdk.DockerfileArgs(location=str(folder / args.image.dockerfile)),
            build_args=args.image.build_arguments,
            build_on_preview=False,
            secrets={key: sealed(value) for key, value in secrets.items()},
            ignore_secrets_in_diff_calculation=[*secrets],
            platforms=args.image.platforms or [args.image.platform],
            target=args.image.target,
            cache_from=[sdk.CacheFromArgs(registry=sdk.CacheFromRegistryArgs(ref=cache))],
            cache_to=[sdk.CacheToArgs(registry=_cache(sdk, cache))],
            registries=_pushing(sdk, args),
            # The provider deletes an image from the registry; other stacks may serve it, and a rollback needs it.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        digest_reference = pulumi.Output.concat(args.login_server, "/", plan.repository, "@", image.digest)
        return _by_digest(args, plan, image, digest_reference)


def _docker_build_sdk() -> Any:  # noqa: ANN401 - a module
    try:
        import pulumi_docker_build  # noqa: PLC0415 - an extra: Pulumi fetches the provider of every SDK that is there
    except ImportError:
        remedy = "it needs another package; `pip install azureml-scoring[docker-build]`"
        raise SettingsError(error_line("image.builder", "docker-build", remedy)) from None
    return pulumi_docker_build


def _cache(sdk: Any, cache: pulumi.Output[str]) -> "docker_build.CacheToRegistryArgs":  # noqa: ANN401
    """Keep the layers of all stages; a registry that takes none must not fail the build."""
    made: docker_build.CacheToRegistryArgs = sdk.CacheToRegistryArgs(
        ref=cache, mode=sdk.CacheMode.MAX, image_manifest=True, oci_media_types=True, ignore_error=True
    )
    return made


def _pushing(sdk: Any, args: CustomImageArgs) -> "list[docker_build.RegistryArgs]":  # noqa: ANN401
    if args.push_username is None or args.push_password is None:
        return []
    username, password = sealed(args.push_username), sealed(args.push_password)
    return [sdk.RegistryArgs(address=args.login_server, username=username, password=password)]


def _tagged(args: CustomImageArgs, plan: ImagePlan, tag: str) -> pulumi.Output[str]:
    return pulumi.Output.concat(args.login_server, "/", plan.repository, ":", tag)


def _by_digest(
    args: CustomImageArgs, plan: ImagePlan, image: pulumi.CustomResource, digest_reference: pulumi.Output[str]
) -> pulumi.Output[str]:
    """Pass on a pushed image by digest; a provider that tells no digest has nothing to deploy."""

    def checked(values: list[str]) -> str:
        tagged, urn, reference = values
        repository, _, digest = str(reference).rpartition("@")
        if repository != tagged.rpartition(":")[0] or not _DIGEST.fullmatch(digest):
            remedy = f"the build yielded no digest but {reference}; build again by `pulumi up --replace '{urn}'`"
            raise SettingsError(error_line("image", tagged, remedy))
        return reference

    return pulumi.Output.all(_tagged(args, plan, plan.tag), image.urn, digest_reference).apply(checked)


@dataclass(frozen=True)
class ImportTarget:
    """The registry into which images of a private registry are imported."""

    registry_id: pulumi.Input[str]
    login_server: pulumi.Input[str]


def pullable(
    name: str, reference: str, login: RegistryLogin | None, target: ImportTarget, parent: pulumi.Resource
) -> pulumi.Output[str]:
    """Return an existing image by digest, in a registry that Azure ML can pull from.

    Azure ML takes no credentials of a private registry, so what lies in one is imported.
    https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#container-registry-authorization-error
    """
    if login is None or login.address.lower() != Reference.parse(reference).host.lower():
        return _pinned(name, reference, None, parent)
    pulumi.log.info(
        f"{reference}: Azure ML pulls with no credentials of another registry; the image is imported by its digest "
        "into the workspace's registry, and served from there",
        parent,
    )
    importing = ImageImportArgs(
        registry_id=target.registry_id,
        login_server=target.login_server,
        source=_pinned(name, reference, login, parent),
        username=login.username,
        password=sealed(login.password),
    )
    return ImageImport(f"{name}-import", importing, pulumi.ResourceOptions(parent=parent)).image


def _pinned(name: str, reference: str, login: RegistryLogin | None, parent: pulumi.Resource) -> pulumi.Output[str]:
    """Return an existing image by digest; a tag is resolved once, and the digest stays in the stack's state.

    A private registry is asked for a digest, too: a preview shall know whether it takes the password.
    """
    if Reference.parse(reference).fixed and login is None:
        return pulumi.Output.from_input(reference)
    args = ImagePinArgs(reference=reference)
    if login is not None:
        args = ImagePinArgs(reference=reference, username=login.username, password=sealed(login.password))
    return ImagePin(f"{name}-pin", args, pulumi.ResourceOptions(parent=parent)).image


def log_findings(field: str, plan: ImagePlan, resource: pulumi.Resource) -> None:
    """Log what the checks before the build say."""
    for finding in plan.findings:
        log = pulumi.log.warn if finding.level == "warning" else pulumi.log.info
        log(f"{field}: {finding}", resource)
