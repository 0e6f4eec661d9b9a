"""A caller tells by class why the database refused: permission, room, a read-only server, an encoding."""

import os
import pickle
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine, make_url, text

import boocode_sessions
from boocode_sessions import ClaudeSessionRepository, RefusedError, SessionKey, errors, queries
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database, drop_role

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
LEAVES = ["PermissionDeniedError", "StorageFullError", "ReadOnlyDatabaseError", "EncodingError"]
Dispose = Callable[[Engine], Engine]


def leaf(name: str) -> type[RefusedError]:
    found: Any = getattr(errors, name, None)
    assert found is not None, f"boocode_sessions.errors has no {name}"
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", LEAVES)
def test_each_is_a_refusal_and_public(name: str) -> None:
    assert issubclass(leaf(name), RefusedError)
    assert getattr(boocode_sessions, name) is leaf(name)
    assert name in boocode_sessions.__all__


def test_every_error_crosses_processes() -> None:
    """A pool of processes pickles what its workers raise."""
    public = [error for error in vars(errors).values() if isinstance(error, type)]
    raised = [error("what") for error in public if error is not errors.MissingExtraError]
    for error in [*raised, errors.MissingExtraError("pages", "boocode-sessions[html]", "jinja2")]:
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_none_is_another_ones_base() -> None:
    leaves = [leaf(name) for name in LEAVES]
    assert [a for a in leaves for b in leaves if a is not b and issubclass(a, b)] == []


@pytest.fixture
def role(engine: Engine, database: Database) -> Iterator[str]:
    """A role without any permission, and its URL."""
    name = f"reader_{os.getpid()}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'reader'"))
    yield make_url(database.url).set(username=name, password="reader").render_as_string(hide_password=False)  # noqa: S106 - a test's
    drop_role(engine, name)


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("size", [1, 40])
def test_a_role_without_permission(role: str, disposing: Dispose, size: int) -> None:
    repository = ClaudeSessionRepository(disposing(create_engine(role)))
    calls: list[Callable[[], object]] = [
        lambda: repository.append(KEY, [{"type": "user"}] * size),
        lambda: repository.load(KEY),
        lambda: repository.list_sessions("p"),
        lambda: repository.delete(KEY),
    ]
    for call in calls:
        with pytest.raises(leaf("PermissionDeniedError"), match="grant"):
            call()


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_a_role_that_may_not_connect_to_the_database(
    database: Database, engine: Engine, role: str, disposing: Dispose, driver: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"REVOKE CONNECT ON DATABASE {make_url(role).database} FROM PUBLIC"))
    url = make_url(database.url_over(driver)).set(username=make_url(role).username)
    repository = ClaudeSessionRepository(disposing(create_engine(url)))
    with pytest.raises(leaf("PermissionDeniedError"), match="grant CONNECT on the database"):
        repository.load(KEY)


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_role_that_may_not_look_into_the_schema(engine: Engine, role: str, disposing: Dispose) -> None:
    with engine.begin() as connection:
        connection.execute(text("REVOKE USAGE ON SCHEMA public FROM PUBLIC"))
    with pytest.raises(errors.SchemaMissingError, match="grant the user USAGE on their schema"):
        ClaudeSessionRepository(disposing(create_engine(role))).load(KEY)


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("size", [1, 40])
def test_a_role_without_the_sequence(engine: Engine, role: str, disposing: Dispose, size: int) -> None:
    """Whoever grants rights on the tables forgets it: it is named, or not needed."""
    name = make_url(role).username
    with engine.begin() as connection:
        connection.execute(
            text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
        )
    repository = ClaudeSessionRepository(disposing(create_engine(role)))
    try:
        repository.append(KEY, [{"type": "user"}] * size)
    except leaf("PermissionDeniedError") as error:
        assert "claude_session_entries_id_seq" in str(error) or "sequence" in str(error)  # noqa: PT017
        with engine.begin() as connection:
            connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}"))
        repository.append(KEY, [{"type": "user"}] * size)
    assert len(repository.load(KEY) or []) == size


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("size", [1, 40])
def test_a_read_only_server(
    database: Database, engine: Engine, disposing: Dispose, driver: str, size: int
) -> None:
    ClaudeSessionRepository(engine).append(KEY, [{"type": "user"}])
    with engine.begin() as connection:
        name = make_url(database.url).database
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    repository = ClaudeSessionRepository(disposing(sqlalchemy.create_engine(database.url_over(driver))))
    for _ in range(2):
        with pytest.raises(leaf("ReadOnlyDatabaseError")):
            repository.append(KEY, [{"type": "user"}] * size)
    with pytest.raises(leaf("ReadOnlyDatabaseError")):
        repository.delete(KEY)
    assert repository.load(KEY) == [{"type": "user"}]


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_read_only_file(database: Database, disposing: Dispose) -> None:
    path = make_url(database.url).database
    assert path is not None
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    engine = disposing(sqlalchemy.create_engine(url))
    with pytest.raises(leaf("ReadOnlyDatabaseError")):
        ClaudeSessionRepository(engine).append(KEY, [{"type": "user"}])


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("opened", ["mode=ro", "immutable=1"])
@pytest.mark.parametrize("make", [create_engine, sqlalchemy.create_engine])
def test_a_read_only_file_is_read(
    database: Database, disposing: Dispose, mode: str, opened: str, make: Callable[[str], Engine]
) -> None:
    """One that was not written with a write-ahead log too, which our engines turn on."""
    writer = create_engine(database.url)
    ClaudeSessionRepository(writer).append(KEY, [{"type": "user", "message": {"content": "rain"}}])
    with writer.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(f"PRAGMA journal_mode = {mode}")
    writer.dispose()
    engine = disposing(make(f"sqlite:///file:{make_url(database.url).database}?{opened}&uri=true"))
    repository = ClaudeSessionRepository(engine)
    assert len(repository.load(KEY) or []) == len(repository.list_sessions("p")) == 1
    assert len(queries.search(engine, "rain")) == len(queries.sessions(engine)) == 1
    assert not queries.usage(engine)
    assert not queries.tools(engine)
    calls: list[Callable[[], object]] = [
        lambda: repository.append(KEY, [{"type": "user"}]),
        lambda: repository.delete(KEY),
    ]
    for call in calls:
        with pytest.raises(leaf("ReadOnlyDatabaseError"), match="immutable=1"):
            call()


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_full_file(database: Database, disposing: Dispose) -> None:
    """SQLite's own limit of pages says what a full disk does: SQLITE_FULL."""
    engine = disposing(create_engine(database.url))

    @sqlalchemy.event.listens_for(engine, "connect")
    def _limit(connection: sqlite3.Connection, _: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")

    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [{"type": "user"}])
    with pytest.raises(leaf("StorageFullError")):
        repository.append(KEY, [{"type": "user", "text": "x" * 1_000_000}])
    assert repository.load(KEY) == [{"type": "user"}]


