"""The name of an image as people write it, taken apart: host/repository, with a tag, a digest, or both.

Owns what a missing tag means and how the name is written again. Refuses to own which image a tag names: that is the
registry's (`resources/image_pin.py`). Pure.
https://docs.docker.com/reference/cli/docker/image/tag/
"""

import re
from dataclasses import dataclass
from typing import Final

from azureml_scoring.settings.rules import TAG_LENGTH

LATEST: Final = "latest"


@dataclass(frozen=True)
class Reference:
    """One image name."""

    host: str
    repository: str
    tag: str = ""
    """Empty where only the digest is written, or neither."""
    digest: str = ""
    """sha256:…; empty where only the tag counts."""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Take a name apart; raise a ValueError that shows it when it has no host or repository."""
        name, _, digest = text.partition("@")
        found = re.fullmatch(r"([^/]+)/([^:]+)(?::(.+))?", name)
        if found is None:
            raise ValueError(f"{text} is no image name; write host/repository:tag")
        return cls(found[1], found[2], found[3] or "", digest)

    @property
    def fixed(self) -> bool:
        """Whether it names one image for ever: a digest and no tag that could move."""
        return bool(self.digest) and not self.tag

    @property
    def tagged(self) -> str:
        """host/repository:tag."""
        return f"{self.host}/{self.repository}:{self.tag or LATEST}"

    def at(self, digest: str) -> str:
        """Name the image of this repository that has a digest."""
        return f"{self.host}/{self.repository}@{digest}"


def short(image: str) -> str:
    """Name an image by the start of its digest."""
    return image.rpartition("sha256:")[2][:TAG_LENGTH]
