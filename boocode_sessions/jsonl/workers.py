"""Long work in several threads, and its progress."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.util.concurrency import in_greenlet

from boocode_sessions._core.arguments import check_at_least
from boocode_sessions._core.unit_of_work import UnitOfWork

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import or an export has come."""

    bytes_done: int
    bytes_total: int
    """Bytes of the files to import; 0 for an export, which doesn't know its total."""
    parts_done: int
    parts_total: int
    """Files to import, or sessions to export."""
    entries: int
    """Entries added by the import, or written by the export."""
    skipped: int
    """Lines to import that were stored already."""
    broken: int


class StoppedError(Exception):
    """The work stopped because other work, or the caller, has failed."""


def in_parallel(work: Callable[[_T], None], items: Iterable[_T], workers: int, stop: threading.Event) -> None:
    """Run `work` for each item in `workers` threads. The items are started in order.

    The first error sets `stop`: no more work starts, and work under way should raise StoppedError. The error
    is raised when all threads have ended. With one worker everything runs in the caller's own thread.
    """
    if workers == 1:
        for item in items:
            work(item)
        return

    def guarded(item: _T) -> None:
        if stop.is_set():
            return
        try:
            work(item)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            errors.append(error)
            stop.set()

    errors: list[BaseException] = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            wait([pool.submit(guarded, item) for item in items])
        except BaseException:  # such as Ctrl-C
            stop.set()
            raise
    if errors:
        raise errors[0]


def thread_count(unit_of_work: UnitOfWork, dialect: str, wanted: int | None, default: int) -> int:
    """Return how many threads to use.

    A caller's transaction and an async engine can use only one. SQLite has one writer: its default is one.
    """
    check_at_least(1, workers=wanted)
    if not unit_of_work.own or in_greenlet():
        return 1
    return wanted or (1 if dialect == "sqlite" else default)
