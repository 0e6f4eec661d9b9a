"""The schema in which a running migration makes our tables."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import Connection

from boocode_sessions._core.connection import translated_schema
from boocode_sessions.errors import SchemaError

_schema: ContextVar[str | None] = ContextVar("boocode_sessions_schema", default=None)


def schema() -> str | None:
    """Return the schema of the running migration, or None for the connection's own search path."""
    return _schema.get()


_MAX_NAME_BYTES = 63


@contextmanager
def targeting(name: str | None) -> Generator[None]:
    """Run migrations for the tables in one schema. Raises SchemaError for a name that is too long."""
    if name is not None and (size := len(name.encode(errors="replace"))) > _MAX_NAME_BYTES:
        raise SchemaError(f"the schema's name has {size} bytes, PostgreSQL takes {_MAX_NAME_BYTES}: {name!r}")
    token = _schema.set(name)
    try:
        yield
    finally:
        _schema.reset(token)


def effective_schema(connection: Connection, given: str | None) -> str | None:
    """Return the given schema, or else the one that the connection's `schema_translate_map` leads to."""
    return given or translated_schema(connection.get_execution_options())
