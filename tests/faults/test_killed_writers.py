"""Writers are killed with `kill -9` amid their appends; what they were told has landed is there."""

import random
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions._core.append.plan import PAGE_ROWS
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import transcript_of
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database
from tests.reliability.verdicts import Verdict, examine, marked, scaled, wait_until
from tests.reliability.writers import Fleet, Order, a_fleet

KINDS = ("repository", "store over Engine", "store over AsyncEngine", "async repository")


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with a_fleet() as made:
        yield made


def test_a_writer_that_is_killed_again_and_again_loses_and_doubles_nothing(
    database: Database, engine: Engine, fleet: Fleet, publish: Callable[[Verdict], None]
) -> None:
    kills = scaled(50)
    keys: list[SessionKey] = [{"project_key": "killed", "session_id": str(uuid4())}]
    keys.append({**keys[0], "subpath": "subagents/agent-1"})
    chooser = random.Random(11)

    def start(number: int) -> None:
        fleet.start(Order(f"w{number}", KINDS[number % len(KINDS)], database.url, keys, attempts=3))

    for number in range(3):
        start(number)
    for number in range(kills):
        victim = fleet.writers[number]
        assert wait_until(lambda victim=victim: victim.count > 0, 30), "it wrote nothing"  # type: ignore[misc]
        time.sleep(chooser.uniform(0, 0.03))
        victim.kill()
        start(number + 3)
    for writer in fleet.writers[kills:]:
        writer.kill()
    repository = ClaudeSessionRepository(engine)
    repository.append(keys[0], marked("last", 0, 1))  # after whatever was under way
    total = Verdict(runs=0)
    for key in keys:
        total += examine(repository.load(key) or [], fleet.acknowledged(key))
    (summary,) = repository.list_session_summaries("killed")
    assert summary["data"] == fold(None, transcript_of(keys[0]), repository.load(keys[0]) or [])
    total.runs, total.writers, total.faults = 1, len(fleet.writers), len(fleet.writers)
    publish(total)


def test_a_writer_that_is_killed_amid_the_pages_of_an_append_leaves_all_or_none_of_it(
    postgres_database: Database, fleet: Fleet, publish: Callable[[Verdict], None]
) -> None:
    kills = scaled(20)
    chooser = random.Random(12)
    keys: list[SessionKey] = [{"project_key": "amid", "session_id": str(uuid4())} for _ in range(kills)]
    for number, one in enumerate(keys):
        order = Order(f"w{number}", KINDS[number % 4], postgres_database.url, [one], size=3 * PAGE_ROWS)
        victim = fleet.start(order)
        assert wait_until(lambda victim=victim: victim.count > 1, 30), "it wrote nothing"  # type: ignore[misc]
        time.sleep(chooser.uniform(0, 0.03))
        victim.kill()
    engine = create_engine(postgres_database.url)
    repository = ClaudeSessionRepository(engine)
    total = Verdict(runs=0)
    for one in keys:
        beside: SessionKey = {**one, "subpath": "subagents/agent-1"}
        repository.append(beside, [{"type": "user"}])  # after whatever was under way
        total += examine(repository.load(one) or [], fleet.acknowledged(one))
    for summary in repository.list_session_summaries("amid"):
        key: SessionKey = {"project_key": "amid", "session_id": summary["session_id"]}
        assert summary["data"] == fold(None, transcript_of(key), repository.load(key) or [])
    total.runs, total.writers, total.faults = 1, kills, kills
    publish(total)
    engine.dispose()
