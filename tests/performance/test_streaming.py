"""Transcripts of any size are read in memory that does not grow with them."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, func, insert, literal, select, text

from boocode_sessions import ClaudeSessionEntry, ClaudeSessionRepository, SessionKey
from boocode_sessions.adoption import backfill
from boocode_sessions.errors import DamagedEntryError, InvalidKeyError
from boocode_sessions.streaming import PAGE_CHARS, iterate, iterate_async
from tests.fixtures.databases import Database
from tests.fixtures.seed import insert_as_the_seed_does

pytestmark = pytest.mark.anyio

KEY: SessionKey = {"project_key": "p", "session_id": "long"}

Read = Callable[[Callable[[Any], None]], Awaitable[None]]


@pytest.fixture(params=["sync", "async"])
async def read(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Read]:
    """Reads the transcript, entry by entry, and gives each to a function."""
    if request.param == "sync":
        engine = database.engine()

        async def each(take: Callable[[Any], None]) -> None:
            for entry in iterate(engine, KEY):
                take(entry)

        yield each
        engine.dispose()
    else:
        async_engine = database.async_engine()

        async def each_async(take: Callable[[Any], None]) -> None:
            async for entry in iterate_async(async_engine, KEY):
                take(entry)

        yield each_async
        await async_engine.dispose()


async def test_every_entry_comes_once_and_in_order(read: Read, engine: Engine) -> None:
    entries = [{"type": "user", "n": n, "text": "x" * (n % 7) * 3000} for n in range(1203)]
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, entries)
    repository.append({**KEY, "subpath": "subagents/agent-1"}, [{"type": "user", "n": -1}])
    seen: list[Any] = []
    await read(seen.append)
    assert seen == entries


@pytest.mark.parametrize("then", ["append", "insert and append", "backfill"])
async def test_rows_that_get_their_positions_meanwhile_come_once_and_in_order(
    read: Read, engine: Engine, then: str
) -> None:
    """Another program's rows have none until somebody places them, which may be between two pages."""
    repository, seen = ClaudeSessionRepository(engine), list[int]()
    repository.append(KEY, [{"type": "user", "n": 0}])
    insert_as_the_seed_does(engine, KEY, [f'{{"type": "user", "n": {n}}}' for n in range(1, 1200)])

    def take(entry: Any) -> None:
        seen.append(entry["n"])
        if len(seen) == 20:
            if then == "insert and append":
                insert_as_the_seed_does(engine, KEY, ['{"type": "user", "n": 1200}'])
            if then == "backfill":
                backfill(engine)
            else:
                repository.append(KEY, [{"type": "user", "n": 1201}])
            insert_as_the_seed_does(engine, KEY, ['{"type": "user", "n": 1202}'])

    await read(take)
    added = {"append": [1201], "insert and append": [1200, 1201], "backfill": []}[then]
    assert seen == [*range(1200), *added, 1202]


async def test_a_transcript_that_was_never_written_has_no_entries(read: Read) -> None:
    seen: list[Any] = []
    await read(seen.append)
    assert seen == []


async def test_a_hundred_megabytes_are_read_in_the_memory_of_a_few(read: Read, engine: Engine) -> None:
    _fill(engine, entries=1000, size=100_000)
    process = psutil.Process()
    count = peak = 0

    def take(_: Any) -> None:
        nonlocal count, peak
        count += 1
        if count % 50 == 0:
            peak = max(peak, process.memory_info().rss)

    gc.collect()
    before = process.memory_info().rss
    await read(take)
    assert count == 1000
    assert peak - before < 8 * PAGE_CHARS


async def test_nothing_is_held_between_two_entries(engine: Engine) -> None:
    ClaudeSessionRepository(engine).append(KEY, [{"type": "user", "n": n} for n in range(200)])
    reading: Any = iterate(engine, KEY)
    next(reading)
    assert getattr(engine.pool, "checkedout", lambda: 0)() == 0
    ClaudeSessionRepository(engine).append(KEY, [{"type": "user", "n": 200}])
    assert [entry["n"] for entry in reading] == list(range(1, 201))


def test_a_damaged_entry_is_named_by_its_position(engine: Engine) -> None:
    ClaudeSessionRepository(engine).append(KEY, [{"type": "user", "n": n} for n in range(100)])
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE claude_session_entries SET verbatim = '{' WHERE position ="
                " (SELECT min(position) + 77 FROM claude_session_entries)"
            )
        )
    seen: list[Any] = []
    with pytest.raises(DamagedEntryError, match="entry 77"):
        seen.extend(iterate(engine, KEY))


def test_a_wrong_key_is_refused_at_the_first_entry(engine: Engine) -> None:
    with pytest.raises(InvalidKeyError):
        next(iterate(engine, {**KEY, "subpath": ""}))


def _fill(engine: Engine, entries: int, size: int) -> None:
    """Large entries, made by the database itself."""
    if engine.dialect.name == "sqlite":
        numbers = func.json_each(func.json_array(*range(100))).table_valued("value", name="a")
        rest = func.json_each(func.json_array(*range(entries // 100))).table_valued("value", name="b")
        body: Any = func.json_object("type", "user", "text", func.hex(func.zeroblob(size // 2)))
        rows = select(literal("p"), literal("long"), body).select_from(numbers.join(rest, literal(1) == 1))
    else:
        one = func.generate_series(1, entries).table_valued("n", name="a")
        body = func.jsonb_build_object("type", "user", "text", func.repeat(func.md5("x"), size // 32))
        rows = select(literal("p"), literal("long"), body)
        rows = rows.select_from(one)
    with engine.begin() as connection:
        columns = ["project_key", "session_id", "entry"]
        connection.execute(insert(ClaudeSessionEntry).from_select(columns, rows))
