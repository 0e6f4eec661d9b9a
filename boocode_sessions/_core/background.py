"""Work in the background of an event loop, under asyncio and trio, and synchronous work beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
import sniffio
from anyio.lowlevel import RunVar

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

MOST_THREADS = 40
"""Of all stores in one event loop. Not anyio's own, which the application's threads may have taken while they
wait for us."""

_tasks: set[asyncio.Task[None]] = set()
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("boocode_sessions.limiter")


def spawn(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work` as a task of its own, which ends with the event loop. It must not raise."""
    if sniffio.current_async_library() == "trio":
        import trio  # noqa: PLC0415 - only who runs it has it

        trio.lowlevel.spawn_system_task(work)
        return
    task = asyncio.get_running_loop().create_task(work())
    _tasks.add(task)  # asyncio holds its tasks by weak references only
    task.add_done_callback(_tasks.discard)


async def in_thread(work: Callable[[*_Args], _T], *args: *_Args) -> _T:
    """Run blocking work in a worker thread, to its end, even if the caller is cancelled."""
    return await anyio.to_thread.run_sync(work, *args, limiter=_threads())


async def in_abandoned_thread(work: Callable[[*_Args], _T], *args: *_Args) -> _T:
    """As `in_thread`, but a caller that is cancelled does not wait for its end."""
    return await anyio.to_thread.run_sync(work, *args, limiter=_threads(), abandon_on_cancel=True)


def _threads() -> anyio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(MOST_THREADS)
        _limiter.set(limiter)
        return limiter
