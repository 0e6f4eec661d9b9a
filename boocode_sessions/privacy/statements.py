"""SQL statements of `reencrypt`."""

from __future__ import annotations

from functools import cache

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    Select,
    Text,
    Update,
    bindparam,
    func,
    select,
    tuple_,
    update,
)

from boocode_sessions._core.sql.functions import text_json
from boocode_sessions._core.statements.parameters import (
    ENTRIES,
    PROJECT,
    SESSION,
    SESSIONS,
    Entry,
    exact_text,
    is_session,
    placed,
)
from boocode_sessions.models import ClaudeSession, SessionDigest


@cache
def select_searched() -> Select[str, str]:
    """Sessions in the search index. Shape: (project_key, session_id) per session."""
    digest = SessionDigest
    return (
        select(digest.project_key, digest.session_id)
        .where(digest.searched_to > 0)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def select_headers() -> Select[int, str, str, str | None]:
    """Placed entries after an id. Shape: (id, project_key, session_id, start of `verbatim`) per entry."""
    return (
        select(Entry.id, Entry.project_key, Entry.session_id, func.substr(Entry.verbatim, 1, _HEADER_CHARS))
        .where(Entry.id > bindparam("after", type_=BigInteger), placed())
        .order_by(Entry.id)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def select_stored() -> Select[int, str, str, str, int, bytes | None, str]:
    """Lock and select a project's entries with these ids. Shape: one row per entry, by id.

    A distributed database can lock rows of one project only.
    """
    return (
        select(
            Entry.id,
            Entry.project_key,
            Entry.session_id,
            Entry.subpath,
            Entry.position,
            Entry.dedup_key,
            exact_text(),
        )
        .where(Entry.project_key == PROJECT, Entry.id.in_(bindparam("ids", expanding=True, type_=BigInteger)))
        .order_by(Entry.id)
        .with_for_update()
    )


@cache
def update_stored() -> Update:
    return (
        update(ENTRIES)
        .where(ENTRIES.c.project_key == PROJECT, ENTRIES.c.id == bindparam("row_id", type_=BigInteger))
        .values(
            dedup_key=bindparam("new_key", type_=LargeBinary),
            entry=text_json(bindparam("new_entry", type_=Text)),
            verbatim=bindparam("new_verbatim", type_=Text),
        )
    )


@cache
def select_summaries() -> Select[str, str, str | None]:
    """Sessions after a session. Shape: (project_key, session_id, data) per session."""
    key = (ClaudeSession.project_key, ClaudeSession.session_id)
    return (
        select(*key, ClaudeSession.data)
        .where(tuple_(*key) > tuple_(PROJECT, SESSION))
        .order_by(*key)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def update_summary() -> Update:
    return (
        update(SESSIONS)
        .where(*is_session(), SESSIONS.c.data == bindparam("stored", type_=Text))
        .values(data=bindparam("new_data", type_=Text))
    )


_HEADER_CHARS = 80
"""Long enough for SEALED and the longest key id."""
