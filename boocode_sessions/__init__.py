"""Keep Claude Agent SDK sessions in your own SQLAlchemy database."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boocode_sessions import migrations
    from boocode_sessions._core.keys import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
    )
    from boocode_sessions.errors import (
        DamagedEntryError,
        DatabaseError,
        InvalidEntryError,
        InvalidKeyError,
        InvalidURLError,
        PoolExhaustedError,
        RefusedError,
        RetryableError,
        SchemaError,
        SchemaMissingError,
        SchemaNewerError,
        SchemaOutdatedError,
        SessionStoreError,
        TimedOutError,
        UnavailableError,
    )
    from boocode_sessions.models import Base, ClaudeSessionEntry, ClaudeSessionSummary
    from boocode_sessions.repository import AsyncClaudeSessionRepository, ClaudeSessionRepository

__all__ = [
    "AsyncClaudeSessionRepository",
    "Base",
    "ClaudeSessionEntry",
    "ClaudeSessionRepository",
    "ClaudeSessionSummary",
    "DamagedEntryError",
    "DatabaseError",
    "InvalidEntryError",
    "InvalidKeyError",
    "InvalidURLError",
    "PoolExhaustedError",
    "RefusedError",
    "RetryableError",
    "SchemaError",
    "SchemaMissingError",
    "SchemaNewerError",
    "SchemaOutdatedError",
    "SessionKey",
    "SessionListSubkeysKey",
    "SessionStoreEntry",
    "SessionStoreError",
    "SessionStoreListEntry",
    "SessionSummaryEntry",
    "TimedOutError",
    "UnavailableError",
    "migrations",
]

_MODULES = ("repository", "models", "errors", "_core.keys")


def __getattr__(name: str) -> object:
    """Import a public name's room when the name is first asked for.

    `boocode-sessions --help` and its completion import this package too, and must not wait for SQLAlchemy.
    """
    if name == "migrations":
        return import_module("boocode_sessions.migrations")
    if name in __all__:
        for name_of in _MODULES:
            module = import_module(f"boocode_sessions.{name_of}")
            if hasattr(module, name):
                value = globals()[name] = getattr(module, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
