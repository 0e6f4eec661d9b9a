"""Whatever a database refuses: no error, nothing chained to it, no log and no warning holds content."""

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy
from sqlalchemy import URL, Engine, event, make_url, text
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    DatabaseError,
    PoolExhaustedError,
    RefusedError,
    RetryableError,
    SchemaMissingError,
    SessionStoreError,
    TimedOutError,
    UnavailableError,
    migrations,
)
from boocode_sessions import engine as our_engines
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.canaries import CANARY, assert_private, canary_entries, listening, told_by
from tests.fixtures.databases import Database, Databases
from tests.fixtures.servers import execute
from tests.fixtures.stores import Awaited

CALLERS = ("repository", "async-repository", "store-engine", "store-async-engine")


@dataclass(frozen=True)
class Kind:
    """One way in which a database fails."""

    raises: type[SessionStoreError]
    sql: tuple[str, ...] = ()
    """What brings it about, once the stores are warm."""
    options: str = ""
    """PostgreSQL settings of the stores' connections, which then are not warm."""
    pragmas: tuple[str, ...] = ()
    """SQLite's likewise."""
    holds: str = ""
    """What another connection does meanwhile."""
    reads_too: bool = False
    """Whether a load fails as well."""
    engine: dict[str, Any] = field(default_factory=dict)


def trigger(body: str) -> tuple[str, ...]:
    return (
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON claude_session_entries FOR EACH ROW EXECUTE FUNCTION refuse ()",
    )


def raising(code: str) -> tuple[str, ...]:
    return trigger(
        f"RAISE EXCEPTION '%', NEW.entry USING ERRCODE = '{code}', DETAIL = NEW.entry, HINT = NEW.entry"
    )


