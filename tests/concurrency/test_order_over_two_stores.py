"""The order of the calls is the order of `load`, whoever calls and however large the batch is."""

import json
import random
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy

from boocode_sessions import SessionKey
from tests.fixtures.databases import Database
from tests.fixtures.seed import insert_as_the_seed_does
from tests.reliability.subjects import DRIVER_KINDS, KINDS, MAKER_KINDS, opened
from tests.reliability.verdicts import Verdict, examine, marked

pytestmark = pytest.mark.anyio

PAIRS = [
    ("store over Engine", "store over Engine"),
    ("store over AsyncEngine", "store over Engine"),
    ("repository", "async repository"),
    ("store over AsyncEngine", "repository"),
]
SIZES = (1, 40, 1, 600, 2, 17, 1, 300, 3)
"""Small, large and small: each size may take another way to the database."""


def new_session() -> SessionKey:
    return {"project_key": "order", "session_id": str(uuid4())}


@pytest.mark.parametrize("kinds", PAIRS, ids=" and ".join)
async def test_small_and_large_appends_alternate_over_two_stores(
    database: Database, kinds: tuple[str, str]
) -> None:
    key = new_session()
    sent: list[Any] = []
    async with opened(kinds[0], database.url) as one, opened(kinds[1], database.url) as other:
        for number, size in enumerate(SIZES * 2):
            batch = marked("w", number, size)
            await (other if number % 2 else one).append(key, batch)
            sent += batch
        assert await one.load(key) == await other.load(key) == sent
    verdict = examine(sent, [("w", number, size) for number, size in enumerate(SIZES * 2)])
    assert verdict.wrong == 0


@pytest.mark.parametrize("kinds", PAIRS, ids=" and ".join)
async def test_the_seeds_writer_writes_in_between(database: Database, kinds: tuple[str, str]) -> None:
    """Its rows have no place of their own until our next append gives them one: where they came."""
    key = new_session()
    host = sqlalchemy.create_engine(database.url)
    sent: list[Any] = []
    try:
        async with opened(kinds[0], database.url) as one, opened(kinds[1], database.url) as other:
            for number, size in enumerate(SIZES):
                batch = marked("w", number, size)
                await (other if number % 2 else one).append(key, batch)
                sent += batch
                theirs = [{"type": "user", "seed": [number, n]} for n in range(1 + number % 3)]
                insert_as_the_seed_does(host, key, [json.dumps(entry) for entry in theirs])
                sent += theirs
                assert await one.load(key) == sent
            assert await other.load(key) == sent
            with host.connect() as connection:
                rows = connection.execute(
                    sqlalchemy.text("SELECT count(*) FROM claude_session_entries WHERE session_id = :s"),
                    {"s": key["session_id"]},
                ).scalar_one()
            assert rows == len(sent)
    finally:
        host.dispose()


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_every_kind_of_writer_takes_its_turn_in_any_order(database: Database) -> None:
    """Main transcript and subagents; each keeps the order of its calls."""
    chooser = random.Random(11)
    key = new_session()
    keys: list[SessionKey] = [key, {**key, "subpath": "subagents/agent-1"}]
    sent: dict[int, list[Any]] = {0: [], 1: []}
    batches: dict[int, list[tuple[str, int, int]]] = {0: [], 1: []}
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(opened(kind, database.url))
            for kind in (*KINDS, *MAKER_KINDS, *DRIVER_KINDS)
        ]
        for number in range(80):
            to, size = chooser.randrange(2), chooser.choice(SIZES)
            batch = marked("w", number, size)
            await chooser.choice(stores).append(keys[to], batch)
            sent[to] += batch
            batches[to].append(("w", number, size))
        total = Verdict(runs=0)
        for to, transcript in enumerate(keys):
            stored = await chooser.choice(stores).load(transcript) or []
            assert stored == sent[to]
            total += examine(stored, batches[to])
    assert total.wrong == 0


async def test_a_session_that_is_deleted_begins_again_in_order(database: Database) -> None:
    """The other store remembers a session that is gone."""
    key = new_session()
    async with (
        opened("store over Engine", database.url) as one,
        opened("store over Engine", database.url) as other,
    ):
        for number, size in enumerate(SIZES):
            await one.append(key, marked("before", number, size))
            await other.append(key, marked("before", 100 + number, size))
            await (one if number % 2 else other).delete(key)
            assert await one.load(key) is None
            sent = [*marked("after", 0, size), *marked("after", 1, 1), *marked("after", 2, size)]
            await other.append(key, sent[:size])
            await one.append(key, sent[size : size + 1])
            await other.append(key, sent[size + 1 :])
            assert await one.load(key) == await other.load(key) == sent
            await one.delete(key)
