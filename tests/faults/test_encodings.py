"""A text comes back as it was, or is refused before anything is written, whatever the encodings are."""

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import URL, Engine, NullPool, make_url, text

from boocode_sessions import ClaudeSessionRepository, SessionKey, SessionStoreError, errors, migrations
from tests.fixtures.canaries import CANARY, assert_private, told_by
from tests.fixtures.databases import Database
from tests.fixtures.servers import execute

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
TEXTS = [
    "plain",
    "\u00e9\u00fc\u00df",
    "\u20ac\u201e",
    "\U0001f600",
    "\u65e5\u672c",
    "\0 and \u00e9",
    "\ud800 \u00e9",
    "\x80\x9f",
]
Dispose = Callable[[Engine], Engine]
_numbers = itertools.count()


def batch(value: str, size: int) -> list[Any]:
    return [{"type": "user", "text": value, "secret": CANARY, "customTitle": value} for _ in range(size)]


def loaded(observer: Engine, key: SessionKey) -> list[Any]:
    """What another connection reads; nothing where the database itself is refused."""
    try:
        return list(ClaudeSessionRepository(observer).load(key) or [])
    except SessionStoreError as error:
        assert "ncoding" in str(error)  # noqa: PT017
        return []


def lands_exactly_or_is_refused(engine: Engine, observer: Engine) -> int:
    """Each text, in batches of one and of many. Returns how many landed."""
    repository = ClaudeSessionRepository(engine)
    landed = 0
    for number, (value, size) in enumerate(itertools.product(TEXTS, [1, 40])):
        key: SessionKey = {"project_key": "p", "session_id": f"s{number}"}
        for _ in range(2):
            sent = batch(value, size)
            before = loaded(observer, key)
            try:
                repository.append(key, sent)
            except SessionStoreError as error:
                assert_private(told_by(error))
                assert "ncoding" in str(error), "the error does not say what it is about"  # noqa: PT017
                sent = []
            landed += bool(sent)
            assert loaded(observer, key) == before + sent
            if not sent:
                continue  # refused as a whole: it reads nothing either
            assert (repository.load(key) or []) == before + sent
    return landed


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("encoding", ["latin1", "win1252", "sql_ascii"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_any_client_encoding_on_a_utf8_database(
    database: Database, engine: Engine, disposing: Dispose, encoding: str, driver: str
) -> None:
    url = make_url(database.url_over(driver)).update_query_dict({"client_encoding": encoding})
    client = disposing(sqlalchemy.create_engine(url))
    lands_exactly_or_is_refused(client, engine)


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("encoding", ["latin1"])
def test_a_client_encoding_that_the_role_or_database_sets(
    database: Database, engine: Engine, disposing: Dispose, encoding: str
) -> None:
    name = make_url(database.url).database
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET client_encoding = '{encoding}'"))
    client = disposing(sqlalchemy.create_engine(database.url))
    lands_exactly_or_is_refused(client, engine)


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("encoding", ["latin1", "win1252", "sjis", "sql_ascii"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_a_client_encoding_that_changes_after_the_first_call(
    database: Database, engine: Engine, disposing: Dispose, encoding: str, driver: str
) -> None:
    """The pool was checked with UTF8, as when a host's listener prepares each connection for other work."""
    client = disposing(sqlalchemy.create_engine(database.url_over(driver), pool_size=1, max_overflow=0))
    assert ClaudeSessionRepository(client).load(KEY) is None

    @sqlalchemy.event.listens_for(client, "checkout")
    def _checkout(connection: Any, _record: object, _proxy: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET client_encoding = '{encoding}'")
        cursor.close()
        connection.commit()

    assert lands_exactly_or_is_refused(client, engine) == 0
    with pytest.raises(errors.EncodingError, match="client_encoding is"):
        ClaudeSessionRepository(client).list_sessions("p")


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_client_encoding_that_is_set_for_later_connections(
    database: Database, engine: Engine, disposing: Dispose, driver: str
) -> None:
    client = disposing(sqlalchemy.create_engine(database.url_over(driver), poolclass=NullPool))
    assert ClaudeSessionRepository(client).load(KEY) is None
    with engine.begin() as connection:
        name = make_url(database.url).database
        connection.execute(text(f"ALTER DATABASE {name} SET client_encoding = 'latin1'"))
    assert lands_exactly_or_is_refused(client, engine) == 0


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def other_encoding(request: pytest.FixtureRequest, postgres_server: URL) -> Iterator[str]:
    """A migrated database of another encoding than UTF8."""
    name = f"boocode_{os.getpid()}_encoding_{next(_numbers)}"
    execute(
        postgres_server,
        f"CREATE DATABASE {name} ENCODING {request.param} LOCALE 'C' TEMPLATE template0",
    )
    url = postgres_server.set(database=name).render_as_string(hide_password=False)
    yield url
    execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_database_of_another_encoding(other_encoding: str, disposing: Dispose, driver: str) -> None:
    """Nothing but errors of ours, from the migrations on; and a read of what landed is exact."""
    try:
        migrations.upgrade(other_encoding)
    except SessionStoreError as error:
        assert "ncoding" in str(error)  # noqa: PT017
        return
    made = make_url(other_encoding).set(drivername=f"postgresql+{driver}")
    engine = disposing(sqlalchemy.create_engine(made))
    lands_exactly_or_is_refused(engine, engine)


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_refusal_has_a_class_of_its_own(database: Database, engine: Engine, disposing: Dispose) -> None:
    """What can't be sent in the client's encoding is either sent all the same, or an EncodingError."""
    url = make_url(database.url).update_query_dict({"client_encoding": "latin1"})
    client = ClaudeSessionRepository(disposing(sqlalchemy.create_engine(url)))
    sent = batch("\u65e5\u672c", 1)
    encoding_error: type[Exception] = errors.EncodingError  # type: ignore[attr-defined,unused-ignore]
    try:
        client.append(KEY, sent)
    except encoding_error:
        sent = []
    assert (ClaudeSessionRepository(engine).load(KEY) or []) == sent
