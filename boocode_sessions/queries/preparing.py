"""Fills the tables that queries read, ahead of the queries."""

from __future__ import annotations

from collections.abc import Callable

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.derived.catching_up import no_progress
from boocode_sessions._core.derived.indexing import fill_derived_tables
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork


@checked
def prepare(
    bind: Bind, *, schema: str | None = None, progress: Callable[[int, int], None] | None = None
) -> None:
    """Add new entries to the tables from which `usage`, `tools` and `search` answer.

    These queries do the same first, so nobody has to call it. Call it when nobody waits, such as after an
    import. It works in short transactions beside live writers, and can be stopped and run again. Over a
    Connection or a Session it does nothing, because their transaction is the caller's. It adds no words of an
    encrypted store, which can't be searched.

    Args:
        bind: An Engine or sessionmaker.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        progress: Called with the number of sessions that are done, and of all sessions: first for `usage` and
            `tools`, then for `search`.

    Raises:
        SessionStoreError: The database can't be written, or somebody else does the same and holds the lock
            for too long.
    """
    unit_of_work = UnitOfWork(bind, schema)
    if unit_of_work.own:
        fill_derived_tables(unit_of_work, progress or no_progress)
