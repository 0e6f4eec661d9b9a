"""Keep Claude Agent SDK sessions in your own SQLAlchemy database."""

from boocode_sessions import migrations
from boocode_sessions.contract import (
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
