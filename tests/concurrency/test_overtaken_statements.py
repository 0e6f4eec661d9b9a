"""A statement that appends to many sessions, while their rows are written to under its feet."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, SessionKey, SessionStoreEntry
from boocode_sessions._core.append.appender import Append, Appender
from boocode_sessions._core.unit_of_work import Transactions
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database
from tests.reliability.consistency import assert_consistent
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
    """The large batch goes first, so that the small ones' rows are locked late.

    One small session is written to in each round, at any instant of it: the others can always go together.
    """
    keys: list[SessionKey] = [{"project_key": "overtaken", "session_id": str(uuid4())} for _ in range(4)]
    appender = Appender(Transactions(engines[0]))
    other = ClaudeSessionRepository(engines[1])
    first: list[list[SessionStoreEntry]] = [marked(f"w{n}", 0) for n in range(len(keys))]
    for key, batch in zip(keys, first, strict=True):
        other.append(key, batch)
    sent = {n: [(f"w{n}", 0, 3)] for n in range(len(keys))}
    uuids = [[e for e in batch if "uuid" in e] for batch in first]
    together = 0
    took = 0.0

    def write_meanwhile(n: int, number: int, delay: float) -> None:
        time.sleep(delay)
        if meanwhile == "an append":
            other.append(keys[n], marked(f"o{n}", number))
            sent[n].append((f"o{n}", number, 3))
        else:
            other.append(keys[n], uuids[n])

    rounds = 25 * SOAK
    with ThreadPoolExecutor(1) as beside:
        for number in range(1, rounds + 1):
            prepared: list[Append] = []
            for n, key in enumerate(keys):
                size = 3 if n else 400
                append = appender.prepare(key, marked(f"w{n}", number, size))
                assert append is not None
                prepared.append(append)
                sent[n].append((f"w{n}", number, size))
            disturbed = 1 + number % (len(keys) - 1)
            writing = beside.submit(write_meanwhile, disturbed, number, random.uniform(0, took))
            began = time.perf_counter()
            left = appender.run_together(prepared)
            took = time.perf_counter() - began
            together += len(prepared) - len(left)
            for append in left:
                appender.run_alone(append)
            writing.result()
            assert [append.error for append in prepared] == [None] * len(prepared)
            assert_consistent(other, keys[disturbed])
    assert together >= 2 * (rounds - 1), "the large session and an undisturbed one go together in every round"
    total = Verdict(runs=0)
    for n, key in enumerate(keys):
        stored = other.load(key) or []
        total += examine(stored, sent[n])
        assert_consistent(other, key)
    total.runs = 1
    publish(total)
