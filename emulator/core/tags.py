"""What Azure accepts as tags. Pure.

https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
https://learn.microsoft.com/rest/api/resources/tags/create-or-update (reserved prefixes)
"""

import re

from emulator.core.errors import AzureError

_MOST = 50
_LONGEST_NAME, _LONGEST_VALUE = 512, 256
_RESERVED_CHARACTERS = re.compile(r"[<>%&\\?/\x00-\x1f\x7f]")
_RESERVED_PREFIXES = ("microsoft", "azure", "windows")
#: Azure's own services write such tags: they may hold ids.
_HIDDEN = ("hidden-", "link")


def check(tags: object) -> None:
    """Refuse wrong tags (None are none)."""
    if tags is None:
        return
    if not isinstance(tags, dict) or not all(isinstance(value, str | None) for value in tags.values()):
        raise AzureError(400, "InvalidTag", "The tags are wrong: an object whose values are all texts is needed.")
    if len(tags) > _MOST:
        raise AzureError(400, "InvalidTag", f"There are {len(tags)} tags: at most {_MOST} are allowed.")
    for name, value in tags.items():
        _check_name(name)
        if len(value or "") > _LONGEST_VALUE:
            raise AzureError(
                400,
                "InvalidTagValue",
                f"Tag value too large. Following tag value exceeds {_LONGEST_VALUE} characters: '{name}'.",
            )


def _check_name(name: str) -> None:
    if not name or len(name) > _LONGEST_NAME:
        raise AzureError(400, "InvalidTagName", f"Tag name '{name[:40]}' has not 1 to {_LONGEST_NAME} characters.")
    if name.lower().startswith(_HIDDEN):
        return
    if _RESERVED_CHARACTERS.search(name):
        raise AzureError(
            400,
            "InvalidTagNameCharacters",
            f"The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control characters.",
        )
    if name.lower().startswith(_RESERVED_PREFIXES):
        raise AzureError(
            400,
            "ReservedTagName",
            f"The tag name '{name}' begins with a prefix that is reserved: {', '.join(_RESERVED_PREFIXES)}.",
        )
