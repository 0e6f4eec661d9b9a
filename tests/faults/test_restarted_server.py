"""PostgreSQL is stopped and started under load, politely and not."""

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, event, text

from boocode_sessions import ClaudeSessionRepository, SessionKey, UnavailableError, migrations
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import transcript_of
from boocode_sessions.engine import create_engine
from boocode_sessions.retention import erase
from tests.fixtures.databases import Database
from tests.fixtures.servers import EmbeddedPostgres
from tests.reliability.verdicts import Verdict, examine, scaled, wait_until
from tests.reliability.writers import Fleet, Order, a_fleet

KINDS = ("repository", "store over Engine", "store over AsyncEngine", "async repository")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server of our own, which writes to its disk before it answers."""
    with tempfile.TemporaryDirectory(prefix="boocode-faults-", ignore_cleanup_errors=True) as folder:
        made = EmbeddedPostgres(Path(folder) / "data", "-c fsync=on -c synchronous_commit=on")
        made.start()
        migrations.upgrade(address(made.url))
        yield made
        made.stop("immediate")


def address(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_under_load_loses_and_doubles_nothing(
    server: EmbeddedPostgres, mode: str, publish: Callable[[Verdict], None]
) -> None:
    keys: list[SessionKey] = [{"project_key": mode, "session_id": str(uuid4())}]
    keys.append({**keys[0], "subpath": "subagents/agent-1"})
    keys += [{"project_key": mode, "session_id": str(uuid4())} for _ in range(2)]
    restarts = scaled(3)
    with a_fleet() as fleet:
        for number, kind in enumerate(KINDS):
            fleet.start(Order(f"w{number}", kind, address(server.url), keys[:2], attempts=200))
        for number, kind in enumerate(KINDS[2:]):  # each the only one at its session, and so in parts
            own = Order(f"o{number}", kind, address(server.url), [keys[2 + number]], size=40, attempts=200)
            fleet.start(own)
        for _ in range(restarts):
            before = [writer.count for writer in fleet.writers]
            assert wait_until(
                lambda before=before: all(  # type: ignore[misc]
                    w.count > then + 4 for w, then in zip(fleet.writers, before, strict=True)
                ),
                60,
            ), "a writer came to a halt"
            server.restart(mode)
        time.sleep(0.5)
        for writer in fleet.writers:
            writer.kill()
        verdict = verdict_of(server, fleet, keys)
    verdict.writers, verdict.faults = len(KINDS), restarts
    publish(verdict)


def verdict_of(server: EmbeddedPostgres, fleet: Fleet, keys: list[SessionKey]) -> Verdict:
    engine = create_engine(server.url)
    repository = ClaudeSessionRepository(engine)
    total = Verdict(runs=0)
    for key in keys:
        total += examine(repository.load(key) or [], fleet.acknowledged(key))
    project_key = keys[0]["project_key"]
    summaries = {s["session_id"]: s["data"] for s in repository.list_session_summaries(project_key)}
    for key in keys:
        if "subpath" not in key:
            folded = fold(None, transcript_of(key), repository.load(key) or [])
            assert summaries[key["session_id"]] == folded
    engine.dispose()
    total.runs = 1
    return total


def test_a_server_that_is_down_is_said_to_be_unavailable_and_found_again(server: EmbeddedPostgres) -> None:
    key: SessionKey = {"project_key": "down", "session_id": "s"}
    engine = create_engine(server.url)
    repository = ClaudeSessionRepository(engine)
    repository.append(key, [{"type": "user"}])
    server.stop("fast")
    calls: list[Callable[[], object]] = [
        lambda: repository.load(key),
        lambda: repository.append(key, [{"type": "user"}]),
    ]
    for call in calls:
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            call()
        assert time.monotonic() - started < 5
    server.start()
    repository.append(key, [{"type": "user"}])
    assert len(repository.load(key) or []) == 2
    engine.dispose()


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_a_connection_that_breaks_when_it_is_given_back_is_said_to_be_lost(
    database: Database, engine: Engine, driver: str
) -> None:
    """After the answer, and before the pool has set the connection right for its next user."""
    over = create_engine(database.url_over(driver))
    repository = ClaudeSessionRepository(over)
    key: SessionKey = {"project_key": "p", "session_id": "s"}
    batches: list[Any] = [[{"type": "user", "n": number}] for number in range(4)]
    repository.append(key, batches[0])
    repository.append(key, batches[1])
    repository.load(key)
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    end = text(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")
    begin = re.compile("SELECT|WITH")
    breaking = False

    def break_it(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal breaking
        if breaking and "claude_session_entries" in statement and begin.match(statement):
            breaking = False
            with engine.connect() as administrator:
                administrator.execute(end)

    event.listen(over, "after_cursor_execute", break_it)
    breaking = True
    assert repository.load(key) == [*batches[0], *batches[1]]
    for batch in batches[2:]:
        breaking = True
        landed = False
        while not landed:
            with suppress(UnavailableError):
                repository.append(key, batch)
                landed = True
    assert repository.load(key) == [entry for batch in batches for entry in batch]
    over.dispose()


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_an_erasure_whose_connection_breaks_when_it_is_given_back_raises_an_error_of_ours(
    database: Database, engine: Engine
) -> None:
    """SQLAlchemy passes on what pg8000 raises then."""
    over = create_engine(database.url_over("pg8000"))
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    end = text(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")

    def break_it(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("VACUUM"):
            with engine.connect() as administrator:
                administrator.execute(end)

    event.listen(over, "after_cursor_execute", break_it)
    with pytest.raises(UnavailableError):
        erase(over, {"project_key": "p", "session_id": "s"})
    over.dispose()
