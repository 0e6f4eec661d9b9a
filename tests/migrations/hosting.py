"""A host's project, and helpers that inspect its database."""

from io import StringIO
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from boocode_sessions._core.sql.types import WORD_INDEX
from boocode_sessions.agents import models as _agents  # noqa: F401 - its table belongs to Base.metadata
from boocode_sessions.models import VERSION_TABLE, Base
from tests.fixtures.databases import Database


class Host:
    """An application with its own Alembic chain, in this test's folder."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.ini = folder / "alembic.ini"
        self.config = Config(self.ini, output_buffer=StringIO())
        self.config.set_main_option("sqlalchemy.url", database.url.replace("%", "%%"))
        self.versions = folder / "migrations" / "versions"

    def upgrade(self, to: str = "head") -> None:
        command.upgrade(self.config, to)

    def downgrade(self, to: str) -> None:
        command.downgrade(self.config, to)

    def check(self) -> None:
        """Fail if autogenerate would write something."""
        command.check(self.config)

    def stamp(self, to: str, *, purge: bool = False) -> None:
        command.stamp(self.config, to, purge=purge)

    def script(self, to: str = "head") -> str:
        """Return the output of `alembic upgrade --sql`."""
        output = StringIO()
        self.config.output_buffer = output
        command.upgrade(self.config, to, sql=True)
        return output.getvalue()

    def heads(self) -> list[str]:
        return list(ScriptDirectory.from_config(self.config).get_heads())


def tables(engine: Engine, schema: str | None = None) -> set[str]:
    """Return the tables, without those in which SQLite keeps an index."""
    names = inspect(engine).get_table_names(schema=schema)
    return {name for name in names if not name.startswith(WORD_INDEX)}


def differences(engine: Engine, schema: str | None = None) -> list[Any]:
    """Return the differences that Alembic finds between the models and the existing schema."""
    metadata = Base.metadata
    if schema:
        metadata = type(metadata)()
        for table in Base.metadata.sorted_tables:
            table.to_metadata(metadata, schema=schema)

    def ours(name: str | None, type_: str, _parents: object) -> bool:
        if type_ == "schema":
            return name == schema
        return type_ != "table" or name in {table.name for table in metadata.sorted_tables}

    with engine.connect() as connection:
        options = {
            "compare_server_default": True,
            "compare_type": True,
            "include_name": ours,
            "include_schemas": schema is not None,
            "version_table": VERSION_TABLE,
            "version_table_schema": schema,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))
