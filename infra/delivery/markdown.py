"""Markdown out of texts that nobody vouched for. Pure: what comes out cannot break out of its place."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&@])")
_UNSEEN = re.compile("[\x00-\x1f\x7f\u200b-\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]+")


def text(value: str, longest: int = 200) -> str:
    """A text as it stands, on one line: no markup, no HTML, no mentions, no links."""
    plain = _short(value, longest)
    plain = plain.replace("://", ":\u2060//").replace("www.", "www\u2060.")
    return _SPECIAL.sub(lambda found: f"&#{ord(found.group(1))};", plain)


def code(value: str, longest: int = 200) -> str:
    """A text in code style on one line, also inside a table cell."""
    plain = _short(value, longest).replace("|", "\\|")
    fence = "`"
    while fence in plain:
        fence += "`"
    gap = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{gap}{plain}{gap}{fence}" if plain else "` `"


def row(*cells: str) -> str:
    """A table's row of cells that are Markdown already."""
    return f"| {' | '.join(cells)} |"


def _short(value: str, longest: int) -> str:
    plain = _UNSEEN.sub(" ", value).strip()
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