POSTGRESQL = {
    "bad JSON": Kind(DatabaseError, trigger("PERFORM (NEW.entry ->> 'text')::jsonb")),
    "bad number": Kind(DatabaseError, trigger("PERFORM (NEW.entry ->> 'text')::int")),
    "unknown error": Kind(DatabaseError, raising("ZZ999")),
    "notices": Kind(DatabaseError, trigger("RAISE WARNING '%', NEW.entry; RAISE EXCEPTION '%', NEW.entry")),
    "unique violation": Kind(
        DatabaseError,
        ("CREATE UNIQUE INDEX one ON claude_session_entries ((entry ->> 'customTitle'))",),
    ),
    "check violation": Kind(
        DatabaseError,
        ("ALTER TABLE claude_session_entries ADD CHECK (entry ->> 'type' NOT LIKE 'canary%') NOT VALID",),
    ),
    "not null violation": Kind(
        DatabaseError,
        (
            "ALTER TABLE claude_session_entries ADD extra text DEFAULT '-' NOT NULL",
            "ALTER TABLE claude_session_entries ALTER extra DROP DEFAULT",
        ),
    ),
    "too large": Kind(RefusedError, raising("54000")),
    "statement time-out": Kind(TimedOutError, trigger("PERFORM pg_sleep(5)"), "-c statement_timeout=20"),
    "lock time-out": Kind(
        TimedOutError,
        options="-c lock_timeout=20",
        holds="LOCK TABLE claude_session_entries, claude_sessions IN ACCESS EXCLUSIVE MODE",
        reads_too=True,
    ),
    "lost connection": Kind(
        UnavailableError, trigger("PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5)")
    ),
    "disk full": Kind(RefusedError, raising("53100")),
    "out of memory": Kind(RefusedError, raising("53200")),
    "serialization failure": Kind(RetryableError, raising("40001")),
    "deadlock": Kind(RetryableError, raising("40P01")),
    "permission denied": Kind(RefusedError, options="-c role=pg_read_all_stats", reads_too=True),
    "read-only": Kind(RefusedError, options="-c default_transaction_read_only=on"),
    "missing table": Kind(SchemaMissingError, ("DROP TABLE claude_session_entries",), reads_too=True),
    "missing column": Kind(
        SchemaMissingError, ("ALTER TABLE claude_session_entries DROP verbatim",), reads_too=True
    ),
    "prepared statement gone": Kind(DatabaseError, raising("26000")),
    "exhausted pool": Kind(
        PoolExhaustedError,
        holds="the pool",
        reads_too=True,
        engine={"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05},
    ),
}

SQLITE = {
    "bad JSON": Kind(
        DatabaseError,
        (
            (
                "CREATE TRIGGER refuse BEFORE INSERT ON claude_session_entries "
                "BEGIN SELECT json_extract(NEW.entry, json_extract(NEW.entry, '$.text')); END"
            ),
        ),
    ),
    "unique violation": Kind(
        DatabaseError,
        ("CREATE UNIQUE INDEX one ON claude_session_entries (json_extract(entry, '$.customTitle'))",),
    ),
    "raised by a trigger": Kind(
        DatabaseError,
        (
            (
                "CREATE TRIGGER refuse BEFORE INSERT ON claude_session_entries "
                "BEGIN SELECT raise(ABORT, 'no'); END"
            ),
        ),
    ),
    "not null violation": Kind(
        DatabaseError,
        (
            "CREATE TABLE log (entry TEXT NOT NULL)",
            (
                "CREATE TRIGGER log AFTER INSERT ON claude_session_entries "
                "BEGIN INSERT INTO log VALUES (json_extract(NEW.entry, '$.none')); END"
            ),
        ),
    ),
    "disk full": Kind(RefusedError, pragmas=("PRAGMA max_page_count = 1",)),
    "read-only": Kind(RefusedError, pragmas=("PRAGMA query_only = 1",)),
    "locked": Kind(TimedOutError, pragmas=("PRAGMA busy_timeout = 20",), holds="BEGIN IMMEDIATE"),
    "missing table": Kind(SchemaMissingError, ("DROP TABLE claude_session_entries",), reads_too=True),
    "missing column": Kind(
        SchemaMissingError, ("ALTER TABLE claude_session_entries DROP COLUMN verbatim",), reads_too=True
    ),
    "damaged file": Kind(DatabaseError, ("damage",), reads_too=True),
    "exhausted pool": Kind(
        PoolExhaustedError,
        holds="the pool",
        reads_too=True,
        engine={"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05, "poolclass": "queue"},
    ),
}
KINDS = [
    *(pytest.param("postgresql", kind, id=f"postgresql-{name}") for name, kind in POSTGRESQL.items()),
    *(pytest.param("sqlite", kind, id=f"sqlite-{name}") for name, kind in SQLITE.items()),
]
MAKERS = {
    "ours": (our_engines.create_engine, our_engines.create_async_engine),
    "a host's": (sqlalchemy.create_engine, sqlalchemy_asyncio.create_async_engine),
}


class Caller:
    """A store of one kind over an engine of one kind."""

    def __init__(self, name: str, maker: str, database: Database, kind: Kind) -> None:
        self.name, self.maker = name, maker
        options: dict[str, Any] = dict(kind.engine)
        if maker == "ours":
            options["echo"] = "debug"
        if kind.options:
            options["connect_args"] = {"options": kind.options}
        make: Any
        make_async: Any
        make, make_async = MAKERS[maker]
        self.async_engine: Any = None
        if "async" in name:
            if options.pop("poolclass", None):
                options["poolclass"] = sqlalchemy.pool.AsyncAdaptedQueuePool
            self.async_engine = make_async(database.async_url, **options)
            self.engine: Engine = self.async_engine.sync_engine
        else:
            if options.pop("poolclass", None):
                options["poolclass"] = sqlalchemy.pool.QueuePool
            self.engine = make(database.url, **options)
        if kind.pragmas:

            @event.listens_for(self.engine, "connect")
            def _set(connection: Any, _record: object) -> None:
                cursor = connection.cursor()
                for pragma in kind.pragmas:
                    cursor.execute(pragma)
                cursor.close()

        bind: Any = self.async_engine if self.async_engine is not None else self.engine
        self.store: Any = {  # type: ignore[no-untyped-call]
            "repository": lambda: Awaited(ClaudeSessionRepository(bind)),
            "async-repository": lambda: AsyncClaudeSessionRepository(bind),
            "store-engine": lambda: SQLAlchemySessionStore(bind),
            "store-async-engine": lambda: SQLAlchemySessionStore(bind),
        }[name]()

    def key(self, session: str) -> Any:
        return {"project_key": "p", "session_id": f"{self.maker} {self.name} {session}"}

    @asynccontextmanager
    async def holding(self, kind: Kind, database: Database) -> AsyncIterator[None]:
        """What another connection holds meanwhile."""
        if kind.holds == "the pool":
            if self.async_engine is not None:
                async with self.async_engine.connect():
                    yield
            else:
                with self.engine.connect():
                    yield
        elif kind.holds:
            with other_connection(database) as connection:
                connection.execute(text(kind.holds))
                yield
                connection.rollback()
        else:
            yield

    async def close(self) -> None:
        if self.async_engine is not None:
            await self.async_engine.dispose()
        self.engine.dispose()


@contextmanager
def other_connection(database: Database) -> Iterator[Any]:
    engine = sqlalchemy.create_engine(database.url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def bring_about(database: Database, kind: Kind) -> None:
    if kind.sql == ("damage",):
        path = Path(str(make_url(database.url).database))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = bytearray(path.read_bytes())
        content[4096:] = CANARY.encode() * (len(content[4096:]) // len(CANARY))
        path.write_bytes(content)
        return
    with other_connection(database) as connection:
        for statement in kind.sql:
            connection.execute(text(statement))
        connection.commit()


async def warm(caller: Caller, kind: Kind) -> None:
    """Let a store know two sessions, so that its next appends to them are one statement."""
    if not kind.options and not kind.pragmas:
        for session in ("known", "other"):
            first = [{"type": f"{caller.name} {session}", "uuid": "0", "text": "{}"}]
            await caller.store.append(caller.key(session), first)


async def failures(caller: Caller, kind: Kind, database: Database) -> list[BaseException]:
    """The errors of appends, to a known session, to a new one, and to several at once; and of reads."""
    store, raised = caller.store, list[BaseException]()

    async def call(method: Callable[..., Any], *arguments: Any) -> None:
        try:
            await method(*arguments)
        except Exception as error:  # noqa: BLE001 - all of them are looked at
            raised.append(error)

    async with caller.holding(kind, database):
        for session in ("known", "new"):
            await call(store.append, caller.key(session), canary_entries())
        if caller.name.startswith("store"):
            async with anyio.create_task_group() as tasks:
                for session in ("known", "other"):
                    tasks.start_soon(call, store.append, caller.key(session), canary_entries(3))
        appends = len(raised)
        assert appends == (4 if caller.name.startswith("store") else 2), "an append did not fail"
        await call(store.load, caller.key("known"))
        await call(store.list_sessions, "p")
        assert not kind.reads_too or len(raised) > appends, "no read failed"
    return raised


def check(database: Database, kind: Kind) -> None:
    """Fail in every caller's hands, and look at all that was told."""
    with listening():
        callers = [Caller(name, "ours", database, kind) for name in CALLERS]
        callers += [Caller(name, "a host's", database, kind) for name in CALLERS[::3]]

    async def main() -> None:
        for caller in callers:
            await warm(caller, kind)
        bring_about(database, kind)
        for caller in callers:
            with listening() as told:
                raised = await failures(caller, kind, database)
                await caller.close()
            for error in raised:
                assert_private(told_by(error))
                assert isinstance(error, kind.raises), repr(error)
            if caller.maker != "a host's":  # what its own engines log is the host's to say
                assert_private(told)

    anyio.run(main)


@pytest.mark.parametrize(("dialect", "kind"), KINDS)
def test_a_database_error_tells_no_content(
    databases: Databases, dialect: str, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A store tries again as long as that; it would be ten seconds of each of its calls.
    monkeypatch.setattr(our_engines, "LOCK_SECONDS", 0.1)
    check(databases.migrated(dialect), kind)


def test_text_that_the_database_can_not_encode_tells_no_content(postgres_server: URL) -> None:
    name = f"boocode_latin1_{os.getpid()}"
    execute(postgres_server, f"CREATE DATABASE {name}")
    url = postgres_server.set(database=name)
    latin1 = url.update_query_dict({"client_encoding": "latin1"})
    try:
        migrations.upgrade(url)
        engine = sqlalchemy.create_engine(latin1)
        with listening() as told, pytest.raises(RefusedError) as refused:
            ClaudeSessionRepository(engine).append({"project_key": "p", "session_id": "s"}, canary_entries())
        engine.dispose()
        assert_private(told_by(refused.value))
        assert_private(told)
    finally:
        execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("caller", CALLERS)
def test_what_goes_well_is_not_logged_either(database: Database, caller: str) -> None:
    """SQLAlchemy logs rows at DEBUG, and aiosqlite parameters; a root logger at DEBUG is enough for it."""
    with listening() as told:
        made = Caller(caller, "ours", database, Kind(DatabaseError))

        async def main() -> None:
            for _ in range(2):
                await made.store.append(made.key("s"), canary_entries())
                await made.store.append(made.key("s"), [{**e, "new": CANARY} for e in canary_entries()])
            assert CANARY in str(await made.store.load(made.key("s")))
            assert CANARY in str(await made.store.list_session_summaries("p"))
            await made.store.delete(made.key("s"))
            await made.close()

        anyio.run(main)
    assert any("INSERT INTO claude_session_entries" in line for line in told), "nothing was listened to"
    assert_private(told)
