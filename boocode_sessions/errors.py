"""Every exception of the store.

A message says what went wrong, for which key, and what to do next. It never holds transcript content.
"""

SEALED = "sealed:"
"""Prefix of every encrypted text in the database. No JSON text begins this way."""


class SessionStoreError(Exception):
    """The session store could not carry out the call."""


class InvalidKeyError(SessionStoreError, ValueError):
    """The key names no transcript. Nothing was written."""


class InvalidEntryError(SessionStoreError, ValueError):
    """An entry is not a JSON object. Nothing of its batch was written."""


class NotATranscriptTreeError(SessionStoreError, ValueError):
    """The path holds nothing to import."""


class BrokenLineError(SessionStoreError, ValueError):
    """A line of a transcript file is not an entry, and the import is strict."""


class PriceListError(SessionStoreError, ValueError):
    """The file is not a price list, or one of its models lacks a price."""


class InvalidURLError(SessionStoreError, ValueError):
    """The database's URL can't be read."""


class UnsupportedBindError(SessionStoreError, ValueError):
    """The engine, connection or database can't keep the promises. Nothing was written."""


class DamagedEntryError(SessionStoreError):
    """A stored entry can't be read back. It stays in the database as it is."""


class MissingExtraError(SessionStoreError, ImportError):
    """A library that an optional feature needs is not installed. The message says what to install.

    Args:
        feature: The feature, for the message.
        package: What to pass to `pip install`.
        module: The missing module, which the message then names instead of `package`.
    """

    def __init__(self, feature: str, package: str, module: str | None = None) -> None:
        super().__init__(
            f"{feature} needs {module or package}, which is not installed: run `pip install '{package}'`",
            name=module,
        )
        self._given = feature, package, module

    def __reduce__(self) -> tuple[type, tuple[str, str, str | None]]:
        return type(self), self._given  # pickle would otherwise rebuild it from the message


class EncryptionError(SessionStoreError):
    """The available keys can't read or write the encrypted store. Nothing was written."""


class MissingKeyError(EncryptionError):
    """The key that is needed to decrypt or encrypt is not available."""


class PlainEntryError(EncryptionError):
    """A stored text is not encrypted: it predates encryption, or its writer had no key."""


class UnknownSessionError(SessionStoreError, LookupError):
    """No session has an id that equals or begins with the given one."""


class AmbiguousSessionError(SessionStoreError, LookupError):
    """Several sessions have an id that begins with the given one."""


class SchemaError(SessionStoreError):
    """The database does not have the schema that this version needs."""


class SchemaMissingError(SchemaError):
    """The database lacks this package's tables: run `boocode-sessions upgrade`."""


class SchemaOutdatedError(SchemaError):
    """The schema is older than this version needs: run `boocode-sessions upgrade`."""


class SchemaNewerError(SchemaError):
    """A newer version made the schema: upgrade the boocode-sessions package."""


class DatabaseError(SessionStoreError):
    """The database refused or failed."""

    sqlstate: str | None = None
    """The database's five-character error code, if it gave one."""
    connection_lost: bool = False
    """True if an open connection broke. The pool has dropped it, and every connection as old as it."""


class UnavailableError(DatabaseError):
    """The database could not be reached, or the connection was lost."""


class PoolExhaustedError(UnavailableError):
    """The engine's pool had no free connection in time."""


class TimedOutError(DatabaseError):
    """A statement took too long, or waited too long for a lock that another transaction holds."""


class RetryableError(DatabaseError):
    """The transaction conflicted with another one and was rolled back: run it again."""


class RefusedError(DatabaseError):
    """The database lacks the permission, the space or the characters for the operation."""


class PermissionDeniedError(RefusedError):
    """The database user lacks the permission, or a policy of the database forbids the access."""


class StorageFullError(RefusedError):
    """The disk is full, or the server has run out of another resource."""


class ReadOnlyDatabaseError(RefusedError):
    """The database, its file or the transaction is read-only."""


class EncodingError(RefusedError):
    """The encoding of the database or of the connection lacks some characters."""
