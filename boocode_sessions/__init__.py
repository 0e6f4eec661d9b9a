"""Keep Claude Agent SDK sessions in your own SQLAlchemy database."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from boocode_sessions import migrations
    from boocode_sessions._core.greenlets import run_sync
    from boocode_sessions._core.keys import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
    )
    from boocode_sessions._core.replica import Replicated
    from boocode_sessions.errors import (
        DamagedEntryError,
        DatabaseError,
        EncodingError,
        EncryptionError,
        InvalidEntryError,
        InvalidKeyError,
        InvalidURLError,
        MissingExtraError,
        MissingKeyError,
        PermissionDeniedError,
        PlainEntryError,
        PoolExhaustedError,
        ReadOnlyDatabaseError,
        RefusedError,
        RetryableError,
        SchemaError,
        SchemaMissingError,
        SchemaNewerError,
        SchemaOutdatedError,
        SessionStoreError,
        StorageFullError,
        TimedOutError,
        UnavailableError,
        UnsupportedBindError,
    )
    from boocode_sessions.models import Base, ClaudeSession, ClaudeSessionEntry
    from boocode_sessions.repository import AsyncClaudeSessionRepository, ClaudeSessionRepository

__all__ = [
    "AsyncClaudeSessionRepository",
    "Base",
    "ClaudeSession",
    "ClaudeSessionEntry",
    "ClaudeSessionRepository",
    "DamagedEntryError",
    "DatabaseError",
    "EncodingError",
    "EncryptionError",
    "InvalidEntryError",
    "InvalidKeyError",
    "InvalidURLError",
    "MissingExtraError",
    "MissingKeyError",
    "PermissionDeniedError",
    "PlainEntryError",
    "PoolExhaustedError",
    "ReadOnlyDatabaseError",
    "RefusedError",
    "Replicated",
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
    "StorageFullError",
    "TimedOutError",
    "UnavailableError",
    "UnsupportedBindError",
    "migrations",
    "run_sync",
]

_MODULES = ("repository", "models", "errors", "_core.keys", "_core.greenlets", "_core.replica")


def __getattr__(name: str) -> object:
    """Import a public name's module when the name is first used.

    `boocode-sessions --help` and shell completion import this package too, and must not wait for SQLAlchemy.
    """
    if name == "__version__":
        return version("boocode-sessions")
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
