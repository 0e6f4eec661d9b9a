"""A host's transaction is the host's: joined, never begun, committed or changed."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.pool import QueuePool

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionEntry,
    ClaudeSessionRepository,
    DatabaseError,
    RetryableError,
    SessionKey,
)
from tests.fixtures.databases import Database

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
ENTRIES: list[dict[str, Any]] = [
    {"type": "user", "uuid": "a", "message": {"content": "hi"}},
    {"type": "mode"},
]


class HostBase(DeclarativeBase):
    pass


class Note(HostBase):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """The host's engine, as SQLAlchemy makes it; a connection that is not given back fails the test."""
    made = create_engine(database.url)
    HostBase.metadata.create_all(made)
    yield made
    assert isinstance(made.pool, QueuePool)
    assert made.pool.checkedout() == 0
    made.dispose()


def _after_a_lost_connection(db: OrmSession) -> None:
    db.connection().invalidate()


def _after_a_failed_flush(db: OrmSession) -> None:
    db.add(ClaudeSessionEntry(project_key="secret"))
    with pytest.raises(DBAPIError):
        db.flush()


def _after_a_failed_statement(db: OrmSession) -> None:
    with pytest.raises(DBAPIError):
        db.execute(text("SELECT nothing FROM nowhere"))


@pytest.mark.parametrize(
    ("dialect", "fail"),
    [
        ("postgresql", _after_a_failed_statement),
        ("postgresql", _after_a_failed_flush),
        ("postgresql", _after_a_lost_connection),
        ("sqlite", _after_a_failed_flush),
        ("sqlite", _after_a_lost_connection),
    ],
)
def test_a_transaction_that_has_failed_before_is_told_as_such(
    engine: Engine, fail: Callable[[OrmSession], None]
) -> None:
    with OrmSession(engine) as db:
        repository = ClaudeSessionRepository(db)
        repository.append(KEY, ENTRIES)
        fail(db)
        calls: list[Callable[[], object]] = [
            lambda: repository.append(KEY, ENTRIES),
            lambda: repository.load(KEY),
        ]
        for call in calls:
            with pytest.raises(DatabaseError, match="roll it back") as raised:
                call()
            assert "secret" not in str(raised.value)
            assert raised.value.__cause__ is raised.value.__context__ is None
        db.rollback()
        repository.append(KEY, ENTRIES)
        db.commit()
    assert ClaudeSessionRepository(engine).load(KEY) == ENTRIES


def everything(engine: Engine) -> tuple[Any, ...]:
    repository = ClaudeSessionRepository(engine)
    return repository.load(KEY), repository.list_sessions("p"), repository.list_session_summaries("p")


NOTHING: tuple[Any, ...] = (None, [], [])


@contextmanager
def over_connection(engine: Engine) -> Iterator[tuple[ClaudeSessionRepository, Any]]:
    with engine.connect() as connection:
        yield ClaudeSessionRepository(connection), connection


@contextmanager
def over_session(engine: Engine) -> Iterator[tuple[ClaudeSessionRepository, Any]]:
    with OrmSession(engine) as db:
        yield ClaudeSessionRepository(db), db


@contextmanager
def over_scoped_session(engine: Engine) -> Iterator[tuple[ClaudeSessionRepository, Any]]:
    scoped = scoped_session(sessionmaker(engine))
    yield ClaudeSessionRepository(scoped), scoped
    scoped.remove()


joined = pytest.mark.parametrize("bind", [over_connection, over_session, over_scoped_session])
Over = Callable[[Engine], Any]


@joined
def test_a_rollback_leaves_no_entry_and_no_summary(engine: Engine, bind: Over) -> None:
    with bind(engine) as (repository, host):
        host.execute(insert(Note).values(text="ours too"))
        repository.append(KEY, ENTRIES)
        assert repository.load(KEY) == ENTRIES
        assert len(repository.list_session_summaries("p")) == 1
        host.rollback()
    assert everything(engine) == NOTHING


