"""Markdown from untrusted texts: escaped, so that they can add no markup, links or mentions. Pure."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&@])")
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]+"
)
"""Invisible characters: controls, marks of writing direction, surrogates."""
JOINER = "\u2060"
"""Invisible; keeps a service from turning a text into a link or mention after it has parsed the markup."""


def text(value: str, longest: int = 200) -> str:
    """Escape a text, on one line: no markup, no HTML, no mentions, no links."""
    plain = short(value, longest)
    plain = plain.replace("://", f":{JOINER}//").replace("www.", f"www{JOINER}.")
    plain = plain.replace("@", f"@{JOINER}").replace("#", f"#{JOINER}")
    return _SPECIAL.sub(lambda match: f"&#{ord(match.group(1))};", plain)


def code(value: str, longest: int = 200) -> str:
    """Format a text as code on one line, also inside a table cell."""
    if "|" in value:
        # In a table a bar ends the cell even in code, and before a bar a backslash has several meanings.
        return text(value, longest)
    plain = short(value, longest)
    fence = "`"
    while fence in plain:
        fence += "`"
    gap = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{gap}{plain}{gap}{fence}" if plain else "` `"


def label(value: str) -> str:
    """Format a text for a quoted label of Mermaid."""
    return (
        "".join(letter if letter.isalnum() or letter in "-_ ." else " " for letter in short(value, 60)).strip() or "-"
    )


def row(*cells: str) -> str:
    """Join cells, which are Markdown already, to a table's row."""
    return f"| {' | '.join(cells)} |"


def short(value: str, longest: int) -> str:
    """Put a text on one line, without invisible characters, and cut it."""
    plain = _UNSEEN.sub(" ", value).strip()
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
