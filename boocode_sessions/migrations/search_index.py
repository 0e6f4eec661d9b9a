"""The index for full-text search: not part of a version, since each append pays for it.

An append of 500 messages takes several times as long with it (benchmarks: `ask`), so a store has it only
where somebody asked for it. A search without it reads every message.
"""

import sqlalchemy as sa

from boocode_sessions._core.sql.search import spell_is_message, spell_search_vector
from boocode_sessions.migrations import adopting
from boocode_sessions.migrations.target import effective_schema

NAME = "claude_session_entries_search_idx"


def create(engine: sa.Engine, given_schema: str | None) -> None:
    """Build it, while writers go on. One that an interrupted call left is built anew."""
    with adopting.building(engine) as connection:
        where = effective_schema(connection, given_schema)
        table = adopting.quoted(where)
        if NAME in adopting.invalid_indexes(connection, table):
            connection.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {adopting.quoted(where, NAME)}"))
        # As the driver's own statement: the expression's colons are no parameters.
        connection.exec_driver_sql(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {NAME} ON {table} "
            f"USING gin (({spell_search_vector('entry')})) WHERE {spell_is_message('entry')}"
        )


def drop(engine: sa.Engine, given_schema: str | None) -> None:
    """Remove it, while writers go on."""
    with adopting.building(engine) as connection:
        where = effective_schema(connection, given_schema)
        connection.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {adopting.quoted(where, NAME)}"))
