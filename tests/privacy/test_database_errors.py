"""Whatever the database refuses, nothing of a transcript is told: by no error, its chain, a log or a warning."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy
from sqlalchemy import Engine, event, make_url, text
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
        "CREATE TRIGGER refuse BEFORE INSERT ON claude_session_entries FOR EACH ROW EXECUTE FUNCTION refuse()",
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
        ("CREATE UNIQUE INDEX one ON claude_session_entries ((entry ->> 'type'))",),
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
    "statement time-out": Kind(TimedOutError, trigger("PERFORM pg_sleep(5)"), "-c statement_timeout=200"),
    "lock time-out": Kind(
        TimedOutError,
        options="-c lock_timeout=100",
        holds="LOCK TABLE claude_session_entries, claude_session_summaries IN ACCESS EXCLUSIVE MODE",
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
    "another column's type": Kind(
        DatabaseError, ("ALTER TABLE claude_session_entries ALTER entry TYPE text",)
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
            "CREATE TRIGGER refuse BEFORE INSERT ON claude_session_entries "
            "BEGIN SELECT json_extract(NEW.entry, json_extract(NEW.entry, '$.text')); END",
        ),
    ),
    "unique violation": Kind(
        DatabaseError,
        ("CREATE UNIQUE INDEX one ON claude_session_entries (json_extract(entry, '$.type'))",),
    ),
    "raised by a trigger": Kind(
        DatabaseError,
        (
            "CREATE TRIGGER refuse BEFORE INSERT ON claude_session_entries "
            "BEGIN SELECT raise(ABORT, 'no'); END",
        ),
    ),
    "not null violation": Kind(
        DatabaseError,
        (
            "CREATE TABLE log (entry TEXT NOT NULL)",
            "CREATE TRIGGER log AFTER INSERT ON claude_session_entries "
            "BEGIN INSERT INTO log VALUES (json_extract(NEW.entry, '$.none')); END",
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
    "ours, echo": (our_engines.create_engine, our_engines.create_async_engine),
    "a host's": (sqlalchemy.create_engine, sqlalchemy_asyncio.create_async_engine),
}


class Caller:
    """A store of one kind over an engine of one kind."""

    def __init__(self, caller: str, maker: str, database: Database, kind: Kind) -> None:
        options: dict[str, Any] = dict(kind.engine)
        if maker == "ours, echo":
            options["echo"] = "debug"
        if kind.options:
            options["connect_args"] = {"options": kind.options}
        make, make_async = MAKERS[maker]
        self.async_engine: Any = None
        if "async" in caller:
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

        bind = self.async_engine if self.async_engine is not None else self.engine
        self.store: Any = {
            "repository": lambda: Awaited(ClaudeSessionRepository(bind)),
            "async-repository": lambda: AsyncClaudeSessionRepository(bind),
            "store-engine": lambda: SQLAlchemySessionStore(bind),
            "store-async-engine": lambda: SQLAlchemySessionStore(bind),
        }[caller]()

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


def key(session: str) -> Any:
    return {"project_key": "p", "session_id": session}


async def failures(caller: Caller, kind: Kind, database: Database) -> list[BaseException]:
    """The errors of appends and loads: to a session known already, to a new one, and to several at once."""
    store = caller.store
    warm = not kind.options and not kind.pragmas
    if warm:
        for session in ("known", "other"):
            await store.append(key(session), [{"type": f"before {session}", "uuid": "0", "text": "{}"}])
    bring_about(database, kind)
    raised: list[BaseException] = []

    async def call(method: Callable[..., Any], *arguments: Any) -> None:
        try:
            await method(*arguments)
        except Exception as error:  # noqa: BLE001 - all of them are looked at
            raised.append(error)

    async with caller.holding(kind, database):
        await call(store.append, key("known"), canary_entries())
        await call(store.append, key("known"), canary_entries())
        await call(store.append, key("new"), canary_entries())
        async with anyio.create_task_group() as tasks:
            for session in ("known", "other", "another"):
                tasks.start_soon(call, store.append, key(session), canary_entries(3))
        appends = len(raised)
        assert appends == 6, "an append did not fail"
        for method, argument in (
            (store.load, key("known")),
            (store.list_sessions, "p"),
            (store.list_session_summaries, "p"),
            (store.list_subkeys, key("known")),
        ):
            await call(method, argument)
        assert not kind.reads_too or len(raised) > appends, "no read failed"
    return raised


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("dialect", "kind"), KINDS)
def test_a_database_error_tells_no_content(
    databases: Databases, dialect: str, kind: Kind, caller: str, maker: str
) -> None:
    database = databases.migrated(dialect)
    with listening() as told:
        made = Caller(caller, maker, database, kind)

        async def main() -> list[BaseException]:
            try:
                return await failures(made, kind, database)
            finally:
                await made.close()

        raised = anyio.run(main)
    for error in raised:
        assert isinstance(error, kind.raises), told_by(error)[:3000]
        assert isinstance(error, SessionStoreError)
        assert_private(told_by(error))
    if maker != "a host's":  # whether its own engines log parameters is the host's to say
        assert_private(told)


@pytest.mark.parametrize("maker", MAKERS)
def test_text_that_the_database_can_not_encode_tells_no_content(
    databases: Databases, postgres_server: Any, maker: str
) -> None:
    name = f"boocode_latin1_{maker.strip('a').replace(' ', '').replace(',', '').replace(chr(39), '')}"
    execute(postgres_server, f"CREATE DATABASE {name} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    url = postgres_server.set(database=name).render_as_string(hide_password=False)
    migrations.upgrade(url)
    database = Database("postgresql", url)
    kind = Kind(DatabaseError)
    assert databases
    for caller in CALLERS:
        with listening() as told:
            made = Caller(caller, maker, database, kind)

            async def main(made: Caller) -> list[BaseException]:
                try:
                    return await failures(made, kind, database)
                finally:
                    await made.close()

            raised = anyio.run(main, made)
        for error in raised:
            assert isinstance(error, DatabaseError)
            assert_private(told_by(error))
        if maker != "a host's":
            assert_private(told)
    execute(postgres_server, f"DROP DATABASE {name}")
