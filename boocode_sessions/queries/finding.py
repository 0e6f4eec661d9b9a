"""Which session a person means."""

import dataclasses

from sqlalchemy import ColumnElement, func, select, union

from boocode_sessions._core.arguments import at_least, checked
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import check_parts
from boocode_sessions._core.statements.parameters import unplaced
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import AmbiguousSessionError, UnknownSessionError
from boocode_sessions.models import ClaudeSession
from boocode_sessions.models import ClaudeSessionEntry as Entry

NAMED = 5
"""How many of several sessions an error names."""


@dataclasses.dataclass(frozen=True, slots=True)
class SessionRef:
    """Names one session."""

    project_key: str
    session_id: str


@checked
def projects(
    bind: Bind, *, containing: str = "", limit: int | None = None, schema: str | None = None
) -> list[str]:
    """The project keys that have sessions, sorted; `containing` a text, if one is given, in any case."""
    at_least(0, limit=limit)

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
    """The session whose id is, or begins with, `session_id`.

    Raises UnknownSessionError when there is none, AmbiguousSessionError, which names up to five,
    when there are several.
    """
    return UnitOfWork(bind, schema).read(
        f"find session {session_id!r}", lambda connection: only_session(connection, session_id, project_key)
    )


def only_session(connection: StoreConnection, session_id: str, project_key: str | None) -> SessionRef:
    """As find_session, inside another question."""
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
    """One more than are named, at most. From the sessions' rows, and from rows of other programs."""

    def wanted(model: type[Entry] | type[ClaudeSession]) -> list[ColumnElement[bool]]:
        # Not LIKE, which takes A for a on SQLite.
        conditions = [func.substr(model.session_id, 1, len(prefix)) == prefix]
        return conditions if project_key is None else [*conditions, model.project_key == project_key]

    ours = select(ClaudeSession.project_key, ClaudeSession.session_id).where(*wanted(ClaudeSession))
    others = select(Entry.project_key, Entry.session_id).where(unplaced(), *wanted(Entry))
    # An exact id first: among many that begin alike it must be one of these.
    both = union(ours, others).subquery("both")
    statement = (
        select(both)
        .order_by((both.c.session_id != prefix), both.c.session_id, both.c.project_key)
        .limit(NAMED + 1)
    )
    return [SessionRef(project, session) for project, session in connection.select(statement)]
