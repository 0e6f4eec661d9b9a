"""Version 0001 takes over tables that other stores made and filled, and their writer goes on."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from boocode_sessions import ClaudeSessionRepository, SchemaError, SessionKey, migrations
from boocode_sessions.errors import TimedOutError
from tests.fixtures.databases import Database, Databases
from tests.migrations.hosting import Host, differences, tables
from tests.migrations.other_stores import SeedStore, TypeScriptReference
from tests.migrations.scripts import run_script

MAIN: list[dict[str, Any]] = [
    {
        "type": "user",
        "uuid": "a",
        "message": {"content": "the first prompt"},
        "timestamp": "2026-01-01T00:00:00Z",
    },
    {"type": "mode", "mode": "plan"},
    {"type": "assistant", "uuid": "b", "n": 1.5},
    {"type": "assistant", "uuid": "b", "n": 2},
]
SUBAGENT: list[dict[str, Any]] = [{"type": "user", "uuid": "c", "isSidechain": True}]
SUBPATH = "subagents/workflows/w1/agent-x"


@pytest.fixture
def database(databases: Databases) -> Database:
    return databases.empty("postgresql")


@pytest.fixture
def other(database: Database) -> Iterator[Engine]:
    """The other store's engine; its connections are not ours."""
    engine = create_engine(database.url)
    yield engine
    engine.dispose()


@pytest.fixture(params=[SeedStore, TypeScriptReference])
def store(request: pytest.FixtureRequest, other: Engine) -> SeedStore | TypeScriptReference:
    made: SeedStore | TypeScriptReference = request.param(other)
    made.create()
    made.append("p", "one", MAIN)
    made.append("p", "two", [{"type": "user", "uuid": "a"}])
    made.append("p", "one", SUBAGENT, SUBPATH)
    made.append("p", "one", [{"type": "user", "uuid": "d"}])
    return made


@pytest.fixture(params=["online", "script", "the host's chain", "the host's script"])
def take_over(
    request: pytest.FixtureRequest, database: Database, host: Callable[[str, Database], Host], other: Engine
) -> Callable[[], None]:
    if request.param == "online":
        return lambda: migrations.upgrade(database.url)
    if request.param == "script":
        return lambda: run_script(other, migrations.upgrade_script())
    application = host("own_chain", database)
    if request.param == "the host's chain":
        return application.upgrade
    return lambda: run_script(other, application.script())


def rows(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                text(
                    "SELECT id, project_key, session_id, coalesce(subpath, ''), entry, created_at "
                    "FROM claude_session_entries ORDER BY id"
                )
            )
        ]


@pytest.mark.usefixtures("store")
def test_every_row_is_kept_and_the_schema_is_complete(take_over: Callable[[], None], other: Engine) -> None:
    before = rows(other)
    take_over()
    assert rows(other) == before
    assert [d for d in differences(other) if d[0] != "remove_index"] == []
    assert migrations.pending(other) == []
    repository = ClaudeSessionRepository(other)
    one: SessionKey = {"project_key": "p", "session_id": "one"}
    assert repository.load(one) == [*MAIN, {"type": "user", "uuid": "d"}]
    assert repository.load({**one, "subpath": SUBPATH}) == SUBAGENT
    assert repository.list_subkeys(one) == [SUBPATH]
    assert {s["session_id"] for s in repository.list_sessions("p")} == {"one", "two"}


@pytest.mark.usefixtures("store")
def test_ids_go_on_after_the_adopted_ones(other: Engine) -> None:
    newest = max(int(str(row[0])) for row in rows(other))
    migrations.upgrade(other)
    ClaudeSessionRepository(other).append({"project_key": "p", "session_id": "new"}, [{"type": "user"}])
    assert int(str(rows(other)[-1][0])) > newest


@pytest.mark.usefixtures("store")
def test_a_failed_adoption_leaves_the_table_as_it_was(
    other: Engine, longer_chain: Callable[[str], None]
) -> None:
    before, indexes = rows(other), _indexes(other)
    longer_chain("failing_version")
    with pytest.raises(Exception, match="no_such_table"):
        migrations.upgrade(other)
    assert rows(other) == before
    assert _indexes(other) == indexes
    assert tables(other) == {"claude_session_entries"}


def test_preparing_does_the_long_part_beforehand(
    store: SeedStore | TypeScriptReference, other: Engine
) -> None:
    before = rows(other)
    migrations.prepare(other)
    prepared = _indexes(other)
    assert {name for name in prepared if "_idx" in name} >= {
        "claude_session_entries_position_idx",
        "claude_session_entries_dedup_idx",
        "claude_session_entries_unplaced_idx",
    }
    store.append("p", "one", [{"type": "late"}])  # its writer goes on, before and after
    migrations.prepare(other)
    migrations.upgrade(other)
    assert _indexes(other).items() >= prepared.items(), "an index was built twice"
    assert rows(other)[:-1] == before
    assert [d for d in differences(other) if d[0] != "remove_index"] == []


