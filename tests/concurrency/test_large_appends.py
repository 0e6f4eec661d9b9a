"""An append of several pages is all there or not at all, whatever happens between two of them."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy import text

from boocode_sessions import (
    ClaudeSessionRepository,
    InvalidEntryError,
    SessionKey,
    SessionStoreEntry,
    UnavailableError,
)
from boocode_sessions._core.append import appender, place, plan
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database
from tests.fixtures.seed import insert_as_the_seed_does
from tests.reliability.consistency import assert_true_summary
from tests.reliability.proxy import Proxy
from tests.reliability.subjects import KINDS, opened
from tests.reliability.verdicts import examine, marked

pytestmark = pytest.mark.anyio

ONE_CONNECTION = {"pool_size": 1, "max_overflow": 0}
PAGE = 20
LARGE = 4 * PAGE


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short ones, which the driver has no pipeline for: something can happen between two of them."""
    for module in (plan, place):
        monkeypatch.setattr(module, "PAGE_ROWS", PAGE)
    monkeypatch.setattr(appender, "pipelines", lambda _connection: False)


@contextmanager
def between_pages(happens: Callable[[], object]) -> Iterator[None]:
    """Something happens once, before the third page of the next append."""
    run, pages = plan.run_plan, 0

    def counted(connection: Any, page: plan.Plan) -> bool:
        nonlocal pages
        pages += 1
        if pages == 3:
            happens()
        return run(connection, page)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appender, "run_plan", counted)
        yield
    assert pages >= 3, "the append was not of several pages"


