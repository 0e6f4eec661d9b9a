"""Whether a database is spread over several servers, which is Citus: asked once per pool.

It then takes an append as its steps only, and each project's rows are on one of its servers.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Pool, Text, column, select, table, text

_NAME = column("extname", Text)
_HAS_CITUS = select(select(_NAME).select_from(table("pg_extension", _NAME)).where(_NAME == "citus").exists())
_answers: WeakKeyDictionary[Pool, bool] = WeakKeyDictionary()


FAILED_INSIDE = "XX000"
"""The SQLSTATE of an internal error. Citus has no other where a server dies at the COMMIT."""


class UncertainCommitError(Exception):
    """A COMMIT failed inside a server: on a cluster it has landed there or not."""


def is_distributed(connection: Connection) -> bool:
    """Whether a connection's database is distributed, or may be soon: it has the extension."""
    if connection.dialect.name != "postgresql":
        return False
    pool = connection.engine.pool
    if (answer := _answers.get(pool)) is None:
        answer = _answers[pool] = bool(connection.execute(_HAS_CITUS).scalar())
    return answer


def known_distributed(pool: Pool) -> bool | None:
    """The same of a pool's database; None where nobody has asked."""
    return _answers.get(pool)


def forget(pool: Pool) -> None:
    """Have the next call ask again: the extension was made since."""
    _answers.pop(pool, None)


def limit_lock_wait(connection: Connection, seconds: float) -> None:
    """Bound, until the end of the transaction, how long it waits for another's lock. PostgreSQL only."""
    if connection.dialect.name != "postgresql":
        return
    if is_distributed(connection):  # the locks are on its workers
        connection.execute(text("SET LOCAL citus.propagate_set_commands = 'local'"))
    connection.execute(text(f"SET LOCAL lock_timeout = {round(seconds * 1000)}"))
