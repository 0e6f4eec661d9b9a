"""Splits text into the words that search knows: the same on every database, and quick for any text.

A word is a run of letters and digits, so `main.py` is two words side by side. Chinese, Japanese and Korean
are written without spaces. A run of them becomes pairs of characters, and the last character also stands
alone, so that any part of the run can be found.
"""

from __future__ import annotations

import json
import operator
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

from boocode_sessions._core.attributes import as_message, blocks_of, member, string_at, text_of

SEARCHED_CHARS = 50_000
"""How many characters at the beginning of a text are searched."""
MAX_WORDS = 16_000
"""Maximum words of a text. PostgreSQL has no positions beyond 16,383."""
MAX_WORD_CHARS = 64
"""Maximum characters of a word. Only the beginning of a longer one counts."""

_WITHOUT_SPACES = (
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
    "\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003fffd"
)
_LETTER = f"[^\\W_{_WITHOUT_SPACES}]"
# The v of a version is a word of its own, so that v2.1 is found as 2.1.
_RUN = re.compile(f"([{_WITHOUT_SPACES}]+)|[vV](?=\\d)|{_LETTER}(?:{_LETTER}|[\u0300-\u036f])*")

_ASCII_RUN = re.compile(r"v(?=[0-9])|[a-z0-9]+")


class Word(NamedTuple):
    """A word, and where it stands in the text."""

    word: str
    start: int
    end: int


def words_in(text: str) -> list[Word]:
    """Return the words of a text, in order. No text takes longer than another of the same length."""
    return list(islice(_words(text[:SEARCHED_CHARS]), MAX_WORDS))


def plain_words_in(text: str) -> list[str]:
    """Return the same words without their places, ten times as fast if the text is ASCII."""
    text = text[:SEARCHED_CHARS]
    if not text.isascii():
        return [word for word, _, _ in islice(_words(text), MAX_WORDS)]
    words = _ASCII_RUN.findall(text.lower())[:MAX_WORDS]
    if max(map(len, words), default=0) > MAX_WORD_CHARS:
        words = [word[:MAX_WORD_CHARS] for word in words]
    return words


def _words(text: str) -> Iterator[Word]:
    for found in _RUN.finditer(text):
        start, end = found.span()
        if found[1] is None:
            if word := _folded(found[0]):
                yield Word(word, start, end)
            continue
        for place in range(start, end):
            after = min(place + 2, end)
            if word := _folded(text[place:after]):
                yield Word(word, place, after)


def _folded(word: str) -> str:
    """Return a word without case, width and combining marks: letters and digits only."""
    word = word[:MAX_WORD_CHARS]
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    return "".join(filter(str.isalnum, plain))[:MAX_WORD_CHARS]


def is_single(word: Word) -> bool:
    """True if it is a single character of a language that is written without spaces."""
    found = _RUN.match(word.word)
    return word.end - word.start == 1 and found is not None and found[1] is not None


def as_vector(words: Sequence[str]) -> str:
    """Return words as a tsvector's text. PostgreSQL groups the positions of a word, and keeps 255 of them."""
    return " ".join(map(operator.add, words, _PLACES))


_PLACES = [f":{place}" for place in range(1, MAX_WORDS + 1)]


# What entries say


def message_of(entry: Mapping[str, Any]) -> str:
    """Return what a message says to a reader."""
    return text_of(as_message(entry)) or ""


def tools_of(entry: Mapping[str, Any]) -> str:
    """Return what a message's tools were given, and what they returned."""
    said: list[str] = []
    for use in blocks_of(entry, "tool_use"):
        said += [str(member(use, "name") or ""), _text_in(member(use, "input"))]
    said += (_text_in(member(result, "content")) for result in blocks_of(entry, "tool_result"))
    return "\n".join(said)


def _text_in(value: object) -> str:
    """Return a text, or the texts inside a value.

    The texts of an object are sorted, because JSONB keeps no order. The shortest come first, so that a file's
    name is searched however long its content is.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        said = (string_at(block, "text") for block in cast("list[object]", value))
        return "\n".join(text for text in said if text is not None)
    if isinstance(value, dict):
        given = cast("dict[str, object]", value).values()
        texts = [one if isinstance(one, str) else json.dumps(one, sort_keys=True) for one in given]
        return "\n".join(sorted(texts, key=lambda text: (len(text), text)))
    return ""
