"""A role that owns nothing, with row security and without: refusals are told, and their remedy suffices."""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    DatabaseError,
    PermissionDeniedError,
    SessionKey,
    migrations,
    queries,
    retention,
    status,
)
from boocode_sessions.adoption import backfill
from boocode_sessions.engine import create_engine
from boocode_sessions.jsonl import export_tree, import_tree
from boocode_sessions.models import VERSION_TABLE, Base
from tests.files.sample import MAIN, write_tree
from tests.fixtures.databases import Database, Databases, drop_role
from tests.fixtures.seed import insert_as_the_seed_does

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"])

OURS: SessionKey = {"project_key": "ours", "session_id": "s"}
THEIRS: SessionKey = {"project_key": "theirs", "session_id": "s"}


@pytest.fixture
def role(engine: Engine, database: Database) -> Iterator[URL]:
    """A role that may do nothing."""
    name = f"limited_{os.getpid()}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'limited'"))
    yield make_url(database.url).set(username=name, password="limited")  # noqa: S106 - a test's
    drop_role(engine, name)


def grants_in(error: PermissionDeniedError, role: URL) -> list[str]:
    """The statements that an error's list of rights stands for."""
    advice = str(error).partition("; grant ")[2].rpartition(" (")[0]
    statements: list[str] = []
    for rights, objects in _GRANT.findall(advice):
        named = objects.replace("the schema", "SCHEMA public").replace("the sequence", "SEQUENCE")
        named = named.replace("the database", f'DATABASE "{role.database}"')
        listed = [each.replace(" and ", ", ") for each in (rights, named)]
        statements.append(f"GRANT {listed[0]} ON {listed[1]} TO {role.username}")
    return statements


_NAMES = r"(?:the schema|the database|the sequence [a-z_]+|[a-z_]+(?:(?:, | and )(?!and )[a-z_]+)*)"
_GRANT = re.compile(rf"([A-Z]+(?:(?:, | and )[A-Z]+)*) on ({_NAMES})")


def do_everything(engine: Engine, folder: Path) -> None:
    repository = ClaudeSessionRepository(engine)
    for size in (1, 600):
        repository.append(OURS, [{"type": "user"}] * size)
    assert len(repository.load(OURS) or []) == 601
    assert [session["session_id"] for session in repository.list_sessions("ours")] == ["s"]
    assert repository.list_session_summaries("ours")
    assert import_tree(engine, write_tree(folder / "from")).added == 13
    assert queries.sessions(engine)
    assert queries.search(engine, "bug")
    assert queries.conversation(engine, MAIN["session_id"])
    queries.usage(engine)
    queries.tools(engine)
    backfill(engine)
    assert status.schema_status(engine).pending == []
    assert status.holdings(engine).entries == 614
    assert export_tree(engine, folder / "to").sessions == 2
    retention.hold(engine, OURS)
    assert len(retention.prune(engine, inactive_for=timedelta(0)).sessions) == 1
    repository.delete(OURS)


def test_the_grants_that_an_error_names_suffice(engine: Engine, role: URL, tmp_path: Path) -> None:
    limited = create_engine(role)
    try:
        with pytest.raises(PermissionDeniedError) as refused:
            ClaudeSessionRepository(limited).append(OURS, [{"type": "user"}])
        with engine.begin() as connection:
            connection.execute(text(f"REVOKE ALL ON SCHEMA public FROM PUBLIC, {role.username}"))
            for statement in grants_in(refused.value, role):
                connection.execute(text(statement))
        for table in Base.metadata.tables:
            assert table in str(refused.value)
        do_everything(limited, tmp_path)
    finally:
        limited.dispose()


@pytest.mark.parametrize(
    ("schema", "had", "grants"),
    [
        (None, "USAGE ON SCHEMA public", "CREATE, USAGE ON SCHEMA public"),
        (None, "CREATE ON SCHEMA public", "CREATE, USAGE ON SCHEMA public"),
        ('Our "own" %', "CREATE ON SCHEMA public", "CREATE ON DATABASE {database}"),
    ],
)
def test_the_rights_that_an_upgrade_asks_for_suffice(
    databases: Databases, dialect: str, schema: str | None, had: str, grants: str
) -> None:
    database = databases.empty(dialect)
    name = f"upgrading_{os.getpid()}"
    url = make_url(database.url).set(username=name, password="limited")  # noqa: S106 - a test's
    engine = create_engine(database.url)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'limited'"))
            connection.execute(text("REVOKE ALL ON SCHEMA public FROM PUBLIC"))
            connection.execute(text(f"GRANT {had} TO {name}"))
        with pytest.raises(DatabaseError) as refused:
            migrations.upgrade(url, schema=schema)
        assert "CREATE and USAGE on the schema, or CREATE on the database" in str(refused.value)
        with engine.begin() as connection:
            connection.execute(text(f"GRANT {grants.format(database=url.database)} TO {name}"))
        migrations.upgrade(url, schema=schema)
        limited = create_engine(url)
        assert migrations.pending(limited, schema=schema) == []
        ClaudeSessionRepository(limited, schema=schema).append(OURS, [{"type": "user"}])
        limited.dispose()
    finally:
        drop_role(engine, name)
        engine.dispose()


