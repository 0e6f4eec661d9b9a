"""Contracts for concurrent callers in one event loop, such as several SDK clients in a process."""

from typing import Any

import anyio
import anyio.lowlevel

from boocode_sessions.testing.suite import Capability, Entry, Trial, canonical, entries, entry, expect

CONCURRENCY = Capability("concurrency", "Concurrent callers lose, double and mix nothing.")

WRITERS = 8
BATCHES = 5
PER_BATCH = 4
LARGE = 600
"""Entries of an append so large that most stores send it in another way than a single entry."""


def _batch(writer: int, batch: int) -> list[Entry]:
    return [
        entry(n, uuid=f"{writer}.{batch}.{n}" if n % 2 else None, writer=writer, batch=batch)
        for n in range(PER_BATCH)
    ]


async def _write(trial: Trial, writer: int, key: Any) -> None:  # noqa: ANN401 - a key
    for batch in range(BATCHES):
        await trial.store.append(key, _batch(writer, batch))


def _check_whole(loaded: list[Entry]) -> dict[int, list[int]]:
    """Raise Broken unless batches are whole and unmixed. Returns each writer's batches in stored order."""
    order: dict[int, list[int]] = {}
    for start in range(0, len(loaded), PER_BATCH):
        writer, batch = loaded[start]["writer"], loaded[start]["batch"]
        part = loaded[start : start + PER_BATCH]
        expect(canonical(part) == canonical(_batch(writer, batch)), f"the batch at {start} is cut or mixed")
        order.setdefault(writer, []).append(batch)
    return order


@CONCURRENCY.contract()
async def writers_of_one_session_never_mix(trial: Trial) -> None:
    """If batches mix, or one writer's batches swap, the transcript shows a conversation that never
    happened."""
    async with anyio.create_task_group() as tasks:
        for writer in range(WRITERS):
            tasks.start_soon(_write, trial, writer, trial.key())
    loaded = await trial.store.load(trial.key())
    due = WRITERS * BATCHES * PER_BATCH
    expect(len(loaded) == due, f"{WRITERS} writers at once leave {len(loaded)} entries where {due} are due")
    order = _check_whole(loaded)
    expect(
        order == {writer: list(range(BATCHES)) for writer in order}, "a writer's batches are not in its order"
    )


@CONCURRENCY.contract()
async def first_writes_do_not_race(trial: Trial) -> None:
    """Two writers both find no session yet: one of them fails on a unique key, or overwrites the other."""
    for attempt in range(5):
        key = trial.key(f"s{attempt}")
        async with anyio.create_task_group() as tasks:
            for writer in range(WRITERS):
                tasks.start_soon(trial.store.append, key, _batch(writer, 0))
        loaded = await trial.store.load(key)
        expect(len(loaded) == WRITERS * PER_BATCH, "first writes at once lose or double entries")
        _check_whole(loaded)


@CONCURRENCY.contract()
async def sessions_do_not_mix(trial: Trial) -> None:
    """A store that batches appends of several sessions must keep them apart, subagents included."""
    keys = [trial.key(f"s{n}", path) for n in range(4) for path in (None, "subagents/agent-1")]
    async with anyio.create_task_group() as tasks:
        for writer, key in enumerate(keys):
            tasks.start_soon(_write, trial, writer, key)
    for writer, key in enumerate(keys):
        due = [item for batch in range(BATCHES) for item in _batch(writer, batch)]
        await trial.expect(key, due, "appends to eight transcripts at once")


@CONCURRENCY.contract()
async def appends_of_two_stores_keep_the_order_of_the_calls(trial: Trial) -> None:
    """If large appends take another path, or number their entries elsewhere, entries end up out of order."""
    stores = [trial.store, await trial.another_store()]
    due: list[Entry] = []
    for call, size in enumerate((1, LARGE, 1, 1, LARGE, 2, LARGE, 1)):
        batch = [entry(n, uuid=f"{call}.{n}" if n % 2 else None, call=call) for n in range(size)]
        await stores[call % 2].append(trial.key(), batch)
        due += batch
        await trial.expect(trial.key(), due, f"an append of {size} after {call} others, by two stores")


@CONCURRENCY.contract()
async def one_batch_from_many_is_stored_once(trial: Trial) -> None:
    """Two processes import the same file: a check before the insert lets both of them in."""
    async with anyio.create_task_group() as tasks:
        for _ in range(WRITERS):
            tasks.start_soon(trial.store.append, trial.key(), entries(1, 2, 3))
    await trial.expect(trial.key(), entries(1, 2, 3), "the same batch from eight callers at once")


@CONCURRENCY.contract()
async def a_reader_never_sees_half_a_batch(trial: Trial) -> None:
    """A load during writes returns whole batches, and later loads only add to its end."""
    before: list[Entry] = []
    done = False

    async def read() -> None:
        nonlocal before
        last = False
        while not last:
            last = done
            loaded: list[Entry] = await trial.store.load(trial.key()) or []
            expect(len(loaded) % PER_BATCH == 0, "a load while others write gives half a batch")
            expect(
                canonical(loaded[: len(before)]) == canonical(before),
                "a later load puts entries before those that an earlier one gave",
            )
            before = loaded
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        async with anyio.create_task_group() as writers:
            for writer in range(WRITERS // 2):
                writers.start_soon(_write, trial, writer, trial.key())
        done = True
    _check_whole(before)


@CONCURRENCY.contract("list_session_summaries")
async def a_summary_loses_no_update(trial: Trial) -> None:
    """A store that reads, folds and writes without a lock loses a title set in between, and its fresh mtime
    hides that."""
    fields = ("customTitle", "aiTitle", "lastPrompt", "summary", "gitBranch")

    async def write(field: str) -> None:
        for number in range(BATCHES):
            await trial.store.append(trial.key(), [entry(number, **{field: f"{field} {number}"})])

    async with anyio.create_task_group() as tasks:
        for field in fields:
            tasks.start_soon(write, field)
    await trial.store.append(trial.key(project=trial.other_project), await trial.store.load(trial.key()))
    await trial.expect_same_summaries("after appends at once the summary is not that of the transcript")


@CONCURRENCY.contract("delete")
async def a_deletion_leaves_whole_batches(trial: Trial) -> None:
    """An append that meets a deletion is stored whole or not at all, and neither call fails."""
    async with anyio.create_task_group() as tasks:
        for writer in range(WRITERS // 2):
            tasks.start_soon(_write, trial, writer, trial.key())
        for _ in range(4):
            tasks.start_soon(trial.store.delete, trial.key())
    order = _check_whole(await trial.store.load(trial.key()) or [])
    expect(
        all(batches == sorted(set(batches)) for batches in order.values()),
        "a writer's batches are not in its order, or doubled, after a deletion",
    )
    await trial.store.delete(trial.key())
    await trial.expect(trial.key(), None, "a deletion after them all")
