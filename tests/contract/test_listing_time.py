"""A session is listed with the time of its newest main entry, and that time never goes back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update

from boocode_sessions import ClaudeSessionEntry, ClaudeSessionRepository, SessionKey
from tests.fixtures.databases import Database
from tests.fixtures.seed import insert_as_the_seed_does

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
SUB: SessionKey = {**KEY, "subpath": "subagents/agent-1"}
SIZES = [1, 3, 40]


def entries(count: int, **members: Any) -> list[Any]:
    return [{"type": "user", "n": n, **members} for n in range(count)]


def newest_ms(engine: Engine) -> int:
    """The floor of the newest main entry's `created_at`, in epoch milliseconds."""
    with engine.connect() as connection:
        times = connection.execute(
            select(ClaudeSessionEntry.created_at).where(ClaudeSessionEntry.subpath == "")
        ).scalars()
        return _ms(max(times))


def _ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def listed_ms(repository: ClaudeSessionRepository) -> int:
    (session,) = repository.list_sessions("p")
    for summary in repository.list_session_summaries("p"):
        assert summary["mtime"] == session["mtime"], "listing and summary tell different times"
    return session["mtime"]


@pytest.fixture
def repository(engine: Engine) -> ClaudeSessionRepository:
    return ClaudeSessionRepository(engine)


@pytest.mark.parametrize("size", SIZES)
def test_the_mtime_is_the_newest_entrys_own_time(
    engine: Engine, repository: ClaudeSessionRepository, size: int
) -> None:
    for _ in range(4):
        repository.append(KEY, entries(size))
        assert listed_ms(repository) == newest_ms(engine)
        repository.append(SUB, entries(size))
        assert listed_ms(repository) == newest_ms(engine)


def test_it_is_so_too_where_another_process_wrote_last(
    engine: Engine, database: Database, repository: ClaudeSessionRepository
) -> None:
    other = database.engine()
    for size in SIZES:
        ClaudeSessionRepository(other).append(KEY, entries(size))
        assert listed_ms(repository) == newest_ms(engine)
        repository.append(KEY, entries(size))
        assert listed_ms(repository) == newest_ms(engine)
    other.dispose()


def test_it_is_so_too_beside_the_seeds_writer(engine: Engine, repository: ClaudeSessionRepository) -> None:
    repository.append(KEY, entries(2))
    insert_as_the_seed_does(engine, KEY, ['{"type": "user"}'])
    assert listed_ms(repository) == newest_ms(engine)
    repository.append(KEY, entries(1))
    assert listed_ms(repository) == newest_ms(engine)


def test_it_is_so_too_when_a_body_is_replaced(engine: Engine, repository: ClaudeSessionRepository) -> None:
    repository.append(KEY, entries(1, uuid="u"))
    before = listed_ms(repository)
    repository.append(KEY, entries(1, uuid="u", text="newer"))
    assert listed_ms(repository) >= before
    repository.append(KEY, entries(3))
    assert listed_ms(repository) == newest_ms(engine)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False], ids=["its own session", "another's session"])
def test_it_never_decreases_when_the_clock_steps_back(
    engine: Engine, database: Database, repository: ClaudeSessionRepository, size: int, known: bool
) -> None:
    """The newest entry was stored by a clock that was an hour ahead, as before a correction."""
    repository.append(KEY, entries(2))
    ahead = datetime.now(UTC) + timedelta(hours=1)
    # The seed's row: unplaced, with a time of its own, so that nothing of ours has to be known to make it.
    insert_as_the_seed_does(engine, KEY, ['{"type": "user", "text": "ahead"}'])
    with engine.begin() as connection:
        newest = select(ClaudeSessionEntry.id).order_by(ClaudeSessionEntry.id.desc()).limit(1)
        connection.execute(
            update(ClaudeSessionEntry)
            .where(ClaudeSessionEntry.id == newest.scalar_subquery())
            .values(created_at=ahead)
        )
    before = listed_ms(repository)
    assert before == newest_ms(engine) == _ms(ahead)
    writer = database.engine()
    for _ in range(3):
        (repository if known else ClaudeSessionRepository(writer)).append(KEY, entries(size))
        after = listed_ms(repository)
        assert after >= before, "the listing's time went back"
        assert after >= newest_ms(engine), "the listing's time is older than the newest entry"
        before = after
    writer.dispose()


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_it_never_decreases_within_our_own_entries(
    engine: Engine, repository: ClaudeSessionRepository
) -> None:
    """Our own newest entries, and the session's row, are an hour ahead of the clock."""
    repository.append(KEY, entries(2))
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE claude_session_entries SET created_at = created_at + interval '1 hour'")
        )
        table = connection.execute(
            text(
                "SELECT table_name FROM information_schema.columns WHERE column_name = 'updated_at'"
                " AND table_name LIKE 'claude_session%'"
            )
        ).scalar_one()
        connection.execute(text(f"UPDATE {table} SET updated_at = updated_at + interval '1 hour'"))
    before = listed_ms(repository)
    assert before == newest_ms(engine)
    for size in SIZES:
        repository.append(KEY, entries(size))
        assert listed_ms(repository) >= max(before, newest_ms(engine))
        before = listed_ms(repository)
