"""The parameters that name a project, a session or a transcript, and conditions made from them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias, TypeVar, cast

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Table,
    Text,
    bindparam,
    column,
    func,
    literal_column,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import InstrumentedAttribute

from boocode_sessions._core.keys import Session, Transcript
from boocode_sessions._core.sql.functions import json_items, json_text, text_item
from boocode_sessions.models import UNPLACED, ClaudeSession, ClaudeSessionEntry

_T = TypeVar("_T")

KeyColumn: TypeAlias = ColumnElement[str] | InstrumentedAttribute[str]
"""A column of project keys or session ids, or a parameter in its place."""

Entry = ClaudeSessionEntry
# An ORM update binds parameters in its own way, so statements write to these as plain tables.
ENTRIES = cast("Table", ClaudeSessionEntry.__table__)
SESSIONS = cast("Table", ClaudeSession.__table__)

PROJECT = bindparam("in_project", type_=Text)
SESSION = bindparam("in_session", type_=Text)
SUBPATH = bindparam("in_subpath", type_=Text)
SESSION_IDS = bindparam("in_sessions", expanding=True, type_=Text)


def table_name(name: str, dialect: Dialect, schema: str | None) -> str:
    """Return a table's name as SQL text, quoted if needed: for a driver, or as to_regclass()'s argument."""
    quote = dialect.identifier_preparer.quote
    said = ".".join(map(quote, [schema, name] if schema else [name]))
    if "%%" in quote("%"):
        said = said.replace("%%", "%")  # quote() doubles it for statements with parameters; this has none
    return said


def in_project(project_key: str) -> dict[str, str]:
    """Return the parameters that name a project."""
    return {"in_project": project_key}


def in_session(session: Session) -> dict[str, str]:
    """Return the parameters that name a session."""
    return {"in_project": session.project_key, "in_session": session.session_id}


def in_sessions(sessions: Collection[Session]) -> dict[str, str | list[str]]:
    """Return the parameters that name sessions of one project."""
    (project_key,) = {session.project_key for session in sessions}
    return {"in_project": project_key, "in_sessions": [session.session_id for session in sessions]}


def in_transcript(transcript: Transcript) -> dict[str, str]:
    """Return the parameters that name a transcript."""
    return {
        "in_project": transcript.project_key,
        "in_session": transcript.session_id,
        "in_subpath": transcript.subpath,
    }


# Every mention of a table names the project by its parameter, even in a subquery. Otherwise a distributed
# database couldn't send the statement to one shard.


def of_session() -> Sequence[ColumnElement[bool]]:
    """Conditions: an entry of the session that the parameters name."""
    return Entry.project_key == PROJECT, Entry.session_id == SESSION


def of_sessions() -> Sequence[ColumnElement[bool]]:
    """Conditions: an entry of one of the sessions that the parameters name."""
    return Entry.project_key == PROJECT, Entry.session_id.in_(SESSION_IDS)


def of_transcript(subpath: BindParameter[str] | str = SUBPATH) -> Sequence[ColumnElement[bool]]:
    """Conditions: an entry of the transcript that the parameters name.

    Served by: claude_session_entries_position_idx.
    """
    return *of_session(), Entry.subpath == subpath


def is_session() -> Sequence[ColumnElement[bool]]:
    """Conditions: the row of the session that the parameters name."""
    return SESSIONS.c.project_key == PROJECT, SESSIONS.c.session_id == SESSION


def are_sessions() -> Sequence[ColumnElement[bool]]:
    """Conditions: the row of one of the sessions that the parameters name."""
    return SESSIONS.c.project_key == PROJECT, SESSIONS.c.session_id.in_(SESSION_IDS)


def are_among(project_key: KeyColumn, session_id: KeyColumn) -> Sequence[ColumnElement[bool]]:
    """Conditions: a row of one of the sessions in the parameter `among`, which may be of many projects.

    This is a join, which both databases answer from an index. They would compare a list of rows
    (`(a, b) IN ((1, 2), ...)`) with every row of the table: 13 seconds for 5,000 sessions on PostgreSQL
    before 18.
    """
    items = json_items(bindparam("among", type_=Text)).table_valued(column("value"))
    first, second = (text_item(items.c.value, literal_column(place)) for place in "01")
    return project_key == first, session_id == second


def among(sessions: Collection[tuple[str, str]]) -> dict[str, str]:
    """Return the parameter of `are_among` for project keys and session ids. Name each session once."""
    return {"among": json.dumps([*sessions])}


def unplaced(entry: type[ClaudeSessionEntry] = Entry) -> ColumnElement[bool]:
    """Condition: another program inserted the row, and nobody has placed it.

    The position is a literal, because a prepared statement can use a partial index only for values that it
    knows. Served by: claude_session_entries_unplaced_idx.
    """
    return entry.position == literal_unplaced()


def placed() -> ColumnElement[bool]:
    """Condition: the entry has its place."""
    return Entry.position < literal_unplaced()


def literal_unplaced() -> ColumnElement[int]:
    """Return UNPLACED as a literal."""
    return literal_column(str(UNPLACED), BigInteger())


def in_parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Split what is too much for one statement into parts of `size` items."""
    return (items[start : start + size] for start in range(0, len(items), size))


def exact_text() -> ColumnElement[str]:
    """Return an entry's exact JSON text."""
    return func.coalesce(Entry.verbatim, json_text(Entry.entry))
