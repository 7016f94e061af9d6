"""Variables and quotes of a Dockerfile's words, as BuildKit reads them.

Owns substitution and the split into words. Refuses to own which variables there are. Pure.
https://docs.docker.com/reference/dockerfile/#environment-replacement, and for what it leaves open BuildKit's package
frontend/dockerfile/shell, which the tests ask.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from azureml_scoring.plan.white_space import SPACE

_SPECIAL: Final = "@*#?-$!"
"""Parameters of a shell, which have one character."""


@dataclass(frozen=True)
class Lexer:
    """How quotes, escapes and unknown variables are read."""

    escape: str = "\\"
    raw_quotes: bool = False
    """Whether quotes stay."""
    raw_escapes: bool = False
    """Whether the escape character stays."""
    keep_unset: bool = False
    """Whether a variable without a value stays as it is written; it is empty otherwise."""
    keep_defaults: bool = True
    """With `keep_unset`: whether one with a default stays too."""

    def expand(self, text: str, values: Mapping[str, str]) -> str:
        """Put variables in and take quotes away; raise a ValueError for what BuildKit refuses."""
        return _Walk(self, text, values).until("", raw=self.raw_escapes)[0]

    def words(self, text: str, values: Mapping[str, str]) -> list[str]:
        """Do the same, and split at white space that is not quoted."""
        return _Walk(self, text, values).until("", raw=self.raw_escapes)[1]


class _Words:
    """Words that grow by characters: quoted ones never part."""

    def __init__(self, word: list[str]) -> None:
        self._word, self._done = word, list[str]()
        self._word.clear()

    def quoted(self, text: str) -> None:
        self._word.append(text)

    def plain(self, text: str) -> None:
        for character in text:
            if character in SPACE:
                self.end()
            else:
                self._word.append(character)

    def end(self) -> list[str]:
        if word := "".join(self._word):
            self._done.append(word)
        self._word.clear()
        return self._done


class _Walk:
    """One way through a text, from left to right."""

    def __init__(self, lexer: Lexer, text: str, values: Mapping[str, str]) -> None:
        # A byte order mark is skipped at the start of any word.
        self._lexer, self._text, self._values = lexer, text.removeprefix("\ufeff"), values
        self._at = 0
        self._raw = lexer.raw_escapes
        # BuildKit has one for all depths: a default inside of a word starts the word anew.
        self._word: list[str] = []

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def until(self, stop: str, *, raw: bool) -> tuple[str, list[str]]:
        """Read up to a character, or to the end; return the text and its words."""
        before, self._raw = self._raw, raw
        text, words = "", _Words(self._word)
        while character := self._peek():
            if character == stop:
                break
            part = self._part(character, words)
            text += part
        self._raw = before
        if stop and not self._next():
            raise ValueError(f"no {stop} ends a substitution")
        return text, words.end()

    def _part(self, character: str, words: _Words) -> str:
        if character == "$":
            part = self._variable()
            words.plain(part)
        elif character in {"'", '"', "<"}:
            part = {"'": self._single, '"': self._double, "<": self._redirection}[character]()
            words.quoted(part)
        elif character == self._lexer.escape:
            self._next()
            part = (character if self._raw else "") + self._next()
            words.quoted(part)
        else:
            part = self._next()
            words.plain(part)
        return part

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise ValueError("a single quote has no end")
        quoted = self._text[self._at + 1 : end]
        self._at = end + 1
        return f"'{quoted}'" if self._lexer.raw_quotes else quoted

    def _double(self) -> str:
        self._next()
        quote = '"' if self._lexer.raw_quotes else ""
        text = quote
        while (character := self._peek()) != '"':
            if not character:
                raise ValueError("a double quote has no end")
            text += self._variable() if character == "$" else self._quoted_character()
        self._next()
        return text + quote

    def _quoted_character(self) -> str:
        character = self._next()
        if character != self._lexer.escape:
            return character
        kept = character if self._raw else ""
        following = self._peek()
        if following in {'"', "$", character}:
            return kept + self._next()
        return kept + (character if following else "")

    def _redirection(self) -> str:
        self._next()
        if self._peek() != "<":
            return "<"
        self._next()
        start = self._at
        # A here-document's word may stand apart from its marks.
        while (character := self._peek()) and character in "\t\r ":
            self._next()
        return f"<<{self._text[start : self._at]}"

    def _name(self) -> str:
        rest = self._text[self._at :]
        match = re.match(rf"\d+|\w+|[{re.escape(_SPECIAL)}]", rest)
        name = match[0] if match else ""
        self._at += len(name)
        return name

    def _variable(self) -> str:
        self._next()
        if self._peek() != "{":
            name = self._name()
            return self._value(name, f"${name}") if name else "$"
        self._next()
        if self._peek() in {"", "{", "}", ":"}:
            raise ValueError("a substitution has no variable")
        name = self._name()
        modifier = self._next()
        if modifier == "}":
            return self._value(name, f"${{{name}}}")
        if modifier == "/":
            return self._replaced(name)
        empty_is_unset = modifier == ":"
        if empty_is_unset:
            modifier = self._next()
        return self._modified(name, modifier, empty_is_unset=empty_is_unset)

    def _value(self, name: str, written: str) -> str:
        return self._values.get(name, written if self._lexer.keep_unset else "")

    def _modified(self, name: str, modifier: str, *, empty_is_unset: bool) -> str:
        if modifier not in {"-", "+", "?", "#", "%"} or (empty_is_unset and modifier in "#%"):
            raise ValueError(f"${{{name}}} has an unknown modifier")
        word = self.until("}", raw=modifier in "#%")[0]
        value = self._values.get(name)
        if value is None and self._lexer.keep_unset and (self._lexer.keep_defaults or modifier not in "-+"):
            return f"${{{name}{':' if empty_is_unset else ''}{modifier}{word}}}"
        missing = value is None or (empty_is_unset and not value)
        if modifier == "?" and missing:
            raise ValueError(f"{name}: {word or 'has no value'}")
        if modifier in "-+":
            return word if missing is (modifier == "-") else ("" if modifier == "+" else value or "")
        return _without(value or "", word, modifier) if modifier in "#%" else value or ""

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        if every:
            self._next()
        pattern, other = self.until("/", raw=True)[0], self.until("}", raw=True)[0]
        value = self._values.get(name)
        if value is None and self._lexer.keep_unset:
            return f"${{{name}/{pattern}/{other}}}"
        return re.sub(_pattern(pattern), lambda _: other, value or "", count=0 if every else 1)


def _without(value: str, word: str, end: str) -> str:
    """Take away what matches at the start (#) or the end (%); a doubled mark takes the longest."""
    longest = word.startswith(end)
    pattern = _pattern(word[1:] if longest else word)
    sizes = range(len(value) + 1)
    for size in reversed(sizes) if longest else sizes:
        cut = value[:size] if end == "#" else value[len(value) - size :]
        if re.fullmatch(pattern, cut):
            return value[size:] if end == "#" else value[: len(value) - size]
    return value


def _pattern(word: str) -> str:
    """Write a shell's pattern (* and ?) as a regular expression."""
    made = ""
    for match in re.finditer(r"\\(.?)|(\*)|(\?)|(.)", word, re.DOTALL):
        if match[1] is not None and match[1] not in {*"*?\\}/"}:
            raise ValueError(f"\\{match[1]} in a pattern")
        made += ".*" if match[2] else "." if match[3] else re.escape(match[1] or match[4])
    return made
