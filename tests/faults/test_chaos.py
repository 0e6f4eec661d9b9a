"""Many sessions write through a network that cuts many an append, at a moment of its own choice."""

import random
import threading
from collections.abc import Callable
from uuid import uuid4

import anyio
import pytest

from boocode_sessions import SessionKey
from boocode_sessions._core.append.plan import PAGE_ROWS
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import transcript_of
from tests.fixtures.databases import Database
from tests.reliability.proxy import Proxy
from tests.reliability.subjects import DRIVER_KINDS, opened
from tests.reliability.verdicts import Verdict, examine, marked, scaled
from tests.reliability.writers import deliver


def size_of(batch: int) -> int:
    """Every third is more than one page."""
    return 3 if batch % 3 else PAGE_ROWS + 100


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # pg8000 leaves a broken one to the GC
@pytest.mark.parametrize(
    ("kind", "chance"),
    [
        ("repository", 0.125),
        ("async repository", 0.125),
        ("store over Engine", 0.4),  # it combines, and so sends less that can be cut
        ("store over AsyncEngine", 0.4),
        # pg8000 passes the tests of single cuts; hundreds of them take it longer than a test may.
        *((kind, 0.125) for kind in DRIVER_KINDS if "pg8000" not in kind),
    ],
)
async def test_what_is_sent_until_it_is_acknowledged_is_there_once(
    postgres_database: Database, proxy: Proxy, kind: str, chance: float, publish: Callable[[Verdict], None]
) -> None:
    sessions = min(50, scaled(50))
    rounds = max(4, scaled(4))
    keys: list[SessionKey] = [{"project_key": kind, "session_id": str(uuid4())} for _ in range(sessions)]
    total = Verdict(runs=0)
    async with opened(kind, proxy.url) as subject, opened(kind, postgres_database.url) as other:
        for number, key in enumerate(keys):  # turns are known: what follows can go in one statement
            await subject.append(key, marked(f"w{number}", 0, size_of(0)))

        async def write(number: int, key: SessionKey) -> None:
            for round_ in range(1, rounds + 1):
                batch = marked(f"w{number}", round_, size_of(round_))
                await deliver(subject, key, batch, attempts=100, pause=0.01)

        async def write_beside(number: int, key: SessionKey) -> None:
            for round_ in range(rounds):
                await other.append(key, marked(f"o{number}", round_))
                await anyio.sleep(0.02)

        proxy.chooser = random.Random(13)
        proxy.chance = chance
        async with anyio.create_task_group() as tasks:
            for number, key in enumerate(keys):
                tasks.start_soon(write, number, key)
                if number % 5 == 0:
                    tasks.start_soon(write_beside, number, key)
        proxy.chance = 0
        summaries = {s["session_id"]: s for s in await other.list_session_summaries(kind)}
        for number, key in enumerate(keys):
            sent = [(f"w{number}", round_, size_of(round_)) for round_ in range(rounds + 1)]
            if number % 5 == 0:
                sent += [(f"o{number}", round_, 3) for round_ in range(rounds)]
            stored = await other.load(key) or []
            total += examine(stored, sent)
            assert summaries[key["session_id"]]["data"] == fold(None, transcript_of(key), stored)
    total.runs, total.faults = 1, len(proxy.faults)
    assert total.faults > 3, "the network was too good to say anything"
    publish(total)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["store over Engine", "store over AsyncEngine"])
async def test_all_connections_are_cut_again_and_again(
    postgres_database: Database, proxy: Proxy, kind: str, publish: Callable[[Verdict], None]
) -> None:
    keys: list[SessionKey] = [{"project_key": "cut", "session_id": str(uuid4())} for _ in range(20)]
    written = [0] * len(keys)
    most = scaled(60)
    total = Verdict(runs=0)
    done = threading.Event()
    cuts = [0]

    async def cut() -> None:
        while not done.is_set():
            await anyio.sleep(0.25)
            cuts[0] += proxy.drop_all()

    async with opened(kind, proxy.url) as subject, opened(kind, postgres_database.url) as other:

        async def write(number: int, key: SessionKey) -> None:
            while cuts[0] < most or not written[number]:
                batch = marked(f"w{number}", written[number], size_of(written[number]))
                await deliver(subject, key, batch, 500, pause=0.05)
                written[number] += 1
                await anyio.sleep(0.02)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cut)
            async with anyio.create_task_group() as writers:
                for number, key in enumerate(keys):
                    writers.start_soon(write, number, key)
            done.set()
        for number, key in enumerate(keys):
            total += examine(
                await other.load(key) or [], [(f"w{number}", n, size_of(n)) for n in range(written[number])]
            )
    total.runs, total.faults = 1, cuts[0]
    publish(total)
