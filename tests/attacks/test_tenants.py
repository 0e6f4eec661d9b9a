"""A tenant reaches no other one: through the package, and behind protect_tenants with SQL of its own."""

import importlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, make_url, select, text, true
from sqlalchemy.exc import DBAPIError

from boocode_sessions import (
    Base,
    ClaudeSessionRepository,
    InvalidKeyError,
    PermissionDeniedError,
    SessionKey,
    UnsupportedBindError,
    migrations,
    queries,
)
from boocode_sessions._core import distributed
from boocode_sessions.engine import create_engine
from boocode_sessions.jsonl import export_tree, import_tree
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.files.sample import MAIN, main_entries, message, write
from tests.fixtures.databases import Database, drop_role

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
INSERT = "INSERT INTO claude_session_entries (project_key, session_id, entry)"
TABLES = ("claude_session_entries", "claude_sessions")
RIGHTS = "SELECT, INSERT, UPDATE, DELETE"


@pytest.mark.parametrize("names", [("a", "b"), ("a", "ab"), ("a%", "ab"), ("A", "a"), ("tenant:a", "a")])
def test_tenants_with_equal_keys_never_meet(engine: Engine, names: tuple[str, str]) -> None:
    one, other = (ClaudeSessionRepository(engine, tenant=name) for name in names)
    one.append(KEY, [message(1, "of one")])
    one.append({**KEY, "subpath": "subagents/agent-1"}, [message(1)])
    assert other.load(KEY) is None
    assert not [*other.list_sessions("p"), *other.list_session_summaries("p"), *other.list_subkeys(KEY)]
    other.append(KEY, [message(1, "of the other")])
    other.delete(KEY)
    assert one.load(KEY) == [message(1, "of one")]
    assert one.list_subkeys(KEY) == ["subagents/agent-1"]
    assert [row["session_id"] for row in one.list_sessions("p")] == ["s"]


def test_who_has_no_tenants_sees_nothing_of_them(engine: Engine) -> None:
    ClaudeSessionRepository(engine).append(KEY, [message(1)])
    with engine.connect() as connection:
        assert connection.execute(text("SELECT project_key FROM claude_sessions")).scalar_one() == "p"


def test_a_stores_key_is_its_tenants(engine: Engine) -> None:
    store = SQLAlchemySessionStore(engine, project_key=lambda key: f"ada/{key}", tenant="acme")
    assert store.project_key("p") == "tenant:acme/ada/p"


@pytest.mark.parametrize("name", ["", "a/b", "a\0", "\ud800", 7])
def test_what_is_no_name_is_refused(engine: Engine, name: Any) -> None:
    with pytest.raises(InvalidKeyError):
        ClaudeSessionRepository(engine, tenant=name)
    with pytest.raises(InvalidKeyError):
        SQLAlchemySessionStore(engine, tenant=name)


def test_an_empty_project_key_stays_one(engine: Engine) -> None:
    for key in ("", None, 7):
        bad: Any = {**KEY, "project_key": key}
        with pytest.raises(InvalidKeyError):
            ClaudeSessionRepository(engine, tenant="acme").append(bad, [message(1)])


@pytest.fixture
def dialect() -> str:
    return "postgresql"


@pytest.fixture
def app(database: Database, engine: Engine) -> Iterator[Engine]:
    """An engine of a role that is no superuser, with one connection, over a database that is protected."""
    role = f"app_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
    migrations.protect_tenants(engine, role=role)
    with engine.begin() as connection:  # the rights of docs/engine.md
        connection.execute(text(f"GRANT {RIGHTS} ON ALL TABLES IN SCHEMA public TO {role}"))
        connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"))
    url = make_url(database.url).update_query_dict({"options": f"-c role={role}"})
    made = create_engine(url, pool_size=1, max_overflow=0)
    for name in ("a", "b"):
        ClaudeSessionRepository(made, tenant=name).append(KEY, [message(1, f"of {name}")])
    yield made
    made.dispose()
    drop_role(engine, role)


def set_tenant(name: str) -> str:
    return f"SELECT set_config('boocode_sessions.tenant', 'tenant:{name}/', true)"


