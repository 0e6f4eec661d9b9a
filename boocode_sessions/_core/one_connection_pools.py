"""Pools that give every thread the same connection: SQLite in memory, and AssertionPool."""

import threading
from contextlib import AbstractContextManager, nullcontext
from weakref import WeakKeyDictionary

from sqlalchemy import Pool
from sqlalchemy.pool import AssertionPool, StaticPool

_AT_ONCE = nullcontext()
_one_at_a_time = threading.Lock()
_locks: WeakKeyDictionary[Pool, threading.RLock] = WeakKeyDictionary()


def alone(pool: Pool) -> AbstractContextManager[object]:
    """Wait for other threads that use the pool's one connection.

    AssertionPool is not made for threads: two that ask at once may get the same connection.
    """
    if not isinstance(pool, AssertionPool | StaticPool):
        return _AT_ONCE
    with _one_at_a_time:
        return _locks.setdefault(pool, threading.RLock())
