"""What questions are answered from follows behind the entries, whoever asks and writes meanwhile."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, make_url, select, text

from boocode_sessions import ClaudeSessionRepository, SessionKey, queries
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.catching_up import lock
from boocode_sessions.adoption import backfill
from boocode_sessions.engine import create_engine
from boocode_sessions.models import SessionCall, SessionDigest, SessionText, SessionToolUse
from tests.fixtures.databases import Database
from tests.queries.lines import answer, entries, key, prompt, result, tool_use

DERIVED = (SessionDigest, SessionCall, SessionToolUse, SessionText)


def write(engine: Engine, number: int, session_id: str = "s1") -> None:
    """A call that several sessions share, one of its own, a tool use with its result, and words."""
    lines = entries(
        prompt(f"u{number}", f"needle {session_id}"),
        answer(f"a{number}", tool_use(f"{session_id}.{number}"), call="shared", requestId="q"),
        answer(f"b{number}", "hay", call=f"{session_id}.{number}", requestId="q"),
        result(f"r{number}", f"{session_id}.{number}", seconds=2),
    )
    ClaudeSessionRepository(engine).append(key(session_id), lines)


def asked(bind: Any) -> tuple[Any, ...]:
    found = sorted(
        (match.session_id, match.uuid or "") for match in queries.search(bind, "needle", limit=500)
    )
    return queries.usage(bind), queries.tools(bind), found


def rows(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        counts = {m.__tablename__: connection.scalar(select(func.count()).select_from(m)) for m in DERIVED}
    return {name: count or 0 for name, count in counts.items()}


def test_an_append_and_a_load_know_nothing_of_the_derived_tables(engine: Engine) -> None:
    write(engine, 0)
    asked(engine)
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cur, statement, *_: sent.append(statement))
    write(engine, 1)
    repository = ClaudeSessionRepository(engine)
    repository.load(key())
    repository.list_sessions("p")
    repository.list_session_summaries("p")
    assert sent
    assert not [statement for statement in sent for model in DERIVED if model.__tablename__ in statement]


def test_a_callers_transaction_is_read_in_and_not_written_to(engine: Engine) -> None:
    write(engine, 0)
    with engine.connect() as connection:
        joined = asked(connection)
        connection.commit()
    assert set(rows(engine).values()) == {0}
    assert asked(engine) == joined
    assert rows(engine) == {
        "claude_session_digests": 1,
        "claude_session_calls": 2,
        "claude_session_tool_uses": 1,
        "claude_session_texts": 4,
    }


@pytest.fixture
def read_only(database: Database, disposing: Callable[[Engine], Engine]) -> Engine:
    """The same database, over connections that may only read."""
    url = make_url(database.url)
    if database.dialect == "sqlite":
        url = url.set(database=f"file:{url.database}", query={"mode": "ro", "uri": "true"})
        return disposing(create_engine(url))
    options = {"options": "-c default_transaction_read_only=on"}
    return disposing(create_engine(url, connect_args=options))


def test_who_may_only_read_gets_the_same_answers(engine: Engine, read_only: Engine) -> None:
    for number in range(2):
        for session_id in ("s1", "s2"):
            write(engine, number, session_id)
        before = asked(read_only)
        assert [usage.calls for usage in before[0]] == [1 + 2 * (number + 1)]
        assert asked(engine) == before == asked(read_only)


def test_two_who_ask_at_once_beside_writers_count_everything_once(engine: Engine) -> None:
    ends = threading.Event()

    def ask() -> None:
        while not ends.is_set():
            [row] = queries.usage(engine, by=())
            assert row.calls >= 1
            queries.search(engine, "needle")

    def write_on(session_id: str) -> None:
        for number in range(12):
            write(engine, number, session_id)

    write(engine, -1, "s0")
    with ThreadPoolExecutor(5) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        writing = [pool.submit(write_on, f"s{n}") for n in range(3)]
        for future in writing:
            future.result(60)
        ends.set()
        for future in asking:
            future.result(60)
    [row] = queries.usage(engine, by=())
    assert row.calls == 1 + 3 * 12 + 1
    assert queries.tools(engine)[0].calls == 3 * 12 + 1
    assert len(queries.search(engine, "needle", limit=500)) == 3 * 12 + 1
    with engine.connect() as connection:
        assert asked(connection) == asked(engine)


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_question_does_not_wait_long_for_another_who_takes_lines(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boocode_sessions._core.derived.catching_up.LOCK_SECONDS", 0.05)
    monkeypatch.setattr("boocode_sessions._core.derived.indexing.LOCK_SECONDS", 0.05)
    write(engine, 0)
    with engine.begin() as connection:
        lock(StoreConnection(connection))
        while_locked = asked(engine)
        assert set(rows(engine).values()) == {0}
    assert asked(engine) == while_locked


@pytest.mark.parametrize("dialect", ["postgresql"])  # SQLite has one writer
def test_a_session_that_is_begun_anew_beside_a_question_stops_no_question(
    engine: Engine, database: Database
) -> None:
    """It is not there when the question looks which digests are missing, and is again when it has them."""
    other = database.engine()
    for session_id in ("s1", "s2"):
        write(engine, 1, session_id)
    meanwhile = {
        "pg_advisory_xact_lock": lambda: ClaudeSessionRepository(other).delete(key("s2")),
        "INTO claude_session_digests": lambda: write(other, 2, "s2"),
    }

    def interfere(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        for part in [part for part in meanwhile if part in statement]:
            meanwhile.pop(part)()

    event.listen(engine, "before_cursor_execute", interfere)
    answers = asked(engine)
    assert not meanwhile
    event.remove(engine, "before_cursor_execute", interfere)
    assert answers == asked(engine)
    assert {session_id for session_id, _ in answers[2]} == {"s1", "s2"}
    other.dispose()


def test_backfill_takes_everything(engine: Engine) -> None:
    write(engine, 0)
    backfill(engine)
    assert all(rows(engine).values())


def test_what_is_prepared_is_not_taken_again(engine: Engine) -> None:
    for number in range(3):
        write(engine, number, f"s{number}")
    told: list[tuple[int, int]] = []
    queries.prepare(engine, progress=lambda done, of: told.append((done, of)))
    assert told == [(3, 3), (0, 3)]
    before = rows(engine)
    assert before["claude_session_texts"] == 12
    written: list[object] = []
    event.listen(engine, "commit", written.append)
    asked(engine)
    assert (rows(engine), written) == (before, [])
    with engine.connect() as connection:
        queries.prepare(connection)


def test_what_should_not_fail_is_told_in_the_log(
    engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write(engine, number)
    with engine.connect() as connection:  # whose transaction is not ours to write in
        expected = asked(connection)
    with engine.begin() as connection:
        connection.execute(text("CREATE UNIQUE INDEX hosts_own ON claude_session_calls (model)"))
    monkeypatch.setattr(logging.getLogger("boocode_sessions._core.derived"), "handlers", [])  # fails tests
    assert asked(engine) == expected
    assert "questions are answered slowly, from the entries: " in caplog.text
    assert "needle" not in caplog.text


def test_emptied_tables_fill_again(engine: Engine) -> None:
    write(engine, 0)
    before = asked(engine)
    with engine.begin() as connection:
        connection.execute(SessionDigest.__table__.delete())  # type: ignore[attr-defined]
    assert asked(engine) == before


def test_a_batch_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boocode_sessions._core.derived.catching_up.BATCH_LINES", 3)
    monkeypatch.setattr("boocode_sessions._core.derived.indexing.BATCH_CHARS", 1)
    monkeypatch.setattr("boocode_sessions._core.derived.indexing.PAGE_ENTRIES", 2)
    for number in range(3):
        write(engine, number, f"s{number % 2}")
    with engine.connect() as connection:
        joined = asked(connection)
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)
    assert asked(engine) == joined
    assert len(commits) >= 12 // 3 + 12 // 2


def test_search_that_may_not_write_finds_the_rest_of_a_session_that_lost_a_subagent(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    main: SessionKey = {"project_key": "p", "session_id": "s"}
    subagent: SessionKey = {**main, "subpath": "subagents/agent-1"}
    for where in (main, subagent):
        repository.append(where, [{"type": "user", "message": {"role": "user", "content": "umbrella"}}])
    assert len(queries.search(engine, "umbrella")) == 2
    repository.delete(subagent)
    with engine.connect() as connection:
        assert len(queries.search(connection, "umbrella")) == 1
    assert len(queries.search(engine, "umbrella")) == 1
