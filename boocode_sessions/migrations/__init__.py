"""The schema's migrations, and how a host or a person runs them."""

from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine

from alembic import command
from boocode_sessions.engine import create_engine
from boocode_sessions.models import VERSION_TABLE

__all__ = ["downgrade", "pending", "upgrade"]

_HERE = Path(__file__).parent


def upgrade(bind: Engine | Connection | str | URL, to: str = "head", *, schema: str | None = None) -> None:
    """Bring the schema to a version, by default to the one that this package needs.

    A Connection's transaction is the caller's: nothing is committed there.
    """
    _run(command.upgrade, bind, to, schema)


def downgrade(bind: Engine | Connection | str | URL, to: str = "base", *, schema: str | None = None) -> None:
    """Take the schema back to a version; to `base` drops the tables and what is in them."""
    _run(command.downgrade, bind, to, schema)


def pending(bind: Engine | Connection, *, schema: str | None = None) -> list[str]:
    """The versions that `upgrade` would apply, oldest first; empty when the schema is as needed."""
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            return pending(connection, schema=schema)
    options = {"version_table": VERSION_TABLE, "version_table_schema": schema}
    current = MigrationContext.configure(bind, opts=options).get_current_heads()
    scripts = ScriptDirectory.from_config(config())
    missing = scripts.iterate_revisions("head", current or "base")
    return [script.revision for script in missing][::-1]


def config() -> Config:
    """Alembic's configuration of our chain."""
    made = Config()
    made.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def _run(run: object, bind: Engine | Connection | str | URL, to: str, schema: str | None) -> None:
    if isinstance(bind, str | URL):
        engine = create_engine(bind)
        try:
            _run(run, engine, to, schema)
        finally:
            engine.dispose()
    elif isinstance(bind, Engine):
        with bind.begin() as connection:
            _run(run, connection, to, schema)
    else:
        made = config()
        made.attributes.update(connection=bind, schema=schema)
        assert callable(run)  # noqa: S101
        run(made, to)
