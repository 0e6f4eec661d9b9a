"""A database without our schema, or with another version of it: an error that says which command to run."""

from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from boocode_sessions import (
    ClaudeSessionRepository,
    SchemaError,
    SchemaMissingError,
    SchemaNewerError,
    SchemaOutdatedError,
    migrations,
)
from boocode_sessions.models import SCHEMA_VERSION, VERSION_TABLE
from tests.fixtures.databases import Database
from tests.fixtures.stores import Store, backend_of

KEY: Any = {"project_key": "p", "session_id": "s"}
BATCH: list[Any] = [{"type": "x", "uuid": "1"}]
SETS_VERSION = f"UPDATE {VERSION_TABLE} SET version_num = "


@pytest.fixture
def anyio_backend(store_kind: str) -> str:
    return backend_of(store_kind)


def run(database: Database, *statements: str) -> None:
    engine = create_engine(database.url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


async def refusals(store: Store) -> list[SchemaError]:
    """What each of the six methods raises."""
    calls = (
        store.append(KEY, BATCH),
        store.load(KEY),
        store.list_sessions("p"),
        store.list_session_summaries("p"),
        store.delete(KEY),
        store.list_subkeys(KEY),
    )
    found: list[SchemaError] = []
    for call in calls:
        with pytest.raises(SchemaError) as refused:
            await call
        assert refused.value.__context__ is None
        found.append(refused.value)
    return found


@pytest.mark.anyio
async def test_a_missing_schema_names_the_command(store: Store, database: Database) -> None:
    migrations.downgrade(database.url)
    for refused in await refusals(store):
        assert isinstance(refused, SchemaMissingError)
        assert "no tables of ours: run `boocode-sessions upgrade` with the URL" in str(refused)
    migrations.upgrade(database.url)
    await store.append(KEY, BATCH)
    assert await store.load(KEY) == BATCH


@pytest.mark.anyio
async def test_an_older_schema_names_both_versions_and_the_command(store: Store, database: Database) -> None:
    run(database, SETS_VERSION + "'0000'")
    for refused in await refusals(store):
        assert isinstance(refused, SchemaOutdatedError)
        assert f"is at schema version 0000, this version of the package needs {SCHEMA_VERSION}" in str(
            refused
        )
        assert "run `boocode-sessions upgrade`" in str(refused)


@pytest.mark.anyio
async def test_a_newer_schema_says_to_upgrade_the_package(store: Store, database: Database) -> None:
    run(database, SETS_VERSION + "'9999'")
    for refused in await refusals(store):
        assert isinstance(refused, SchemaNewerError)
        assert f"is at schema version 9999, this version of the package knows {SCHEMA_VERSION}" in str(
            refused
        )
        assert "upgrade the boocode-sessions package" in str(refused)


@pytest.mark.anyio
async def test_a_schema_that_is_taken_away_in_use_is_noticed(store: Store, database: Database) -> None:
    await store.append(KEY, BATCH)
    migrations.downgrade(database.url)
    for refused in await refusals(store):
        assert isinstance(refused, SchemaMissingError)
        assert "run `boocode-sessions upgrade`" in str(refused)
    migrations.upgrade(database.url)
    await store.append(KEY, BATCH)
    assert await store.load(KEY) == BATCH


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("statement", "lacks"),
    [
        ("DROP TABLE claude_session_entries", "claude_session_entries:"),
        ("DROP TABLE claude_sessions", "claude_sessions:"),
        ("ALTER TABLE claude_session_entries DROP COLUMN verbatim", "claude_session_entries.verbatim:"),
    ],
)
async def test_a_table_or_column_that_is_gone_is_named(
    store: Store, database: Database, statement: str, lacks: str
) -> None:
    await store.append(KEY, BATCH)
    run(database, statement)
    for _ in range(2):
        with pytest.raises(SchemaMissingError) as refused:
            await store.append(KEY, [{"type": "y"}])
        assert f"lacks {lacks}" in str(refused.value)


@pytest.mark.parametrize("way", ["sessionmaker", "Connection", "Session"])
def test_other_binds_tell_a_missing_schema_too(empty_database: Database, way: str) -> None:
    engine: Engine = empty_database.engine()
    with engine.connect() as connection, Session(engine) as db:
        bind: Any = {"sessionmaker": sessionmaker(engine), "Connection": connection, "Session": db}[way]
        repository = ClaudeSessionRepository(bind)
        for _ in range(2):
            with pytest.raises(SchemaMissingError, match="run `boocode-sessions upgrade`"):
                repository.append(KEY, BATCH)
    engine.dispose()


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_schema_that_is_not_there_is_named_in_the_command(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine, schema="elsewhere")
    with pytest.raises(
        SchemaMissingError, match=r"schema 'elsewhere' .* `boocode-sessions upgrade --schema elsewhere`"
    ):
        repository.append(KEY, BATCH)
