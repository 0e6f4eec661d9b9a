"""A database's own settings, which its administrator may change, break no call."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
import sqlalchemy
from sqlalchemy import Engine, NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    DatabaseError,
    SessionKey,
    UnavailableError,
    migrations,
    queries,
    retention,
    status,
)
from boocode_sessions.adoption import backfill
from boocode_sessions.jsonl import export_tree, import_tree
from tests.files.sample import message, write, write_tree
from tests.fixtures.databases import Database, Databases

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"])

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
SUB: SessionKey = {**KEY, "subpath": "subagents/agent-1"}
DRIVERS = ["psycopg", "psycopg2"]
makers = pytest.mark.parametrize("driver", DRIVERS)

Dispose = Callable[[Engine], Engine]


def entries(count: int) -> list[Any]:
    return [{"type": "user", "n": n, "timestamp": "2026-01-02T03:04:05.678Z"} for n in range(count)]


def use_all(repository: ClaudeSessionRepository, rounds: int = 1) -> None:
    """Every method, on a session that is there before and after."""
    for _ in range(rounds):
        for size in (1, 3, 40):
            before = len(repository.load(KEY) or [])
            repository.append(KEY, entries(size))
            assert len(repository.load(KEY) or []) == before + size
        repository.append(SUB, entries(1))
        assert repository.list_subkeys(KEY) == [SUB["subpath"]]
        repository.delete(SUB)
        (session,) = repository.list_sessions("p")
        (summary,) = repository.list_session_summaries("p")
        assert session["mtime"] == summary["mtime"]
        age = datetime.now(UTC) - datetime.fromtimestamp(session["mtime"] / 1000, UTC)
        assert abs(age) < timedelta(hours=1), "the time was read in another style"


@pytest.fixture
def administer(database: Database) -> Iterator[Callable[..., None]]:
    """Runs statements as an administrator."""
    url = make_url(database.url)
    engine = sqlalchemy.create_engine(url)

    def run(*statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement.format(database=url.database)))

    yield run
    engine.dispose()


@makers
@pytest.mark.parametrize("style", ["German", "SQL, DMY", "Postgres, MDY"])
def test_any_datestyle(
    database: Database, administer: Callable[..., None], disposing: Dispose, driver: str, style: str
) -> None:
    administer(f"ALTER DATABASE {{database}} SET datestyle = '{style}'")
    engine = disposing(sqlalchemy.create_engine(database.url_over(driver)))
    use_all(ClaudeSessionRepository(engine), 2)


@makers
@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/St_Johns"])
def test_any_time_zone(
    database: Database, administer: Callable[..., None], disposing: Dispose, driver: str, zone: str
) -> None:
    administer(f"ALTER DATABASE {{database}} SET timezone = '{zone}'")
    engine = disposing(sqlalchemy.create_engine(database.url_over(driver)))
    use_all(ClaudeSessionRepository(engine))


@makers
@pytest.mark.parametrize("setting", ["extra_float_digits = -15", "standard_conforming_strings = off"])
def test_settings_that_change_how_values_are_written(
    database: Database, administer: Callable[..., None], disposing: Dispose, driver: str, setting: str
) -> None:
    administer(f"ALTER DATABASE {{database}} SET {setting}")
    engine = disposing(sqlalchemy.create_engine(database.url_over(driver)))
    repository = ClaudeSessionRepository(engine)
    use_all(repository)
    hard: list[Any] = [
        {"type": "user", "text": "a\\'b \\u0041 \\\\", "n": 0.1 + 0.2, "m": 123456789.01234567}
    ]
    repository.append({**KEY, "session_id": "hard"}, hard)
    assert repository.load({**KEY, "session_id": "hard"}) == hard


@makers
def test_a_tools_seconds_are_not_rounded(
    database: Database, administer: Callable[..., None], disposing: Dispose, driver: str
) -> None:
    administer("ALTER DATABASE {database} SET extra_float_digits = -15")
    engine = disposing(sqlalchemy.create_engine(database.url_over(driver)))
    use = {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": ""}
    lines: list[Any] = [
        {"type": "assistant", "timestamp": "2026-01-01T00:00:00.000Z", "message": {"content": [use]}},
        {"type": "user", "timestamp": "2026-01-01T00:02:03.456Z", "message": {"content": [result]}},
    ]
    ClaudeSessionRepository(engine).append(KEY, lines)
    assert [call.seconds for call in queries.tool_calls(engine)] == [123.456]


CHANGES = [
    ("claude_session_entries", "project_key"),
    ("claude_session_entries", "session_id"),
    ("claude_session_entries", "subpath"),
]


@makers
@pytest.mark.parametrize(("table", "column"), CHANGES)
def test_a_columns_type_is_changed_under_prepared_plans(
    database: Database,
    administer: Callable[..., None],
    disposing: Dispose,
    driver: str,
    table: str,
    column: str,
) -> None:
    """One connection, whose plans are prepared by now. A call may fail once, and none after it."""
    engine = disposing(sqlalchemy.create_engine(database.url_over(driver), pool_size=1, max_overflow=0))
    repository = ClaudeSessionRepository(engine)
    use_all(repository, 8)
    administer(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar")
    calls: list[Callable[[], object]] = [
        lambda: repository.list_sessions("p"),
        lambda: repository.list_session_summaries("p"),
        lambda: repository.load(KEY),
        lambda: repository.list_subkeys(KEY),
    ]
    for call in calls:
        call()
    use_all(repository, 3)


@makers
def test_a_type_is_changed_in_the_other_tables(
    database: Database, administer: Callable[..., None], disposing: Dispose, driver: str
) -> None:
    """Those that hold session ids beside the entries: sessions, and how far questions have come."""
    engine = disposing(sqlalchemy.create_engine(database.url_over(driver), pool_size=1, max_overflow=0))
    repository = ClaudeSessionRepository(engine)
    use_all(repository, 8)
    for _ in range(8):
        queries.usage(engine)
    with engine.connect() as connection:
        tables = connection.execute(
            text(
                "SELECT table_name FROM information_schema.columns WHERE column_name = 'session_id'"
                " AND table_name LIKE 'claude_session%' AND table_name <> 'claude_session_entries'"
            )
        ).scalars()
        changed = sorted(tables)
    assert changed == ["claude_session_digests", "claude_sessions"]
    for table in changed:
        administer(f"ALTER TABLE {table} ALTER COLUMN session_id TYPE varchar")
    repository.list_sessions("p")
    repository.list_session_summaries("p")
    queries.usage(engine)
    use_all(repository, 3)


def use_features(engine: Engine, folder: Path) -> None:
    """What the package does beside the contract, on a database without sessions."""
    tree = write_tree(folder / "from")
    assert import_tree(engine, tree).added == 13
    assert import_tree(engine, tree).added == 0
    [session] = queries.sessions(engine, since=datetime(2026, 1, 1, tzinfo=UTC))
    assert session.last_said == datetime(2026, 1, 1, tzinfo=UTC)
    assert queries.search(engine, "bug", until=datetime(2026, 1, 2, tzinfo=UTC))
    queries.usage(engine, tz=ZoneInfo("Asia/Kathmandu"))
    queries.tools(engine)
    assert queries.conversation(engine, session.session_id)
    backfill(engine)
    assert status.schema_status(engine).pending == []
    newest = status.holdings(engine).newest
    assert newest is not None
    assert abs(datetime.now(UTC) - newest) < timedelta(hours=1)
    assert export_tree(engine, folder / "to").entries == 13
    assert retention.prune(engine, inactive_for=timedelta(hours=1)).sessions == []
    assert len(retention.prune(engine, inactive_for=timedelta(0)).sessions) == 1


@makers
@pytest.mark.parametrize(
    "setting",
    [
        "datestyle = 'German'",
        "datestyle = 'SQL, DMY'",
        "standard_conforming_strings = off",
        "bytea_output = 'escape'",
    ],
)
def test_any_setting_for_the_features(
    database: Database,
    administer: Callable[..., None],
    disposing: Dispose,
    tmp_path: Path,
    driver: str,
    setting: str,
) -> None:
    administer(f"ALTER DATABASE {{database}} SET {setting}")
    use_features(disposing(sqlalchemy.create_engine(database.url_over(driver))), tmp_path)


@pytest.mark.parametrize("remedy", ["set it", "name the schema"])
def test_an_upgrade_whose_search_path_leads_nowhere_says_what_helps(
    databases: Databases, dialect: str, remedy: str
) -> None:
    made = databases.empty(dialect)
    try:
        url = make_url(made.url)
        nowhere = url.update_query_dict({"options": "-csearch_path=nowhere"})
        with pytest.raises(DatabaseError, match=remedy):
            migrations.upgrade(nowhere)
        if remedy == "set it":
            migrations.upgrade(nowhere.update_query_dict({"options": "-csearch_path=nowhere,public"}))
        else:
            migrations.upgrade(nowhere, schema="public")
        assert migrations.pending(sqlalchemy.create_engine(url, poolclass=NullPool)) == []
    finally:
        databases.drop(made)


def test_imports_at_once_on_a_server_that_is_serializable_by_default(
    database: Database, administer: Callable[..., None], disposing: Dispose, tmp_path: Path
) -> None:
    """The same tree twice at once: transactions lose against each other, and are run again."""
    administer("ALTER DATABASE {database} SET default_transaction_isolation = serializable")
    engine = disposing(sqlalchemy.create_engine(database.url))
    lost: list[object] = []

    @sqlalchemy.event.listens_for(engine, "handle_error")
    def _lost(context: sqlalchemy.engine.ExceptionContext) -> None:
        lost.append(getattr(context.original_exception, "sqlstate", None))

    for number in range(6):
        write(tmp_path / "-home-you-app" / f"s{number}.jsonl", [message(n) for n in range(40)])
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: import_tree(engine, tmp_path, workers=3), range(2)))
    assert sum(result.added for result in results) == 6 * 40
    assert set(lost) <= {"40001", "40P01"}
    assert [row.entries for row in queries.sessions(engine)] == [40] * 6


CALL = {"role": "assistant", "model": "opus", "content": [], "usage": {"output_tokens": 1}}


@makers
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns"])
def test_an_import_keeps_when_a_line_was_said_in_any_time_zone(
    database: Database,
    administer: Callable[..., None],
    disposing: Dispose,
    tmp_path: Path,
    driver: str,
    zone: str,
) -> None:
    administer(f"ALTER DATABASE {{database}} SET timezone = '{zone}'")
    engine = disposing(sqlalchemy.create_engine(database.url_over(driver)))
    said = [datetime(2026, 11, 20, 0, 5, tzinfo=UTC), datetime(2026, 11, 20, 23, 55, tzinfo=UTC)]
    lines = [
        message(n, timestamp=at.isoformat(), type="assistant", message={"id": f"m{n}", **CALL})
        for n, at in enumerate(said)
    ]
    write(tmp_path / "-home-you-app" / "s.jsonl", lines)
    import_tree(engine, tmp_path)
    [session] = queries.sessions(engine)
    assert [session.started, session.last_said] == said
    assert [(str(row.day), row.calls) for row in queries.usage(engine, by="day")] == [("2026-11-20", 2)]


@pytest.mark.parametrize("driver", [*DRIVERS, "pg8000"])
@pytest.mark.parametrize(
    "limit", ["idle_in_transaction_session_timeout", "transaction_timeout", "idle_session_timeout"]
)
def test_a_connection_that_the_server_ended_for_its_age_is_told_as_lost(
    database: Database, disposing: Dispose, driver: str, limit: str
) -> None:
    engine = disposing(sqlalchemy.create_engine(database.url_over(driver), poolclass=NullPool))
    with engine.connect() as connection:
        known = text("SELECT 1 FROM pg_settings WHERE name = :name")
        if connection.scalar(known, {"name": limit}) is None:
            return  # transaction_timeout came with PostgreSQL 17
        connection.execute(text(f"SET {limit} = '100ms'"))
        connection.commit()
        if limit != "idle_session_timeout":
            connection.execute(text("SELECT 1"))
        time.sleep(0.5)
        with pytest.raises(UnavailableError, match=limit if driver == "psycopg" else None):
            ClaudeSessionRepository(connection).append(KEY, entries(1))
        connection.invalidate()
    assert ClaudeSessionRepository(engine).load(KEY) is None


@pytest.mark.anyio
async def test_a_pooled_connection_that_asyncpg_has_closed_is_replaced(database: Database) -> None:
    engine = create_async_engine(database.url_over("asyncpg"))
    repository = AsyncClaudeSessionRepository(engine)
    await repository.append(KEY, entries(1))
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
    driver.terminate()
    await anyio.sleep(0.05)
    assert len(await repository.load(KEY) or []) == 1
    await engine.dispose()
