"""Markdown out of texts that nobody vouched for. Pure: what comes out cannot break out of its place."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&@])")
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]+"
)
"""What has no shape of its own: controls, marks that turn the direction of writing, halves of characters."""
_JOINER = "\u2060"
"""Seen by nobody; keeps a service from making a link or a mention of what it reads after the markup is done."""


def text(value: str, longest: int = 200) -> str:
    """A text as it stands, on one line: no markup, no HTML, no mentions, no links."""
    plain = _short(value, longest)
    plain = plain.replace("://", f":{_JOINER}//").replace("www.", f"www{_JOINER}.")
    plain = plain.replace("@", f"@{_JOINER}").replace("#", f"#{_JOINER}")
    return _SPECIAL.sub(lambda found: f"&#{ord(found.group(1))};", plain)


def code(value: str, longest: int = 200) -> str:
    """A text in code style on one line, also inside a table cell."""
    if "|" in value:
        # In a table a bar ends the cell even in code, and before a bar a backslash has several meanings.
        return text(value, longest)
    plain = _short(value, longest)
    fence = "`"
    while fence in plain:
        fence += "`"
    gap = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{gap}{plain}{gap}{fence}" if plain else "` `"


def label(value: str) -> str:
    """A text inside a quoted label of Mermaid."""
    return (
        "".join(letter if letter.isalnum() or letter in "-_ ." else " " for letter in _short(value, 60)).strip() or "-"
    )


def row(*cells: str) -> str:
    """A table's row of cells that are Markdown already."""
    return f"| {' | '.join(cells)} |"


def _short(value: str, longest: int) -> str:
    plain = _UNSEEN.sub(" ", value).strip()
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
