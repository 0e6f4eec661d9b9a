"""A host hears of every statement on its engine, and gets its connections back whole."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, select, text, update

from boocode_sessions import ClaudeSessionEntry, ClaudeSessionRepository, SessionStoreError
from boocode_sessions._core.append.plan import PAGE_ROWS
from boocode_sessions.engine import create_engine
from boocode_sessions.errors import DamagedEntryError
from tests.fixtures.databases import Database

KEY: Any = {"project_key": "p", "session_id": "s"}


@pytest.fixture
def engine(postgres_database: Database) -> Iterator[Engine]:
    made = create_engine(postgres_database.url, pool_size=4)
    yield made
    made.dispose()


@pytest.fixture
def repository(engine: Engine) -> ClaudeSessionRepository:
    repository = ClaudeSessionRepository(engine)
    repository.delete(KEY)
    repository.append(KEY, [{"type": "user", "n": 0}])
    return repository


@pytest.mark.parametrize("size", [1, 100, 500, 600])
def test_a_host_that_listens_to_its_engine_hears_of_every_append(
    engine: Engine, repository: ClaudeSessionRepository, size: int
) -> None:
    heard: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _listen(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        heard.extend([statement] * (len(parameters) if isinstance(parameters, list) else 1))

    repository.append(KEY, [{"type": "user", "n": n} for n in range(size)])
    pages = 1 if size <= PAGE_ROWS else 2
    assert [statement[:13] for statement in heard] == ["WITH advanced"] * pages
    assert len(repository.load(KEY) or []) == 1 + size
    assert "SELECT" in heard[-1]


def test_a_host_that_logs_its_statements_sees_every_append(
    engine: Engine, repository: ClaudeSessionRepository, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "sqlalchemy.engine"):
        engine.echo = True
        repository.append(KEY, [{"type": "user", "n": 1}])
    assert any("WITH advanced" in message for message in caplog.messages)


@pytest.mark.parametrize("listened_to", [False, True])
def test_a_listener_changes_nothing(engine: Engine, listened_to: bool) -> None:
    if listened_to:
        event.listen(engine, "before_cursor_execute", lambda *_: None)
    one, other = ClaudeSessionRepository(engine), ClaudeSessionRepository(engine)
    one.delete(KEY)
    due: list[Any] = []
    for number in range(8):
        batch = [
            {"type": "user", "uuid": f"{number}.{n}", "n": n} for n in range((1, 100, 500, 3)[number % 4])
        ]
        (one if number % 3 else other).append(KEY, batch)
        due += batch
    assert one.load(KEY) == due
    one.append(KEY, due[-5:])
    assert one.load(KEY) == due


def test_a_connection_comes_back_to_its_pool_ready_for_transactions(
    engine: Engine, repository: ClaudeSessionRepository
) -> None:
    repository.append(KEY, [{"type": "user", "n": 1}])
    with engine.connect() as connection:
        connection.execute(delete(ClaudeSessionEntry))
        connection.rollback()
        assert len(connection.execute(select(ClaudeSessionEntry.id)).all()) >= 2


def test_a_lost_connection_takes_the_pools_other_old_ones_with_it(
    engine: Engine, repository: ClaudeSessionRepository
) -> None:
    held = [engine.connect() for _ in range(4)]
    for connection in held:
        connection.close()
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        connection.commit()
        connection.invalidate()
    entry = [{"type": "user", "n": 1}]
    with pytest.raises(SessionStoreError):
        repository.append(KEY, entry)
    for _ in range(4):
        repository.append(KEY, entry)
    loaded: Any = repository.load(KEY)
    assert [stored["n"] for stored in loaded] == [0, 1, 1, 1, 1]


def test_a_load_that_meets_damage_gives_its_connection_back_fit_for_use(
    engine: Engine, repository: ClaudeSessionRepository
) -> None:
    repository.append(KEY, [{"type": "user", "n": n, "text": "x" * 2000} for n in range(1, 400)])
    with engine.begin() as connection:
        connection.execute(
            update(ClaudeSessionEntry)
            .where(ClaudeSessionEntry.session_id == "s", ClaudeSessionEntry.entry["n"].as_integer() == 5)
            .values(verbatim="{")
        )
    for _ in range(3):
        with pytest.raises(DamagedEntryError, match="entry 5"):
            repository.load(KEY)
    repository.append(KEY, [{"type": "user", "n": 400}])
    assert repository.list_sessions("p")