def test_who_names_no_tenant_sees_and_writes_nothing(app: Engine) -> None:
    """Over the connection that a tenant has just used, too: the pool has only one."""
    assert ClaudeSessionRepository(app, tenant="a").load(KEY) == [message(1, "of a")]
    nobody = ClaudeSessionRepository(app)
    stored: SessionKey = {**KEY, "project_key": "tenant:a/p"}
    assert nobody.load(stored) is None
    assert nobody.list_sessions("tenant:a/p") == []
    with pytest.raises(PermissionDeniedError):
        nobody.append(stored, [message(2)])
    assert queries.sessions(app) == []
    for table in TABLES:
        with app.begin() as connection:
            assert connection.execute(text(f"SELECT * FROM {table}")).all() == []
            assert connection.execute(text(f"UPDATE {table} SET session_id = 'x'")).rowcount == 0
            assert connection.execute(text(f"DELETE FROM {table}")).rowcount == 0
            driver: Any = connection.connection.driver_connection
            with driver.cursor().copy(f"COPY {table} TO STDOUT") as copied:
                assert list(copied) == []
    assert ClaudeSessionRepository(app, tenant="b").load(KEY) == [message(1, "of b")]


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE claude_session_entries SET project_key = 'tenant:b/p', session_id = 'planted'",
        f"{INSERT} VALUES ('tenant:b/p', 's', '{{}}')",
        f"{INSERT} VALUES ('p', 's', '{{}}')",
        """INSERT INTO claude_sessions (project_key, session_id, next_position) VALUES ('tenant:b/p', 's', 1)
        ON CONFLICT (project_key, session_id) DO UPDATE SET next_position = 1""",
    ],
)
def test_a_tenant_writes_nothing_of_another(app: Engine, attack: str) -> None:
    with app.connect() as connection:
        connection.execute(text(set_tenant("a")))
        with pytest.raises(DBAPIError, match="row-level security"):
            connection.execute(text(attack))
    assert ClaudeSessionRepository(app, tenant="b").load(KEY) == [message(1, "of b")]


def test_a_tenants_own_sql_sees_its_own(app: Engine) -> None:
    with app.begin() as connection:
        connection.execute(text(set_tenant("a")))
        joined = "claude_session_entries JOIN claude_sessions USING (project_key, session_id)"
        assert connection.execute(text(f"SELECT project_key FROM {joined}")).scalars().all() == ["tenant:a/p"]
        assert connection.execute(text("SELECT count(*) FROM claude_sessions")).scalar_one() == 1
        connection.execute(text("DELETE FROM claude_session_entries"))
    assert ClaudeSessionRepository(app, tenant="a").load(KEY) is None
    assert ClaudeSessionRepository(app, tenant="b").load(KEY) == [message(1, "of b")]


def test_what_follows_the_entries_is_kept_apart_too(app: Engine) -> None:
    """Calls, tool uses and the words of messages."""
    for tenant in ("a", "b"):
        bound = app.execution_options(boocode_sessions_tenant=tenant)
        (found,) = queries.search(bound, "of")
        assert found.project_key == f"tenant:{tenant}/p"
        queries.usage(bound)
    tables = ("claude_session_texts", "claude_session_digests")
    for setting, rows in ((set_tenant("a"), 1), (set_tenant("b"), 1), ("SELECT 1", 0)):
        with app.begin() as connection:
            connection.execute(text(setting))
            for table in tables:
                assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == rows
            with pytest.raises(DBAPIError, match="row-level security"):
                connection.execute(
                    text("INSERT INTO claude_session_digests (project_key, session_id) VALUES ('p', 's')")
                )


def test_everything_works_for_a_tenant(app: Engine, tmp_path: Path) -> None:
    """Retries, imports (which COPY does not do behind policies), and questions."""
    bound = app.execution_options(boocode_sessions_tenant="a")
    write(tmp_path / "projects" / "p" / f"{MAIN['session_id']}.jsonl", main_entries())
    repository = ClaudeSessionRepository(app, tenant="a")
    for _ in range(2):
        repository.append(KEY, [message(2)])
    assert repository.load(KEY) == [message(1, "of a"), message(2)]
    assert [row.project_key for row in queries.sessions(bound)] == ["tenant:a/p"]
    assert {match.project_key for match in queries.search(bound, "of")} <= {"tenant:a/p"}
    added = len(main_entries())
    assert [import_tree(bound, tmp_path).added for _ in range(2)] == [added, 0]
    assert repository.load({**KEY, "session_id": MAIN["session_id"]}) == main_entries()
    assert export_tree(bound, tmp_path / "out").sessions == 2
    assert export_tree(bound, tmp_path / "one", project_key="p", session_id="s").files == 1
    assert {file.parent.name for file in (tmp_path / "out").rglob("*.jsonl")} == {"p"}
    repository.delete(KEY)
    assert len(queries.sessions(bound)) == 1


