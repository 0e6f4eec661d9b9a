"""Upgrades that race, fail, find something newer, or are only written down."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from boocode_sessions import (
    ClaudeSessionRepository,
    SchemaError,
    SchemaMissingError,
    SchemaNewerError,
    SessionKey,
    migrations,
    queries,
)
from boocode_sessions._core.sql.types import WORD_INDEX
from boocode_sessions.engine import create_engine as ours
from boocode_sessions.errors import DatabaseError, SchemaOutdatedError, UnavailableError
from boocode_sessions.models import SCHEMA_VERSION, VERSION_TABLE, Base
from tests.fixtures.databases import Database
from tests.migrations.hosting import differences, tables
from tests.migrations.scripts import run_script

OURS = {*Base.metadata.tables, "claude_agent_sessions", VERSION_TABLE}
KEY: SessionKey = {"project_key": "p", "session_id": "s"}

_RACER = """
import sys
from sqlalchemy import create_engine
from boocode_sessions import migrations
from boocode_sessions.migrations import chain
print("ready", flush=True)
sys.stdin.readline()
migrations.upgrade({bind})
"""


def test_four_processes_that_upgrade_at_once_all_end_well(empty_database: Database) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER.format(bind=bind), empty_database.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for bind in ["sys.argv[1]", "create_engine(sys.argv[1])"] * 2  # our engine's and a host's
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    errors = [racer.communicate(timeout=60)[1] for racer in racers]
    assert errors == [""] * 4
    engine = empty_database.engine()
    assert differences(engine) == []
    assert migrations.pending(engine) == []
    engine.dispose()


@pytest.mark.parametrize("is_ours", [True, False])
def test_an_upgrade_waits_for_whoever_writes_to_a_new_sqlite_file(tmp_path: Path, is_ours: bool) -> None:
    path = tmp_path / "sessions.db"
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    # SQLite itself waits for nothing here: at the switch to WAL, and with the host's time-out of 0.
    engine = ours(f"sqlite:///{path}") if is_ours else create_engine(f"sqlite:///{path}?timeout=0")
    waiting = threading.Event()

    @event.listens_for(engine, "do_connect")
    def _connecting(*_: object) -> None:
        waiting.set()

    def end_it() -> None:
        waiting.wait(10)
        time.sleep(0.3)
        writer.execute("COMMIT")

    ending = threading.Thread(target=end_it)
    ending.start()
    migrations.upgrade(engine)
    ending.join()
    assert migrations.pending(engine) == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == (10_000 if is_ours else 0)
    engine.dispose()
    writer.close()


def test_a_failed_upgrade_leaves_schema_and_version_as_they_were(
    plain_engine: Engine, longer_chain: Callable[[str], None]
) -> None:
    longer_chain("failing_version")
    with pytest.raises(DatabaseError):
        migrations.upgrade(plain_engine)
    assert tables(plain_engine) == set()
    migrations.upgrade(plain_engine, "0001")
    with pytest.raises(DatabaseError):
        migrations.upgrade(plain_engine)
    assert tables(plain_engine) == OURS
    assert migrations.pending(plain_engine) == ["0002"]


def test_the_caller_of_an_upgrade_on_a_connection_owns_its_transaction(plain_engine: Engine) -> None:
    with plain_engine.connect() as connection:
        migrations.upgrade(connection)
        assert migrations.pending(connection) == []
        connection.rollback()
    assert tables(plain_engine) == set()
    with plain_engine.begin() as connection:
        migrations.upgrade(connection)
    assert differences(plain_engine) == []


async def _upgrade_async(database: Database) -> None:
    engine = create_async_engine(database.async_url)
    async with engine.begin() as connection:
        await connection.run_sync(migrations.upgrade)
    await engine.dispose()


@pytest.mark.anyio
async def test_an_async_connection_upgrades_through_run_sync(empty_database: Database) -> None:
    await _upgrade_async(empty_database)
    assert migrations.pending(empty_database.url) == []


def test_a_connection_in_autocommit_is_refused_where_a_failure_would_leave_half(plain_engine: Engine) -> None:
    with plain_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "sqlite":
            migrations.upgrade(connection)  # takes a transaction all the same: BEGIN IMMEDIATE
            connection.rollback()
        else:
            with pytest.raises(SchemaError, match="AUTOCOMMIT"):
                migrations.upgrade(connection)
    assert tables(plain_engine) == set()


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_an_engine_upgrades_in_one_transaction_whatever_its_isolation_level(
    empty_database: Database,
    level: Literal["AUTOCOMMIT", "SERIALIZABLE"],
    longer_chain: Callable[[str], None],
) -> None:
    engine = create_engine(empty_database.url, isolation_level=level)
    with engine.connect() as connection:
        before = _level(connection)
    migrations.upgrade(engine)
    assert differences(engine) == []
    longer_chain("failing_version")
    with pytest.raises(DatabaseError):
        migrations.upgrade(engine)
    assert tables(engine) == OURS
    with engine.connect() as connection:
        assert _level(connection) == before
    engine.dispose()


def _level(connection: Connection) -> tuple[object, object]:
    return connection.get_isolation_level(), getattr(
        connection.connection.driver_connection, "autocommit", None
    )


def test_pending_names_every_missing_version_and_writes_nothing(
    plain_engine: Engine, longer_chain: Callable[[str], None]
) -> None:
    longer_chain("next_version")
    assert migrations.pending(plain_engine) == ["0001", "0002"]
    assert tables(plain_engine) == set()
    migrations.upgrade(plain_engine, "0001")
    assert migrations.pending(plain_engine) == ["0002"]
    migrations.upgrade(plain_engine)
    assert migrations.pending(plain_engine) == []
    migrations.downgrade(plain_engine, "0001")
    assert migrations.pending(plain_engine) == ["0002"]


def test_a_schema_of_a_newer_release_is_left_alone(
    plain_engine: Engine, longer_chain: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    longer_chain("next_version")
    migrations.upgrade(plain_engine)
    monkeypatch.undo()
    for refused in (
        migrations.pending,
        migrations.upgrade,
        migrations.downgrade,
        lambda engine: ClaudeSessionRepository(engine).load(KEY),
    ):
        with pytest.raises(SchemaNewerError, match=r"0002.*upgrade the boocode-sessions package"):
            refused(plain_engine)


@pytest.mark.parametrize("standing", ["missing", "base", "older"])
def test_every_method_says_which_command_to_run(plain_engine: Engine, standing: str) -> None:
    if standing != "missing":
        migrations.upgrade(plain_engine)
        with plain_engine.begin() as connection:
            connection.execute(text(f"DELETE FROM {VERSION_TABLE}"))
            if standing == "older":
                connection.execute(text(f"INSERT INTO {VERSION_TABLE} (version_num) VALUES ('0000')"))
    expected = SchemaOutdatedError if standing == "older" else SchemaMissingError
    repository = ClaudeSessionRepository(plain_engine)
    calls: list[Callable[[], object]] = [
        lambda: repository.append(KEY, [{"type": "user"}]),
        lambda: repository.load(KEY),
        lambda: repository.list_sessions("p"),
        lambda: repository.list_session_summaries("p"),
        lambda: repository.delete(KEY),
        lambda: repository.list_subkeys(KEY),
    ]
    for call in calls:
        with pytest.raises(expected, match="boocode-sessions upgrade"):
            call()


def test_an_unknown_version_is_refused(plain_engine: Engine) -> None:
    with pytest.raises(SchemaError, match=r"'9999' \(0001 are known\)"):
        migrations.upgrade(plain_engine, "9999")
    assert tables(plain_engine) == set()


@pytest.mark.parametrize("to", ["base", ""])
def test_an_upgrade_that_leads_nowhere_is_refused(plain_engine: Engine, to: str) -> None:
    with pytest.raises(SchemaError, match="does not lead to"):
        migrations.upgrade(plain_engine, to)
    with pytest.raises(SchemaError, match="does not lead to"):
        migrations.upgrade_script("postgresql", to)


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(UnavailableError):
        migrations.upgrade("postgresql://nobody@127.0.0.1:1/none")


def test_what_is_no_bind_is_refused() -> None:
    with pytest.raises(TypeError, match="an Engine, a Connection or a URL, not dict"):
        migrations.upgrade({})  # type: ignore[arg-type]


def test_the_script_makes_the_same_schema_and_records_the_version(
    empty_database: Database, plain_engine: Engine
) -> None:
    run_script(plain_engine, migrations.upgrade_script(empty_database.dialect))
    assert differences(plain_engine) == []
    assert migrations.pending(plain_engine) == []


def test_the_repositorys_own_alembic_upgrades_and_writes_scripts(empty_database: Database) -> None:
    alembic = [sys.executable, "-m", "alembic", "-x", f"url={empty_database.url}"]
    root = Path(__file__).parents[2]
    script = subprocess.run(
        [*alembic, "upgrade", "head", "--sql"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert script.strip() == migrations.upgrade_script(empty_database.dialect).strip()
    for command in (["upgrade", "head"], ["check"], ["downgrade", "base"]):
        subprocess.run([*alembic, *command], cwd=root, capture_output=True, timeout=60, check=True)
    assert migrations.pending(empty_database.url) == [SCHEMA_VERSION]


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_schema_of_its_own_holds_everything(plain_engine: Engine) -> None:
    migrations.upgrade(plain_engine, schema="agents")
    assert tables(plain_engine, "agents") == OURS
    assert tables(plain_engine) == set()
    assert differences(plain_engine, "agents") == []
    assert migrations.pending(plain_engine) == [SCHEMA_VERSION]
    assert migrations.pending(plain_engine, schema="agents") == []
    repository = ClaudeSessionRepository(plain_engine, schema="agents")
    repository.append(KEY, [{"type": "user", "uuid": "u"}])
    assert repository.load(KEY) == [{"type": "user", "uuid": "u"}]
    migrations.downgrade(plain_engine, schema="agents")
    assert tables(plain_engine, "agents") == set()
    run_script(plain_engine, "DROP SCHEMA agents CASCADE;" + migrations.upgrade_script(schema="agents"))
    assert differences(plain_engine, "agents") == []


@pytest.mark.parametrize("name", ["s" * 64, "\u00e9" * 32])
@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_schema_whose_name_postgresql_would_cut_is_refused(plain_engine: Engine, name: str) -> None:
    with pytest.raises(SchemaError, match="has 64 bytes, PostgreSQL takes 63"):
        migrations.upgrade(plain_engine, schema=name)
    with pytest.raises(SchemaError, match="63"):
        migrations.upgrade_script(schema=name)


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_the_hosts_translated_schema_is_where_the_migrations_go(plain_engine: Engine) -> None:
    translated = plain_engine.execution_options(schema_translate_map={None: "agents"})
    migrations.upgrade(translated)
    assert tables(plain_engine, "agents") == OURS
    assert tables(plain_engine) == set()
    assert migrations.pending(translated) == []


def test_on_sqlite_a_schema_that_is_none_is_refused_whatever_is_called(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    migrations.upgrade(engine)
    for function in (queries.sessions, migrations.upgrade, migrations.pending):
        with pytest.raises(SchemaMissingError, match="SQLite has no schema 'abc': give none"):
            function(engine, schema="abc")
    engine.dispose()


def test_on_sqlite_a_schema_is_an_attached_database(tmp_path: Path) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ATTACH '{tmp_path / 'agents.db'}' AS agents")
        connection.commit()
        migrations.upgrade(connection, schema="agents")
        connection.commit()
        assert set(inspect(connection).get_table_names("agents")) >= OURS
        assert inspect(connection).get_table_names() == []
        repository = ClaudeSessionRepository(connection, schema="agents")
        repository.append(KEY, [{"type": "user", "uuid": "u"}])
        assert repository.load(KEY) == [{"type": "user", "uuid": "u"}]
    engine.dispose()


def test_tables_without_their_version_are_taken_as_they_are(engine: Engine, database: Database) -> None:
    """As after a dump that left the table of versions out was restored."""
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [{"type": "user"}])
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    for bind in (engine, database.url):
        migrations.upgrade(bind)
    assert migrations.pending(engine) == []
    with engine.connect() as connection:
        assert connection.execute(text(f"SELECT * FROM {VERSION_TABLE}")).all() == [
            (SCHEMA_VERSION, f"0001..{SCHEMA_VERSION}")
        ]
    assert differences(engine) == []
    repository.append(KEY, [{"type": "user"}])
    assert repository.load(KEY) == [{"type": "user"}] * 2
    migrations.downgrade(engine)
    assert tables(engine) & OURS == set()


@pytest.mark.parametrize("lost", ["INDEX claude_session_entries_dedup_idx", "TABLE claude_session_calls"])
def test_tables_without_their_version_have_to_be_whole(engine: Engine, lost: str) -> None:
    """Without an index a retry would be stored twice."""
    _expect_refusal_without(engine, lost)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_tables_without_their_version_have_to_have_the_word_index(engine: Engine) -> None:
    """Without it every search would fail."""
    _expect_refusal_without(engine, f"TABLE {WORD_INDEX}")


def _expect_refusal_without(engine: Engine, lost: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        connection.execute(text(f"DROP {lost}"))
    with pytest.raises(SchemaError, match=f"lack {lost.split()[1]}"):
        migrations.upgrade(engine)
