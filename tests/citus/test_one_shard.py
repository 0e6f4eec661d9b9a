"""Every statement of the contract is one task on one shard, and an append commits on one server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from boocode_sessions import ClaudeSessionRepository, SessionKey
from tests.fixtures.databases import Database
from tests.fixtures.seed import insert_as_the_seed_does

pytestmark = pytest.mark.xdist_group("citus")

KEY: SessionKey = {"project_key": "one shard", "session_id": "s"}


@contextmanager
def noting(engine: Engine, table: str = "claude_session") -> Iterator[list[tuple[str, Any]]]:
    """The statements about our tables, or one of them, and their parameters."""
    noted: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if table in statement and "boocode_sessions_alembic_version" not in statement:
            noted.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield noted
    event.remove(engine, "before_cursor_execute", note)


def use(engine: Engine) -> None:
    """Everything that the contract does, where the session is known and where others have written to it."""
    repository, stale = ClaudeSessionRepository(engine), ClaudeSessionRepository(engine)
    sub: SessionKey = {**KEY, "subpath": "subagents/agent-1"}
    for size in (1, 3, 500):
        for key in (KEY, sub):
            repository.append(key, [{"type": "user", "n": n} for n in range(size)])
    stale.append(KEY, [{"type": "user", "uuid": "u"}])
    insert_as_the_seed_does(engine, KEY, ['{"type": "user"}', '{"type": "assistant"}'])
    stale.append(KEY, [{"type": "user"}])
    repository.append(KEY, [{"type": "user", "uuid": "u"}])
    repository.load(KEY)
    repository.list_sessions(KEY["project_key"])
    repository.list_session_summaries(KEY["project_key"])
    repository.list_subkeys({"project_key": KEY["project_key"], "session_id": "s"})
    repository.delete(sub)
    repository.delete(KEY)


def test_each_statement_is_one_task(cluster: Database, coordinator: Engine) -> None:
    with noting(coordinator) as noted:
        use(coordinator)
    assert len(noted) > 30
    with coordinator.connect() as connection, connection.begin() as transaction:
        for statement, parameters in noted:
            sets = parameters if isinstance(parameters, list) else [parameters]
            plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", sets[0]).scalar_one()
            shown = plan if isinstance(plan, str) else json.dumps(plan)
            assert shown.count('"Distributed Query"') == 1, statement
            assert '"Task Count": 1,' in shown, statement
            assert '"Subplans"' not in shown, statement
        transaction.rollback()
    assert cluster.dialect == "postgresql"


def test_an_append_is_committed_in_one_phase(coordinator: Engine) -> None:
    repository = ClaudeSessionRepository(coordinator)
    with coordinator.connect() as connection:
        prepared = "SELECT count(*) FROM pg_dist_transaction"
        before = connection.execute(text(prepared)).scalar_one()
        for size in (1, 3, 500):
            repository.append(KEY, [{"type": "user", "n": n} for n in range(size)])
        assert connection.execute(text(prepared)).scalar_one() == before
