"""What a Citus cluster runs, on a plain server: it is told that it is one."""

from typing import Any

import pytest
from claude_agent_sdk.testing import run_session_store_conformance
from sqlalchemy import event, select, true

from boocode_sessions import ClaudeSessionRepository, SessionKey, UnavailableError
from boocode_sessions._core import distributed
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.testing import CONTRACTS, run_store_conformance
from tests.concurrency import test_order_over_two_stores as order
from tests.fixtures.databases import Database, Databases
from tests.reliability.subjects import DRIVER_KINDS, SESSION_KINDS, opened

pytestmark = pytest.mark.anyio


@pytest.fixture
def dialect() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def _distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_HAS_CITUS", select(true()))


async def test_an_append_is_two_statements_of_one_transaction(database: Database) -> None:
    engine = database.engine()
    repository = ClaudeSessionRepository(engine)
    key: SessionKey = {"project_key": "steps", "session_id": "s"}
    repository.append(key, [{"type": "user"}])
    ran: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        ran.append(statement.split(maxsplit=1)[0])

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "begin", lambda _: ran.append("BEGIN"))
    event.listen(engine, "commit", lambda _: ran.append("COMMIT"))
    for size in (1, 500):
        ran.clear()
        repository.append(key, [{"type": "user", "n": n} for n in range(size)])
        draws_ids = ["SELECT"] if size > 1 else []
        assert ran == ["BEGIN", "UPDATE", *draws_ids, "INSERT", "COMMIT"]
    engine.dispose()


def test_a_commit_that_fails_inside_a_server_is_in_doubt_and_lands_once(database: Database) -> None:
    """What a cluster says where one of its servers dies at the COMMIT."""
    engine = database.engine()
    repository = ClaudeSessionRepository(engine)
    key: SessionKey = {"project_key": "steps", "session_id": "s"}
    repository.append(key, [{"type": "user"}])
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = 'XX000'; END $$"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON claude_session_entries"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fails()"
        )
    batch: list[Any] = [{"type": "user", "n": 1}, {"type": "user", "n": 2}]
    with pytest.raises(UnavailableError, match="send the same again"):
        repository.append(key, batch)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER fails ON claude_session_entries")
    ClaudeSessionRepository(engine).append(key, [{"type": "user", "n": 0}])
    repository.append(key, batch)
    assert repository.load(key) == [{"type": "user"}, {"type": "user", "n": 0}, *batch]
    engine.dispose()


@pytest.mark.parametrize(
    "kind", ["store over Engine", "store over AsyncEngine", *SESSION_KINDS[:1], *DRIVER_KINDS]
)
async def test_every_contract_is_kept(database: Database, kind: str) -> None:
    async with opened(kind, database.url) as subject:
        report = await run_store_conformance(lambda: subject)
    assert len(report.passed) == len(CONTRACTS)


async def test_the_sdks_conformance_suite_passes(databases: Databases) -> None:
    made: list[tuple[Database, Any]] = []

    def make() -> SQLAlchemySessionStore:
        database = databases.migrated("postgresql")
        made.append((database, database.engine()))
        return SQLAlchemySessionStore(made[-1][1])

    await run_session_store_conformance(make)
    for database, engine in made:
        engine.dispose()
        databases.drop(database)


@pytest.mark.parametrize("kinds", order.PAIRS[1:3], ids=" and ".join)
async def test_two_stores_keep_the_order_of_the_calls(database: Database, kinds: tuple[str, str]) -> None:
    await order.test_small_and_large_appends_alternate_over_two_stores(database, kinds)
    await order.test_the_seeds_writer_writes_in_between(database, kinds)
