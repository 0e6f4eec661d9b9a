"""Finds sessions by the beginning of an id, and lists projects."""

import dataclasses

from sqlalchemy import ColumnElement, func, select, union

from boocode_sessions._core.arguments import check_at_least, checked
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import check_parts
from boocode_sessions._core.statements.parameters import unplaced
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import AmbiguousSessionError, UnknownSessionError
from boocode_sessions.models import ClaudeSession
from boocode_sessions.models import ClaudeSessionEntry as Entry

NAMED = 5
"""Maximum sessions that an error names."""


@dataclasses.dataclass(frozen=True, slots=True)
class SessionRef:
    """Names one session."""

    project_key: str
    session_id: str


@checked
def projects(
    bind: Bind, *, containing: str = "", limit: int | None = None, schema: str | None = None
) -> list[str]:
    """Return the project keys that have sessions, sorted.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        containing: Only project keys that contain this text, in upper or lower case.
        limit: Most project keys to return; None for all.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        SessionStoreError: The database can't be read.
    """
    check_at_least(0, limit=limit)

    def wanted(model: type[Entry] | type[ClaudeSession]) -> ColumnElement[bool]:
        return model.project_key.icontains(containing, autoescape=True)

    both = union(
        select(ClaudeSession.project_key).where(wanted(ClaudeSession)),
        select(Entry.project_key).where(unplaced(), wanted(Entry)),
    ).subquery("both")
    statement = select(both.c.project_key).order_by(both.c.project_key).limit(limit)
    return UnitOfWork(bind, schema).read(
        "list the projects", lambda connection: [key for (key,) in connection.select(statement)]
    )


@checked
def find_session(
    bind: Bind, session_id: str, *, project_key: str | None = None, schema: str | None = None
) -> SessionRef:
    """Return the session whose id is `session_id`, or else the only one whose id begins with it.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        session_id: The session's id, or its beginning.
        project_key: Look only in this project.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        UnknownSessionError: No session has such an id.
        AmbiguousSessionError: Several sessions have such an id. The message names up to five.
    """
    return UnitOfWork(bind, schema).read(
        f"find session {session_id!r}", lambda connection: only_session(connection, session_id, project_key)
    )


def only_session(connection: StoreConnection, session_id: str, project_key: str | None) -> SessionRef:
    """Like `find_session`, on the connection of another query."""
    check_parts(session_id=session_id, project_key=project_key)
    where = "" if project_key is None else f" of project {project_key!r}"
    found = _matching(connection, session_id, project_key)
    exact = [one for one in found if one.session_id == session_id]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise UnknownSessionError(f"no session{where} has an id that begins with {session_id!r}")
    raise AmbiguousSessionError(
        f"several sessions{where} have an id that begins with {session_id!r}: {_advice(exact or found)}"
    )


def _advice(meant: list[SessionRef]) -> str:
    same = len({one.session_id for one in meant}) == 1
    named = [f"{one.session_id} in {one.project_key}" for one in meant[:NAMED]]
    more = ["and more"] if len(meant) > NAMED else []
    return ("name the project: " if same else "give more of it: ") + ", ".join(named + more)


def _matching(connection: StoreConnection, prefix: str, project_key: str | None) -> list[SessionRef]:
    """Return matching sessions, from our rows and those of other programs: at most one more than NAMED."""

    def wanted(model: type[Entry] | type[ClaudeSession]) -> list[ColumnElement[bool]]:
        # Not LIKE: on SQLite it ignores case.
        conditions = [func.substr(model.session_id, 1, len(prefix)) == prefix]
        return conditions if project_key is None else [*conditions, model.project_key == project_key]

    ours = select(ClaudeSession.project_key, ClaudeSession.session_id).where(*wanted(ClaudeSession))
    others = select(Entry.project_key, Entry.session_id).where(unplaced(), *wanted(Entry))
    # An exact id comes first, so that the limit never cuts it off.
    both = union(ours, others).subquery("both")
    statement = (
        select(both)
        .order_by((both.c.session_id != prefix), both.c.session_id, both.c.project_key)
        .limit(NAMED + 1)
    )
    return [SessionRef(project, session) for project, session in connection.select(statement)]
