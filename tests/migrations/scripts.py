"""Runs an SQL script."""

from sqlalchemy import Engine


def run_script(engine: Engine, script: str) -> None:
    """Run a script as psql or sqlite3 would."""
    connection = engine.raw_connection()
    if engine.dialect.name == "sqlite":
        connection.executescript(script)
    else:
        connection.driver_connection.autocommit = True  # type: ignore[union-attr]
        connection.cursor().execute(script)
    connection.close()