@joined
def test_nothing_is_seen_before_the_hosts_commit_and_all_of_it_afterwards(engine: Engine, bind: Over) -> None:
    with bind(engine) as (repository, host):
        repository.append(KEY, ENTRIES)
        assert everything(engine) == NOTHING
        host.commit()
    loaded, [listed], [summary] = everything(engine)
    assert loaded == ENTRIES
    assert listed["session_id"] == summary["session_id"] == "s"


@joined
def test_a_savepoint_takes_back_only_what_came_after_it(engine: Engine, bind: Over) -> None:
    if engine.dialect.name == "sqlite":  # what SQLAlchemy's manual tells a host to do for savepoints
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with bind(engine) as (repository, host):
        repository.append(KEY, ENTRIES[:1])
        savepoint = host.begin_nested()
        repository.append(KEY, ENTRIES[1:])
        repository.append({**KEY, "subpath": "subagents/x"}, ENTRIES)
        repository.delete({"project_key": "p", "session_id": "never written"})
        savepoint.rollback()
        assert repository.load(KEY) == ENTRIES[:1]
        repository.append(KEY, [{"type": "user", "uuid": "z"}])
        host.commit()
    loaded, _, [summary] = everything(engine)
    assert loaded == [*ENTRIES[:1], {"type": "user", "uuid": "z"}]
    assert ClaudeSessionRepository(engine).list_subkeys(KEY) == []
    assert summary["data"]["first_prompt"] == "hi"


@pytest.mark.parametrize("make", [lambda e: e, sessionmaker], ids=["Engine", "sessionmaker"])
def test_over_an_engine_or_a_sessionmaker_each_call_is_a_transaction(
    engine: Engine, make: Callable[[Engine], Any]
) -> None:
    repository = ClaudeSessionRepository(make(engine))
    repository.append(KEY, ENTRIES)
    assert everything(engine)[0] == ENTRIES
    with pytest.raises(Exception, match="not a dict"):
        repository.append(KEY, [*ENTRIES, 7])  # type: ignore[list-item]
    assert everything(engine)[0] == ENTRIES
    repository.delete(KEY)
    assert everything(engine) == NOTHING


class Audited(OrmSession):
    """A host's own session class."""

    committed = 0

    def commit(self) -> None:
        Audited.committed += 1
        super().commit()


