"""importImage: an image is copied from one registry to another, without an engine.

Owns the copy over the registries' own HTTP APIs: manifests (single and indexes), configurations and layers, byte for
byte, so that digests stay. Takes from registries of this local Azure and from any that takes a user name and password
or asks for none.
https://learn.microsoft.com/rest/api/containerregistry/registries/import-image
"""

from dataclasses import dataclass
from typing import Any

from emulator.backends.image_names import split_reference
from emulator.backends.registry_client import Side, copy, opened
from emulator.core.azure import Azure, Request
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.services.containerregistry import access as registry_access
from emulator.services.containerregistry.access import TOKEN_USER, Caller


@dataclass(frozen=True)
class Plan:
    """What is copied where."""

    source: Side
    targets: tuple[Side, ...]
    force: bool = False


def plan(azure: Azure, registry: Document, request: Request) -> Plan:
    """Read an importImage request, and refuse what needs no registry to refuse."""
    given = request.body.get("source") or {}
    repository, reference = split_reference(str(given.get("sourceImage") or ""))
    if not repository:
        raise _bad("source.sourceImage is missing: REPOSITORY:TAG or REPOSITORY@DIGEST")
    source = _source(azure, given, request, repository, reference)
    caller = Caller("acr-import", rights=frozenset({"pull", "push"}), trusted=True)
    own = (TOKEN_USER, registry_access.refresh_token(azure, registry, caller))
    server = registry.properties["loginServer"]
    names = [split_reference(str(name)) for name in request.body.get("targetTags") or []]
    targets = [Side(server, name, tag, own) for name, tag in names]
    targets += [Side(server, str(name), "", own) for name in request.body.get("untaggedTargetRepositories") or []]
    if not targets:
        targets = [Side(server, repository, reference if not reference.startswith("sha256:") else "", own)]
    mode = request.body.get("mode", "NoForce")
    if mode not in {"Force", "NoForce"}:
        raise _bad(f"mode '{mode}' is none of Force, NoForce")
    return Plan(source, tuple(targets), mode == "Force")


def run(azure: Azure, plan: Plan) -> None:  # noqa: ARG001 - the shape of all work
    """Copy."""
    with opened(plan.source, "pull") as source:
        first = source.manifest(plan.source.reference)
        for side in plan.targets:
            with opened(side, "pull,push") as target:
                if side.reference and not plan.force and target.has(side.reference):
                    name = f"{side.repository}:{side.reference}"
                    raise AzureError(
                        409,
                        "Conflict",
                        f"Tag {name} already exists in target registry. Use mode Force to overwrite it.",
                    )
                copy(source, target, first, side.reference)


def _source(azure: Azure, given: dict[str, Any], request: Request, repository: str, reference: str) -> Side:
    if given.get("resourceId"):
        other = azure.find(str(given["resourceId"]))
        if other.id.type.lower() != registry_access.REGISTRIES.lower():
            raise _bad(f"source.resourceId '{other.id.path}' is no registry")
        if not registry_access.may(azure, other, request.principal):
            # As Azure: who imports must be able to read the source.
            azure.access.demand(request.principal, f"{registry_access.REGISTRIES}/pull/read", other.id)
        return Side(
            other.properties["loginServer"],
            repository,
            reference,
            registry_access.login(azure, other, request.principal),
        )
    server = str(given.get("registryUri") or "").removeprefix("https://").rstrip("/")
    if not server:
        raise _bad("source has neither registryUri nor resourceId")
    known = given.get("credentials") or {}
    if not known.get("password"):
        return Side(server, repository, reference)
    return Side(server, repository, reference, (str(known.get("username") or TOKEN_USER), str(known["password"])))


def _bad(text: str) -> AzureError:
    return AzureError(400, "InvalidImportRequest", f"The import request is invalid: {text}.")
