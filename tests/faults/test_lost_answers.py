"""An append whose answer is lost is sent again, as the SDK does it: nothing is lost, nothing doubles."""

from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import anyio
import pytest
from sqlalchemy.exc import DBAPIError

from boocode_sessions import SessionKey, SessionStoreEntry, UnavailableError
from tests.fixtures.databases import Database
from tests.reliability.consistency import assert_true_summary, summary_of
from tests.reliability.proxy import Cut, Proxy
from tests.reliability.subjects import DRIVER_KINDS, KINDS, MAKER_KINDS, SESSION_KINDS, opened
from tests.reliability.verdicts import Verdict, examine, marked

pytestmark = pytest.mark.anyio

ROOM = {"pool_size": 1, "max_overflow": 0}
"""One connection, so that a cut leaves none of it for the retry."""


def new_session() -> SessionKey:
    return {"project_key": "faults", "session_id": str(uuid4())}


def text(value: str) -> SessionStoreEntry:
    """An entry without a uuid."""
    return cast("SessionStoreEntry", {"type": "note", "text": value})


OWN_KINDS = (*KINDS, *MAKER_KINDS, *DRIVER_KINDS)
"""Where each call is a transaction of its own, and so its retry is the package's concern."""


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize(
    ("known", "size"),
    [(False, 3), (True, 3), (True, 1), (True, 64)],
    ids=["to another's session", "to its own session", "of one entry", "of many entries"],
)
@pytest.mark.parametrize("kind", OWN_KINDS)
async def test_a_call_that_is_sent_again_lands_once(
    postgres_database: Database,
    proxy: Proxy,
    kind: str,
    known: bool,
    size: int,
    cut: Cut,
    publish: Callable[[Verdict], None],
) -> None:
    key = new_session()
    sent = [marked("writer", number, size) for number in range(3)]
    async with opened(kind, proxy.url, **ROOM) as subject, opened(kind, postgres_database.url) as observer:
        if known:
            await subject.append(key, sent[0])
        else:
            await observer.append(key, sent[0])
            await subject.load(key)
        proxy.cut(cut)
        with pytest.raises(UnavailableError):
            await subject.append(key, sent[1])
        assert [kind for kind, _ in proxy.faults] == [cut]
        there = await observer.load(key)
        if cut.landed is not None:
            assert there == sent[0] + (sent[1] if cut.landed else [])
        await subject.append(key, sent[1])
        await subject.append(key, sent[2])
        stored = await observer.load(key)
        assert stored == sent[0] + sent[1] + sent[2]
        await assert_true_summary(observer, key)
    verdict = examine(stored, [("writer", number, size) for number in range(3)])
    verdict.faults = len(proxy.faults)
    publish(verdict)


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("size", [1, 3, 64])
@pytest.mark.parametrize("kind", SESSION_KINDS)
async def test_a_transaction_of_the_callers_that_is_run_again_lands_once(
    postgres_database: Database,
    proxy: Proxy,
    kind: str,
    size: int,
    cut: Cut,
    publish: Callable[[Verdict], None],
) -> None:
    """The caller alone sees whether its COMMIT landed: entries with a uuid are then known again."""
    key = new_session()
    sent = [marked("writer", number, size, uuids=True) for number in range(3)]
    async with opened(kind, proxy.url, **ROOM) as subject, opened(kind, postgres_database.url) as observer:
        await subject.append(key, sent[0])
        proxy.cut(cut)
        with pytest.raises((UnavailableError, DBAPIError)):
            await subject.append(key, sent[1])
        assert [cut for cut, _ in proxy.faults] == [cut]
        there = await observer.load(key)
        if cut.landed is not None:
            assert there == sent[0] + (sent[1] if cut.landed else [])
        await subject.append(key, sent[1])
        await subject.append(key, sent[2])
        stored = await observer.load(key)
        assert stored == sent[0] + sent[1] + sent[2]
        await assert_true_summary(observer, key)
    verdict = examine(stored, [("writer", number, size) for number in range(3)])
    verdict.faults = len(proxy.faults)
    publish(verdict)


@pytest.mark.parametrize("kind", OWN_KINDS)
async def test_the_retrys_answer_may_be_lost_too(
    postgres_database: Database, proxy: Proxy, kind: str, publish: Callable[[Verdict], None]
) -> None:
    key = new_session()
    batches = [marked("writer", number) for number in range(3)]
    async with opened(kind, proxy.url, **ROOM) as subject:
        await subject.append(key, batches[0])
        proxy.cut(Cut.AFTER, Cut.AFTER, Cut.HALF_ANSWER)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await subject.append(key, batches[1])
        await subject.append(key, batches[1])
        await subject.append(key, batches[2])
    async with opened(kind, postgres_database.url) as observer:
        stored = await observer.load(key) or []
        await assert_true_summary(observer, key)
    verdict = examine(stored, [("writer", number, 3) for number in range(3)])
    verdict.faults = len(proxy.faults)
    assert verdict.faults == 3
    publish(verdict)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_an_equal_entry_of_another_process_stays(
    postgres_database: Database, proxy: Proxy, cut: Cut
) -> None:
    key = new_session()
    async with (
        opened("store over Engine", proxy.url, **ROOM) as ours,
        opened("store over Engine", postgres_database.url) as theirs,
    ):
        await ours.append(key, [text("first")])
        again = [text("again")]
        proxy.cut(cut)
        with pytest.raises(UnavailableError):
            await ours.append(key, again)
        await theirs.append(key, [text("again")])
        await ours.append(key, again)
        assert await theirs.load(key) == [text("first"), text("again"), text("again")]


