"""The lines of transcript files: as entries, and as text that is stored or written as it is."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from boocode_sessions._core.codec.json_text import (
    MAX_DEPTH,
    encode,
    encode_ascii,
    encode_utf8,
    with_a_whole_stack,
)
from boocode_sessions.errors import InvalidEntryError


class Line(NamedTuple):
    """One line of a transcript file."""

    entry: dict[str, Any]
    text: str
    verbatim: str | None


class LineReader:
    """Reads the lines of transcript files, one thread's at a time.

    `as_is`: take a line's own text where it is provably what JSONB gives back unchanged, instead of writing
    the entry anew, which is half the work. To be left out for a database that keeps text as it came, since
    there two equal keys in one object would stay two.
    """

    def __init__(self, *, as_is: bool) -> None:
        self._as_is = as_is
        self._plain = True
        decoder = json.JSONDecoder(parse_float=self._float, parse_constant=_refuse_constant)
        self._decode = decoder.decode

    def read(self, line: bytes) -> Line:
        """Raises InvalidEntryError, whose text is what is wrong and holds nothing of the line."""
        problem = "it is not JSON"
        try:
            text = line.decode()
            self._plain = self._as_is
            entry: object = with_a_whole_stack(self._decode, text)
            if isinstance(entry, dict):
                members = cast("dict[str, Any]", entry)
                if self._plain and _is_plain(text):
                    return Line(members, text, None)
                return Line(members, *with_a_whole_stack(encode, members))
            problem = "it is JSON, but not an object"
        except UnicodeDecodeError:
            problem = "it is not UTF-8"
        except RecursionError:
            problem = "it is nested too deeply for Python's json"
        except ValueError as error:
            if not isinstance(error, json.JSONDecodeError):
                problem = "it holds a number that JSON or Python does not take, or is nested too deeply"
        raise InvalidEntryError(problem)

    def read_metadata(self, document: bytes) -> Line:
        """A subagent's `.meta.json` as the entry that a live mirror sends for it."""
        entry = {**self.read(document).entry, "type": AGENT_METADATA}
        return Line(entry, *with_a_whole_stack(encode, entry))

    def _float(self, literal: str) -> float:
        value = float(literal)
        if (
            "e" in literal
            or "E" in literal
            or len(literal) > _LONGEST_PLAIN_FLOAT
            or (value == 0 and literal.startswith("-"))
        ):
            self._plain = False
        return value


def write_line(entry: Mapping[str, Any]) -> bytes:
    """An entry as a line of a transcript file, newline included, in the form that the agent writes."""
    try:
        text = with_a_whole_stack(encode_utf8, entry)
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate
        return with_a_whole_stack(encode_ascii, entry).encode() + b"\n"


def write_metadata(entry: Mapping[str, Any]) -> bytes:
    """An `agent_metadata` entry as the `.meta.json` file that it stands for."""
    return write_line({name: value for name, value in entry.items() if name != "type"}).rstrip(b"\n")


AGENT_METADATA = "agent_metadata"
"""The `type` of the entries that a live mirror sends for a subagent's `.meta.json` file."""


def _is_plain(text: str) -> bool:
    """Whether a JSON text has no escape that JSONB refuses, and is not nested too deeply."""
    if "\\u" in text and any(escape in text for escape in _NOT_IN_JSONB):
        return False
    return text.count("{") + text.count("[") <= MAX_DEPTH


def _refuse_constant(literal: str) -> None:  # noqa: ARG001 - json's signature
    raise ValueError


_NOT_IN_JSONB = ("\\u0000", "\\ud", "\\uD")
"""Escapes of NUL and of surrogates, which may be lone ones."""
_LONGEST_PLAIN_FLOAT = 300
"""Characters; far below what PostgreSQL's numeric keeps exactly."""
