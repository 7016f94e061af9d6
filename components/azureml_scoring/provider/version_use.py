"""Whether deployments still use a version of an environment, a model, code or data: then it is not archived.

An archived version still serves, but is hidden from lists, so that nobody finds what runs.
https://learn.microsoft.com/azure/machine-learning/how-to-manage-environments-v2#archive

Owns the search through all online endpoints of the workspace, other stacks' too. Refuses to own batch endpoints and
jobs.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from azureml_scoring.provider.arm import ML_API, Arm, state_of
from azureml_scoring.provider.framework import Context

_PATIENCE: Final = 10.0
"""Seconds for which a version that is in use is looked at again."""


def keeps_version(context: Context, version_id: str) -> bool:
    """Whether a version stays as it is, because a deployment runs it; says so then.

    `destroy` deletes endpoints, whose deployments go with them, at the same time as versions: a version that such a
    deployment runs gets a moment until its endpoint is being deleted.
    """
    timer = context.arm.timer(version_id)
    while user := next(_users(context.arm, version_id), ""):
        if timer.elapsed >= _PATIENCE:
            context.log(f"it is not archived: deployment {user} runs it")
            return True
        timer.wait()
    return False


def _users(arm: Arm, version_id: str) -> Iterator[str]:
    """Name the deployments that run a version, as ENDPOINT/DEPLOYMENT."""
    workspace = re.split("(?i)/(?:environments|models|codes|data)/", version_id)[0]
    for endpoint in arm.list_all(f"{workspace}/onlineEndpoints", ML_API):
        if state_of(endpoint) == "deleting":
            continue
        path = f"{workspace}/onlineEndpoints/{endpoint['name']}/deployments"
        for deployment in arm.list_all(path, ML_API):
            if version_id.lower() in _versions(deployment.get("properties") or {}):
                yield f"{endpoint['name']}/{deployment['name']}"


def _versions(properties: Mapping[str, Any]) -> set[str]:
    """Return the ids of what a deployment runs and collects to, in lower case: ids have no case."""
    code = (properties.get("codeConfiguration") or {}).get("codeId")
    collections = ((properties.get("dataCollector") or {}).get("collections") or {}).values()
    data = (each.get("dataId") for each in collections)
    ids = (properties.get("environmentId"), properties.get("model"), code, *data)
    return {str(each).lower().removeprefix("azureml:") for each in ids if each}
