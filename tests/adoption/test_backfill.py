"""Rows of other writers get their keys, and their sessions a summary, in small transactions."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import fold_session_summary
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import sessionmaker

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions.adoption import Backfilled, Progress, backfill
from boocode_sessions.jsonl import import_tree
from tests.files.sample import write
from tests.migrations.other_stores import insert_unplaced

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
SUBAGENT: SessionKey = {**KEY, "subpath": "subagents/a"}


def lines(many: int, uuid: str = "u") -> list[dict[str, Any]]:
    """Every third without a uuid; every fifth with the one of its predecessor."""
    return [
        {"type": "user", "n": n, "message": {"content": f"prompt {n}"}}
        | ({} if n % 3 == 0 else {"uuid": f"{uuid}{n - (n % 5 == 0)}"})
        for n in range(many)
    ]


def keys(engine: Engine) -> list[bytes | None]:
    with engine.connect() as connection:
        return list(
            connection.execute(text("SELECT dedup_key FROM claude_session_entries ORDER BY id")).scalars()
        )


def test_every_row_is_placed_and_every_session_summed_up(engine: Engine) -> None:
    insert_unplaced(engine, KEY, lines(23))
    insert_unplaced(engine, SUBAGENT, lines(7))
    insert_unplaced(engine, {"project_key": "q", "session_id": "s"}, lines(1))
    repository = ClaudeSessionRepository(engine)
    before = repository.list_sessions("p"), repository.load(KEY), repository.load(SUBAGENT)
    assert repository.list_session_summaries("p") == []

    seen: list[Progress] = []
    assert backfill(engine, batch_rows=5, progress=seen.append) == Backfilled(placed=31, folded=2)

    assert seen[-1] == Progress(31, 31)
    assert None not in keys(engine)
    assert (repository.list_sessions("p"), repository.load(KEY), repository.load(SUBAGENT)) == before
    [summary] = repository.list_session_summaries("p")
    folded = fold_session_summary(None, KEY, lines(23))  # type: ignore[arg-type]
    assert summary["data"] == folded["data"]
    assert summary["mtime"] == before[0][0]["mtime"]


def test_a_second_run_finds_nothing_to_do(engine: Engine) -> None:
    insert_unplaced(engine, KEY, lines(8))
    backfill(engine)
    assert backfill(engine) == Backfilled(0, 0)


def test_what_is_placed_is_not_appended_again(engine: Engine) -> None:
    insert_unplaced(engine, KEY, lines(6))
    backfill(engine, batch_rows=2)
    repository = ClaudeSessionRepository(engine)
    with_uuid = [line for line in lines(6) if "uuid" in line][:1]
    repository.append(KEY, with_uuid)
    assert repository.load(KEY) == lines(6)


@pytest.mark.parametrize("body", [1, 2], ids=["the first body", "the second body"])
def test_a_row_that_repeats_a_uuid_is_not_appended_again(engine: Engine, body: int) -> None:
    said = [{"type": "user", "uuid": "u", "n": number} for number in (1, 2, 2)]
    insert_unplaced(engine, KEY, said)
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [{"type": "user", "uuid": "u", "n": body}])
    assert repository.load(KEY) == said


def test_rows_that_repeat_a_uuid_are_not_imported_again(engine: Engine, tmp_path: Path) -> None:
    said = [{"type": "user", "uuid": "u", "n": number} for number in (1, 2, 2, 3, 2, 2)]
    insert_unplaced(engine, KEY, said)
    backfill(engine, batch_rows=3)
    write(tmp_path / KEY["project_key"] / f"{KEY['session_id']}.jsonl", said)
    assert import_tree(engine, tmp_path).added == 0
    assert ClaudeSessionRepository(engine).load(KEY) == said


def test_an_interrupted_run_is_taken_up_again(engine: Engine) -> None:
    insert_unplaced(engine, KEY, lines(10))

    def interrupt(progress: Progress) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backfill(engine, batch_rows=2, progress=interrupt)
    assert keys(engine).count(None) == 6
    repository = ClaudeSessionRepository(engine)
    assert repository.list_session_summaries("p") == []  # a fold of a part would look fresh
    assert [s["session_id"] for s in repository.list_sessions("p")] == ["s"]
    assert backfill(engine, batch_rows=2) == Backfilled(6, 1)
    assert [s["session_id"] for s in repository.list_session_summaries("p")] == ["s"]


def test_an_append_between_two_batches_is_in_order_and_folded(engine: Engine) -> None:
    insert_unplaced(engine, KEY, lines(10))
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [{"type": "user", "uuid": "early"}])
    insert_unplaced(engine, KEY, lines(4, "late"))
    ours: dict[str, Any] = {"type": "user", "uuid": "ours"}

    def append_once(progress: Progress) -> None:
        if progress.done == 2:
            repository.append(KEY, [ours])

    backfill(engine, batch_rows=2, progress=append_once)
    expected = [*lines(10), {"type": "user", "uuid": "early"}, *lines(4, "late"), ours]
    assert repository.load(KEY) == expected
    [summary] = repository.list_session_summaries("p")
    assert summary["data"] == fold_session_summary(None, KEY, expected)["data"]  # type: ignore[arg-type]


def test_no_transaction_is_larger_than_a_batch(engine: Engine) -> None:
    insert_unplaced(engine, KEY, lines(12))
    open_rows: list[int] = [0]

    @event.listens_for(engine, "commit")
    def _commit(_connection: object) -> None:
        open_rows.append(0)

    @event.listens_for(engine, "before_cursor_execute")
    def _count(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("UPDATE") and "dedup_key" in statement:
            open_rows[-1] += len(parameters) if isinstance(parameters, list) else 1

    backfill(engine, batch_rows=5)
    assert max(open_rows) == 5
    assert sum(open_rows) == 12


@pytest.fixture(params=["Connection", "Session", "sessionmaker"])
def bind(request: pytest.FixtureRequest, engine: Engine) -> Iterator[tuple[Any, Callable[[], None]]]:
    if request.param == "Connection":
        with engine.connect() as connection:
            yield connection, connection.commit
    elif request.param == "Session":
        with OrmSession(engine) as db:
            yield db, db.commit
    else:
        yield sessionmaker(engine), lambda: None


def test_any_bind_will_do(bind: tuple[Any, Callable[[], None]], engine: Engine) -> None:
    insert_unplaced(engine, KEY, lines(5))
    given, commit = bind
    assert backfill(given, batch_rows=2) == Backfilled(5, 1)
    commit()
    assert None not in keys(engine)
