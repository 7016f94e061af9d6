"""The log of a build run or of a deployment, as far as it has been written."""

from collections.abc import Mapping
from typing import Any

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.protocols.page import words

_LINES = 400


def log(azure: Azure, query: Mapping[str, str]) -> dict[str, Any]:
    """The last lines (404 where a resource has no log)."""
    document = azure.find(query.get("id", ""))
    text = azure.service(document.id.type).log(document)
    if text is None:
        raise AzureError(404, "NotFound", f"'{document.id.name}' writes no log.")
    state = words.state_of(document)
    return {
        "name": document.id.name,
        "state": state,
        "tone": words.tone_of(state),
        "lines": text.splitlines()[-_LINES:],
    }
