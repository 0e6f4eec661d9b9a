"""Adds what a session's row lacks: rows that nobody has placed, and a summary that is behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, Text, and_, case, cast, func, literal_column, or_, select, true

from boocode_sessions._core.attributes import text_of
from boocode_sessions._core.codec import StoredAt, decode, open_entry
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import MAIN, SessionStoreEntry, Transcript
from boocode_sessions._core.sql.functions import byte_length
from boocode_sessions._core.sql.json_values import json_count, json_label, json_member
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.listing import Key
from boocode_sessions._core.statements.parameters import among, are_among, exact_text, unplaced
from boocode_sessions._core.statements.place import tokens_of
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.scope import unplaced_said_at, unplaced_type

_TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}
"""The columns of token counts, and their names in `message.usage` of a line."""


class UnplacedCounts(NamedTuple):
    """Counts of a session's unplaced rows."""

    entries: int = 0
    subagents: int = 0
    bytes: int = 0
    first_said: datetime | None = None
    last_said: datetime | None = None
    tokens: int = 0


NO_UNPLACED = UnplacedCounts()


def count_unplaced(connection: StoreConnection, sessions: Sequence[Key]) -> dict[Key, UnplacedCounts]:
    """Count the unplaced rows of these sessions."""
    if not sessions:
        return {}
    found: dict[Key, UnplacedCounts] = {}
    for project, session, *counted in connection.select(_select_counts(), among(sessions)):
        found[project, session] = UnplacedCounts(*counted)
    for project, session, tokens in connection.select(_select_tokens(), among(sessions)):
        found[project, session] = found[project, session]._replace(tokens=int(tokens))
    return found


@cache
def _select_counts() -> Select[*tuple[Any, ...]]:
    key = (Entry.project_key, Entry.session_id)
    said_at = unplaced_said_at()
    subpath = func.nullif(Entry.subpath, MAIN)
    return (
        select(
            *key,
            func.count(),
            func.count(subpath.distinct()),
            func.sum(byte_length(exact_text())),
            func.min(said_at, type_=UTCDateTime()),
            func.max(said_at, type_=UTCDateTime()),
        )
        .where(unplaced(), *are_among(*key))
        .group_by(*key)
    )


@cache
def _select_tokens() -> Select[*tuple[Any, ...]]:
    key = (Entry.project_key, Entry.session_id)
    entry = Entry.entry.expression
    message_id = json_label(entry, "message", "id")
    columns = {
        "message_id": message_id,
        "request_id": case((message_id.is_not(None), json_label(entry, "requestId"))),
        **{name: json_count(entry, "message", "usage", path) for name, path in _TOKENS.items()},
    }
    answer = unplaced_type() == literal_column("'assistant'", Text())
    lines = (
        select(*key, Entry.id, *(column.label(name) for name, column in columns.items()))
        .where(unplaced(), answer, *are_among(*key))
        .subquery("lines")
    )
    own = func.coalesce(lines.c.message_id, cast(lines.c.id, Text))
    calls = (
        select(lines.c.project_key, lines.c.session_id, func.max(tokens_of(lines.c)).label("tokens"))
        .group_by(lines.c.project_key, lines.c.session_id, own, lines.c.request_id)
        .subquery("calls")
    )
    return select(calls.c.project_key, calls.c.session_id, func.sum(calls.c.tokens)).group_by(
        calls.c.project_key, calls.c.session_id
    )


def fold_stale(connection: StoreConnection, sessions: Sequence[Key]) -> dict[Key, Mapping[str, Any]]:
    """Fold the summaries of sessions from the lines that can change a summary."""
    if not sessions:
        return {}
    prompt = and_(json_member(Entry.entry.expression, "type") == "user", Entry.text.is_not(None))
    named = ("customTitle", "aiTitle", "lastPrompt", "summary")
    titles = (json_member(Entry.entry.expression, name).is_not(None) for name in named)
    # Nobody can tell that of an encrypted line before reading it.
    relevant = or_(prompt, *titles) if connection.cipher is None else true()
    lines: dict[Key, list[SessionStoreEntry]] = {}
    statement = (
        select(Entry.project_key, Entry.session_id, Entry.position, Entry.dedup_key, exact_text())
        .where(*are_among(Entry.project_key, Entry.session_id), Entry.subpath == MAIN, relevant)
        .order_by(Entry.project_key, Entry.session_id, Entry.position, Entry.id)
    )
    for project_key, session_id, position, key, stored in connection.select(statement, among(sessions)):
        at = StoredAt(Transcript(project_key, session_id, MAIN), position, key or b"")
        text = open_entry(connection.cipher, at, stored)
        lines.setdefault((project_key, session_id), []).append(decode(text))
    return {
        key: fold(None, Transcript(*key, MAIN), said) or _without_sdk(said) for key, said in lines.items()
    }


def _without_sdk(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the little that is known without the SDK's fold: the titles and the first prompt."""
    data: dict[str, Any] = {}
    for line in lines:
        if "first_prompt" not in data and line.get("type") == "user" and not line.get("isMeta"):
            data["is_sidechain"] = line.get("isSidechain") is True
            prompt = " ".join((text_of(line) or "").split())
            if prompt and not prompt.startswith("<"):  # a command or a hook wrote such a line
                data.update(first_prompt=prompt[:_PROMPT_CHARS], first_prompt_locked=True)
        for said, name in (
            ("customTitle", "custom_title"),
            ("aiTitle", "ai_title"),
            ("lastPrompt", "last_prompt"),
        ):
            if isinstance(value := line.get(said), str):
                data[name] = value
    return data


_PROMPT_CHARS = 200
"""Maximum characters of a prompt in a listing."""