def test_preparing_replaces_the_index_that_an_interrupted_one_left(other: Engine) -> None:
    SeedStore(other).create()
    migrations.prepare(other)
    with other.begin() as connection:
        connection.execute(
            text(
                "UPDATE pg_index SET indisvalid = false "
                "WHERE indexrelid = 'claude_session_entries_position_idx'::regclass"
            )
        )
    left = _indexes(other)["claude_session_entries_position_idx"]
    migrations.prepare(other)
    assert _indexes(other)["claude_session_entries_position_idx"] != left


@pytest.mark.parametrize("index", ["claude_session_entries_dedup_idx", "claude_session_entries_first_idx"])
def test_the_upgrade_replaces_the_index_that_an_interrupted_preparation_left(
    other: Engine, index: str
) -> None:
    SeedStore(other).create()
    migrations.prepare(other)
    with other.begin() as connection:
        connection.execute(
            text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST(:index AS regclass)"),
            {"index": index},
        )
    left = _indexes(other)[index]
    migrations.upgrade(other)
    assert _indexes(other)[index] != left


def test_preparing_finds_nothing_to_do_without_a_table(other: Engine) -> None:
    migrations.prepare(other)
    assert tables(other) == set()


def test_the_first_index_is_built_while_readers_go_on(other: Engine) -> None:
    SeedStore(other).create()
    with other.connect() as connection:
        connection.execute(text("LOCK TABLE claude_session_entries IN ACCESS SHARE MODE"))
        upgrading = threading.Thread(target=migrations.upgrade, args=(other,))
        upgrading.start()
        _wait_until(other, "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'")
        held = connection.execute(
            text(
                "SELECT mode FROM pg_locks WHERE relation = 'claude_session_entries'::regclass AND granted "
                "AND pid <> pg_backend_pid()"
            )
        ).scalars()
        assert "AccessExclusiveLock" not in set(held)
        connection.rollback()
        upgrading.join(30)
    assert migrations.pending(other) == []


def test_an_upgrade_that_gets_no_lock_gives_up_and_lets_the_others_go_on(
    other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boocode_sessions.migrations.locking.LOCK_SECONDS", 1)
    store = SeedStore(other)
    store.create()
    with other.connect() as connection:
        connection.execute(text("LOCK TABLE claude_session_entries IN ACCESS SHARE MODE"))
        with pytest.raises(TimedOutError):
            migrations.upgrade(other)
    store.append("p", "one", MAIN)
    assert tables(other) == {"claude_session_entries"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("ALTER TABLE claude_session_entries DROP COLUMN created_at", "it has no column created_at"),
        ("ALTER TABLE claude_session_entries ALTER entry TYPE json", "its column entry is JSON"),
        ("ALTER TABLE claude_session_entries ALTER id TYPE integer", "its column id is INTEGER"),
        ("ALTER TABLE claude_session_entries ALTER created_at TYPE timestamp", "its column created_at is"),
        ("ALTER TABLE claude_session_entries ADD tenant text NOT NULL", "its column tenant has to be given"),
    ],
)
def test_a_table_of_no_known_store_is_refused_and_left_alone(
    other: Engine, database: Database, change: str, problem: str
) -> None:
    SeedStore(other).create()
    with other.begin() as connection:
        connection.execute(text(change))
    with pytest.raises(SchemaError, match=problem):
        migrations.upgrade(other)
    with pytest.raises(SchemaError, match=problem):
        migrations.prepare(database.url)
    assert tables(other) == {"claude_session_entries"}
    migrations.upgrade(other, schema="agents")
    assert differences(other, "agents") == []


def test_on_sqlite_a_table_of_that_name_is_refused(databases: Databases) -> None:
    engine = databases.empty("sqlite").engine()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE claude_session_entries (id INTEGER PRIMARY KEY)"))
    with pytest.raises(SchemaError, match="only PostgreSQL tables can be adopted"):
        migrations.upgrade(engine)
    assert tables(engine) == {"claude_session_entries"}
    engine.dispose()


def _indexes(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        indexes = connection.execute(
            text(
                "SELECT indexrelid::regclass::text, indexrelid FROM pg_index "
                "WHERE indrelid = 'claude_session_entries'::regclass"
            )
        )
        return {row[0]: row[1] for row in indexes}


def _wait_until(engine: Engine, statement: str) -> None:
    deadline = time.monotonic() + 20
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.execute(text(statement)).scalar_one():
            assert time.monotonic() < deadline
            time.sleep(0.02)
