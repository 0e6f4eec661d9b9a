"""A caller changes its list, or an entry, during the call: what is stored, and folded, is of one reading."""

import copy
import threading
from collections.abc import Iterator
from typing import Any, cast

import anyio
import pytest
from claude_agent_sdk import fold_session_summary
from sqlalchemy import create_engine, text

from boocode_sessions import ClaudeSessionRepository, SessionKey
from tests.fixtures.databases import Database
from tests.reliability.consistency import summary_of
from tests.reliability.subjects import KINDS, Subject, opened

pytestmark = pytest.mark.anyio

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
SIZES = (1, 3, 17, 64, 600)


def entries(size: int) -> list[Any]:
    return [
        {"type": "user", "n": n, "customTitle": f"title {n}", "message": {"content": "x"}}
        for n in range(size)
    ]


def spoil(batch: list[Any]) -> None:
    for entry in batch:
        entry["customTitle"] = "changed"
        entry["message"]["content"] = "changed"
    batch.reverse()
    del batch[1:]
    batch.append({"type": "user", "customTitle": "added"})


async def assert_of_one_reading(subject: Subject, *may_be: list[Any]) -> None:
    stored = await subject.load(KEY) or []
    assert stored in may_be, "neither what was given nor what it was changed to"
    folded = fold_session_summary(None, KEY, cast("Any", stored))["data"]
    assert (await summary_of(subject, KEY))["data"] == folded


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("store")])
async def test_a_list_that_is_changed_while_the_call_waits(database: Database, kind: str, size: int) -> None:
    """The call has begun, and waits for a lock, when its caller uses the list for something else."""
    host = create_engine(database.url)
    batch = entries(size)
    given = copy.deepcopy(batch)
    try:
        async with opened(kind, database.url) as store:
            await store.append(KEY, first := entries(2))
            async with anyio.create_task_group() as tasks:
                with host.connect() as locking:
                    if database.dialect == "postgresql":
                        locking.execute(text("LOCK TABLE claude_session_entries IN ACCESS EXCLUSIVE MODE"))
                    else:
                        locking.exec_driver_sql("BEGIN IMMEDIATE")
                    tasks.start_soon(store.append, KEY, batch)
                    await anyio.sleep(0.3)
                    spoil(batch)
                    locking.rollback()
            await assert_of_one_reading(store, [*first, *given], [*first, *batch])
    finally:
        host.dispose()


class Changing(list[Any]):
    """A list that another thread changes as soon as it was read once, and before anything else happens."""

    def __init__(self, size: int) -> None:
        super().__init__(entries(size))
        self.reads = 0

    def __iter__(self) -> Iterator[Any]:
        self.reads += 1
        yield from [copy.deepcopy(item) for item in super().__iter__()]
        for item in super().__iter__():
            item["customTitle"] = f"after reading {self.reads}"

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


@pytest.mark.parametrize("size", SIZES)
async def test_entries_and_summary_are_of_one_reading(database: Database, size: int) -> None:
    """What is stored, and what the summary is folded from, is the same, whenever the list is changed."""
    engine = database.engine()
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, entries(2))
    repository.append(KEY, Changing(size))
    stored = repository.load(KEY) or []
    (summary,) = repository.list_session_summaries("p")
    engine.dispose()
    assert len(stored) == 2 + size
    assert summary["data"] == fold_session_summary(None, KEY, cast("Any", stored))["data"]


@pytest.mark.parametrize("size", SIZES)
async def test_a_thread_that_changes_entries_all_the_time(database: Database, size: int) -> None:
    engine = database.engine()
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, entries(2))
    stop = threading.Event()
    batch = entries(size)

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for entry in batch:
                entry["customTitle"] = f"round {number}"

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(20):
            repository.append(KEY, batch)
    finally:
        stop.set()
        changer.join()
    stored = repository.load(KEY) or []
    (summary,) = repository.list_session_summaries("p")
    engine.dispose()
    assert len(stored) == 2 + 20 * size
    assert summary["data"] == fold_session_summary(None, KEY, cast("Any", stored))["data"]
