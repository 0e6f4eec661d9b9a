"""A worker dies, hangs and comes back under load: what was acknowledged is there, once and in order."""

import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, make_url, text

from boocode_sessions import (
    ClaudeSessionRepository,
    SessionKey,
    TimedOutError,
    UnavailableError,
    migrations,
)
from boocode_sessions import engine as settings
from boocode_sessions.engine import create_engine
from tests.citus.gate import Gate
from tests.reliability.verdicts import Verdict, examine, wait_until
from tests.reliability.writers import Fleet, Order, a_fleet

pytestmark = pytest.mark.xdist_group("citus")

KINDS = ("repository", "store over Engine", "store over AsyncEngine", "async repository")


@pytest.fixture
def gated(new_on_cluster: str) -> Iterator[tuple[Engine, Gate]]:
    """A distributed database, one of whose workers is behind a gate."""
    if make_url(new_on_cluster).host not in {"localhost", "127.0.0.1"}:
        pytest.skip("the coordinator could not reach a gate on this machine")
    engine = create_engine(new_on_cluster)
    with engine.begin() as connection:
        node, host, port = connection.execute(
            text("SELECT nodeid, nodename, nodeport FROM pg_dist_node WHERE groupid > 0 ORDER BY 1 LIMIT 1")
        ).one()
        gate = Gate(host, port)
        connection.execute(
            text("SELECT citus_update_node(:node, '127.0.0.1', :port)"), {"node": node, "port": gate.port}
        )
    assert wait_until(lambda: _is_in_sync(engine), 60), "the cluster's own daemon tells the other nodes"
    migrations.distribute(engine, shard_count=8)
    yield engine, gate
    gate.open()
    with engine.begin() as connection:
        connection.execute(
            text("SELECT citus_update_node(:node, :host, :port)"), {"node": node, "host": host, "port": port}
        )
    engine.dispose()
    gate.close()


def _is_in_sync(engine: Engine) -> bool:
    all_synced = text("SELECT bool_and(metadatasynced) FROM pg_dist_node")
    with engine.connect() as connection:
        return bool(connection.execute(all_synced).scalar_one())


def keys_by_server(engine: Engine, gate: Gate) -> tuple[list[SessionKey], list[SessionKey]]:
    """Two sessions whose projects are behind the gate, and two elsewhere."""
    placed = text(
        "SELECT nodeport FROM citus_shards WHERE shardid ="
        " get_shard_id_for_distribution_column('claude_session_entries', CAST(:project AS TEXT))"
    )
    behind: list[SessionKey] = []
    elsewhere: list[SessionKey] = []
    with engine.connect() as connection:
        for number in range(64):
            project = f"project-{number}"
            port = connection.execute(placed, {"project": project}).scalar_one()
            (behind if port == gate.port else elsewhere).append({"project_key": project, "session_id": "s"})
    return behind[:2], elsewhere[:2]


def wait_for_progress(fleet: Fleet, numbers: range) -> None:
    before = [writer.count for writer in fleet.writers]
    assert wait_until(lambda: all(fleet.writers[n].count > before[n] + 5 for n in numbers), 60), (
        "a writer came to a halt"
    )


def test_appends_to_a_worker_that_dies_fail_as_ours_and_land_once(
    gated: tuple[Engine, Gate], publish: Callable[[Verdict], None]
) -> None:
    engine, gate = gated
    behind, elsewhere = keys_by_server(engine, gate)
    repository = ClaudeSessionRepository(engine)
    url = engine.url.render_as_string(hide_password=False)
    with a_fleet() as fleet:
        for number, kind in enumerate([*KINDS, *KINDS[:2]]):
            # The first four beside each other on the worker that dies, the last two on the other one.
            fleet.start(Order(f"w{number}", kind, url, behind if number < 4 else elsewhere, attempts=1000))
        wait_for_progress(fleet, range(6))
        for _ in range(3):
            gate.shut()
            began = time.monotonic()
            with pytest.raises(UnavailableError):
                repository.append(behind[0], [{"type": "user", "uuid": "refused"}])
            assert time.monotonic() - began < 10
            wait_for_progress(fleet, range(4, 6))
            gate.open()
            wait_for_progress(fleet, range(6))
        for writer in fleet.writers:
            writer.kill()
        total = Verdict(runs=0)
        for key in [*behind, *elsewhere]:
            stored = [entry for entry in repository.load(key) or [] if entry.get("uuid") != "refused"]
            total += examine(stored, fleet.acknowledged(key))
    total.runs, total.writers, total.faults = 1, 6, 3
    publish(total)


def test_an_append_to_a_worker_that_hangs_ends_in_time_and_lands_once(
    gated: tuple[Engine, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, gate = gated
    behind, elsewhere = keys_by_server(engine, gate)
    repository = ClaudeSessionRepository(engine)
    for key in (behind[0], elsewhere[0]):
        repository.append(key, [{"type": "user", "n": 0}])
    sent = [{"type": "user", "n": 1}]
    gate.block()
    monkeypatch.setattr(settings, "CALL_SECONDS", 2.0)
    began = time.monotonic()
    with pytest.raises((TimedOutError, UnavailableError)):
        repository.append(behind[0], sent)
    assert time.monotonic() - began < 10
    repository.append(elsewhere[0], [{"type": "user", "n": 1}])
    gate.open()
    monkeypatch.undo()

    def lands() -> bool:
        try:
            repository.append(behind[0], sent)
        except (TimedOutError, UnavailableError):
            return False
        return True

    assert wait_until(lands, 60)
    assert repository.load(behind[0]) == [{"type": "user", "n": 0}, *sent]