LINES = [
    {"type": "user", "uuid": "u1", "message": {"role": "user", "content": "mend the parser"}},
    {
        "type": "assistant",
        "uuid": "a1",
        "requestId": "r1",
        "message": {
            "id": "m1",
            "model": "claude-opus-5",
            "usage": {"input_tokens": 3, "output_tokens": 4},
            "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}],
        },
    },
]


def grant(engine: Engine, role: URL, rights: str, *tables: str) -> None:
    with engine.begin() as connection:
        for table in tables:
            connection.execute(text(f"GRANT {rights} ON {table} TO {role.username}"))


def answers(bind: Engine | Connection) -> tuple[object, ...]:
    return (
        queries.usage(bind),
        queries.usage(bind, project_key="ours", by=("session",)),
        queries.tools(bind),
        [match.uuid for match in queries.search(bind, "parser")],
    )


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_role_without_rights_on_the_derived_tables_reads_the_entries(
    engine: Engine, role: URL, asked_before: bool
) -> None:
    ClaudeSessionRepository(engine).append(OURS, LINES)
    insert_as_the_seed_does(engine, THEIRS, [json.dumps(LINES[0])])
    grant(engine, role, "SELECT", "claude_session_entries", VERSION_TABLE)
    if asked_before:
        answers(engine)
    limited = create_engine(role)
    try:
        found = answers(limited)
        with limited.connect() as connection:
            assert answers(connection) == found
            assert connection.scalar(text("SELECT 1")) == 1  # its transaction goes on
        grant(engine, role, "SELECT", "claude_sessions")
        assert status.holdings(limited).behind is None
    finally:
        limited.dispose()
    assert found == answers(engine)
    assert found[3] == ["u1", "u1"]


def test_a_deletion_that_can_not_remove_the_words_removes_nothing_and_says_why(
    engine: Engine, role: URL
) -> None:
    ClaudeSessionRepository(engine).append(OURS, LINES)
    answers(engine)
    grant(
        engine,
        role,
        "SELECT, INSERT, UPDATE, DELETE",
        "claude_session_entries",
        "claude_sessions",
        VERSION_TABLE,
    )
    limited = create_engine(role)
    try:
        with pytest.raises(PermissionDeniedError, match=r"DELETE on .*claude_session_texts"):
            ClaudeSessionRepository(limited).delete(OURS)
    finally:
        limited.dispose()
    assert len(ClaudeSessionRepository(engine).load(OURS) or []) == 2
    assert len(queries.search(engine, "parser")) == 1


@pytest.fixture
def with_policies(engine: Engine, role: URL) -> URL:
    """The role with every right, and a policy on each table: no row of project `theirs`."""
    with engine.begin() as connection:
        for kind in ("TABLES", "SEQUENCES"):
            connection.execute(text(f"GRANT ALL ON ALL {kind} IN SCHEMA public TO {role.username}"))
        for table in ("claude_session_entries", "claude_sessions"):
            connection.execute(text(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))
            connection.execute(text(f"CREATE POLICY mine ON {table} USING (project_key <> 'theirs')"))
    return role


def test_everything_works_under_row_security(engine: Engine, with_policies: URL, tmp_path: Path) -> None:
    """COPY does not."""
    ClaudeSessionRepository(engine).append(THEIRS, [{"type": "user"}])
    limited = create_engine(with_policies)
    do_everything(limited, tmp_path)
    limited.dispose()
    assert ClaudeSessionRepository(engine).load(THEIRS) == [{"type": "user"}]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
@pytest.mark.parametrize("size", [1, 600])
def test_a_policys_refusal_is_not_told_as_a_missing_grant(with_policies: URL, driver: str, size: int) -> None:
    url = with_policies.set(drivername=f"postgresql+{driver}")
    told = _refusal(_append_async if driver == "asyncpg" else _append, url, size)
    assert "row security policy" in told
    assert "grant" not in told


def _refusal(append: Callable[[URL, int], None], url: URL, size: int) -> str:
    with pytest.raises(PermissionDeniedError) as refused:
        append(url, size)
    return str(refused.value)


def _append(url: URL, size: int) -> None:
    engine = sqlalchemy.create_engine(url)
    try:
        ClaudeSessionRepository(engine).append(THEIRS, [{"type": "user"}] * size)
    finally:
        engine.dispose()


def _append_async(url: URL, size: int) -> None:
    async def append() -> None:
        engine = create_async_engine(url)
        try:
            await AsyncClaudeSessionRepository(engine).append(THEIRS, [{"type": "user"}] * size)
        finally:
            await engine.dispose()

    asyncio.run(append())
