"""Goes through transcripts one by one, and works on each under its session's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, tuple_

from boocode_sessions._core.append.place import Summary, lock_row, recount
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.statements.parameters import PROJECT, SESSION, SUBPATH, in_session, in_transcript
from boocode_sessions._core.statements.place import select_summary
from boocode_sessions._core.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Progress:
    """How far `adopt` or `backfill` has come, in rows."""

    done: int
    total: int


OnProgress = Callable[[Progress], object]


def each_transcript(unit_of_work: UnitOfWork, following: Select[str, str, str]) -> Iterator[Transcript]:
    """Yield transcripts in keyset order. `following` selects the next one after the last."""
    last = Transcript("", "", "")

    def find(connection: StoreConnection) -> Transcript | None:
        row = connection.select(following, in_transcript(last)).first()
        return None if row is None else Transcript(*row)

    while found := unit_of_work.read("find the next transcript", find):
        last = found
        yield found


def after(*order: Any) -> ColumnElement[bool]:  # noqa: ANN401 - columns of tables and models
    """Condition: a row comes after the transcript of the parameters, in the order of these columns."""
    given = {"project_key": PROJECT, "session_id": SESSION, "subpath": SUBPATH}
    return tuple_(*order) > tuple_(*(given[column.key or ""] for column in order))


def lock_at(connection: StoreConnection, transcript: Transcript) -> int:
    """Lock a transcript's session, and return the position that its next entry gets."""
    return lock_row(connection, transcript.session)[0]


def fold_main(main: Transcript, connection: StoreConnection) -> bool:
    """Count a session's entries and fold its summary anew. Returns True if it has a summary now."""
    next_position = lock_at(connection, main)
    recount(connection, main.session, next_position, Summary.FOLD)
    return connection.select(select_summary(), in_session(main.session)).scalar_one() is not None
