"""Checks binds, and describes them for people."""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Connection, Engine, NullPool, Pool
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.util.concurrency import in_greenlet

from boocode_sessions.engine import check_dialect, shown_url
from boocode_sessions.errors import UnsupportedBindError

_ASYNCHRONOUS = (AsyncEngine, AsyncConnection, AsyncSession, async_sessionmaker, async_scoped_session)


def check_bind(
    bind: object, *, known: bool, takes: str = "an Engine, sessionmaker, Connection or Session"
) -> None:
    """Raise TypeError for something that is no bind, and UnsupportedBindError for an unsupported database.

    `known` says if the caller takes this kind of bind; `takes` names those kinds in the error.
    """
    kind = type(bind).__name__
    if isinstance(bind, _ASYNCHRONOUS):
        raise TypeError(f"bind is an {kind}: call `await boocode_sessions.run_sync(function, bind, ...)`")
    if not known:
        raise TypeError(f"bind is {takes}, not {kind}")
    if (engine := engine_of(bind)) is not None:
        check_dialect(engine.dialect.name)


_loops: WeakKeyDictionary[Pool, ref[AbstractEventLoop]] = WeakKeyDictionary()
"""The event loop that uses each pool of an AsyncEngine."""
_one_at_a_time = threading.Lock()


def check_loop(engine: Engine) -> None:
    """Raise UnsupportedBindError for an AsyncEngine that another event loop is using.

    SQLAlchemy would wait forever for that loop's lock. Several loops may use an engine without a pool, once
    it has connected.
    """
    if not engine.dialect.is_async or not in_greenlet():
        return
    here = asyncio.get_running_loop()
    with _one_at_a_time:
        loop = _loops.setdefault(engine.pool, ref(here))()
        is_connected = getattr(engine.dialect, "server_version_info", None) is not None
        if loop is here or (isinstance(engine.pool, NullPool) and is_connected):
            return
        if loop is None or not loop.is_running():
            _loops[engine.pool] = ref(here)
            return
    raise UnsupportedBindError(
        "the AsyncEngine belongs to another event loop, which uses it too: make an engine for each loop, or "
        "give an Engine, which any loop may use"
    )


def engine_of(bind: object) -> Engine | None:
    """Return a bind's engine, or None if only a new Session could tell."""
    if isinstance(bind, Engine | Connection):
        return bind.engine
    options: dict[str, object] = getattr(bind, "kw", {})  # a sessionmaker's
    found = options.get("bind") or getattr(bind, "bind", None)
    return found.engine if isinstance(found, Engine | Connection) else None


def shown_bind(bind: object) -> str:
    """Describe a bind for people: its kind, and its database without secrets."""
    engine = engine_of(bind)
    kind = type(bind).__name__
    if engine is None:
        return kind
    return shown_url(engine.url) if isinstance(bind, Engine) else f"{kind} on {shown_url(engine.url)}"
