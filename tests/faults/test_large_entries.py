"""An entry of any size lands exactly, or is refused for what it is, with the session as it was."""

import gc
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, RefusedError, SessionKey
from boocode_sessions import engine as our_engines
from tests.fixtures.canaries import told_by
from tests.fixtures.databases import Database

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
MEGABYTE = 1 << 20
LIMIT_MB = 256
"""Of one JSONB string, and what the errors and the docs tell."""


def entry(megabytes: int, last: str) -> dict[str, Any]:
    return {"type": "user", "text": "x" * (megabytes * MEGABYTE) + last}


@pytest.mark.parametrize("last", ["", "\0", "\ud800"], ids=["plain", "with a NUL", "with a lone surrogate"])
def test_a_large_entry_lands(engine: Engine, last: str) -> None:
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [{"type": "user"}])
    large = entry(8, last)  # two of the pages in which entries are sent
    repository.append(KEY, [large, {"type": "user", "n": 1}])
    assert repository.load(KEY) == [{"type": "user"}, large, {"type": "user", "n": 1}]


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_psycopg_sends_a_large_entry_in_one_go(engine: Engine) -> None:
    """Without that, the time to send grows with the square of the size: 35 s were not enough for 280 MB."""
    blocking: list[bool] = []

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def _sent(connection: sqlalchemy.Connection, _cursor: object, statement: str, *_: object) -> None:
        driver: Any = connection.connection.driver_connection
        if statement.startswith("INSERT INTO claude_session_entries"):
            blocking.append(not driver.pgconn.nonblocking)

    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [entry(33, "")])
    assert blocking == [True]
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        assert driver.pgconn.nonblocking
    assert repository.load(KEY) == [entry(33, "")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("last", ["", "\0"], ids=["plain", "with a NUL"])
def test_an_entry_of_140_megabytes_lands_or_is_refused_honestly(
    database: Database, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is under the limit of 256 MB. Where its text is kept twice, a refusal may not say otherwise."""
    monkeypatch.setattr(our_engines, "CALL_SECONDS", 200.0)  # a busy machine needs more than our limits
    engine = sqlalchemy.create_engine(database.url)
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [{"type": "user"}])
    large = entry(140, last)
    try:
        repository.append(KEY, [large])
    except RefusedError as error:
        assert last, "a plain entry of this size is below the limit"
        told = str(error)
        assert f"over {LIMIT_MB} MB" not in told, "it is not over that"
        assert "x" * 100 not in told_by(error)  # noqa: PT017
        assert repository.load(KEY) == [{"type": "user"}]
    else:
        loaded = repository.load(KEY)
        assert loaded is not None
        assert loaded[1] == large
    repository.append(KEY, [{"type": "user", "n": 2}])
    repository.delete(KEY)
    engine.dispose()
    del large
    gc.collect()
