"""One transcript after the other, each under its session's turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, tuple_

from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.operations import Tables, encoded_summary, fold_all, new_turn
from boocode_sessions._core.statements import contract as statements
from boocode_sessions._core.statements.contract import PROJECT, SESSION, SUBPATH, in_session, in_transcript
from boocode_sessions._core.unit_of_work import Transactions


class Progress(NamedTuple):
    """How far it has come, in rows."""

    done: int
    total: int


OnProgress = Callable[[Progress], object]


def each_transcript(transactions: Transactions, following: Select[str, str, str]) -> Iterator[Transcript]:
    """One after the other by what `following` selects after the last one; none twice."""
    last = Transcript("", "", "")

    def find(tables: Tables) -> Transcript | None:
        row = tables.select(following, in_transcript(last)).first()
        return None if row is None else Transcript(*row)

    while found := transactions.read("find the next transcript", find):
        last = found
        yield found


def after(*order: Any) -> ColumnElement[bool]:  # noqa: ANN401 - columns of tables and models
    """Whether a row comes after the transcript of the parameters, in the order of these columns."""
    given = {"project_key": PROJECT, "session_id": SESSION, "subpath": SUBPATH}
    return tuple_(*order) > tuple_(*(given[column.key or ""] for column in order))


def fold_main(main: Transcript, tables: Tables) -> bool:
    updated_at = take_turn(tables, main)
    data = fold_all(tables, main)
    if data is not None:
        finish_turn(tables, main, updated_at, data)
    return data is not None


def take_turn(tables: Tables, transcript: Transcript) -> datetime | None:
    return tables.select(statements.take_turn(tables.dialect), in_session(transcript.session)).one()[3]


def finish_turn(
    tables: Tables, transcript: Transcript, at: datetime | None, data: Mapping[str, Any] | None = None
) -> None:
    """Leave the turn. Without `data` the session has no summary: `backfill` folds it once it is complete."""
    finish = {**in_session(transcript.session), "next_turn": new_turn()}
    if transcript.is_main:
        finish |= {"at": at, "folded_data": encoded_summary(data)}
        tables.write(statements.finish_main_turn(folded=data is not None, written=False), finish)
    else:
        tables.write(statements.finish_turn(), finish)
