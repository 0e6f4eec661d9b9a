"""Pools that give every thread the same connection: SQLite in memory, and AssertionPool."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sqlalchemy import Pool
from sqlalchemy.pool import AssertionPool, StaticPool

_one_at_a_time = threading.Lock()
_locks: WeakKeyDictionary[Pool, threading.RLock] = WeakKeyDictionary()


@contextmanager
def alone(pool: Pool) -> Generator[None]:
    """Wait for other threads that use the pool's one connection.

    AssertionPool is not made for threads: two that ask at once may get the same connection.
    """
    if not isinstance(pool, AssertionPool | StaticPool):
        yield
        return
    with _one_at_a_time:
        lock = _locks.setdefault(pool, threading.RLock())
    with lock:
        yield
