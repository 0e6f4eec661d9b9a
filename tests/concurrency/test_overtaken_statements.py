"""A statement that appends to many sessions, while their rows are written to under its feet."""

import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, SessionKey, SessionStoreEntry
from boocode_sessions.appends import Append, Appender
from boocode_sessions.contract import transcript_of
from boocode_sessions.engine import create_engine
from boocode_sessions.summaries import fold
from boocode_sessions.transactions import Transactions
from tests.fixtures.databases import Database
from tests.reliability.verdicts import SOAK, Verdict, examine, marked


@pytest.fixture
def engines(postgres_database: Database) -> Iterator[list[Engine]]:
    made = [create_engine(postgres_database.url) for _ in range(2)]
    yield made
    for engine in made:
        engine.dispose()


@pytest.mark.parametrize("meanwhile", ["a re-delivery that changes nothing", "an append"])
def test_a_row_that_changes_after_the_statement_began(
    engines: list[Engine], meanwhile: str, publish: Callable[[Verdict], None]
) -> None:
    """The large batch goes first, so that the small ones' rows are locked late."""
    keys: list[SessionKey] = [{"project_key": "overtaken", "session_id": str(uuid4())} for _ in range(4)]
    appender = Appender(Transactions(engines[0]))
    other = ClaudeSessionRepository(engines[1])
    first: list[list[SessionStoreEntry]] = [marked(f"w{n}", 0) for n in range(len(keys))]
    for key, batch in zip(keys, first, strict=True):
        other.append(key, batch)
    done = threading.Event()
    sent = {n: [(f"w{n}", 0, 3)] for n in range(len(keys))}
    together = [0]

    def write_meanwhile() -> None:
        number = 0
        uuids = [[e for e in batch if "uuid" in e] for batch in first]
        while not done.is_set():
            number += 1
            n = 1 + number % (len(keys) - 1)
            if meanwhile == "an append":
                other.append(keys[n], marked(f"o{n}", number))
                sent[n].append((f"o{n}", number, 3))
            else:
                other.append(keys[n], uuids[n])

    thread = threading.Thread(target=write_meanwhile)
    thread.start()
    try:
        for number in range(1, 25 * SOAK):
            prepared: list[Append] = []
            for n, key in enumerate(keys):
                size = 3 if n else 400
                append = appender.prepare(key, marked(f"w{n}", number, size))
                assert append is not None
                prepared.append(append)
                sent[n].append((f"w{n}", number, size))
            left = appender.run_together(prepared)
            together[0] += len(prepared) - len(left)
            for append in left:
                appender.run_alone(append)
            assert [append.error for append in prepared] == [None] * len(prepared)
    finally:
        done.set()
        thread.join()
    assert together[0] > 25 * SOAK, "hardly anything went together"
    summaries = {s["session_id"]: s for s in other.list_session_summaries("overtaken")}
    total = Verdict(runs=0)
    for n, key in enumerate(keys):
        stored = other.load(key) or []
        total += examine(stored, sent[n])
        assert summaries[key["session_id"]]["data"] == fold(None, transcript_of(key), stored)
    total.runs = 1
    publish(total)
