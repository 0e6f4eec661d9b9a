"""A large append goes to the server in parts: all of them or none, whatever happens between two of them."""

import asyncio
import logging
import threading
from collections.abc import Callable, ItemsView
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from boocode_sessions import ClaudeSessionRepository, InvalidEntryError, SessionKey, UnavailableError
from boocode_sessions._core.append.appender import PART_ROWS
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database
from tests.fixtures.seed import insert_as_the_seed_does
from tests.reliability.consistency import assert_true_summary
from tests.reliability.proxy import Proxy
from tests.reliability.subjects import KINDS, opened
from tests.reliability.verdicts import examine, marked

pytestmark = pytest.mark.anyio

ROOM = {"pool_size": 1, "max_overflow": 0}
LARGE = 4 * PART_ROWS


class Between(dict[str, Any]):
    """An entry that makes something happen when it is encoded: after the parts before it are sent."""

    def __init__(self, entry: Any, happens: Callable[[], object]) -> None:
        super().__init__(entry)
        self._happens: Callable[[], object] | None = happens

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return super().items()


def new_session() -> SessionKey:
    return {"project_key": "in-parts", "session_id": str(uuid4())}


def large(writer: str, number: int, happens: Callable[[], object] = lambda: None) -> list[Any]:
    """A batch of several parts, in whose middle something happens."""
    batch: list[Any] = marked(writer, number, LARGE)
    batch[LARGE // 2] = Between(batch[LARGE // 2], happens)
    return batch


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_that_is_lost_between_two_parts_leaves_nothing(
    postgres_database: Database, proxy: Proxy, kind: str
) -> None:
    key = new_session()
    async with opened(kind, proxy.url, **ROOM) as subject, opened(kind, postgres_database.url) as observer:
        await subject.append(key, marked("writer", 0))
        batch = large("writer", 1, proxy.drop_all)
        with pytest.raises(UnavailableError):
            await subject.append(key, batch)
        assert len(await observer.load(key) or []) == 3
        await subject.append(key, batch)
        await subject.append(key, marked("writer", 2))
        sent = [("writer", 0, 3), ("writer", 1, LARGE), ("writer", 2, 3)]
        assert examine(await observer.load(key) or [], sent).wrong == 0
        await assert_true_summary(observer, key)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_invalid_entry_in_the_last_part_leaves_nothing(
    postgres_database: Database, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = new_session()
    async with opened(kind, postgres_database.url, **ROOM) as subject:
        await subject.append(key, marked("writer", 0))
        batch = large("writer", 1)
        batch[-1] = {"type": "x", "when": float("nan")}
        with pytest.raises(InvalidEntryError, match=rf"entries\[{LARGE - 1}\]"):
            await subject.append(key, batch)
        assert len(await subject.load(key) or []) == 3
        await subject.append(key, large("writer", 2))
        assert examine(await subject.load(key) or [], [("writer", 0, 3), ("writer", 2, LARGE)]).wrong == 0
        await assert_true_summary(subject, key)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_entry_that_is_known_already_is_there_once(
    postgres_database: Database, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Known from an earlier call, or from an earlier part of the same one."""
    key = new_session()
    async with opened(kind, postgres_database.url, **ROOM) as subject:
        await subject.append(key, marked("writer", 0))
        batch = large("writer", 1)
        repeated = next(entry for entry in batch if "uuid" in entry)
        await subject.append(key, [*batch, repeated])
        await subject.append(key, large("writer", 2))
        await subject.append(key, [*marked("writer", 3, LARGE), repeated])
        sent = [("writer", 0, 3), *(("writer", number, LARGE) for number in (1, 2, 3))]
        assert examine(await subject.load(key) or [], sent).wrong == 0
        await assert_true_summary(subject, key)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_row_of_another_program_between_two_parts_is_kept(
    postgres_database: Database, kind: str
) -> None:
    """One that takes no turns."""
    key = new_session()
    engine = create_engine(postgres_database.url)
    theirs: Any = {"type": "theirs", "uuid": "theirs"}

    def insert() -> None:
        insert_as_the_seed_does(engine, key, ['{"type": "theirs", "uuid": "theirs"}'])

    async with opened(kind, postgres_database.url) as subject:
        await subject.append(key, marked("writer", 0))
        await subject.append(key, large("writer", 1, insert))
        await subject.append(key, marked("writer", 2))
        stored = await subject.load(key) or []
        assert stored.count(theirs) == 1
        stored.remove(theirs)
        sent = [("writer", 0, 3), ("writer", 1, LARGE), ("writer", 2, 3)]
        assert examine(stored, sent).wrong == 0
        await assert_true_summary(subject, key)
    engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
async def test_another_writer_waits_until_all_parts_are_there(postgres_database: Database, kind: str) -> None:
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
        await subject.append(key, large("writer", 1, begin))
        waiting.join(20)
        stored = await subject.load(key) or []
        assert [cast("Any", entry)["mark"][0] for entry in stored[-3:]] == ["other"] * 3
        assert examine(stored, [("writer", 0, 3), ("writer", 1, LARGE), ("other", 0, 3)]).wrong == 0
        await assert_true_summary(subject, key)
    engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
async def test_after_another_writer_it_goes_in_a_transaction_of_its_own(
    postgres_database: Database, kind: str
) -> None:
    key = new_session()
    async with opened(kind, postgres_database.url) as subject, opened(kind, postgres_database.url) as other:
        await subject.append(key, marked("writer", 0))
        await other.append(key, marked("other", 0))
        await subject.append(key, large("writer", 1))
        subagent: SessionKey = {**key, "subpath": "subagents/agent-1"}
        await subject.append(subagent, large("subagent", 0))
        sent = [("writer", 0, 3), ("other", 0, 3), ("writer", 1, LARGE)]
        assert examine(await other.load(key) or [], sent).wrong == 0
        assert examine(await other.load(subagent) or [], [("subagent", 0, LARGE)]).wrong == 0
        await assert_true_summary(other, key)


@pytest.mark.parametrize("kind", ["async repository", "store over AsyncEngine"])
async def test_a_list_that_grows_meanwhile_is_stored_as_it_was_given(
    postgres_database: Database, kind: str
) -> None:
    key = new_session()
    async with opened(kind, postgres_database.url) as subject:
        await subject.append(key, marked("writer", 0))
        batch = large("writer", 1, lambda: batch.extend(marked("later", 0)))
        await subject.append(key, batch)
        assert examine(await subject.load(key) or [], [("writer", 0, 3), ("writer", 1, LARGE)]).wrong == 0


async def test_a_call_that_is_cancelled_between_two_parts_lands_once_when_sent_again(
    postgres_database: Database,
) -> None:
    key = new_session()
    async with opened("store over AsyncEngine", postgres_database.url, **ROOM) as store:
        await store.append(key, marked("writer", 0))
        batch = large("writer", 1, lambda: task.cancel())  # noqa: PLW0108 - made below
        task = asyncio.ensure_future(store.append(key, batch))
        with pytest.raises((asyncio.CancelledError, UnavailableError)):
            await task
        assert len(await store.load(key) or []) in {3, 3 + LARGE}
        await store.append(key, batch)
        assert examine(await store.load(key) or [], [("writer", 0, 3), ("writer", 1, LARGE)]).wrong == 0
        await assert_true_summary(store, key)


async def test_the_hosts_transactions_on_the_same_connection_stay_transactions(proxy: Proxy) -> None:
    engine = create_engine(proxy.url, **ROOM)
    store: Any = SQLAlchemySessionStore(engine)
    key = new_session()
    await store.append(key, marked("writer", 0))

    def delete_and_roll_back() -> None:
        with engine.connect() as connection:
            connection.execute(text("DELETE FROM claude_session_entries"))

    known = large("writer", 1)
    await store.append(key, known)
    known = [*(entry for entry in known if "uuid" in entry), *marked("writer", 3)]
    for batch in (large("writer", 2), known, large("writer", 4, proxy.drop_all)):
        try:
            await store.append(key, batch)
        except UnavailableError:
            await store.append(key, batch)
        delete_and_roll_back()
        assert cast("QueuePool", engine.pool).checkedout() == 0
    sent = [("writer", 0, 3), *(("writer", n, LARGE) for n in (1, 2, 4)), ("writer", 3, 3)]
    assert examine(await store.load(key), sent).wrong == 0
    engine.dispose()
