"""Tenants and encryption over a standby, and a standby that lacks what the primary has just made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from boocode_sessions import ClaudeSessionRepository, Replicated, SessionKey, migrations, queries
from boocode_sessions._core import replica as settings
from boocode_sessions.engine import create_engine
from boocode_sessions.privacy import Encryption, generate_key
from tests.fixtures.servers import execute
from tests.reliability.verdicts import wait_until
from tests.replicas.conftest import Pair, text

KEY: SessionKey = {"project_key": "p", "session_id": "s"}


@pytest.fixture(autouse=True)
def _asks_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "BEHIND_SECONDS", 0)
    monkeypatch.setattr(settings, "DOWN_SECONDS", 0)


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Those about our tables that an engine sends."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "claude_session" in statement:
            sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def test_each_tenant_reads_its_own_encrypted_entries_there(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "WAIT_SECONDS", 20)
    execute(pair.primary.url, "CREATE ROLE tenants")
    migrations.protect_tenants(text(pair.primary.url), role="tenants")
    execute(pair.primary.url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO tenants")
    execute(pair.primary.url, "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO tenants")
    # One connection each: a tenant must not find what is left of the other on it.
    primary, standby = (
        create_engine(
            server.url.update_query_dict({"options": "-c role=tenants"}), pool_size=1, max_overflow=0
        )
        for server in (pair.primary, pair.standby)
    )
    keys = Encryption([generate_key()])
    for name in ("a", "b"):
        writer = ClaudeSessionRepository(primary, tenant=name, encryption=keys)
        writer.append(KEY, [{"type": "user", "of": name}])
    with statements(standby) as sent:
        for name in ("a", "b", "a"):
            repository = ClaudeSessionRepository(primary, replica=standby, tenant=name, encryption=keys)
            assert repository.load(KEY) == [{"type": "user", "of": name}]
            assert len(repository.list_sessions("p")) == 1
            bound = primary.execution_options(boocode_sessions_tenant=name)
            rows = queries.sessions(Replicated(bound, standby), encryption=keys)
            assert [row.project_key for row in rows] == [f"tenant:{name}/p"]
        assert len(sent) >= 9
    assert ClaudeSessionRepository(primary, replica=standby, encryption=keys).load(KEY) is None
    primary.dispose()
    standby.dispose()


def test_a_standby_that_lacks_the_schema_yet_is_not_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    primary, standby = create_engine(pair.primary.url), create_engine(pair.standby.url)
    monkeypatch.setattr(settings, "WAIT_SECONDS", 0.05)
    execute(pair.standby.url, "SELECT pg_wal_replay_pause()")
    try:
        migrations.upgrade(primary, schema="later")
        repository = ClaudeSessionRepository(primary, replica=standby, schema="later")
        for number in range(3):
            repository.append(KEY, [{"type": "user"}])
            assert len(repository.load(KEY) or []) == number + 1
    finally:
        execute(pair.standby.url, "SELECT pg_wal_replay_resume()")
    monkeypatch.setattr(settings, "WAIT_SECONDS", 20)
    with statements(standby) as sent:
        # The schema is looked for before the wait, so that the primary may be read for a moment yet.
        assert wait_until(lambda: len(repository.load(KEY) or []) == 3 and bool(sent))
    primary.dispose()
    standby.dispose()
