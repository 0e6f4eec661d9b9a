"""The primary is killed under load and its standby promoted: writers that know both hosts go on."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions.engine import create_engine
from tests.reliability.verdicts import Verdict, examine, wait_until
from tests.reliability.writers import Fleet, Order, a_fleet
from tests.replicas.conftest import Pair, text

KINDS = ("repository", "store over Engine", "store over AsyncEngine", "async repository")


def test_nothing_acknowledged_is_lost_with_synchronous_replication(
    publish: Callable[[Verdict], None],
) -> None:
    with tempfile.TemporaryDirectory(prefix="boocode-failover-", ignore_cleanup_errors=True) as folder:
        pair = Pair(Path(folder))
        try:
            publish(_fail_over(pair))
        finally:
            pair.standby.stop("immediate")


def _fail_over(pair: Pair) -> Verdict:
    pair.primary.set("synchronous_standby_names", "*")
    with psycopg.connect(text(pair.primary.url).replace("+psycopg", ""), autocommit=True) as primary:
        state = "SELECT sync_state FROM pg_stat_replication"
        assert wait_until(lambda: primary.execute(state).fetchone() == ("sync",))
    hosts = f"{pair.primary.sockets},{pair.standby.sockets}"
    url = pair.primary.url.set(query={"host": hosts, "target_session_attrs": "read-write"})
    keys: list[SessionKey] = [{"project_key": "failover", "session_id": str(uuid4())} for _ in range(3)]
    with a_fleet() as fleet:
        for number, kind in enumerate(KINDS):
            # One session of their own, and one that they share.
            theirs = [keys[number % 2], keys[2]]
            fleet.start(Order(f"w{number}", kind, text(url), theirs, attempts=200))
        _wait_for_progress(fleet)
        pair.primary.kill()
        pair.standby.promote()
        _wait_for_progress(fleet)
        for writer in fleet.writers:
            writer.kill()
        engine = create_engine(url)
        repository = ClaudeSessionRepository(engine)
        total = Verdict(runs=0)
        for key in keys:
            total += examine(repository.load(key) or [], fleet.acknowledged(key))
        engine.dispose()
    total.runs, total.writers, total.faults = 1, len(KINDS), 1
    return total


def _wait_for_progress(fleet: Fleet) -> None:
    before = [writer.count for writer in fleet.writers]
    assert wait_until(
        lambda: all(w.count > then + 20 for w, then in zip(fleet.writers, before, strict=True)), 60
    ), "a writer came to a halt"
