"""One call between any two statements of another: the result is that of one after the other."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database
from tests.reliability.consistency import assert_consistent
from tests.reliability.verdicts import examine, marked


class Interloper:
    """Runs a call of another program after the n-th statement of an engine's."""

    def __init__(self, engine: Engine) -> None:
        self._calls: dict[int, Callable[[], object]] = {}
        self._statements = 0
        self._threads = ThreadPoolExecutor(4)
        self._running: list[Future[object]] = []
        event.listen(engine, "after_cursor_execute", self._after)

    def after(self, statement: int, call: Callable[[], object]) -> None:
        self._statements = 0
        self._calls = {statement: call}

    def finish(self) -> bool:
        """Wait for the calls; whether any was made."""
        made, self._running = self._running, []
        for call in made:
            call.result(timeout=20)
        return bool(made)

    def close(self) -> None:
        self._threads.shutdown()

    def _after(self, *_: Any) -> None:
        self._statements += 1
        if (call := self._calls.pop(self._statements, None)) is not None:
            done = threading.Event()
            self._running.append(self._threads.submit(call))
            self._running[-1].add_done_callback(lambda _: done.set())
            done.wait(0.2)  # it may have to wait for us


@pytest.fixture
def interloper(postgres_database: Database) -> Iterator[tuple[ClaudeSessionRepository, Interloper]]:
    engine = create_engine(postgres_database.url)
    repository = ClaudeSessionRepository(engine)
    repository.load({"project_key": "interleaved", "session_id": "the schema is checked once"})
    made = Interloper(engine)
    yield repository, made
    made.close()
    engine.dispose()


@pytest.fixture
def other(postgres_database: Database) -> Iterator[ClaudeSessionRepository]:
    engine = create_engine(postgres_database.url)
    yield ClaudeSessionRepository(engine)
    engine.dispose()


def new_session() -> SessionKey:
    return {"project_key": "interleaved", "session_id": str(uuid4())}


@pytest.mark.parametrize("statement", range(1, 5))
@pytest.mark.parametrize("written", [False, True], ids=["a new session", "a session"])
def test_an_append_in_the_middle_of_a_delete(
    interloper: tuple[ClaudeSessionRepository, Interloper],
    other: ClaudeSessionRepository,
    statement: int,
    written: bool,
) -> None:
    deleter, interlope = interloper
    key = new_session()
    if written:
        other.append(key, marked("before", 0))

    def append_twice() -> None:
        other.append(key, marked("other", 0))
        other.append(key, marked("other", 1))

    interlope.after(statement, append_twice)
    deleter.delete(key)
    if not interlope.finish():
        assert statement > 2
        return
    assert_consistent(other, key)
    assert other.load(key) is None or (
        examine(other.load(key) or [], [("other", 0, 3), ("other", 1, 3)]).wrong == 0
    )


@pytest.mark.parametrize("statement", range(1, 6))
@pytest.mark.parametrize("call", ["append", "delete", "subagent"])
def test_a_call_in_the_middle_of_an_append(
    interloper: tuple[ClaudeSessionRepository, Interloper],
    other: ClaudeSessionRepository,
    statement: int,
    call: str,
) -> None:
    appender, interlope = interloper
    key = new_session()
    subagent: SessionKey = {**key, "subpath": "subagents/agent-1"}
    calls: dict[str, Callable[[], object]] = {
        "append": lambda: other.append(key, marked("other", 0)),
        "delete": lambda: other.delete(key),
        "subagent": lambda: other.append(subagent, marked("other", 0)),
    }
    for number in range(3):  # the first locks the session, the others come in one statement
        interlope.after(statement, calls[call])
        appender.append(key, marked("writer", number))
        if interlope.finish():
            assert_consistent(other, key)
        other.delete(subagent)
    if call != "delete":
        verdict = examine(other.load(key) or [], [("writer", number, 3) for number in range(3)])
        assert (verdict.lost, verdict.half_written) == (0, 0)
