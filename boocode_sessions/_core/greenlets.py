"""Synchronous work over an async engine: the one body of logic, run in a greenlet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.util import greenlet_spawn

from boocode_sessions._core.deadline import Call, current_call
from boocode_sessions._core.unit_of_work import Bind, CurrentSession

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

AsyncBind: TypeAlias = (
    AsyncEngine | async_sessionmaker[Any] | AsyncConnection | AsyncSession | async_scoped_session[Any]
)

CANCEL_SECONDS = 2.0
"""How long a cancelled call lets the driver cancel its statement, before its connection is cut."""


async def in_greenlet(work: Callable[[*_Args], _T], *args: *_Args) -> _T:
    """Run synchronous work over an async engine. Cancelled, it leaves no transaction open."""
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


async def _cancel(task: asyncio.Future[Any], call: Call) -> None:
    for _ in range(_LOOKS):
        if call.cut is not None or await _ended(task, CANCEL_SECONDS / _LOOKS):
            break
    if call.is_local:  # aiosqlite would leave its thread with the write lock
        await _ended(task)
        return
    task.cancel()
    if not await _ended(task, CANCEL_SECONDS):
        if call.cut is not None:
            call.cut()
        task.cancel()
        await _ended(task, CANCEL_SECONDS)


_LOOKS = 100
"""How often to look whether a call has its connection by now, before it is cancelled without."""


async def _ended(task: asyncio.Future[Any], seconds: float | None = None) -> bool:
    """Wait for a task's end, however often the waiting one is cancelled, and whatever comes of it."""
    loop = asyncio.get_running_loop()
    until = None if seconds is None else loop.time() + seconds
    while not task.done():
        left = None if until is None else until - loop.time()
        if left is not None and left <= 0:
            return False
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=left)
    if not task.cancelled():
        task.exception()  # or asyncio would log that nobody asked for it
    return True


def core_of(bind: AsyncBind) -> Bind | CurrentSession:
    """The synchronous bind inside an asynchronous one; to be used in a greenlet only."""
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
