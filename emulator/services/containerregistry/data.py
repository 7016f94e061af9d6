"""importImage: an image is copied from one registry to another, without an engine.

Owns the copy over the registries' own HTTP APIs: manifests (single and indexes), configurations and layers, byte for
byte, so that digests stay. Takes from registries of this local Azure and from any that takes a user name and password
or asks for none.
https://learn.microsoft.com/rest/api/containerregistry/registries/import-image
"""

from dataclasses import dataclass
from typing import Any

from emulator.backends.image_names import split_reference
from emulator.backends.registry_client import ImageLocation, copy, opened
from emulator.core.azure import Azure, Request
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.services.containerregistry import access as registry_access
from emulator.services.containerregistry.access import TOKEN_USER, Caller


@dataclass(frozen=True)
class Import:
    """What is copied where."""

    source: ImageLocation
    targets: tuple[ImageLocation, ...]
    force: bool = False


def read_import(azure: Azure, registry: Document, request: Request) -> Import:
    """Read an importImage request, and refuse what needs no registry to refuse."""
    source_body = request.body.get("source") or {}
    repository, reference = split_reference(str(source_body.get("sourceImage") or ""))
    if not repository:
        raise _bad("source.sourceImage is missing: REPOSITORY:TAG or REPOSITORY@DIGEST")
    source = _source(azure, source_body, request, repository, reference)
    caller = Caller("acr-import", rights=frozenset({"pull", "push"}), trusted=True)
    own = (TOKEN_USER, registry_access.refresh_token(azure, registry, caller))
    server = registry.properties["loginServer"]
    names = [split_reference(str(name)) for name in request.body.get("targetTags") or []]
    targets = [ImageLocation(server, name, tag, own) for name, tag in names]
    targets += [
        ImageLocation(server, str(name), "", own) for name in request.body.get("untaggedTargetRepositories") or []
    ]
    if not targets:
        targets = [ImageLocation(server, repository, reference if not reference.startswith("sha256:") else "", own)]
    mode = request.body.get("mode", "NoForce")
    if mode not in {"Force", "NoForce"}:
        raise _bad(f"mode '{mode}' is none of Force, NoForce")
    return Import(source, tuple(targets), mode == "Force")


def copy_images(import_: Import) -> None:
    """Copy."""
    with opened(import_.source, "pull") as source:
        first = source.manifest(import_.source.reference)
        for location in import_.targets:
            with opened(location, "pull,push") as target:
                if location.reference and not import_.force and target.has(location.reference):
                    name = f"{location.repository}:{location.reference}"
                    raise AzureError(
                        409,
                        "Conflict",
                        f"Tag {name} already exists in target registry. Use mode Force to overwrite it.",
                    )
                copy(source, target, first, location.reference)


def _source(azure: Azure, body: dict[str, Any], request: Request, repository: str, reference: str) -> ImageLocation:
    if body.get("resourceId"):
        other = azure.find(str(body["resourceId"]))
        if other.id.type.lower() != registry_access.REGISTRIES.lower():
            raise _bad(f"source.resourceId '{other.id.path}' is no registry")
        if not registry_access.may(azure, other, request.principal):
            # As Azure: who imports must be able to read the source.
            azure.access.demand(request.principal, f"{registry_access.REGISTRIES}/pull/read", other.id)
        return ImageLocation(
            other.properties["loginServer"],
            repository,
            reference,
            registry_access.login(azure, other, request.principal),
        )
    server = str(body.get("registryUri") or "").removeprefix("https://").rstrip("/")
    if not server:
        raise _bad("source has neither registryUri nor resourceId")
    credentials = body.get("credentials") or {}
    if not credentials.get("password"):
        return ImageLocation(server, repository, reference)
    return ImageLocation(
        server, repository, reference, (str(credentials.get("username") or TOKEN_USER), str(credentials["password"]))
    )


def _bad(text: str) -> AzureError:
    return AzureError(400, "InvalidImportRequest", f"The import request is invalid: {text}.")