async def test_outside_a_doubt_equal_entries_are_all_kept(proxy: Proxy) -> None:
    key = new_session()
    async with opened("store over Engine", proxy.url, **ROOM) as store:
        same = [text("same")]
        await store.append(key, same)
        await store.append(key, same)
        proxy.cut(Cut.AFTER)
        with pytest.raises(UnavailableError):
            await store.append(key, same)
        await store.append(key, same)  # the retry of the third
        await store.append(key, same)  # a fourth
        await store.append(key, [text("same")])  # a fifth
        assert await store.load(key) == same * 5


async def test_a_list_that_was_changed_after_a_lost_answer_is_another_call(proxy: Proxy) -> None:
    key = new_session()
    async with opened("store over Engine", proxy.url, **ROOM) as store:
        batch = [text("one")]
        proxy.cut(Cut.AFTER)
        with pytest.raises(UnavailableError):
            await store.append(key, batch)
        batch[0] = text("two")
        await store.append(key, batch)
        assert await store.load(key) == [text("one"), text("two")]


async def test_a_retry_changes_neither_mtime_nor_title(postgres_database: Database, proxy: Proxy) -> None:
    key = new_session()
    async with (
        opened("store over Engine", proxy.url, **ROOM) as ours,
        opened("store over Engine", postgres_database.url) as theirs,
    ):
        await ours.append(key, marked("ours", 0))
        batch = marked("ours", 1)
        proxy.cut(Cut.AFTER)
        with pytest.raises(UnavailableError):
            await ours.append(key, batch)
        await theirs.append(key, marked("theirs", 0))
        summary = await summary_of(theirs, key)
        await ours.append(key, batch)
        assert await summary_of(theirs, key) == summary
        assert summary["data"]["custom_title"].startswith("theirs")


async def test_one_list_sent_to_two_transcripts_is_two_doubts(proxy: Proxy) -> None:
    keys = [new_session(), new_session()]
    async with opened("repository", proxy.url, **ROOM) as repository:
        batch = [text("shared")]
        for key in keys:
            proxy.cut(Cut.AFTER)
            with pytest.raises(UnavailableError):
                await repository.append(key, batch)
        for key in keys:
            await repository.append(key, batch)
            assert await repository.load(key) == batch


async def test_a_lost_answer_to_many_sessions_at_once_doubles_none_of_them(
    postgres_database: Database, proxy: Proxy, publish: Callable[[Verdict], None]
) -> None:
    """All appends of a combined statement are in doubt together."""
    sessions = [new_session() for _ in range(120)]
    failures: list[UnavailableError] = []
    verdict = Verdict(runs=1)

    async with opened("store over Engine", proxy.url) as store:

        async def deliver(number: int) -> None:
            for batch in (marked(f"w{number}", 1, 2), marked(f"w{number}", 2, 2)):
                for _ in range(3):
                    try:
                        await store.append(sessions[number], batch)
                        break
                    except UnavailableError as error:
                        failures.append(error)
                        await anyio.sleep(0.2)

        for number, key in enumerate(sessions):
            await store.append(key, marked(f"w{number}", 0, 2))
        proxy.cut(*[Cut.AFTER] * 8)
        async with anyio.create_task_group() as tasks:
            for number in range(len(sessions)):
                tasks.start_soon(deliver, number)
    async with opened("store over Engine", postgres_database.url) as observer:
        for number, key in enumerate(sessions):
            stored = await observer.load(key) or []
            one = examine(stored, [(f"w{number}", n, 2) for n in range(3)])
            one.runs = 0
            verdict += one
    verdict.faults = len(proxy.faults)
    assert len(failures) > 64, "the cuts hit too few calls to say anything"
    publish(verdict)


async def test_a_load_that_is_cut_is_read_again_from_its_beginning(proxy: Proxy) -> None:
    key = new_session()
    big: list[Any] = [{"type": "note", "text": "x" * 20_000, "n": n} for n in range(200)]
    async with opened("store over Engine", proxy.url, **ROOM) as store:
        await store.append(key, big)
        proxy.cut_load(after=1_000_000)
        assert await store.load(key) == big
        assert await store.load(key) == big