def test_every_table_of_ours_is_protected_for_its_owner_too(app: Engine) -> None:
    """One that a later version adds as well."""
    importlib.import_module("boocode_sessions.agents.models")  # has a table of ours
    ours = sorted({*Base.metadata.tables} - {"boocode_sessions_alembic_version"})
    protected = text(
        "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity "
        "AND relnamespace = 'public'::regnamespace ORDER BY relname"
    )
    with app.connect() as connection:
        assert list(connection.execute(protected).scalars()) == ours


def test_an_owner_who_names_no_tenant_sees_and_writes_nothing(app: Engine, engine: Engine) -> None:
    with app.connect() as connection:
        role = connection.execute(text("SELECT current_user")).scalar_one()
    migrations.protect_tenants(engine)
    with engine.begin() as connection:
        for table in Base.metadata.tables:
            connection.execute(text(f"ALTER TABLE {table} OWNER TO {role}"))
    with app.begin() as connection:
        for table in TABLES:
            assert connection.execute(text(f"SELECT * FROM {table}")).all() == []
            assert connection.execute(text(f"DELETE FROM {table}")).rowcount == 0
    with pytest.raises(PermissionDeniedError):
        ClaudeSessionRepository(app).append({**KEY, "project_key": "tenant:a/p"}, [message(2)])
    assert ClaudeSessionRepository(app, tenant="b").load(KEY) == [message(1, "of b")]
    with engine.begin() as connection:  # or the role can't be dropped
        connection.execute(text(f"REASSIGN OWNED BY {role} TO CURRENT_USER"))


def test_a_connection_that_names_another_tenant_for_good_misleads_no_store(app: Engine) -> None:
    """As SQL of the host's own does that forgets the `true` of set_config; the pool has one connection."""
    with app.begin() as connection:
        connection.execute(text("SET boocode_sessions.tenant = 'tenant:b/'"))
    a = ClaudeSessionRepository(app, tenant="a")
    a.append(KEY, [message(2, "more of a")])
    assert a.load(KEY) == [message(1, "of a"), message(2, "more of a")]
    bound = app.execution_options(boocode_sessions_tenant="a")
    assert [row.project_key for row in queries.sessions(bound)] == ["tenant:a/p"]
    assert [row["session_id"] for row in a.list_sessions("p")] == ["s"]


@pytest.mark.parametrize(
    ("refusal", "attack"),
    [
        ("permission denied", "TRUNCATE claude_session_entries"),
        ("must be owner", "ALTER TABLE claude_session_entries DISABLE ROW LEVEL SECURITY"),
        ("row-level security", "SET row_security = off; SELECT * FROM claude_sessions"),
        ("permission denied", "SELECT last_value FROM claude_session_entries_id_seq"),
        # An error may tell a value: of a row of its own.
        ('"of a"', "SELECT (entry #>> '{message,content}')::int FROM claude_session_entries"),
        # The policy is asked before what is unique.
        (
            "row-level security",
            """INSERT INTO claude_session_entries
                (project_key, session_id, subpath, position, dedup_key, entry)
            SELECT 'tenant:b/p', 's', subpath, position, dedup_key, entry FROM claude_session_entries""",
        ),
        ("duplicate key", f"{INSERT[:-1]}, id) VALUES ('tenant:a/p', 's', '{{}}', 2)"),
        (
            "row-level security",
            f"""{INSERT[:-1]}, id) VALUES ('tenant:a/p', 's', '{{}}', 2)
            ON CONFLICT (id) DO UPDATE SET project_key = 'tenant:a/p' RETURNING entry""",
        ),
        (
            "row-level security",
            """INSERT INTO claude_session_texts (id, digest_id, at, words)
            SELECT -number, number, 0, 'planted' FROM generate_series(1, 10) AS number""",
        ),
    ],
)
def test_no_statement_of_a_tenant_tells_of_another(app: Engine, refusal: str, attack: str) -> None:
    for name in ("a", "b"):
        queries.search(app.execution_options(boocode_sessions_tenant=name), "of")
    with app.connect() as connection:
        connection.execute(text(set_tenant("a")))
        with pytest.raises(DBAPIError, match=refusal) as failed:
            connection.exec_driver_sql(attack)
    assert "of b" not in str(failed.value.orig)
    assert "tenant:b" not in str(failed.value.orig)
    assert ClaudeSessionRepository(app, tenant="b").load(KEY) == [message(1, "of b")]


