"""Search text: parsed, translated for each database, and matched against a text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from boocode_sessions._core.derived.words import is_single, plain_words_in, words_in

SNIPPET_CHARS = 160
_MIN_PREFIX = 3
"""Characters that a word needs to find longer words that begin with it."""
_MAX_TERMS = 32
_MAX_SPANS = 200
_TYPED = re.compile(r'(-?)"([^"]*)"?|(\S+)')


class Term(NamedTuple):
    """One word, or words that follow each other."""

    words: tuple[str, ...]
    is_prefix: bool
    """True if the last word may be the beginning of a longer one."""
    negated: bool

    def places(self, words: Sequence[str]) -> Iterator[int]:
        """Yield the indexes at which the term begins in a text's words."""
        *whole, last = self.words
        if not whole and not self.is_prefix:
            yield from (place for place, word in enumerate(words) if word == last)
            return
        size = len(whole)
        for place in range(len(words) - size):
            word = words[place + size]
            if (word.startswith(last) if self.is_prefix else word == last) and all(
                words[place + n] == part for n, part in enumerate(whole)
            ):
                yield place


class Wanted(NamedTuple):
    """A parsed search text. A text matches if it meets all terms of at least one group."""

    groups: tuple[tuple[Term, ...], ...]

    @classmethod
    def of(cls, typed: str) -> Wanted:
        """Parse words, which may be the beginnings of longer ones, "a phrase", `or` and -word.

        A program's option, such as --no-verify, is a word to find.
        """
        groups: list[list[Term]] = [[]]
        for minus, phrase, word in _TYPED.findall(typed):
            if word.lower() == "or":
                groups.append([])
                continue
            negated = bool(minus) or (len(word) > 1 and word[0] == "-" != word[1])
            found = words_in(phrase or word)
            if len(found) > 1 and is_single(found[-1]) and found[-2].end == found[-1].end:
                found.pop()  # a text in which the run of characters goes on does not have this word
            if found:
                last = found[-1]
                is_prefix = not (phrase or negated) and (
                    len(last.word) >= _MIN_PREFIX and last.end - last.start >= _MIN_PREFIX
                )
                is_prefix = is_prefix or is_single(last)
                groups[-1].append(Term(tuple(item.word for item in found), is_prefix, negated))
        some = (tuple(group[:_MAX_TERMS]) for group in groups)
        return cls(tuple(group for group in some if not all(term.negated for term in group)))

    def for_postgresql(self) -> str:
        """Return the search as a tsquery."""

        def said(term: Term) -> str:
            *whole, last = (f"'{word}'" for word in term.words)
            together = " <-> ".join([*whole, last + ":*" if term.is_prefix else last])
            return f"{'!' if term.negated else ''}({together})"

        return " | ".join(f"({' & '.join(map(said, group))})" for group in self.groups)

    def for_sqlite(self) -> str:
        """Return the search as an FTS5 query."""

        def said(term: Term) -> str:
            return f'"{" ".join(term.words)}"' + (" *" if term.is_prefix else "")

        groups: list[str] = []
        for group in self.groups:
            wanted = " AND ".join(said(term) for term in group if not term.negated)
            unwanted = "".join(f" NOT {said(term)}" for term in group if term.negated)
            groups.append(f"(({wanted}){unwanted})")
        return " OR ".join(groups)

    def rank(self, text: str) -> float | None:
        """Rate a text by how often it has the terms, and in how few words. None if it does not match."""
        words = plain_words_in(text)
        places = self._places(words)
        if places is None:
            return None
        often = sum(1 + math.log(len(at)) for _, at in places)
        return round(often / (1 + math.log1p(len(words) / 50)), 4)

    def snippet(self, text: str) -> str:
        """Return the part of a text with most of the terms, on one line, with «» around the matches."""
        words = words_in(text)
        places = self._places([word for word, _, _ in words]) or []
        spans = [
            (words[at].start, words[at + len(term.words) - 1].end, number)
            for number, (term, found) in enumerate(places)
            for at in found[:_MAX_SPANS]
        ]
        return _snippet(text, sorted(spans))

    def _places(self, words: Sequence[str]) -> list[tuple[Term, list[int]]] | None:
        """Return the places of the terms of the first group that matches, or None if none does."""
        for group in self.groups:
            places = [(term, list(term.places(words))) for term in group]
            if all(bool(at) != term.negated for term, at in places):
                return [(term, at) for term, at in places if not term.negated]
        return None


def _snippet(text: str, spans: list[tuple[int, int, int]]) -> str:
    def terms_from(start: int) -> int:
        return len({number for at, end, number in spans if start <= at and end <= start + SNIPPET_CHARS})

    starts = (at for at, _, _ in spans[:_MAX_SPANS])
    first = max(starts, key=lambda at: (terms_from(at), -at), default=0)
    start = max(0, first - SNIPPET_CHARS // 4)
    end = start + SNIPPET_CHARS
    parts: list[str] = []
    at = start
    for begin, stop, _ in spans:
        if begin >= at and begin < end:
            parts += [text[at:begin], "«", text[begin:stop], "»"]
            at = stop
    parts.append(text[at : max(end, at)])
    return (
        ("… " if start else "")
        + " ".join("".join(parts).split())
        + (" …" if max(end, at) < len(text) else "")
    )
