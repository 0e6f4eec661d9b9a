"""Long work: in several threads, and telling how far it has come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from boocode_sessions._core.arguments import at_least
from boocode_sessions._core.greenlets import is_in_greenlet
from boocode_sessions._core.unit_of_work import UnitOfWork

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import or an export has come."""

    bytes_done: int
    bytes_total: int
    """Of the files to import; 0 for an export, which does not know."""
    parts_done: int
    parts_total: int
    """Files to import, or sessions to export."""
    entries: int
    """Entries added by the import, or written by the export."""
    skipped: int
    """Lines to import that were stored already."""
    broken: int


class StoppedError(Exception):
    """Work was left off because other work, or the caller, has failed."""


def in_parallel(work: Callable[[_T], None], items: Iterable[_T], workers: int, stop: threading.Event) -> None:
    """Do `work` for each item, begun in their order, by so many threads at once.

    After the first error `stop` is set, for the work under way to raise StoppedError, and no more is begun;
    the error is raised when all have ended. With one worker all of it runs in the caller's own thread.
    """
    if workers == 1:
        for item in items:
            work(item)
        return
    shared = _Shared(work, iter(items), stop)
    running = [threading.Thread(target=shared.run, daemon=True) for _ in range(workers)]
    for thread in running:
        thread.start()
    try:
        for thread in running:
            thread.join()
    except BaseException:  # Ctrl-C, for one
        stop.set()
        for thread in running:
            thread.join()
        raise
    if shared.errors:
        raise shared.errors[0]


class _Shared(Generic[_T]):
    def __init__(self, work: Callable[[_T], None], items: Iterator[_T], stop: threading.Event) -> None:
        self.errors: list[BaseException] = []
        self._work = work
        self._stop = stop
        self._items = items
        self._lock = threading.Lock()

    def run(self) -> None:
        try:
            while (taken := self._next()) is not None:
                self._work(taken[0])
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self.errors.append(error)
            self._stop.set()

    def _next(self) -> tuple[_T] | None:
        with self._lock:
            if self._stop.is_set():
                return None
            for item in self._items:
                return (item,)
            return None


def threads(unit_of_work: UnitOfWork, dialect: str, wanted: int | None, default: int) -> int:
    """How many threads to use: a caller's transaction and an async engine take one, SQLite has one writer."""
    at_least(1, workers=wanted)
    if not unit_of_work.own or is_in_greenlet():
        return 1
    return wanted or (1 if dialect == "sqlite" else default)
