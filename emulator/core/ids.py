"""ARM ids: parsing and parents. Pure.

https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
"""

import re
from dataclasses import dataclass

from emulator.core.errors import AzureError

_SUBSCRIPTION_PARTS = 2
_GROUP_PARTS = 4
_PROVIDERS = "/providers/"


def split(path: str) -> tuple[str, str]:
    """What stands before and after the last `/providers/`, in any case; nothing after where there is none."""
    at = path.lower().rfind(_PROVIDERS)
    return (path, "") if at < 0 else (path[:at], path[at + len(_PROVIDERS) :])


@dataclass(frozen=True)
class ResourceId:
    """One ARM id, in its original spelling."""

    path: str
    type: str

    @classmethod
    def parse(cls, path: str) -> "ResourceId":
        """Read an id of a subscription, a resource group, a resource or an extension of one (400 otherwise)."""
        path = "/" + re.sub("//+", "/", path.strip("/"))
        _, tail = split(path)
        if tail:
            namespace, *rest = tail.split("/")
            if rest and len(rest) % 2 == 0 and all(rest):
                return cls(path, "/".join([namespace, *rest[::2]]))
        parts = path.strip("/").split("/")
        if not tail and parts[0].lower() == "subscriptions" and all(parts):
            if len(parts) == _SUBSCRIPTION_PARTS:
                return cls(path, "Microsoft.Resources/subscriptions")
            if len(parts) == _GROUP_PARTS and parts[2].lower() == "resourcegroups":
                return cls(path, "Microsoft.Resources/resourceGroups")
        raise AzureError(400, "InvalidResourceId", f"'{path}' is not the id of a resource")

    @property
    def key(self) -> str:
        """What ids are compared by: they are case-insensitive."""
        return self.path.lower()

    @property
    def name(self) -> str:
        """The last segment."""
        return self.path.rsplit("/", 1)[1]

    @property
    def subscription(self) -> str:
        """The subscription's id."""
        return self.path.split("/")[2]

    @property
    def group(self) -> str:
        """The resource group's name, or an empty text."""
        parts = self.path.split("/")
        return parts[4] if len(parts) > _GROUP_PARTS and parts[3].lower() == "resourcegroups" else ""

    @property
    def parent(self) -> "ResourceId | None":
        """The resource this one lives in, or None for a subscription."""
        head, tail = split(self.path)
        if tail:
            segments = tail.split("/")
            if len(segments) > len(("namespace", "type", "name")):
                return ResourceId.parse(f"{head}/providers/{'/'.join(segments[:-2])}")
            return ResourceId.parse(head)
        if self.type == "Microsoft.Resources/resourceGroups":
            return ResourceId.parse(self.path.rsplit("/", 2)[0])
        return None

    def spelled(self, type_: str) -> "ResourceId":
        """The same id as Azure writes it: `resourceGroups`, and the type in its own letters."""
        head, tail = split(self.path)
        head = re.sub("(?i)^/subscriptions/([^/]+)", r"/subscriptions/\1", head)
        head = re.sub("(?i)^(/subscriptions/[^/]+)/resourcegroups/", r"\1/resourceGroups/", head)
        if not tail:
            return ResourceId.parse(head)
        namespace, *kinds = type_.split("/")
        names = tail.split("/")[2::2]
        pairs = "/".join(f"{kind}/{name}" for kind, name in zip(kinds, names, strict=True))
        return ResourceId.parse(f"{head}/providers/{namespace}/{pairs}")

    def child(self, kind: str, name: str) -> "ResourceId":
        """The id of a child of this resource."""
        return ResourceId.parse(f"{self.path}/{kind}/{name}")
