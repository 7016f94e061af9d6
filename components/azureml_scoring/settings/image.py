"""Settings of what runs: an image that is built or named, an environment that Azure ML builds, models and code."""

from typing import Annotated, Final, Literal

import pulumi

from azureml_scoring.settings import rules
from azureml_scoring.settings.requirements import RequirementId, RequirementLevel
from azureml_scoring.settings.section import Arm, LocalPath, Secret, Section, sealed

BUILD: Final = "ImageBuild"
PLATFORM: Final = "linux/amd64"


def _sealed(secrets: dict[str, Secret]) -> dict[str, pulumi.Output[str]]:
    return {name: sealed(value) for name, value in secrets.items()}


class ImageSettings(Section):
    """Which image serves: built from a folder, brought from another registry, or an existing one by name."""

    reference: rules.ImageReference | None = None
    """An existing image: host/repository:tag, host/repository@sha256:… or both; of the other fields only
    `requirements` goes with it. A tag is resolved once and pinned; one that has moved since is reported, and taken
    when its digest is written behind it."""
    promote: rules.PinnedImage | None = None
    """An image that was built elsewhere, host/repository@sha256:…: it is imported into the registry by its digest
    instead of being built; the fields of a build may stay beside it. `rollout` writes this field."""
    context: LocalPath | None = None
    """Folder to build from."""
    dockerfile: Annotated[rules.Text, Arm(BUILD, argument="dockerfile")] = "Dockerfile"
    """The Dockerfile, seen from the context."""
    repository: rules.Repository | None = None
    """Repository that the image is pushed to; the folder's name by default."""
    builder: Literal["acr", "docker", "docker-build"] = "acr"
    """`acr`: ACR Tasks; `docker`: the Docker engine of the machine that deploys, by pulumi-docker; `docker-build`:
    BuildKit of the machine that deploys, by pulumi-docker-build."""
    build_arguments: Annotated[dict[rules.VariableName, rules.Line], Arm(BUILD, argument="buildArguments")] = {}
    """Build arguments. They stay readable in the image: no secrets."""
    build_secrets: Annotated[
        dict[rules.VariableName, Secret] | None,
        Arm(BUILD, argument="buildSecrets", encode=_sealed, encoded=dict[rules.VariableName, str]),
    ] = None
    """What a step of the Dockerfile may read by `RUN --mount=type=secret,id=NAME`, by name; never part of the image.
    `pulumi config set --secret --path scoring:image.buildSecrets.NAME`. Another value alone builds nothing. Not with
    builder `docker`."""
    base_digest: rules.Digest | None = None
    """Digest of the base image, when a new base shall lead to a new image."""
    platform: Annotated[rules.Platform, Arm(BUILD, argument="platform")] = PLATFORM
    """Operating system and processor."""
    platforms: list[rules.Platform] = []
    """Several of them in one image, builder `docker-build` only; linux/amd64, which Azure ML runs, among them."""
    target: Annotated[rules.Stage | None, Arm(BUILD, argument="target")] = None
    """Stage of the Dockerfile to build; the last one by default."""
    requirements: Annotated[dict[RequirementId, RequirementLevel], Arm(BUILD, argument="requirements")] = {}
    """Levels of single image checks by id, `{AML-IMG-011: error}`: off, info, warning or error."""

    @property
    def acr_builds(self) -> bool:
        """Whether ACR Tasks builds it."""
        return self.builder == "acr" and not (self.reference or self.promote)


class EnvironmentSettings(Section):
    """What Azure ML builds by itself, in the workspace's registry, instead of an image; or what is registered."""

    reference: rules.EnvironmentReference | None = None
    """A registered environment: azureml:NAME:VERSION, azureml:NAME@latest, its ARM id, or
    azureml://registries/REGISTRY/environments/NAME/versions/VERSION; no other field goes with it. `@latest` is resolved
    once and pinned."""
    base: rules.BaseImage | None = None
    """Base image: host/repository:tag or host/repository@sha256:…"""
    conda_file: LocalPath | None = None
    """File of a conda environment."""
    requirements_file: LocalPath | None = None
    """A pip requirements file instead; one of the two."""
    python: rules.PythonVersion | None = None
    """Python version that goes with `requirementsFile`, in quotes; the newest by default."""
    name: rules.EnvironmentName | None = None
    """Name of the Azure ML environment; the file's own by default."""


class ModelSettings(Section):
    """Which model is mounted: files of this machine, or a registered version."""

    path: LocalPath | None = None
    """Folder or file to upload; `.amlignore` (else `.gitignore`) in it is honoured, `__pycache__` stays out."""
    reference: rules.ModelReference | None = None
    """A registered version instead: azureml:NAME:VERSION, azureml:NAME@latest, its ARM id, or
    azureml://registries/REGISTRY/models/NAME/versions/VERSION. `@latest` is resolved once and pinned."""
    name: rules.AssetName | None = None
    """Name under which it is registered; the folder's or file's own by default."""
    version: rules.ModelVersionNumber | None = None
    """Version under which it is registered, in quotes; by default it follows from the content, so that other files are
    another version."""
    type: Literal["custom", "mlflow", "triton"] = "custom"
    """Format of the model. Azure serves `mlflow` and `triton` by itself, without image, environment and code."""
    mount_path: rules.MountPath | None = None
    """Folder in the container below which NAME/VERSION lies; /var/azureml-app/azureml-models by default."""


class CodeSettings(Section):
    """The folder with the entry script, mounted beside the model: of this machine, or a registered version."""

    path: LocalPath | None = None
    """The folder to upload; its own name stays below /var/azureml-app."""
    reference: rules.CodeId | None = None
    """ARM id of a registered version instead: what `codeId` of a deployment on Azure says."""
    entry_script: rules.EntryScript
    """The file with init() and run(), seen from the folder; a server of one's own may have another than Python."""
    name: rules.AssetName | None = None
    """Name under which it is registered; the folder's own by default."""
