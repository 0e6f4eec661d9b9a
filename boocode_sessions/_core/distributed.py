"""Tells whether a database is spread over several servers, which means Citus. Asks once per pool.

Such a database takes an append only as separate steps, and keeps each project's rows on one of its servers.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Pool, Text, column, select, table, text

_NAME = column("extname", Text)
_HAS_CITUS = select(select(_NAME).select_from(table("pg_extension", _NAME)).where(_NAME == "citus").exists())
_answers: WeakKeyDictionary[Pool, bool] = WeakKeyDictionary()


FAILED_INSIDE = "XX000"
"""The SQLSTATE of an internal error. Citus has no other when a server dies at the COMMIT."""


class UncertainCommitError(Exception):
    """A COMMIT failed inside a server. On a cluster it may have landed."""


def is_distributed(connection: Connection) -> bool:
    """True if a connection's database is distributed or may soon be: it has the extension."""
    if connection.dialect.name != "postgresql":
        return False
    pool = connection.engine.pool
    if (answer := _answers.get(pool)) is None:
        answer = _answers[pool] = bool(connection.execute(_HAS_CITUS).scalar())
    return answer


def known_distributed(pool: Pool) -> bool | None:
    """Like `is_distributed`, for a pool's database; None if nobody has asked yet."""
    return _answers.get(pool)


def forget(pool: Pool) -> None:
    """Make the next call ask again, because the extension may have been created since."""
    _answers.pop(pool, None)


def limit_lock_wait(connection: Connection, seconds: float) -> None:
    """Limit how long the transaction waits for others' locks. PostgreSQL only."""
    if connection.dialect.name != "postgresql":
        return
    if is_distributed(connection):  # the locks are on the workers
        connection.execute(text("SET LOCAL citus.propagate_set_commands = 'local'"))
    connection.execute(text(f"SET LOCAL lock_timeout = {round(seconds * 1000)}"))
