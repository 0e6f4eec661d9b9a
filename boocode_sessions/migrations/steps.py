"""Lets a version of ours run inside somebody else's chain, and still record it in our own version table."""

from collections.abc import Callable, Collection
from functools import wraps

import sqlalchemy as sa
from alembic import op
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy.schema import CreateSchema, CreateTable, DropTable

from boocode_sessions.engine import check_dialect
from boocode_sessions.errors import SchemaError
from boocode_sessions.migrations import chain
from boocode_sessions.migrations.adopting import quoted
from boocode_sessions.migrations.locking import lock_migrations, make_schema
from boocode_sessions.migrations.target import effective_schema, schema, targeting
from boocode_sessions.models import COMPATIBLE_RANGE, VERSION_TABLE


def step(*, before: str | None, after: str | None) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Decorate a version's `upgrade()` or `downgrade()`, which takes the schema from `before` to `after`.

    In our own chain Alembic records the version. In a host's chain (`migrations.host`, or our versions among
    the host's `version_locations`) Alembic records the host's version. This decorator records ours, and skips
    a step that was taken already in another way.

    A version with which older code still works sets `additive = True` in its module: see docs/versions.md.
    """

    def decorate(migrate: Callable[[], None]) -> Callable[[], None]:
        @wraps(migrate)
        def run() -> None:
            context = op.get_context()
            check_dialect(context.dialect.name)
            if context.version_table == VERSION_TABLE:
                migrate()
                return
            connection = None if context.as_sql else context.connection
            with targeting(effective_schema(connection, schema()) if connection else schema()):
                if _is_due(context, before, after):
                    migrate()
                    _record(context, after)

        return run

    return decorate


def _is_due(context: MigrationContext, before: str | None, after: str | None) -> bool:
    """True if the step is the next one. A script (`--sql`) can't look, and takes every step."""
    if context.as_sql:
        if schema() and context.dialect.name == "postgresql":
            op.execute(CreateSchema(str(schema()), if_not_exists=True))
        return True
    connection = op.get_bind()
    lock_migrations(connection)
    make_schema(connection, schema())
    found = chain.version(connection, schema())
    if found == before:
        return True
    upwards = (before or "") < (after or "")
    if ((found or "") >= (after or "")) is upwards:
        return False
    raise SchemaError(
        f"the schema is at version {found or 'base'}; the step from {before or 'base'} to {after or 'base'} "
        "can't run there: use migrations.host.upgrade(to=...), which takes every step in between"
    )


def mark(ctx: MigrationContext, step: MigrationInfo, heads: Collection[str], run_args: object) -> None:  # noqa: ARG001 - Alembic's call
    """Record which package versions work with the schema. Alembic itself records the schema's version."""
    if (after := max(heads, default=None)) is None:
        return
    said = chain.compatible_range(after)
    if not step.source_revision_ids and (ctx.as_sql or not _has_column()):
        # Not op.add_column, which splits a schema's name at a dot.
        table = quoted(schema(), VERSION_TABLE)
        op.execute(f"ALTER TABLE {table} ADD COLUMN {COMPATIBLE_RANGE} VARCHAR(80) DEFAULT '{said}'")
    else:
        op.execute(_versions(ctx).update().values({COMPATIBLE_RANGE: said}))


def _has_column() -> bool:
    columns = sa.inspect(op.get_bind()).get_columns(VERSION_TABLE, schema=schema())
    return any(column["name"] == COMPATIBLE_RANGE for column in columns)


def _record(context: MigrationContext, version: str | None) -> None:
    versions = _versions(context)
    if version is None:
        op.execute(DropTable(versions))
        return
    op.execute(CreateTable(versions, if_not_exists=True))
    op.execute(versions.delete())
    said = chain.compatible_range(version)
    op.execute(versions.insert().values({"version_num": version, COMPATIBLE_RANGE: said}))


def _versions(context: MigrationContext) -> sa.Table:
    versions = context.impl.version_table_impl(
        version_table=VERSION_TABLE, version_table_schema=schema(), version_table_pk=True
    )
    versions.append_column(sa.Column(COMPATIBLE_RANGE, sa.String(80)))
    return versions
