"""Pools that are not made for concurrent use, like those of SQLite in memory."""

import asyncio
import threading
from asyncio import AbstractEventLoop, Task
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Pool
from sqlalchemy.pool import AssertionPool, SingletonThreadPool, StaticPool
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

_NO_LOCK = nullcontext()
_guard = threading.Lock()
_thread_locks: WeakKeyDictionary[Pool, threading.RLock] = WeakKeyDictionary()
_task_locks: WeakKeyDictionary[Pool, WeakKeyDictionary[AbstractEventLoop, "_TaskLock"]] = WeakKeyDictionary()


def exclusive(pool: Pool) -> AbstractContextManager[object]:
    """Wait for other threads and tasks that use the pool.

    StaticPool gives all of them the same connection, and AssertionPool may give it to two that ask at once.
    SingletonThreadPool closes other threads' connections when it has too many, even while they are used.
    """
    if not isinstance(pool, AssertionPool | SingletonThreadPool | StaticPool):
        return _NO_LOCK
    if in_greenlet():  # an event loop's tasks share a thread
        locks = _task_locks.setdefault(pool, WeakKeyDictionary())
        return locks.setdefault(asyncio.get_running_loop(), _TaskLock()).held()
    with _guard:
        return _thread_locks.setdefault(pool, threading.RLock())


class _TaskLock:
    """A reentrant lock for the tasks of one event loop, as RLock is for threads."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._holder: Task[Any] | None = None

    @contextmanager
    def held(self) -> Generator[None]:
        task = asyncio.current_task()
        if task is self._holder:
            yield
            return
        await_only(self._lock.acquire())
        self._holder = task
        try:
            yield
        finally:
            self._holder = None
            self._lock.release()
