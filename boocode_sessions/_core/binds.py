"""What a bind is: whether we take it, and how it is shown."""

from __future__ import annotations

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)

from boocode_sessions.engine import check_dialect, shown_url

_ASYNCHRONOUS = (AsyncEngine, AsyncConnection, AsyncSession, async_sessionmaker, async_scoped_session)


def check_bind(
    bind: object, *, known: bool, takes: str = "an Engine, sessionmaker, Connection or Session"
) -> None:
    """Raises TypeError for what is no bind, and UnsupportedBindError for a database that is not ours.

    `known`: whether it is of a kind that the caller takes. `takes`: those kinds, for people.
    """
    kind = type(bind).__name__
    if isinstance(bind, _ASYNCHRONOUS):
        raise TypeError(f"bind is an {kind}: call `await boocode_sessions.run_sync(function, bind, ...)`")
    if not known:
        raise TypeError(f"bind is {takes}, not {kind}")
    if (engine := engine_of(bind)) is not None:
        check_dialect(engine.dialect.name)


def engine_of(bind: object) -> Engine | None:
    """The engine of a bind, as far as that can be told without making a Session."""
    if isinstance(bind, Engine | Connection):
        return bind.engine
    options: dict[str, object] = getattr(bind, "kw", {})  # a sessionmaker's
    found = options.get("bind") or getattr(bind, "bind", None)
    return found.engine if isinstance(found, Engine | Connection) else None


def shown_bind(bind: object) -> str:
    """A bind for people: its kind, and its database without secrets."""
    engine = engine_of(bind)
    kind = type(bind).__name__
    if engine is None:
        return kind
    return shown_url(engine.url) if isinstance(bind, Engine) else f"{kind} on {shown_url(engine.url)}"
