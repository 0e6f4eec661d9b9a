"""Where a migration that is running makes our tables."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_schema: ContextVar[str | None] = ContextVar("boocode_sessions_schema", default=None)


def schema() -> str | None:
    """The schema that the running migration writes to; None for the connection's own search path."""
    return _schema.get()


@contextmanager
def targeting(name: str | None) -> Generator[None]:
    """Run migrations for the tables in one schema."""
    token = _schema.set(name)
    try:
        yield
    finally:
        _schema.reset(token)
