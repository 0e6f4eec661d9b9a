"""The lines of transcript files: as entries, and as text that is stored or written as it is."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from boocode_sessions._core.codec.json_text import (
    Line,
    encode,
    encode_ascii,
    encode_plain,
    with_a_whole_stack,
    write,
)
from boocode_sessions._core.codec.problems import MAX_DEPTH
from boocode_sessions.errors import InvalidEntryError


class Lines(NamedTuple):
    """What stands on one line of a damaged transcript file."""

    lines: list[Line]
    """Its whole records, in order: at least one."""
    problem: str | None
    """What is wrong with the rest of the line, without its content; None where nothing is left over."""


class LineReader:
    """Reads the lines of transcript files, one thread's at a time.

    Of most lines their own text tells that JSONB would give them back unchanged; the entry's values then need
    not be looked at one by one.

    `as_is`: take that text itself, too, instead of writing the entry anew. To be left out for a database that
    keeps text as it came, since there two equal keys in one object would stay two.
    """

    def __init__(self, *, as_is: bool) -> None:
        self._as_is = as_is
        self._plain = True
        self._decode_plain = msgspec.json.Decoder(float_hook=self._float).decode

    def read(self, line: bytes) -> Line:
        """Raises InvalidEntryError, whose text is what is wrong and holds nothing of the line."""
        problem = "it is not JSON"
        try:
            text = line.decode()
            entry: object = with_a_whole_stack(self._decode, text)
            if isinstance(entry, dict):
                members = cast("dict[str, Any]", entry)
                if self._plain and _is_plain(text):
                    return Line(members, line if self._as_is else encode_plain(members), None)
                return with_a_whole_stack(encode, members)
            problem = "it is JSON, but not an object"
        except UnicodeDecodeError:
            problem = "it is not UTF-8"
        except RecursionError:
            problem = "it is nested too deeply for Python's json"
        except ValueError as error:
            if not isinstance(error, json.JSONDecodeError):
                problem = "it holds a number that JSON or Python does not take, or is nested too deeply"
        raise InvalidEntryError(problem)

    def read_all(self, line: bytes) -> Lines:
        """Every whole record of a line, also where several stand on it, or NULs before one.

        A lost newline joins two records; a crash can leave NULs, or a piece of a record, before the next.
        Bytes that are not UTF-8 are read as �, as the agent reads them.
        Raises InvalidEntryError, as `read` does, where no record is whole.
        """
        try:
            return Lines([self.read(line)], None)
        except InvalidEntryError as error:
            problem = str(error)
        as_text = line.decode(errors="replace").encode()
        told = [] if as_text == line else ["it is not UTF-8 everywhere: what is not is kept as �"]
        line = as_text
        found: list[Line] = []
        left = 0
        for piece, whole in _pieces(line):
            try:
                if whole:
                    found.append(self.read(piece))
                    continue
            except InvalidEntryError:
                pass
            left += len(piece)
        if not found:
            raise InvalidEntryError(problem)
        if left:
            told.append(f"{left:,} bytes of it are no whole record")
        return Lines(found, "; ".join(told) or None)

    def read_metadata(self, document: bytes) -> Line:
        """A subagent's `.meta.json` as the entry that a live mirror sends for it."""
        entry = {**self.read(document).entry, "type": AGENT_METADATA}
        return with_a_whole_stack(encode, entry)

    def _decode(self, text: str) -> object:
        self._plain = True
        try:
            return self._decode_plain(text)
        except (msgspec.DecodeError, ValueError):
            self._plain = False
        return _DECODER.decode(text)

    def _float(self, literal: str) -> float:
        value = float(literal)
        if (
            "e" in literal
            or "E" in literal
            or "e" in repr(value)
            or len(literal) > _LONGEST_PLAIN_FLOAT
            or (value == 0 and literal.startswith("-"))
        ):
            self._plain = False
        return value


def write_line(entry: Mapping[str, Any]) -> bytes:
    """An entry as a line of a transcript file, newline included, in the form that the agent writes.

    `type` comes first: readers of whole files look for lines that begin with it, and JSONB moves it.
    """
    ordered = {"type": entry["type"], **entry} if "type" in entry else dict(entry)
    try:
        return with_a_whole_stack(write, ordered) + b"\n"
    except ValueError:  # a lone surrogate, or another writer's entry that nests deeper than ours may
        return with_a_whole_stack(encode_ascii, ordered).encode() + b"\n"


def write_metadata(entry: Mapping[str, Any]) -> bytes:
    """An `agent_metadata` entry as the `.meta.json` file that it stands for."""
    return write_line({name: value for name, value in entry.items() if name != "type"}).rstrip(b"\n")


AGENT_METADATA = "agent_metadata"
"""The `type` of the entries that a live mirror sends for a subagent's `.meta.json` file."""


def _is_plain(text: str) -> bool:
    """Whether a JSON text has no escape that JSONB refuses, and is not nested too deeply."""
    # One character alone is looked for with memchr: a tenth of the time that two take.
    if "\\" in text and "\\u" in text and any(escape in text for escape in _NOT_IN_JSONB):
        return False
    return text.count("{") + text.count("[") <= MAX_DEPTH


def _pieces(line: bytes) -> Iterator[tuple[bytes, bool]]:
    """A line cut into objects that are whole JSON, and what stands between them other than NULs and space."""
    text = line.decode()
    at = start = 0  # of what is not given yet, and of where to look
    tries = _MOST_TRIES
    while tries and (begins := _OBJECT.search(text, start)):
        start = begins.start()
        between = text[at:start].strip(_NOTHING)
        try:
            entry, end = _DECODER.raw_decode(text, start)
        except RecursionError:
            break  # what follows is likely to be nested as deeply, and each try costs as much
        except ValueError:
            start = begins.end()
            tries -= 1
            continue
        if between and not _is_record(entry, between):
            start = begins.end()
            continue
        if between:
            yield between.encode(), False
        yield text[start:end].encode(), True
        at = start = end
    if rest := text[at:].strip(_NOTHING):
        yield rest.encode(), False


def _is_record(entry: Mapping[str, object], before: str) -> bool:
    """Whether an object behind a torn piece is a line of its own, not a member of the torn record.

    A member stands behind `:`, `,` or `[`. So does a line where a record was torn right there; that one is
    known by its session.
    """
    named = isinstance(entry.get("type"), str)
    return named and (not before.endswith((":", ",", "[")) or isinstance(entry.get("sessionId"), str))


def _refuse_constant(literal: str) -> None:  # noqa: ARG001 - json's signature
    raise ValueError


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_OBJECT = re.compile(r'\{(?=\s*["}])')
_MOST_TRIES = 1000
"""Objects of a torn record that are looked at: each try can take as long as the line is."""
_NOTHING = " \t\r\n\0\ufeff"
"""What may stand between two records without being worth a word."""
_NOT_IN_JSONB = ("\\u0000", "\\ud", "\\uD")
"""Escapes of NUL and of surrogates, which may be lone ones."""
_LONGEST_PLAIN_FLOAT = 300
"""Characters; far below what PostgreSQL's numeric keeps exactly."""
