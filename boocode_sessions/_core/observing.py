"""Tells an observer of calls, queues, locks and retries, but of no content.

Without an observer each of these costs one comparison. The package `telemetry` has one.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine

_T = TypeVar("_T")
_Method = TypeVar("_Method", bound=Callable[..., Any])


class Observer(Protocol):
    """Hears of events in the thread and context in which they happen. Its methods must not raise."""

    def call(
        self, name: str, bind: object, key: object, sent: int | None
    ) -> AbstractContextManager[Callable[[int], None]]:
        """One of the contract's six methods runs in the block.

        Yields a function that is told how many rows came back. `sent` is how many entries an append got.
        """
        ...

    def batch(self, requests: Sequence[Any]) -> AbstractContextManager[None]:
        """Appends that waited go to the database together, in the block."""
        ...

    def queued(self, request: Any) -> None:  # noqa: ANN401 - an AppendRequest, which is a layer above
        """An append starts to wait for its turn."""
        ...

    def unqueued(self, request: Any) -> None:  # noqa: ANN401 - as above
        """An append no longer waits: its caller has given up."""
        ...

    def connected(self, engine: Engine, seconds: float) -> None:
        """A connection came from the pool, after so many seconds."""
        ...

    def locked(self, dialect: str, seconds: float, *, acquired: bool) -> None:
        """A wait for the lock of a session, or on SQLite of the database, is over. `acquired`: it got it."""
        ...

    def retried(self, error: Exception) -> None:
        """A transaction of ours will run again after this error."""
        ...

    def in_doubt(self) -> None:
        """Nobody knows whether an append has landed: its answer was lost, or its caller is gone."""
        ...


_observers: list[Observer] = []
"""At most one observer."""


def observe(observer: Observer | None) -> None:
    """Tell this observer from now on; None for nobody."""
    _observers[:] = [] if observer is None else [observer]


def observer() -> Observer | None:
    """Return the observer, if there is one."""
    return _observers[0] if _observers else None


def observed(method: _Method) -> _Method:
    """Wrap a method of the contract so that the observer is told of its calls."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the method's own, which callers see
        if not _observers:
            return method(*args, **kwargs)
        with _call(method.__name__, args, kwargs) as report:
            result = method(*args, **kwargs)
            _report_rows(report, result)
            return result

    return cast("_Method", call)


def observed_async(method: _Method) -> _Method:
    """Like `observed`, for a coroutine."""

    @functools.wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        if not _observers:
            return await method(*args, **kwargs)
        with _call(method.__name__, args, kwargs) as report:
            result = await method(*args, **kwargs)
            _report_rows(report, result)
            return result

    return cast("_Method", call)


def batch(requests: Sequence[Any]) -> AbstractContextManager[None]:
    """Run the observer's `batch`, if there is an observer."""
    return _observers[0].batch(requests) if _observers else nullcontext()


def connect(engine: Engine) -> Connection:
    """Return a connection from the engine's pool, and tell the observer how long that took."""
    if not _observers:
        return engine.connect()
    started = time.perf_counter()
    connection = engine.connect()
    _observers[0].connected(engine, time.perf_counter() - started)
    return connection


def lock(dialect: str, work: Callable[[], _T]) -> _T:
    """Run work that waits for a lock, and tell the observer how long that took."""
    if not _observers:
        return work()
    watching = _observers[0]
    started = time.perf_counter()
    acquired = False
    try:
        result = work()
        acquired = True
        return result
    finally:
        watching.locked(dialect, time.perf_counter() - started, acquired=acquired)


def _call(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AbstractContextManager[Callable[[int], None]]:
    store, *given = (*args, *kwargs.values())
    entries: Any = (kwargs.get("entries") or given[-1]) if name == "append" and len(given) > 1 else None
    sent = len(cast("list[Any]", entries)) if isinstance(entries, list | tuple) else None
    key = kwargs.get("key", kwargs.get("project_key", given[0] if given else None))
    bind = store._unit_of_work.bind  # noqa: SLF001 - the repositories' and the store's
    return _observers[0].call(name, bind, key, sent)


def _report_rows(report: Callable[[int], None], result: object) -> None:
    if isinstance(result, list):
        report(len(cast("list[Any]", result)))