def new_session() -> SessionKey:
    return {"project_key": "large", "session_id": str(uuid4())}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_that_is_lost_between_two_pages_leaves_nothing(
    postgres_database: Database, proxy: Proxy, kind: str
) -> None:
    key = new_session()
    async with (
        opened(kind, proxy.url, **ONE_CONNECTION) as subject,
        opened(kind, postgres_database.url) as observer,
    ):
        await subject.append(key, marked("writer", 0))
        batch = marked("writer", 1, LARGE)
        with between_pages(proxy.drop_all), pytest.raises(UnavailableError):
            await subject.append(key, batch)
        assert len(await observer.load(key) or []) == 3
        await subject.append(key, batch)
        await subject.append(key, marked("writer", 2))
        sent = [("writer", 0, 3), ("writer", 1, LARGE), ("writer", 2, 3)]
        assert examine(await observer.load(key) or [], sent).wrong == 0
        await assert_true_summary(observer, key)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_invalid_entry_in_the_last_page_leaves_nothing(
    postgres_database: Database, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = new_session()
    async with opened(kind, postgres_database.url, **ONE_CONNECTION) as subject:
        await subject.append(key, marked("writer", 0))
        batch: list[Any] = marked("writer", 1, LARGE)
        batch[-1] = {"type": "x", "when": float("nan")}
        with pytest.raises(InvalidEntryError, match=rf"entries\[{LARGE - 1}\]"):
            await subject.append(key, batch)
        assert len(await subject.load(key) or []) == 3
        await subject.append(key, marked("writer", 2, LARGE))
        assert examine(await subject.load(key) or [], [("writer", 0, 3), ("writer", 2, LARGE)]).wrong == 0
        await assert_true_summary(subject, key)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_entry_that_is_known_already_is_there_once(
    postgres_database: Database, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Known from an earlier call, or from an earlier page of the same one."""
    key = new_session()
    async with opened(kind, postgres_database.url, **ONE_CONNECTION) as subject:
        await subject.append(key, marked("writer", 0))
        batch = marked("writer", 1, LARGE)
        repeated = next(entry for entry in batch if "uuid" in entry)
        await subject.append(key, [*batch, repeated])
        await subject.append(key, marked("writer", 2, LARGE))
        await subject.append(key, [*marked("writer", 3, LARGE), repeated])
        sent = [("writer", 0, 3), *(("writer", number, LARGE) for number in (1, 2, 3))]
        assert examine(await subject.load(key) or [], sent).wrong == 0
        await assert_true_summary(subject, key)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_row_of_another_program_between_two_pages_is_kept(
    postgres_database: Database, kind: str
) -> None:
    """One that does not lock: an append that had looked already goes back and looks again."""
    key = new_session()
    engine = create_engine(postgres_database.url)
    theirs: Any = {"type": "theirs", "uuid": "theirs"}

    def insert() -> None:
        insert_as_the_seed_does(engine, key, ['{"type": "theirs", "uuid": "theirs"}'])

    async with opened(kind, postgres_database.url) as subject:
        await subject.append(key, marked("writer", 0))
        with between_pages(insert):
            await subject.append(key, marked("writer", 1, LARGE))
        await subject.append(key, marked("writer", 2))
        stored = await subject.load(key) or []
        assert stored.count(theirs) == 1
        stored.remove(theirs)
        sent = [("writer", 0, 3), ("writer", 1, LARGE), ("writer", 2, 3)]
        assert examine(stored, sent).wrong == 0
        await assert_true_summary(subject, key)
    engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
async def test_another_writer_waits_until_all_pages_are_there(postgres_database: Database, kind: str) -> None:
    key = new_session()
    engine = create_engine(postgres_database.url)
    other = ClaudeSessionRepository(engine)
    waiting = threading.Thread(target=other.append, args=(key, cast("list[Any]", marked("other", 0))))

    def begin() -> None:
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()

    async with opened(kind, postgres_database.url) as subject:
        await subject.append(key, marked("writer", 0))
        with between_pages(begin):
            await subject.append(key, marked("writer", 1, LARGE))
        waiting.join(20)
        stored = await subject.load(key) or []
        assert [cast("Any", entry)["mark"][0] for entry in stored[-3:]] == ["other"] * 3
        assert examine(stored, [("writer", 0, 3), ("writer", 1, LARGE), ("other", 0, 3)]).wrong == 0
        await assert_true_summary(subject, key)
    engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
async def test_another_writers_append_comes_first_where_it_was_first(
    postgres_database: Database, kind: str
) -> None:
    key = new_session()
    async with opened(kind, postgres_database.url) as subject, opened(kind, postgres_database.url) as other:
        await subject.append(key, marked("writer", 0))
        await other.append(key, marked("other", 0))
        await subject.append(key, marked("writer", 1, LARGE))
        subagent: SessionKey = {**key, "subpath": "subagents/agent-1"}
        await subject.append(subagent, marked("subagent", 0, LARGE))
        sent = [("writer", 0, 3), ("other", 0, 3), ("writer", 1, LARGE)]
        assert examine(await other.load(key) or [], sent).wrong == 0
        assert examine(await other.load(subagent) or [], [("subagent", 0, LARGE)]).wrong == 0
        await assert_true_summary(other, key)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_list_that_changes_meanwhile_is_stored_as_it_was_given(
    postgres_database: Database, kind: str
) -> None:
    key = new_session()
    async with opened(kind, postgres_database.url) as subject:
        await subject.append(key, marked("writer", 0))
        batch: list[Any] = marked("writer", 1, LARGE)

        def change() -> None:
            batch[-1]["mark"] = ["later", 0, 0, 1]
            batch.extend(marked("later", 0))

        with between_pages(change):
            await subject.append(key, batch)
        assert examine(await subject.load(key) or [], [("writer", 0, 3), ("writer", 1, LARGE)]).wrong == 0
        await assert_true_summary(subject, key)


@pytest.mark.parametrize("kind", ["store over Engine", "store over AsyncEngine"])
async def test_a_call_that_is_cancelled_between_two_pages_lands_once_when_sent_again(
    postgres_database: Database, kind: str
) -> None:
    key = new_session()
    async with opened(kind, postgres_database.url, **ONE_CONNECTION) as store:
        await store.append(key, marked("writer", 0))
        batch = marked("writer", 1, LARGE)
        loop = asyncio.get_running_loop()
        with between_pages(lambda: loop.call_soon_threadsafe(task.cancel)):
            task = asyncio.ensure_future(store.append(key, batch))
            with pytest.raises((asyncio.CancelledError, UnavailableError)):
                await task
            assert len(await store.load(key) or []) in {3, 3 + LARGE}
        await store.append(key, batch)
        assert examine(await store.load(key) or [], [("writer", 0, 3), ("writer", 1, LARGE)]).wrong == 0
        await assert_true_summary(store, key)


@pytest.mark.parametrize("kind", KINDS)
async def test_pages_of_a_pipeline_are_undone_together(
    postgres_database: Database, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the driver sends all pages at once, the last of them may be the one that is refused."""
    monkeypatch.undo()
    monkeypatch.setattr(plan, "PAGE_ROWS", PAGE)
    key = new_session()
    async with opened(kind, postgres_database.url) as subject:
        await subject.append(key, marked("writer", 0))
        first = await subject.load(key) or []
        known = next(entry for entry in first if "uuid" in entry)
        await subject.append(key, [*marked("writer", 1, LARGE), cast("SessionStoreEntry", known)])
        assert examine(await subject.load(key) or [], [("writer", 0, 3), ("writer", 1, LARGE)]).wrong == 0
        await assert_true_summary(subject, key)


async def test_the_hosts_transactions_on_the_same_connection_stay_transactions(proxy: Proxy) -> None:
    engine = create_engine(proxy.url, **ONE_CONNECTION)
    repository = ClaudeSessionRepository(engine)
    key = new_session()
    repository.append(key, marked("writer", 0))

    def delete_and_roll_back() -> None:
        with engine.connect() as connection:
            connection.execute(text("DELETE FROM claude_session_entries"))

    for number in (1, 2):
        batch = marked("writer", number, LARGE)
        with between_pages(proxy.drop_all if number == 2 else lambda: None):
            try:
                repository.append(key, batch)
            except UnavailableError:
                repository.append(key, batch)
        delete_and_roll_back()
    batches = [("writer", 0, 3), ("writer", 1, LARGE), ("writer", 2, LARGE)]
    assert examine(repository.load(key) or [], batches).wrong == 0
    engine.dispose()
