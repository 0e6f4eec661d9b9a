"""A client-side time limit for every call, because a server that hangs doesn't answer a cancellation either.

When a connection hasn't answered in time, its socket is cut. Whatever thread or task waits for it then fails
as if it had lost the connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Self

from sqlalchemy import Connection


class Deadline:
    """The time limit of one call. It cuts the call's connection once it has used it for so many seconds.

    The time until the connection is given back counts too: COMMIT is a round trip, and so is a rollback.
    """

    def __init__(self, seconds: float, connecting_seconds: float = 0) -> None:
        """`connecting_seconds`: extra time for a call whose limit starts while it connects, and starts again
        once it has its connection."""
        self._seconds = seconds
        self._in_all = seconds + connecting_seconds
        self._latest: float | None = None
        self.expired = False

    def start(self, cut: Callable[[], None]) -> None:
        """Begin to count: first for the connection, with `limit_connecting`, and anew once it is there.

        `cut`: see `cutter`.
        """
        now = time.monotonic()
        if self._latest is None:
            self._latest = now + self._in_all
        self.cut = cut
        self.expires = min(now + self._seconds, self._latest)
        _watchdog.add(self)

    def __enter__(self) -> Self:
        self._token = current_deadline.set(self)
        return self

    def __exit__(self, *raised: object) -> None:
        current_deadline.reset(self._token)
        _watchdog.remove(self)


current_deadline: ContextVar[Deadline | None] = ContextVar("boocode_sessions_deadline", default=None)


class Call:
    """A call that can be cancelled, and the connection that it uses."""

    cut: Callable[[], None] | None = None
    """Cuts the connection to the server, from any thread; None while there is no connection."""
    is_local = False
    """True if there is no server."""


current_call: ContextVar[Call | None] = ContextVar("boocode_sessions_call", default=None)


def limit_connecting() -> None:
    """Start the deadline of an async call that has no connection yet: it cancels the call's task."""
    limit = current_deadline.get()
    if limit is not None and current_call.get() is not None and (task := asyncio.current_task()) is not None:
        loop = asyncio.get_running_loop()
        limit.start(lambda: _quietly(loop.call_soon_threadsafe, task.cancel))


class _Watchdog:
    """One thread that enforces the deadlines of all calls in the process."""

    def __init__(self) -> None:
        self._watched: set[Deadline] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0

    def reset(self) -> None:
        """Watch nothing. A forked process needs this, because it shares its parent's sockets."""
        self._watched.clear()
        self._changed = threading.Condition()
        self._thread = None

    def add(self, deadline: Deadline) -> None:
        with self._changed:
            self._watched.add(deadline)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="boocode_sessions", daemon=True)
                self._wakes_at = deadline.expires
                self._thread.start()
            elif deadline.expires < self._wakes_at:
                self._changed.notify()

    def remove(self, deadline: Deadline) -> None:
        with self._changed:
            self._watched.discard(deadline)

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for deadline in [one for one in self._watched if one.expires <= now]:
                    self._watched.discard(deadline)
                    deadline.expired = True
                    deadline.cut()
                self._wakes_at = min((one.expires for one in self._watched), default=now + _IDLE_SECONDS)
                self._changed.wait(self._wakes_at - now)


_IDLE_SECONDS = 60.0
_watchdog = _Watchdog()
if hasattr(os, "register_at_fork"):  # where processes can be forked
    os.register_at_fork(after_in_child=_watchdog.reset)


def cutter(connection: Connection) -> Callable[[], None]:
    """Return a function that cuts a connection to its server, from any thread."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return lambda: None  # the busy timeout limits its waits
    if hasattr(driver, "terminate"):  # asyncpg's, which may run only in its own event loop
        loop = asyncio.get_running_loop()
        return lambda: _quietly(loop.call_soon_threadsafe, driver.terminate)
    return lambda: _quietly(_shut_down, driver)


def note_connection(connection: Connection, cut: Callable[[], None]) -> None:
    """Tell the call that can be cancelled which connection it uses."""
    if (call := current_call.get()) is not None:
        call.cut = cut
        call.is_local = connection.dialect.name == "sqlite"


def _quietly(work: Callable[..., object], *args: object) -> None:
    with suppress(Exception):  # the connection may have been closed meanwhile
        work(*args)


def _shut_down(driver: Any) -> None:  # noqa: ANN401 - psycopg's, psycopg2's or pg8000's connection
    if (own := getattr(driver, "_usock", None)) is not None:  # pg8000 has no other name for its socket
        own.shutdown(socket.SHUT_RDWR)
        return
    # The driver owns the descriptor. A socket made from a copy of it is ours to close.
    with socket.fromfd(driver.fileno(), socket.AF_UNSPEC, socket.SOCK_STREAM) as own:
        own.shutdown(socket.SHUT_RDWR)