@pytest.fixture
def small_tablespace(engine: Engine) -> Iterator[str]:
    """A tablespace on a file system of its own, of 16 megabytes."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a file system of a given size needs root and mount")
    name = f"small_{os.getpid()}"
    disk = Path("/tmp") / f"boocode-{name}"  # noqa: S108 - where the server's user may look
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=False)
    if mounted.returncode:
        disk.rmdir()
        pytest.skip("mount is refused here")
    try:
        shutil.chown(disk, "nobody")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                connection.execute(text(f"CREATE TABLESPACE {name} LOCATION '{disk}'"))
            except sqlalchemy.exc.SQLAlchemyError:
                pytest.skip("the server does not see this file system")
        yield name
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ALTER TABLE claude_session_entries SET TABLESPACE pg_default"))
            connection.execute(text(f"DROP TABLESPACE {name}"))
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
        disk.rmdir()


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_full_disk(engine: Engine, small_tablespace: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE claude_session_entries SET TABLESPACE {small_tablespace}"))
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [{"type": "user"}])
    noise = os.urandom(150_000).hex()  # does not compress below half

    def fill() -> None:
        for n in range(200):
            repository.append(KEY, [{"type": "user", "n": n, "text": noise[n:]}] * 3)

    with pytest.raises(leaf("StorageFullError"), match="disk"):
        fill()
    stored = repository.load(KEY) or []
    assert (len(stored) - 1) % 3 == 0, "a part of a batch was stored"
    repository.delete(KEY)
