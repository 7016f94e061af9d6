"""Physical names and ARM ids, as pure functions of project, stack and part.

Owns how a name comes about and that it obeys Azure's rule for its kind (`types.RULES`), so that nothing is
auto-named and a lost resource can be found again by computing its id. Refuses to own names that a user gives. Pure.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from azureml_scoring.settings.rules import RULES, checked

_HASH: Final = 6
"""Characters of the hash at the end of names that must be unique in the world."""

_SUFFIXES: Final = {
    "resourceGroup": "",
    "registry": "acr",
    "ownRegistry": "own",
    "storageAccount": "st",
    "vault": "kv",
    "workspace": "ml",
    "logs": "logs",
    "insights": "insights",
    "identity": "pull",
    "application": "pull",
    "connection": "pull",
    "secret": "pull-password",
    "endpoint": "",
    "environment": "",
    "network": "net",
}
"""What a name ends in, by kind."""

_RULE: Final = {"ownRegistry": "registry", "application": "identity"}
"""Kinds that go by the rule of another."""

_UNIQUE: Final = frozenset({"registry", "ownRegistry", "storageAccount", "vault", "endpoint"})
"""Kinds whose names are part of a public address, or are unique in a region."""

_HELD: Final = frozenset({"workspace"})
"""Kinds whose deleted resources hold their names: a seed gives another one."""


@dataclass(frozen=True)
class Names:
    """The names of one stack's resources. `part` tells several components in one stack apart."""

    project: str
    stack: str
    part: str = ""
    seed: str = ""
    """Any text; another one gives other names where names are unique in the world, or are held after a deletion."""

    def of(self, kind: str) -> str:
        """Compute the name of a resource of this kind; the same today and tomorrow."""
        rule = RULES[_RULE.get(kind, kind)]
        dashes = rule.problem("aa-aa-aa") is None
        glue = "-" if dashes else ""
        words = [self.project, self.stack] + ([self.part] if self.part not in {"", "scoring"} else [])
        base = glue.join(re.sub("[^a-z0-9]+", glue, word.lower()).strip("-") for word in words).strip("-")
        ends = [suffix for suffix in (_SUFFIXES[kind],) if suffix]
        room = rule.length[1] - sum(len(glue) + len(end) for end in ends)
        unique = kind in _UNIQUE or (kind in _HELD and self.seed)
        if unique or len(base) > room or not base[:1].isalpha():
            ends.append(self.hash)
            room -= len(glue) + _HASH
        head = base[:room].rstrip("-")
        if not head[:1].isalpha():
            head = f"s{head}"[:room]
        return checked(_RULE.get(kind, kind), glue.join([head, *ends]))

    @property
    def hash(self) -> str:
        """A few characters that differ between any two stacks."""
        text = f"{self.project}\n{self.stack}\n{self.part}\n{self.seed}"
        return hashlib.sha256(text.encode()).hexdigest()[:_HASH]


@dataclass(frozen=True)
class ArmId:
    """An ARM id of a resource, taken apart."""

    subscription: str
    resource_group: str
    type: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "ArmId":
        """Take an id apart; raise a ValueError that shows it when it is none."""
        found = re.fullmatch(
            r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/([^/]+/[^/]+)/([^/]+)", text, re.IGNORECASE
        )
        if not found:
            raise ValueError(f'"{text}" is no ARM id of a resource in a resource group')
        return cls(*found.groups())

    def __str__(self) -> str:
        """The id as ARM writes it."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/{self.type}/{self.name}"


def unique_name(name: str, moment: str | None) -> str:
    """Compute a name that no earlier life of a stack has had, from the moment at which this one began."""
    return f"{name}-{hashlib.sha256(moment.encode()).hexdigest()[:_HASH]}" if moment else name


def environment_name(repository: str) -> str:
    """Compute the name of the Azure ML environment that serves images of a repository."""
    return checked("environment", re.sub("[^a-zA-Z0-9._-]+", "-", repository)[:255])
