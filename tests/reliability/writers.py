"""Writers in separate processes, to be killed. Each reports its acknowledged batches through a pipe."""

import multiprocessing
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import anyio

from boocode_sessions import (
    RefusedError,
    RetryableError,
    SessionKey,
    SessionStoreEntry,
    TimedOutError,
    UnavailableError,
)
from tests.reliability.subjects import Subject, opened
from tests.reliability.verdicts import Batch, marked

PRELOADED = [
    "tests.reliability.writers",
    "aiosqlite",
    "claude_agent_sdk",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
]
"""Modules that every writer would import."""


@dataclass(frozen=True)
class Order:
    """One writer's work: `batches` to each of its transcripts, concurrently over one store."""

    writer: str
    kind: str
    url: str
    keys: Sequence[SessionKey]
    batches: int = 10**9
    size: int = 3
    attempts: int = 1
    """Attempts per call; the SDK makes three. Must exceed the number of outages."""


async def deliver(
    subject: Subject, key: SessionKey, batch: list[SessionStoreEntry], attempts: int, pause: float = 0.1
) -> int:
    """Send a batch until it is acknowledged. Return how many attempts failed."""
    for failed in range(attempts - 1):
        try:
            await subject.append(key, batch)
        except (UnavailableError, TimedOutError, RetryableError, RefusedError):
            await anyio.sleep(pause)
        else:
            return failed
    await subject.append(key, batch)
    return attempts - 1


async def _write(order: Order, acknowledge: Connection) -> None:
    async def write_one(subject: Subject, number_of_key: int, key: SessionKey) -> None:
        for number in range(order.batches):
            batch = marked(order.writer, number, order.size)
            await deliver(subject, key, batch, order.attempts)
            acknowledge.send((number_of_key, number))

    async with opened(order.kind, order.url) as subject, anyio.create_task_group() as tasks:
        for number_of_key, key in enumerate(order.keys):
            tasks.start_soon(write_one, subject, number_of_key, key)


def write(order: Order, acknowledge: Connection) -> None:
    """Run a writer's process."""
    anyio.run(_write, order, acknowledge)
    acknowledge.close()


@dataclass
class Writer:
    """A writer's process, and its acknowledged batches."""

    order: Order
    process: BaseProcess
    acknowledged: dict[int, list[Batch]] = field(default_factory=lambda: defaultdict(list))
    """Batches by the index of the transcript's key."""
    reader: threading.Thread | None = None

    @property
    def count(self) -> int:
        return sum(len(batches) for batches in list(self.acknowledged.values()))

    def listen(self, pipe: Connection) -> None:
        while True:
            try:
                number_of_key, number = pipe.recv()
            except (EOFError, OSError):
                return
            self.acknowledged[number_of_key].append((self.order.writer, number, self.order.size))

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.join()

    def join(self, seconds: float = 60) -> int | None:
        """Wait for the process and its last report. Return the exit code."""
        self.process.join(seconds)
        assert not self.process.is_alive(), f"{self.order.writer} did not end"
        if self.reader is not None:
            self.reader.join(10)
        return self.process.exitcode


class Fleet:
    """Starts writers quickly, by forking a process that has imported everything."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self.writers: list[Writer] = []

    def start(self, order: Order) -> Writer:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self.fork(write, order, theirs)
        theirs.close()
        writer = Writer(order, process)
        writer.reader = threading.Thread(target=writer.listen, args=(ours,), daemon=True)
        writer.reader.start()
        self.writers.append(writer)
        return writer

    def fork(self, work: Callable[..., object], *arguments: object) -> BaseProcess:
        """Start a process that runs `work`. The caller waits for its end."""
        process = self._context.Process(target=work, args=arguments, daemon=True)
        process.start()
        return process

    def event(self) -> Event:
        """Return an event with which a process can report progress."""
        return self._context.Event()

    def acknowledged(self, key: SessionKey) -> list[Batch]:
        """Return every acknowledged batch of one transcript."""
        return [
            batch
            for writer in self.writers
            for number, its_key in enumerate(writer.order.keys)
            if its_key == key
            for batch in writer.acknowledged[number]
        ]

    def close(self) -> None:
        for writer in self.writers:
            if writer.process.is_alive():
                writer.kill()


@contextmanager
def a_fleet() -> Iterator[Fleet]:
    """Yield a fleet, and end its writers afterwards."""
    root = str(Path(__file__).parents[2])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = root if before is None else f"{root}{os.pathsep}{before}"
    fleet = Fleet()
    try:
        yield fleet
    finally:
        fleet.close()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
