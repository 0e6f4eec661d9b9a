"""Everything that this package raises.

An error names what went wrong, for which key, and what to do next. It never holds transcript content.
"""

SEALED = "sealed:"
"""How a stored text begins that is encrypted. No JSON does."""


class SessionStoreError(Exception):
    """The session store could not do what it was asked to."""


class InvalidKeyError(SessionStoreError, ValueError):
    """The key names no transcript. Nothing was written."""


class InvalidEntryError(SessionStoreError, ValueError):
    """An entry is not a JSON object. Nothing of its batch was written."""


class NotATranscriptTreeError(SessionStoreError, ValueError):
    """There is nothing to import at this path."""


class BrokenLineError(SessionStoreError, ValueError):
    """A line of a transcript file is no entry, and the import was told to be strict."""


class PriceListError(SessionStoreError, ValueError):
    """The file is no list of prices, or one of its models lacks a price."""


class InvalidURLError(SessionStoreError, ValueError):
    """The database's URL can't be read."""


class UnsupportedBindError(SessionStoreError, ValueError):
    """The engine, connection or database can't keep the promises. Nothing was written."""


class DamagedEntryError(SessionStoreError):
    """A stored entry can't be read back. It is left as it is."""


class MissingExtraError(SessionStoreError, ImportError):
    """A library is not installed that an optional feature needs; the message says what to install."""

    def __init__(self, feature: str, package: str, module: str | None = None) -> None:
        super().__init__(
            f"{feature} needs {module or package}, which is not installed: run `pip install '{package}'`",
            name=module,
        )
        self._given = feature, package, module

    def __reduce__(self) -> tuple[type, tuple[str, str, str | None]]:
        return type(self), self._given  # else it comes back as made of its message


class EncryptionError(SessionStoreError):
    """An encrypted store can't be read or written with the keys at hand. Nothing was written."""


class MissingKeyError(EncryptionError):
    """The key that this is encrypted with, or is to be encrypted with, is not at hand."""


class PlainEntryError(EncryptionError):
    """What should be encrypted is not: it was stored before encryption, or by somebody without the key."""


class UnknownSessionError(SessionStoreError, LookupError):
    """No session has this id, or one that begins with it."""


class AmbiguousSessionError(SessionStoreError, LookupError):
    """Several sessions have an id that begins with this."""


class SchemaError(SessionStoreError):
    """The database does not have the schema that this version needs."""


class SchemaMissingError(SchemaError):
    """The database has no tables of ours: run `boocode-sessions upgrade`."""


class SchemaOutdatedError(SchemaError):
    """The schema is older than this version needs: run `boocode-sessions upgrade`."""


class SchemaNewerError(SchemaError):
    """The schema was made by a newer version: upgrade the boocode-sessions package."""


class DatabaseError(SessionStoreError):
    """The database refused or failed."""

    sqlstate: str | None = None
    """The database's five-character code, where it gave one."""
    connection_lost: bool = False
    """Whether a connection that had been open broke: the pool has let go of it, and of those as old as it."""


class UnavailableError(DatabaseError):
    """The database could not be reached, or the connection was lost."""


class PoolExhaustedError(UnavailableError):
    """The engine's pool had no connection to give in time."""


class TimedOutError(DatabaseError):
    """The database gave up on a statement or on a lock that another transaction holds."""


class RetryableError(DatabaseError):
    """The transaction lost against another one and was rolled back: run it again."""


class RefusedError(DatabaseError):
    """The database lacks the permission, the space or the characters to do it."""


class PermissionDeniedError(RefusedError):
    """The user, or a policy of the database, may not do it."""


class StorageFullError(RefusedError):
    """The disk is full, or another resource of the server is used up."""


class ReadOnlyDatabaseError(RefusedError):
    """The database, its file or the transaction is read-only."""


class EncodingError(RefusedError):
    """The database's or the connection's encoding does not have every character."""
