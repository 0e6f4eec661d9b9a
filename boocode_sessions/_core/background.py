"""Background tasks in an event loop, under asyncio and trio, and blocking work in threads."""

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

MAX_THREADS = 40
"""Maximum threads that read for all stores in one event loop, and as many that write: reads that wait hold
no append up. It isn't anyio's own limit: the application's threads might use that up while they wait for us.
"""

_tasks: set[asyncio.Task[None]] = set()
_writing: RunVar[anyio.CapacityLimiter] = RunVar("boocode_sessions.writing")
_reading: RunVar[anyio.CapacityLimiter] = RunVar("boocode_sessions.reading")


def spawn(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work` as a task of its own, which ends with the event loop. `work` must not raise."""
    if sniffio.current_async_library() == "trio":
        import trio  # noqa: PLC0415 - installed only where it is used

        trio.lowlevel.spawn_system_task(work)
        return
    task = asyncio.get_running_loop().create_task(work())
    _tasks.add(task)  # asyncio itself keeps only weak references to its tasks
    task.add_done_callback(_tasks.discard)


async def in_thread(work: Callable[[*_Args], _T], *args: *_Args) -> _T:
    """Run blocking work, such as a write, in a thread. It runs to its end even if the caller is cancelled."""
    return await anyio.to_thread.run_sync(work, *args, limiter=_threads(_writing))


async def in_abandoned_thread(work: Callable[[*_Args], _T], *args: *_Args) -> _T:
    """Run a read in a thread. A cancelled caller doesn't wait for the end."""
    return await anyio.to_thread.run_sync(work, *args, limiter=_threads(_reading), abandon_on_cancel=True)


def _threads(kind: RunVar[anyio.CapacityLimiter]) -> anyio.CapacityLimiter:
    try:
        return kind.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(MAX_THREADS)
        kind.set(limiter)
        return limiter
