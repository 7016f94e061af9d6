"""ImageImport: an image that was built elsewhere, copied into a registry by its digest.

Owns: the import, and the check that this very digest arrived. Refuses to own: the source and the image's end: it stays
with the registry, whose retention decides.

ARM: Microsoft.ContainerRegistry/registries/importImage. A source that is an Azure registry is named by its ARM id, in
whichever subscription we can see it; then our own right to read it counts. Any other is read without credentials.
https://learn.microsoft.com/azure/container-registry/container-registry-import-images
"""

from typing import Any, ClassVar

from pydantic import Field

from azureml_scoring.provider.arm import Arm, ArmError
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.lookup import REGISTRIES_API, find_registry
from azureml_scoring.provider.registry_client import find_digest
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

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell the image before it is there: a digest is the same everywhere."""
        del olds
        server, source = news["loginServer"], news["source"]
        if not (isinstance(server, str) and isinstance(source, str)):
            return {**news, "image": UNKNOWN, "digest": UNKNOWN}
        path = source.partition("/")[2]
        return {**news, "image": f"{server}/{path}", "digest": path.partition("@")[2]}

    def _create(self, context: Context, inputs: ImageImportArgs) -> tuple[str, Outputs]:
        return f"{inputs.login_server}/{inputs.repository}", bring(context, inputs)

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: ImageImportArgs) -> Outputs:
        del resource_id, olds
        return bring(context, inputs)

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        server, digest = str(olds.get("loginServer") or ""), str(olds.get("digest") or "")
        if not digest:
            msg = f"ImageImport {resource_id} cannot be imported: its source is unknown; run up, it adopts the image"
            raise ResourceError(msg)
        if context.arm.get(str(olds.get("registryId")), REGISTRIES_API) is None:
            return None
        repository = resource_id.removeprefix(f"{server}/")
        return ReadResult(resource_id, olds, inputs) if find_digest(context.arm, server, repository, digest) else None

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        del resource_id, olds
        context.log("the image stays in the registry")


def bring(context: Context, inputs: ImageImportArgs) -> ImageImportOutputs:
    """Import the image unless the registry has it, and see that it arrived."""
    arm = context.arm
    made = ImageImportOutputs(image=f"{inputs.login_server}/{inputs.repository}@{inputs.digest}", digest=inputs.digest)
    if find_digest(arm, inputs.login_server, inputs.repository, inputs.digest):
        context.log(f"{made.image} is in the registry already; nothing to import")
        return made
    context.log(f"importing {inputs.repository}@{inputs.digest} from {inputs.server}")
    try:
        arm.post(f"{inputs.registry_id}/importImage", REGISTRIES_API, request(arm, inputs))
    except ArmError as error:
        remedy = f"does {inputs.server} have it, and may the deployer read it there (AcrPull, or Reader)?"
        msg = f"importing {inputs.source}: {error.code}: {error.message}; {remedy}"
        raise ResourceError(msg) from None
    if not find_digest(arm, inputs.login_server, inputs.repository, inputs.digest):
        msg = f"{inputs.source} was imported, but {inputs.login_server} has not got this digest; run up again"
        raise ResourceError(msg)
    return made


def request(arm: Arm, inputs: ImageImportArgs) -> dict[str, Any]:
    """Build the body of importImage. The tag keeps the image from a retention that removes what has none."""
    registry_id = find_registry(arm, inputs.server)
    place = {"resourceId": registry_id} if registry_id else {"registryUri": inputs.server}
    tag = inputs.digest.removeprefix("sha256:")[:TAG_LENGTH]
    return {
        "source": {**place, "sourceImage": f"{inputs.repository}@{inputs.digest}"},
        "targetTags": [f"{inputs.repository}:{tag}"],
        "mode": "Force",
    }
