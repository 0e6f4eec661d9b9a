"""Writers through two nodes of the cluster: positions order what they write, not ids."""

from collections.abc import Callable

import pytest

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database
from tests.reliability.subjects import opened
from tests.reliability.verdicts import Verdict, examine, marked, wait_until
from tests.reliability.writers import Order, a_fleet

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("citus")]

SIZES = (1, 40, 1, 600, 2, 17, 1, 300, 3)


async def test_calls_alternate_between_the_coordinator_and_a_worker(
    cluster: Database, a_worker: str, publish: Callable[[Verdict], None]
) -> None:
    total = Verdict(runs=0)
    async with (
        opened("store over Engine", cluster.url) as one,
        opened("store over AsyncEngine", a_worker) as other,
    ):
        for session in range(10):
            key: SessionKey = {"project_key": f"p{session}", "session_id": "s"}
            sent = []
            for number, size in enumerate(SIZES):
                batch = marked("w", number, size)
                await (other if number % 2 else one).append(key, batch)
                sent += batch
            assert await one.load(key) == await other.load(key) == sent
            total += examine(sent, [("w", number, size) for number, size in enumerate(SIZES)])
    total.runs = 1
    publish(total)


def test_processes_write_through_both(
    cluster: Database, a_worker: str, publish: Callable[[Verdict], None]
) -> None:
    key: SessionKey = {"project_key": "both", "session_id": "s"}
    with a_fleet() as fleet:
        for number, url in enumerate([cluster.url, a_worker] * 2):
            kind = ("repository", "store over Engine")[number // 2]
            fleet.start(Order(f"w{number}", kind, url, [key], attempts=50))
        assert wait_until(lambda: all(w.count > 20 for w in fleet.writers), 60), "a writer came to a halt"
        for writer in fleet.writers:
            writer.kill()
        acknowledged = fleet.acknowledged(key)
    engine = create_engine(a_worker)
    verdict = examine(ClaudeSessionRepository(engine).load(key) or [], acknowledged)
    engine.dispose()
    verdict.writers = 4
    publish(verdict)
