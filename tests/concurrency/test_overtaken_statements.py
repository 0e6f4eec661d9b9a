"""A batch that appends to many sessions, while their rows are written to under its feet."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, SessionKey, SessionStoreEntry
from boocode_sessions._core.append.appender import Appender
from boocode_sessions._core.append.request import AppendRequest
from boocode_sessions._core.unit_of_work import UnitOfWork
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database
from tests.reliability.consistency import assert_consistent
from tests.reliability.verdicts import Verdict, examine, marked, scaled


@pytest.fixture
def engines(postgres_database: Database) -> Iterator[list[Engine]]:
    made = [create_engine(postgres_database.url) for _ in range(2)]
    yield made
    for engine in made:
        engine.dispose()


@pytest.mark.parametrize("meanwhile", ["a re-delivery that changes nothing", "an append"])
def test_a_row_that_changes_after_the_batch_began(
    engines: list[Engine], meanwhile: str, publish: Callable[[Verdict], None]
) -> None:
    """The large batch goes first, so that the small ones' rows are locked late.

    One small session is written to in each round, at any instant of it: then nothing of the batch is written,
    or all but that session, and what is left goes alone.
    """
    keys: list[SessionKey] = [{"project_key": "overtaken", "session_id": str(uuid4())} for _ in range(4)]
    appender = Appender(UnitOfWork(engines[0]))
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

    rounds = scaled(25)
    with ThreadPoolExecutor(1) as beside:
        for number in range(1, rounds + 1):
            prepared: list[AppendRequest] = []
            for n, key in enumerate(keys):
                size = 3 if n else 400
                request = appender.request(key, marked(f"w{n}", number, size))
                assert request is not None
                prepared.append(request)
                sent[n].append((f"w{n}", number, size))
            disturbed = 1 + number % (len(keys) - 1)
            writing = beside.submit(write_meanwhile, disturbed, number, random.uniform(0, took))
            began = time.perf_counter()
            outcomes = appender.run_known(prepared)
            took = time.perf_counter() - began
            assert [outcome.error for outcome in outcomes] == [None] * len(prepared)
            for request, outcome in zip(prepared, outcomes, strict=True):
                together += outcome.landed
                if not outcome.landed:
                    assert appender.run_locked(request).landed
            writing.result()
            assert_consistent(other, keys[disturbed])
    assert together, "no batch was quick enough to go together"
    total = Verdict(runs=0)
    for n, key in enumerate(keys):
        stored = other.load(key) or []
        total += examine(stored, sent[n])
        assert_consistent(other, key)
    total.runs = 1
    publish(total)
