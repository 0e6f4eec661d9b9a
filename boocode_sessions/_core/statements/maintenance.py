"""SQL statements for import, export and pruning. Like all statements here, they are pure and built once."""

from __future__ import annotations

from datetime import datetime
from functools import cache

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Update,
    bindparam,
    case,
    cast,
    false,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.engine import Dialect

from boocode_sessions._core.codec import LINE_KEY_LENGTH, UUID_KEY_LENGTHS
from boocode_sessions._core.sql.functions import statement_clock
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.columns import inserted_into
from boocode_sessions._core.statements.parameters import (
    PROJECT,
    SESSION,
    SESSIONS,
    Entry,
    are_sessions,
    exact_text,
    is_session,
    of_sessions,
    of_transcript,
    unplaced,
)
from boocode_sessions.models import ClaudeSession


@cache
def select_clock() -> Select[datetime]:
    """Read the storage clock. Shape: one row (now,)."""
    return select(type_coerce(statement_clock(), UTCDateTime))


# Import


@cache
def select_without_uuid(*, encrypted: bool = False) -> Select[bytes | None, str | None, int]:
    """Select the entries after position `after` whose key is not made from a uuid, unplaced ones included.

    Shape: (dedup_key, exact JSON text, position) per entry. The text is None if the key is made from the
    content, unless the store is `encrypted`: there a key doesn't identify the content.
    Served by: claude_session_entries_position_idx.
    """
    length = func.length(Entry.dedup_key)
    text = exact_text() if encrypted else case((length == LINE_KEY_LENGTH, None), else_=exact_text())
    return (
        select(Entry.dedup_key, text, Entry.position)
        .where(
            *of_transcript(),
            Entry.position > bindparam("after", type_=BigInteger),
            or_(Entry.dedup_key.is_(None), length.not_in(UUID_KEY_LENGTHS)),
        )
        .execution_options(yield_per=100)
    )


def copy_entries(dialect: Dialect, schema: str | None) -> str:
    """Return the text of PostgreSQL's COPY of entries. Its rows are the values of INSERTED."""
    table, columns = inserted_into(dialect, schema)
    return f"COPY {table} ({columns}) FROM STDIN"


def select_row_security(dialect: Dialect, schema: str | None) -> Select[bool | None]:
    """Check whether PostgreSQL's row security limits the entries that the user may write. Shape: (bool,)."""
    table, _ = inserted_into(dialect, schema)
    return select(func.row_security_active(func.to_regclass(table), type_=Boolean))


# Export


@cache
def select_written_sessions(
    *, of_project: bool = False, of_session: bool = False
) -> Select[str, str, datetime | None]:
    """Select every session that anybody has written to. Shape: (project_key, session_id, last write) each.

    The last write is the newest to the main transcript or of an unplaced row; None if there is neither.
    The cost grows with the sessions and the unplaced rows.
    Served by: claude_sessions_pkey, claude_session_entries_unplaced_idx.
    """
    ours = select(ClaudeSession.project_key, ClaudeSession.session_id, ClaudeSession.updated_at.label("at"))
    others = select(Entry.project_key, Entry.session_id, Entry.created_at.label("at")).where(unplaced())
    if of_project:
        ours = ours.where(ClaudeSession.project_key == PROJECT)
        others = others.where(Entry.project_key == PROJECT)
    if of_session:
        ours = ours.where(ClaudeSession.session_id == SESSION)
        others = others.where(Entry.session_id == SESSION)
    written = union_all(ours, others).subquery("written")
    key = (written.c.project_key, written.c.session_id)
    return select(*key, func.max(written.c.at, type_=UTCDateTime())).group_by(*key).order_by(*key)


@cache
def select_last_write() -> Select[datetime]:
    """Select when a transcript's newest entry was stored. Shape: (created_at,); no row if never written."""
    return (
        select(Entry.created_at)
        .where(*of_transcript())
        .order_by(Entry.position.desc(), Entry.id.desc())
        .limit(1)
    )


# Pruning


@cache
def select_prunable(*, of_project: bool = False) -> Select[str, str, int]:
    """Select sessions whose main transcript was last written before a time, except each project's newest.

    Parameters: `before`; `keep`, how many of the newest to leave out; and the project's.
    Shape: (project_key, session_id, placed entries) per session, project by project, the oldest first. Their
    subagents may have written since. A session without a main transcript counts as the oldest. Held sessions
    are left out.
    The cost grows with the sessions and the unplaced rows.
    """
    written = select_written_sessions(of_project=of_project).order_by(None).subquery("last")
    project, session_id, at = written.c
    rank = func.row_number().over(partition_by=project, order_by=(at.desc().nulls_last(), session_id))
    ranked = select(project, session_id, at.label("at"), rank.label("rank")).subquery("ranked")
    key = (ranked.c.project_key, ranked.c.session_id)
    return (
        select(*key, func.coalesce(ClaudeSession.entries, literal_column("0")))
        .outerjoin(
            ClaudeSession, (ClaudeSession.project_key == key[0]) & (ClaudeSession.session_id == key[1])
        )
        .where(
            func.coalesce(ClaudeSession.held, false()) == false(),
            ranked.c.rank > bindparam("keep", type_=Integer),
            or_(ranked.c.at.is_(None), ranked.c.at < bindparam("before", type_=UTCDateTime())),
        )
        .order_by(key[0], ranked.c.at.asc().nulls_first(), key[1])
    )


@cache
def lock_free_sessions() -> Select[str]:
    """Lock those of a project's sessions that nobody else has locked. Shape: (session_id,) per row.

    It waits for no lock. So whoever waits for one of these sessions doesn't also wait for others' writers.
    """
    locked = select(ClaudeSession.session_id).where(*are_sessions())
    return locked.with_for_update(skip_locked=True)


@cache
def select_retained() -> Select[str, bool, datetime | None]:
    """Select what the rows of a project's sessions say about keeping them.

    Shape: (session_id, held, updated_at) per row.
    """
    return select(ClaudeSession.session_id, ClaudeSession.held, ClaudeSession.updated_at).where(
        *are_sessions()
    )


@cache
def set_held() -> Update:
    """Exempt a session from pruning, or end the exemption. Parameters: the session's, `hold`."""
    return update(SESSIONS).where(*is_session()).values(held=bindparam("hold", type_=Boolean))


@cache
def select_content(dialect: str) -> Select[str, int, int, datetime]:
    """Measure the entries of a project's sessions.

    Shape: (session_id, number of entries, their stored bytes, the newest's time) per session with entries.
    """
    found = (func.count(), func.sum(_stored_bytes(dialect)), func.max(Entry.created_at))
    return select(Entry.session_id, *found).where(*of_sessions()).group_by(Entry.session_id)


def _stored_bytes(dialect: str) -> ColumnElement[int]:
    size = func.length if dialect == "sqlite" else func.pg_column_size
    entry = cast(Entry.entry, LargeBinary) if dialect == "sqlite" else Entry.entry
    return func.coalesce(size(entry), 0) + func.coalesce(size(Entry.verbatim), 0)
