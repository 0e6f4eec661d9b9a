"""What lines tell about API calls and tool uses, and how several lines' records are merged.

A call is spread over several lines, whose token counts grow. A fork or a resume copies them to other
sessions. A message id and a request id identify a call. A message id without a request id identifies a call
within its session, and a line with neither is a call of its own. Every merge is a minimum or a maximum, so
neither the order of lines nor a repeated line matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, TypeAlias, TypeVar

from boocode_sessions._core.attributes import blocks_of, member, string_at
from boocode_sessions._core.codec import Extracted, decode, extract
from boocode_sessions._core.keys import Session
from boocode_sessions._core.statements.derived import Tokens
from boocode_sessions.errors import DamagedEntryError, MissingKeyError

NOTICE = "<synthetic>"
"""Stands in place of a model where the agent itself speaks in the form of an answer, without an API call."""

_T = TypeVar("_T", int, str)


class CallRecord(NamedTuple):
    """What is known about a call."""

    position: int
    row_id: int
    at: int
    said_at: int | None
    model: str | None
    tokens: Tokens

    def merged(self, other: CallRecord) -> CallRecord:
        """Return this record with what other lines tell."""
        first = min(self[:2], other[:2])
        model = greatest(self.model, other.model)
        tokens = Tokens(*map(max, self.tokens, other.tokens))
        at, said_at = min(self.at, other.at), least(self.said_at, other.said_at)
        return CallRecord(*first, at, said_at, model, tokens)


class ToolUseRecord(NamedTuple):
    """What is known about a tool use."""

    tool: str | None
    failed: int | None
    asked_at: int | None
    answered_at: int | None

    def merged(self, other: ToolUseRecord) -> ToolUseRecord:
        """Return this record with what other lines tell."""
        return ToolUseRecord(
            greatest(self.tool, other.tool),
            greatest(self.failed, other.failed),
            least(self.asked_at, other.asked_at),
            least(self.answered_at, other.answered_at),
        )


_Record = TypeVar("_Record", CallRecord, ToolUseRecord)
_FIRST = datetime(1, 1, 1)  # noqa: DTZ001 - compared with times without a zone

Key: TypeAlias = tuple[bytes, str]
"""The hash of a call or use, and the session that a fork copied its lines from (`''` for own lines)."""


class SessionRecords:
    """What the lines of one session tell."""

    def __init__(self) -> None:
        self.calls: dict[Key, CallRecord] = {}
        self.uses: dict[Key, ToolUseRecord] = {}

    def add(self, session: Session, line: Line) -> None:
        """Add what a line tells."""
        said = line.said
        at = line.said_at if line.said_at is not None else line.stored_at
        copied_from = said.forked_from or ""
        if said.type == "assistant" and said.model != NOTICE:
            call = CallRecord(line.position, line.row_id, at, line.said_at, said.model, _tokens(said))
            _merge(self.calls, (_identity(session, line), copied_from), call)
        if said.tool_count is None:
            return
        for use, name, failed in _uses(line):
            if said.type == "assistant":
                record = ToolUseRecord(name or "", None, at, None)
            else:
                record = ToolUseRecord(None, int(bool(failed)), None, at)
            _merge(self.uses, (use, copied_from), record)


def _merge(records: dict[Key, _Record], key: Key, record: _Record) -> None:
    known = records.get(key)
    records[key] = record if known is None else known.merged(record)


class Line(NamedTuple):
    """What the columns of an entry tell. Times are microseconds since year 1."""

    row_id: int
    position: int
    stored_at: int
    said_at: int | None
    said: Extracted
    """Without a time of its own: that is `said_at`."""
    text: str | None
    """The exact JSON text, if there are several tool uses or results, or one without an id; else None."""


def line_of(row_id: int, position: int, stored_at: datetime, text: str) -> Line | None:
    """Make a Line from an entry that has no columns. Return None if the text is no entry."""
    try:
        entry = decode(text)
    except (DamagedEntryError, MissingKeyError):
        return None
    said = extract(entry)
    said_at = None if said.said_at is None else micros(datetime.fromisoformat(said.said_at))
    several = said.tool_count is not None and said.tool_use_id is None
    return Line(row_id, position, micros(stored_at), said_at, said, text if several else None)


def micros(at: datetime) -> int:
    """Return a time as microseconds since year 1. No line can name an earlier time."""
    since = at.replace(tzinfo=None) - _FIRST
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def hashed(kind: str, *parts: str) -> bytes:
    """Hash what identifies a call or use to 16 bytes. The hash is the same in every process."""
    joined = "\0".join((kind, *parts))
    return hashlib.blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _identity(session: Session, line: Line) -> bytes:
    said = line.said
    if said.message_id is None:
        return hashed("line", str(line.row_id))
    if said.request_id is None:
        return hashed("message", session.project_key, said.forked_from or session.session_id, said.message_id)
    return hashed("request", said.request_id, said.message_id)


def _tokens(said: Extracted) -> Tokens:
    return Tokens(*(getattr(said, name) or 0 for name in Tokens._fields))


def _uses(line: Line) -> Iterator[tuple[bytes, str | None, object]]:
    """Yield what identifies each tool use or result of a line, with its tool and whether it failed."""
    said = line.said
    if said.tool_use_id is not None:
        yield hashed("use", said.tool_use_id), said.tool_name, said.failed
        return
    kind, id_name = ("tool_use", "id") if said.type == "assistant" else ("tool_result", "tool_use_id")
    for block in _blocks(line.text or "null", kind):
        use = string_at(block, id_name)
        if use is not None:
            identity = hashed("use", use)
        elif said.type == "assistant":
            identity = hashed("unnamed", str(line.row_id))
        else:
            identity = None  # a result that names no use answers none
        if identity is not None:
            yield identity, _label(string_at(block, "name")), member(block, "is_error") is True


def _blocks(text: str, kind: str) -> Iterable[object]:
    try:
        return blocks_of(decode(text), kind)
    except (DamagedEntryError, MissingKeyError):  # encrypted text can't be read here
        return ()


def _label(value: str | None) -> str | None:
    """Return a value as a column would have it."""
    return extract({"type": value}).type


def greatest(one: _T | None, other: _T | None) -> _T | None:
    """Return the greater value; if one is None, the other."""
    return max((value for value in (one, other) if value is not None), default=None)


def least(one: int | None, other: int | None) -> int | None:
    """Return the lesser value; if one is None, the other."""
    return min((value for value in (one, other) if value is not None), default=None)
