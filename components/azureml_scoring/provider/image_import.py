"""ImageImport: an image that was built elsewhere, copied into a registry by its digest.

Owns: the import, and the check that this very digest arrived. Refuses to own: the source, and deleting the image: the
registry's retention decides.

ARM: Microsoft.ContainerRegistry/registries/importImage. A source that is an Azure registry in a visible subscription
is named by its ARM id, and read with the deployer's own role. Any other is read with a user name and password, or
anonymously.
https://learn.microsoft.com/azure/container-registry/container-registry-import-images
"""

from typing import Any, ClassVar

from pydantic import Field

from azureml_scoring.plan.reference import Reference
from azureml_scoring.provider.arm import Arm, ArmError, log_states
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.lookup import REGISTRIES_API, find_registry
from azureml_scoring.provider.registry_client import resolve_digest
from azureml_scoring.provider.values import UNKNOWN, Properties
from azureml_scoring.settings.arguments import ImageImportArgs
from azureml_scoring.settings.rules import TAG_LENGTH


class ImageImportOutputs(Outputs):
    """The image where it lies now."""

    image: str = Field(description="The image by digest: host/repository@sha256:….")
    digest: str = Field(description="The manifest's digest.")


class ImageImport(Resource[ImageImportArgs]):
    """An image built elsewhere, copied into a registry by its digest: what was tested is what runs."""

    name = "ImageImport"
    inputs = ImageImportArgs
    outputs = ImageImportOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"registryId", "loginServer"})
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset({"username", "password"})
    secret: ClassVar[frozenset[str]] = frozenset({"password"})

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell the image before it is imported: a digest is the same everywhere."""
        del olds
        server, source = news["loginServer"], news["source"]
        if not (isinstance(server, str) and isinstance(source, str)):
            return {**news, "image": UNKNOWN, "digest": UNKNOWN}
        path = source.partition("/")[2]
        return {**news, "image": f"{server}/{path}", "digest": path.partition("@")[2]}

    def _create(self, context: Context, inputs: ImageImportArgs) -> tuple[str, Outputs]:
        return f"{inputs.login_server}/{inputs.repository}", import_image(context, inputs)

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: ImageImportArgs) -> Outputs:
        del resource_id, olds
        return import_image(context, inputs)

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        server, digest = str(olds.get("loginServer") or ""), str(olds.get("digest") or "")
        if not digest:
            msg = f"ImageImport {resource_id} cannot be imported: its source is unknown; run up, it adopts the image"
            raise ResourceError(msg)
        if context.arm.get(str(olds.get("registryId")), REGISTRIES_API) is None:
            return None
        image = Reference(server, resource_id.removeprefix(f"{server}/"), digest=digest)
        try:
            exists = resolve_digest(context.arm, image, "deployer") is not None
        except ResourceError as error:
            context.warn(f"{resource_id} could not be looked up and stays: {error}")
            exists = True
        return ReadResult(resource_id, olds, inputs) if exists else None

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        del resource_id, olds
        context.log("the image stays in the registry")


def import_image(context: Context, inputs: ImageImportArgs) -> ImageImportOutputs:
    """Import the image unless the registry has it, and check that it arrived."""
    arm, target = context.arm, Reference(inputs.login_server, inputs.repository, digest=inputs.digest)
    imported = ImageImportOutputs(image=target.at(inputs.digest), digest=inputs.digest)
    if resolve_digest(arm, target, "deployer"):
        context.log(f"{imported.image} is in the registry already; nothing to import")
        return imported
    context.log(f"importing {inputs.repository}@{inputs.digest} from {inputs.server}")
    try:
        progress = log_states(context.progress, f"import of {inputs.repository}")
        arm.post(f"{inputs.registry_id}/importImage", REGISTRIES_API, request_body(arm, inputs), progress)
    except ArmError as error:
        reader, roles = (inputs.username, "") if inputs.username else ("the deployer", " (AcrPull, or Reader)")
        remedy = f"does {inputs.server} have it, and may {reader} read it there{roles}?"
        msg = f"importing {inputs.source}: {error.code}: {error.message}; {remedy}"
        raise ResourceError(msg) from None
    if not resolve_digest(arm, target, "deployer"):
        msg = f"{inputs.source} was imported, but {inputs.login_server} does not have this digest; run up again"
        raise ResourceError(msg)
    return imported


def request_body(arm: Arm, inputs: ImageImportArgs) -> dict[str, Any]:
    """Build the body of importImage. The tag protects the image from a retention that removes untagged ones."""
    tag = inputs.digest.removeprefix("sha256:")[:TAG_LENGTH]
    return {
        "source": {**_source(arm, inputs), "sourceImage": f"{inputs.repository}@{inputs.digest}"},
        "targetTags": [f"{inputs.repository}:{tag}"],
        "mode": "Force",
    }


def _source(arm: Arm, inputs: ImageImportArgs) -> dict[str, Any]:
    """Name the source registry, and who reads it: ARM takes credentials only with an address."""
    if inputs.username:
        credentials = {"username": inputs.username, "password": inputs.password or ""}
        return {"registryUri": inputs.server, "credentials": credentials}
    registry_id = find_registry(arm, inputs.server)
    return {"resourceId": registry_id} if registry_id else {"registryUri": inputs.server}
