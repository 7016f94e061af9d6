"""What an image is made from, short enough to stand in a stack's state: by it a preview tells what a new image changes.

Owns what is kept and how short: files by a piece of their hash, folders as one where there are too many, the images
that stages stand on, the packages that are asked for. Refuses to own whether anything differs: the content key alone
decides that, and these never lead to a build. Pure.
"""

import hashlib
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

MOST_FILES: Final = 150
"""Files and folders that are kept of a context."""
MOST_PACKAGES: Final = 300
"""Packages that are kept; of more, none: half a list would tell of changes that are none."""
DIGITS: Final = 8
"""Hexadecimal digits of a hash that are kept."""

Files = Sequence[tuple[str, str]]
"""Paths with slashes, and a piece of the hash of what stands there."""


@dataclass(frozen=True)
class Provenance:
    """What goes into one image."""

    files: Mapping[str, str] = field(default_factory=dict)
    """A piece of the hash by path; a path that ends with a slash is a whole folder."""
    bases: Sequence[str] = ()
    """The images that the Dockerfile's stages stand on."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions by name, `any` where none is pinned."""


def shortened(files: Files, most: int = MOST_FILES) -> dict[str, str]:
    """Keep each file, or its folder where there are too many; folders with few entries are opened first."""
    if len(files) <= most:
        return dict(files)
    opened = _opened(files, most)
    found: dict[str, str] = {}
    together: dict[str, hashlib._Hash] = {}
    for name, digest in files:
        place = _closed(name, opened)
        if place == name:
            found[name] = digest
            continue
        folder, line = f"{place}/" if place else "./", f"{name}\0{digest}".encode(errors="surrogateescape")
        if folder in together:
            together[folder].update(b"\n" + line)
        else:
            together[folder] = hashlib.sha256(line)
    return found | {place: each.hexdigest()[:DIGITS] for place, each in together.items()}


def _opened(files: Files, most: int) -> set[str]:
    """Choose the folders whose entries are shown."""
    inside: dict[str, set[str]] = {"": set()}
    for name, _ in files:
        child = name
        while child:
            folder = child.rpartition("/")[0]
            known = folder in inside
            inside.setdefault(folder, set()).add(child)
            child = "" if known else folder
    opened: set[str] = set()
    shown, waiting = 1, [(len(inside[""]), "")]
    while waiting:
        entries, folder = heapq.heappop(waiting)
        if shown - 1 + entries > most:
            break  # the others have no fewer
        shown += entries - 1
        opened.add(folder)
        for child in inside[folder]:
            if child in inside:
                heapq.heappush(waiting, (len(inside[child]), child))
    return opened


def _closed(name: str, opened: set[str]) -> str:
    """The outermost folder around a file that is not opened, or the file."""
    if "" not in opened:
        return ""
    end = name.find("/")
    while end >= 0:
        if name[:end] not in opened:
            return name[:end]
        end = name.find("/", end + 1)
    return name
