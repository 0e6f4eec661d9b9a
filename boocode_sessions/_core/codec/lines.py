"""Reads the lines of transcript files as entries, and writes entries as lines."""

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
    with_fresh_stack,
    write,
)
from boocode_sessions._core.codec.problems import MAX_DEPTH
from boocode_sessions.errors import InvalidEntryError


class Lines(NamedTuple):
    """The records on one line of a damaged transcript file."""

    lines: list[Line]
    """The whole records, in order; at least one."""
    problem: str | None
    """What is wrong with the rest of the line, without its content; None if nothing is left over."""


class LineReader:
    """Reads the lines of transcript files. Each thread needs its own reader.

    For most lines the text alone shows that JSONB would return it unchanged. The reader then doesn't check
    the entry's values one by one.

    `as_is` also stores that text as it is, instead of encoding the entry again. It must be False for a
    database that keeps text unchanged, where two equal keys in one object would stay two.
    """

    def __init__(self, *, as_is: bool) -> None:
        self._as_is = as_is
        self._plain = True
        self._decode_plain = msgspec.json.Decoder(float_hook=self._float).decode

    def read(self, line: bytes) -> Line:
        """Read one line. Raises InvalidEntryError, whose message reveals nothing of the line's content."""
        problem = "it is not JSON"
        try:
            text = line.decode()
            entry: object = with_fresh_stack(self._decode, text)
            if isinstance(entry, dict):
                members = cast("dict[str, Any]", entry)
                if self._plain and _is_plain(text):
                    return Line(members, line if self._as_is else encode_plain(members), None)
                return with_fresh_stack(encode, members)
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
        """Read every whole record of a line, even if it holds several, or NULs before one.

        A lost newline joins two records. A crash can leave NULs or a piece of a record before the next one.
        Bytes that are not UTF-8 are read as �, as the agent reads them.
        Raises InvalidEntryError, like `read`, if no record is whole.
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
        """Return the entry that a live mirror sends for a subagent's `.meta.json` file."""
        entry = {**self.read(document).entry, "type": AGENT_METADATA}
        return with_fresh_stack(encode, entry)

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
            or len(literal) > _MAX_PLAIN_FLOAT_CHARS
            or (value == 0 and literal.startswith("-"))
        ):
            self._plain = False
        return value


def write_line(entry: Mapping[str, Any]) -> bytes:
    """Return an entry as a line of a transcript file, in the form that the agent writes, with its newline.

    `type` comes first: programs that read whole files look for lines that begin with it, and JSONB moves it.
    """
    ordered = {"type": entry["type"], **entry} if "type" in entry else dict(entry)
    try:
        return with_fresh_stack(write, ordered) + b"\n"
    except ValueError:  # a lone surrogate, or another program's entry, nested deeper than ours may be
        return with_fresh_stack(encode_ascii, ordered).encode() + b"\n"


def write_metadata(entry: Mapping[str, Any]) -> bytes:
    """Return an `agent_metadata` entry as its `.meta.json` file."""
    return write_line({name: value for name, value in entry.items() if name != "type"}).rstrip(b"\n")


AGENT_METADATA = "agent_metadata"
"""The `type` of the entries that a live mirror sends for a subagent's `.meta.json` file."""


def _is_plain(text: str) -> bool:
    """True if a JSON text has no escape that JSONB refuses and is not nested too deeply."""
    # A search for one character uses memchr: a tenth of the time of a search for two.
    if "\\" in text and "\\u" in text and any(escape in text for escape in _NOT_IN_JSONB):
        return False
    return text.count("{") + text.count("[") <= MAX_DEPTH


def _pieces(line: bytes) -> Iterator[tuple[bytes, bool]]:
    """Cut a line into whole JSON objects (True) and the text between (False), less NULs and whitespace."""
    text = line.decode()
    at = start = 0  # where the next piece begins, and where to look for an object
    tries = _MAX_TRIES
    while tries and (begins := _OBJECT.search(text, start)):
        start = begins.start()
        between = text[at:start].strip(_NOTHING)
        try:
            entry, end = _DECODER.raw_decode(text, start)
        except RecursionError:
            break  # The rest is likely to be nested as deeply, and each try costs as much.
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
    """True if an object after a torn piece is a line of its own, not a member of the torn record.

    A member follows `:`, `,` or `[`. A line follows one of these only if a record was torn exactly there, and
    then its `sessionId` shows that it is a line.
    """
    named = isinstance(entry.get("type"), str)
    return named and (not before.endswith((":", ",", "[")) or isinstance(entry.get("sessionId"), str))


def _refuse_constant(literal: str) -> None:  # noqa: ARG001 - json's signature
    raise ValueError


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_OBJECT = re.compile(r'\{(?=\s*["}])')
_MAX_TRIES = 1000
"""Maximum objects of a torn record to try: each try can take as long as reading the whole line."""
_NOTHING = " \t\r\n\0\ufeff"
"""Characters that may stand between two records and are dropped."""
_NOT_IN_JSONB = ("\\u0000", "\\ud", "\\uD")
"""Escapes of NUL and of surrogates, which may be lone."""
_MAX_PLAIN_FLOAT_CHARS = 300
"""Maximum characters; far fewer than the digits that PostgreSQL's numeric keeps exactly."""