@pytest.mark.parametrize(
    "options",
    [
        {"autoflush": False},
        {"expire_on_commit": False},
        {"autobegin": False},
        {"class_": Audited},
        {"twophase": True},
        {"binds": "ours elsewhere"},
        {"join_transaction_mode": "create_savepoint"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_the_hosts_session_options_are_respected(engine: Engine, options: dict[str, Any]) -> None:
    if "twophase" in options and not _prepares(engine):
        pytest.skip("no two-phase commit: SQLite, or a server with max_prepared_transactions = 0")
    elsewhere = create_engine("sqlite://")
    if "binds" in options:
        factory = sessionmaker(elsewhere, binds={ClaudeSessionEntry: engine})
    else:
        factory = sessionmaker(engine, **options)
    committed = Audited.committed
    ClaudeSessionRepository(factory).append(KEY, ENTRIES)
    assert everything(engine)[0] == ENTRIES
    assert Audited.committed - committed == (1 if options.get("class_") is Audited else 0)

    with factory() as db:
        if not db.in_transaction():
            db.begin()
        ClaudeSessionRepository(db).append(KEY, [{"type": "user", "uuid": "joined"}])
        db.rollback()
    assert everything(engine)[0] == ENTRIES
    elsewhere.dispose()


def _prepares(engine: Engine) -> bool:
    if engine.dialect.name == "sqlite":
        return False
    with engine.connect() as connection:
        return bool(connection.exec_driver_sql("SHOW max_prepared_transactions").scalar_one() != "0")


def test_the_hosts_pending_objects_stay_pending_and_loaded_ones_loaded(engine: Engine) -> None:
    with OrmSession(engine, autoflush=True) as db:
        kept = Note(text="kept")
        db.add(kept)
        db.flush()
        pending = Note(text="pending")
        db.add(pending)
        repository = ClaudeSessionRepository(db)
        repository.append(KEY, ENTRIES)
        repository.load(KEY)
        assert pending in db.new
        assert "text" in kept.__dict__
        assert db.execute(select(ClaudeSessionEntry)).scalars().first() is not None
        db.commit()
    assert everything(engine)[0] == ENTRIES


def test_the_hosts_json_serializers_have_no_say(database: Database) -> None:
    def refuse(_value: object) -> Any:
        raise AssertionError("the host's serializer was asked")

    engine = create_engine(database.url, json_serializer=refuse, json_deserializer=refuse)
    exact: list[dict[str, Any]] = [{"type": "user", "uuid": "a", "n": [1e23, -0.0, 2**70], "s": "\0 \ud800"}]
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, exact)
    repository.append(KEY, [*exact, {"type": "mode"}])
    loaded = repository.load(KEY)
    assert json.dumps(loaded) == json.dumps([*exact, {"type": "mode"}])
    assert len(repository.list_session_summaries("p")) == 1
    engine.dispose()


def test_the_hosts_listeners_hear_of_every_statement(engine: Engine) -> None:
    heard: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *a: heard.append(a[2]))
    event.listen(engine, "commit", lambda _: heard.append("COMMIT"))
    ClaudeSessionRepository(engine).append(KEY, ENTRIES)
    assert any("INSERT INTO claude_session_entries" in statement for statement in heard)
    assert heard[-1] == "COMMIT"


def test_a_listener_of_the_hosts_that_rewrites_statements_is_obeyed(engine: Engine) -> None:
    """As sqlcommenter and the like do."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _comment(
        _c: Connection, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> tuple[str, Any]:
        return f"{statement} /* the host's */", parameters

    repository = ClaudeSessionRepository(engine)
    for n in range(3):
        repository.append(KEY, [{"type": "user", "uuid": str(n)}])
    assert len(repository.load(KEY) or []) == 3


def test_echo_logs_to_the_hosts_logger(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
        engine = create_engine(database.url)
        ClaudeSessionRepository(engine).append(KEY, ENTRIES)
        engine.dispose()
    assert "INSERT INTO claude_session_entries" in caplog.text


def _settings(connection: Connection) -> dict[str, object]:
    if connection.dialect.name == "sqlite":
        names = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys", "query_only", "locking_mode")
        found: dict[str, object] = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names
        }
        return found | {"isolation_level": connection.connection.driver_connection.isolation_level}  # type: ignore[union-attr]
    rows = connection.exec_driver_sql(
        # SQLAlchemy names the level in BEGIN, once a connection was in AUTOCOMMIT: the same one.
        "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name <> 'transaction_isolation'"
    )
    found = {row[0]: row[1] for row in rows}
    return found | {"autocommit": connection.connection.driver_connection.autocommit}  # type: ignore[union-attr]


def test_nothing_is_changed_on_the_hosts_engine_and_connections(engine: Engine) -> None:
    listeners = {name: len(getattr(engine.dispatch, name)) for name in dir(engine.dispatch) if name[0] != "_"}
    options = dict(engine.get_execution_options())
    with engine.connect() as connection:
        before = _settings(connection)
    repository = ClaudeSessionRepository(engine)
    for _ in range(2):
        repository.append(KEY, ENTRIES)
        repository.load(KEY)
        repository.list_sessions("p")
        repository.delete(KEY)
    with engine.connect() as connection:
        repository = ClaudeSessionRepository(connection)
        repository.append(KEY, ENTRIES)
        assert dict(connection.get_execution_options()) == options
        connection.rollback()
        assert _settings(connection) == before
    after = {name: len(getattr(engine.dispatch, name)) for name in dir(engine.dispatch) if name[0] != "_"}
    assert after == listeners
    assert dict(engine.get_execution_options()) == options


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("over", ["Engine", "Connection", "Session"])
@pytest.mark.parametrize("dialect", ["postgresql"])
def test_the_hosts_isolation_level_is_kept(database: Database, level: Any, over: str) -> None:
    engine = create_engine(database.url, isolation_level=level)
    levels: set[str] = set()

    @event.listens_for(engine, "before_cursor_execute")
    def _note(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT", "WITH", "UPDATE")):
            cursor = connection.connection.cursor()
            cursor.execute("SHOW transaction_isolation")
            levels.add(cursor.fetchone()[0].upper())  # type: ignore[index]
            cursor.close()

    if over == "Engine":
        repository = ClaudeSessionRepository(engine)
        repository.append(KEY, ENTRIES)
        repository.append(KEY, [{"type": "user", "uuid": "again"}])
    elif over == "Connection":
        with engine.begin() as connection:
            ClaudeSessionRepository(connection).append(KEY, ENTRIES)
    else:
        with OrmSession(engine) as db, db.begin():
            ClaudeSessionRepository(db).append(KEY, ENTRIES)
    assert levels == {level}
    assert (everything(engine)[0] or [])[:2] == ENTRIES
    engine.dispose()


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_serialization_failure_may_be_retried(database: Database, engine: Engine, level: Any) -> None:
    ClaudeSessionRepository(engine).append(KEY, ENTRIES)
    strict = create_engine(database.url, isolation_level=level)
    late: list[dict[str, Any]] = [{"type": "user", "uuid": "late"}]
    with strict.connect() as connection:
        connection.execute(text("SELECT count(*) FROM claude_session_entries"))  # the snapshot is taken
        ClaudeSessionRepository(engine).append(KEY, [{"type": "user", "uuid": "between"}])
        with pytest.raises(RetryableError) as caught:
            ClaudeSessionRepository(connection).append(KEY, late)
        assert caught.value.sqlstate == "40001"
        connection.rollback()
        ClaudeSessionRepository(connection).append(KEY, late)  # what the host's retry does
        connection.commit()
    loaded = everything(engine)[0]
    assert [entry.get("uuid") for entry in loaded] == ["a", None, "between", "late"]
    strict.dispose()


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_writers_at_serializable_lose_nothing_when_they_retry(database: Database) -> None:
    strict = create_engine(database.url, isolation_level="SERIALIZABLE")

    def write(name: str) -> None:
        repository = ClaudeSessionRepository(strict)
        for n in range(8):
            while True:
                try:
                    repository.append(KEY, [{"type": "user", "uuid": f"{name}{n}"}])
                    break
                except RetryableError:
                    continue

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    uuids = [str(entry.get("uuid")) for entry in everything(strict)[0]]
    for name in "ab":
        assert [uuid for uuid in uuids if uuid[0] == name] == [f"{name}{n}" for n in range(8)]
    strict.dispose()


@pytest.mark.anyio
async def test_an_async_hosts_transaction_is_joined_too(async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as db:
        await AsyncClaudeSessionRepository(db).append(KEY, ENTRIES)
        await db.rollback()
    async with async_engine.connect() as connection:
        repository = AsyncClaudeSessionRepository(connection)
        await repository.append(KEY, ENTRIES[:1])
        if async_engine.dialect.name == "postgresql":
            savepoint = await connection.begin_nested()
            await repository.append(KEY, ENTRIES[1:])
            await savepoint.rollback()
        assert await repository.load(KEY) == ENTRIES[:1]
        await connection.rollback()
    over_engine = AsyncClaudeSessionRepository(async_engine)
    assert await over_engine.load(KEY) is None
    await AsyncClaudeSessionRepository(async_sessionmaker(async_engine)).append(KEY, ENTRIES)
    assert await over_engine.load(KEY) == ENTRIES
