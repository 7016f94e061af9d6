"""Registries: repositories, tags and digests, which deployment runs which, who pulled last, and the build runs."""

from collections.abc import Iterable, Mapping
from typing import Any

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.journal import Entry
from emulator.core.store import Document
from emulator.protocols.page import words
from emulator.services.containerregistry import access, content
from emulator.services.containerregistry.jobs import RUNS
from emulator.services.machinelearningservices.onlineendpoints.rules import DEPLOYMENTS
from emulator.services.machinelearningservices.onlineendpoints.types import OnlineDeployment

_RUNS = 50
_ATTEMPTS = 50


def registries(azure: Azure, query: Mapping[str, str]) -> dict[str, Any]:
    """The view model: each registry."""
    del query
    pools = azure.serving(OnlineDeployment).fleet.pools
    running = {
        f"{each.id.parent.name if each.id.parent else ''}/{each.id.name}": pools[each.id.key].spec.image
        for each in azure.store.of_type(DEPLOYMENTS)
        if each.id.key in pools
    }
    entries = [each for each in azure.journal.entries() if each.service == access.SERVICE]
    return {
        "registries": [
            registry_model(each, _images(azure, each), azure.store.of_type(RUNS, each.id), running, entries)
            for each in azure.store.of_type(access.REGISTRIES)
        ]
    }


def registry_model(
    registry: Document,
    images: Mapping[str, Mapping[str, str]],
    runs: Iterable[Document],
    running: Mapping[str, str],
    entries: Iterable[Entry],
) -> dict[str, Any]:
    """One registry: `images` are digests by repository and tag, `running` is the image of each deployment."""
    server = str(registry.properties["loginServer"])
    own = [each for each in entries if each.target.startswith(f"{server} ")]
    return {
        "id": registry.id.path,
        "key": registry.id.key,
        "name": registry.id.name,
        "server": server,
        "adminUser": bool(registry.properties.get("adminUserEnabled")),
        "repositories": [
            {
                "name": name,
                "pulled": _last_pull(own, f"{server} repository:{name}:"),
                "tags": [
                    {"name": tag, "digest": digest, "runs": _runs_it(running, f"{server}/{name}", tag, digest)}
                    for tag, digest in sorted(tags.items())
                ],
            }
            for name, tags in sorted(images.items())
        ],
        "runs": [_run(each) for each in runs][-_RUNS:][::-1],
        "attempts": [words.request_row(each) for each in own][-_ATTEMPTS:][::-1],
    }


def _images(azure: Azure, registry: Document) -> Mapping[str, Mapping[str, str]]:
    try:
        return content.images(azure, registry)
    except AzureError:
        return {}  # its server is just being started or taken away


def _runs_it(running: Mapping[str, str], repository: str, tag: str, digest: str) -> list[str]:
    names = {f"{repository}:{tag}", f"{repository}@{digest}", f"{repository}:{tag}@{digest}"}
    return sorted(deployment for deployment, image in running.items() if image in names)


def _last_pull(entries: Iterable[Entry], target: str) -> dict[str, Any] | None:
    # A push asks for both.
    pulls = [each for each in entries if each.target == f"{target}pull" and not each.error]
    return {"client": pulls[-1].client, "at": pulls[-1].at} if pulls else None


def _run(run: Document) -> dict[str, Any]:
    properties, state = run.properties, words.state_of(run)
    return {
        "id": run.id.path,
        "name": run.id.name,
        "state": state,
        "tone": words.tone_of(state),
        "created": properties.get("createTime"),
        "finished": properties.get("finishTime"),
        "error": properties.get("runErrorMessage") or "",
        "images": [
            f"{each['repository']}:{each['tag']}" if each.get("tag") else f"{each['repository']}@{each['digest']}"
            for each in properties.get("outputImages") or []
        ],
    }
