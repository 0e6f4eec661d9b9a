"""Runs synchronous work over an async engine, in a greenlet. So there is one body of logic for both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, TypeVarTuple, cast

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet as in_greenlet_of_sqlalchemy

from boocode_sessions._core.deadline import Call, current_call
from boocode_sessions._core.replica import Replicated
from boocode_sessions._core.transactions import CurrentSession
from boocode_sessions._core.unit_of_work import Bind

_T = TypeVar("_T")
_P = ParamSpec("_P")
_Args = TypeVarTuple("_Args")

AsyncBind: TypeAlias = (
    AsyncEngine | async_sessionmaker[Any] | AsyncConnection | AsyncSession | async_scoped_session[Any]
)

CANCEL_SECONDS = 2.0
"""How long a cancelled call waits for the driver to cancel its statement before cutting its connection."""


async def in_greenlet(work: Callable[[*_Args], _T], *args: *_Args) -> _T:
    """Run synchronous work over an async engine. If cancelled, it leaves no transaction open."""
    call = Call()
    token = current_call.set(call)
    try:
        task = asyncio.ensure_future(greenlet_spawn(work, *args))
    finally:
        current_call.reset(token)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await _cancel(task, call)
        raise


async def run_sync(
    function: Callable[Concatenate[Any, _P], _T], bind: AsyncBind, *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """Call one of this package's functions, which take a synchronous bind, over an asynchronous one.

    For example: `await run_sync(queries.sessions, async_engine, limit=20)`. This is how `queries`,
    `retention`, `jsonl`, `adoption`, `status` and `migrations` work over an AsyncEngine, an
    async_sessionmaker, an AsyncConnection or an AsyncSession, by the same rules as over the synchronous ones.
    The event loop keeps running during each round trip to the database. It is blocked while the function
    reads or writes files.

    Args:
        function: The function to call. Its first parameter is the bind, and it returns when all is done. For
            `streaming.iterate`, use `iterate_async` instead.
        bind: The bind for the function to work over.
        args: Further positional arguments of the function.
        kwargs: Keyword arguments of the function.

    Raises:
        SessionStoreError: The function raised it. Its other errors are passed on too.
    """
    if not callable(function):  # pyright: ignore[reportUnnecessaryComparison] - callers may be untyped
        raise TypeError(
            f"function is a callable such as queries.sessions, not {type(function).__name__}: "
            "the bind comes after it"
        )
    return await in_greenlet(partial(function, in_callers_scope(core_of(bind)), *args, **kwargs))


def pause(seconds: float) -> None:
    """Wait. In a greenlet, let the event loop go on meanwhile."""
    if in_greenlet_of_sqlalchemy():
        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


async def _cancel(task: asyncio.Future[Any], call: Call) -> None:
    for _ in range(_MAX_POLLS):
        if call.cut is not None or await _ended(task, CANCEL_SECONDS / _MAX_POLLS):
            break
    if call.is_local:  # if cancelled, aiosqlite would leave its thread with the write lock
        await _ended(task)
        return
    task.cancel()
    if not await _ended(task, CANCEL_SECONDS):
        if call.cut is not None:
            call.cut()
        task.cancel()
        await _ended(task, CANCEL_SECONDS)


_MAX_POLLS = 100
"""How often to look whether a call has a connection yet, before it is cancelled without one."""


async def _ended(task: asyncio.Future[Any], seconds: float | None = None) -> bool:
    """Wait for a task's end, whatever its result, even if cancelled meanwhile. False if time runs out."""
    loop = asyncio.get_running_loop()
    until = None if seconds is None else loop.time() + seconds
    while not task.done():
        left = None if until is None else until - loop.time()
        if left is not None and left <= 0:
            return False
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=left)
    if not task.cancelled():
        task.exception()  # otherwise asyncio would log that nobody retrieved it
    return True


def core_of(bind: AsyncBind) -> Bind | CurrentSession:
    """Return the synchronous bind inside an asynchronous one. Use it in a greenlet only."""
    if isinstance(bind, AsyncEngine):
        return bind.sync_engine
    if isinstance(bind, AsyncSession):
        return bind.sync_session
    if isinstance(bind, async_scoped_session):
        return CurrentSession(lambda: bind().sync_session)
    if isinstance(bind, async_sessionmaker):
        return lambda: bind().sync_session
    if isinstance(bind, AsyncConnection):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        if bind.sync_connection is None:
            raise TypeError("the AsyncConnection is not open yet: use it inside `async with`")
        return bind.sync_connection
    raise TypeError(
        "bind is an AsyncEngine, async_sessionmaker, AsyncConnection or AsyncSession, "
        f"not {type(bind).__name__}"
    )


def in_callers_scope(bind: Bind | CurrentSession) -> Bind:
    """Return a bind; for a scoped session, the Session that is the caller's now.

    `in_greenlet` runs in a task of its own, for which a registry by tasks would make a Session that nobody
    commits.
    """
    return bind.get() if isinstance(bind, CurrentSession) else bind


def with_replica(bind: Bind | CurrentSession, replica: Engine | AsyncEngine | None) -> Bind | CurrentSession:
    """Return a bind with its read replica, if it has one. Raises TypeError if it can't have one."""
    if replica is None:
        return bind
    engine = replica.sync_engine if isinstance(replica, AsyncEngine) else replica
    return Replicated(cast("Engine | Callable[[], Session]", bind), engine)