def test_the_planners_statistics_tell_nothing(app: Engine, engine: Engine) -> None:
    for number in range(2, 200):
        ClaudeSessionRepository(app, tenant="b").append(KEY, [message(number, "of b")])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE claude_session_entries"))
    with app.connect() as connection:
        connection.execute(text(set_tenant("a")))
        seen = "SELECT attname FROM pg_stats WHERE tablename = 'claude_session_entries'"
        assert connection.execute(text(seen)).all() == []


def test_a_tenants_copy_takes_out_its_own_and_puts_in_nothing(app: Engine) -> None:
    with app.connect() as connection:
        connection.execute(text(set_tenant("a")))
        driver: Any = connection.connection.driver_connection
        with driver.cursor().copy("COPY claude_sessions (project_key) TO STDOUT") as copied:
            assert b"".join(bytes(block) for block in copied) == b"tenant:a/p\n"
        with (
            pytest.raises(psycopg.Error, match="row-level security"),
            driver.cursor().copy("COPY claude_sessions (project_key, session_id) FROM STDIN") as copied,
        ):
            copied.write_row(("tenant:b/p", "planted"))


def test_protection_can_be_taken_back(app: Engine, engine: Engine) -> None:
    migrations.protect_tenants(engine)
    migrations.unprotect_tenants(engine)
    assert len(queries.sessions(app)) == 2


def test_a_cluster_is_not_protected_and_a_protected_database_not_distributed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain server that is told that it is a cluster."""
    migrations.protect_tenants(engine)
    monkeypatch.setattr(distributed, "_HAS_CITUS", select(true()))
    distributed.forget(engine.pool)
    with pytest.raises(UnsupportedBindError, match="unprotect_tenants"):
        migrations.distribute(engine)
    with pytest.raises(UnsupportedBindError, match="Citus can't keep tenants apart"):
        migrations.protect_tenants(engine)
    migrations.unprotect_tenants(engine)


def test_schemas_of_a_translate_map_are_protected_each(database: Database) -> None:
    """A schema per customer, and tenants within each."""
    owner = database.engine()
    role = f"app_{secrets.token_hex(4)}"
    with owner.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
    url = make_url(database.url).update_query_dict({"options": f"-c role={role}"})
    app = create_engine(url, pool_size=1, max_overflow=0)
    schemas = [app.execution_options(schema_translate_map={None: name}) for name in ("one", "two")]
    for name in ("one", "two"):
        with owner.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        migrations.upgrade(owner, schema=name)
        migrations.protect_tenants(owner.execution_options(schema_translate_map={None: name}))
        with owner.begin() as connection:
            connection.execute(text(f"GRANT USAGE ON SCHEMA {name} TO {role}"))
            connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {name} TO {role}"))
            connection.execute(text(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {name} TO {role}"))
    for number, engine in enumerate(schemas):
        for tenant in ("a", "b"):
            ClaudeSessionRepository(engine, tenant=tenant).append(KEY, [message(number, tenant)])
    for number, engine in enumerate(schemas):
        for tenant in ("a", "b"):
            assert ClaudeSessionRepository(engine, tenant=tenant).load(KEY) == [message(number, tenant)]
            bound = engine.execution_options(boocode_sessions_tenant=tenant)
            assert [row.project_key for row in queries.sessions(bound)] == [f"tenant:{tenant}/p"]
        assert queries.sessions(engine) == []
        with pytest.raises(PermissionDeniedError):
            ClaudeSessionRepository(engine).append({**KEY, "project_key": "tenant:a/p"}, [message(9)])
    app.dispose()
    drop_role(owner, role)
    owner.dispose()
