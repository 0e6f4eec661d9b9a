"""Translates what databases and drivers raise into our errors. No other module does this.

Drivers repeat statement parameters in their messages, and the SDK logs `str(error)`. So our errors copy only
the class and the SQLSTATE of a driver's error, and never keep it chained.
"""

import sqlite3
from typing import cast

from sqlalchemy import exc as sa

from boocode_sessions._core import refused_connections
from boocode_sessions._core.distributed import UncertainCommitError
from boocode_sessions._core.refused_connections import chain, is_of, is_of_options, sqlstate_in_message
from boocode_sessions.errors import (
    DatabaseError,
    EncodingError,
    PermissionDeniedError,
    PoolExhaustedError,
    ReadOnlyDatabaseError,
    RefusedError,
    RetryableError,
    SchemaMissingError,
    SessionStoreError,
    StorageFullError,
    TimedOutError,
    UnavailableError,
)

_INSUFFICIENT_PRIVILEGE = "42501"

STALE_PLAN = "0A000"
"""The SQLSTATE of a prepared statement whose columns have changed type: run it again on a new connection."""

_FAILED_BEFORE = "something before it failed in this transaction; roll it back, and run all of it again"
_UNCERTAIN = UnavailableError, "a server failed at the COMMIT; it may have landed; send the same again"
_BY_SQLSTATE: dict[str, tuple[type[DatabaseError], str]] = {
    "40003": (UnavailableError, "nobody knows whether it was committed; send the same again"),
    "40": (RetryableError, "it lost against a concurrent transaction and was rolled back; run it again"),
    "55P03": (TimedOutError, "another transaction kept the lock past lock_timeout; try again later"),
    "57014": (TimedOutError, "it ran past statement_timeout or was cancelled; try again, or raise the limit"),
    "25P02": (DatabaseError, _FAILED_BEFORE),
    "25P01": (DatabaseError, "no transaction is open, as at AUTOCOMMIT; use another isolation_level"),
    "57P05": (UnavailableError, "the server ended the connection after idle_session_timeout; try again"),
    "25P03": (
        UnavailableError,
        "the server ended the transaction after idle_in_transaction_session_timeout; run it again",
    ),
    "25P04": (
        UnavailableError,
        "the server ended the transaction after transaction_timeout; run it again, or raise the limit",
    ),
    "57": (UnavailableError, "the server is shutting down or restarting; try again"),
    "08": (UnavailableError, "the connection was lost; check that the database runs and can be reached"),
    "53300": (UnavailableError, "the server has no connection left; use a smaller pool or a pooler"),
    "28P01": (UnavailableError, "the server refused the password; check the URL's user and password"),
    "28": (
        UnavailableError,
        (
            "the server does not let this user in, or has no such role; check the URL's user, pg_hba.conf, "
            "and whether the server wants TLS"
        ),
    ),
    "3D": (UnavailableError, "the server has no database of this name; check the URL's database"),
    "53": (
        StorageFullError,
        "the server ran out of disk, memory or another resource; free some, then try again",
    ),
    "54": (RefusedError, "it is larger than the server takes; no entry may have over 256 MB"),
    "22P05": (
        EncodingError,
        "the database's encoding does not have the text's characters; use one made with ENCODING UTF8",
    ),
    _INSUFFICIENT_PRIVILEGE: (
        PermissionDeniedError,
        (
            "the user has no permission; grant CONNECT on the database, USAGE on the schema, SELECT, INSERT, "
            "UPDATE and DELETE on claude_session_entries, claude_sessions, claude_agent_sessions, "
            "claude_session_digests, claude_session_calls, claude_session_tool_uses and "
            "claude_session_texts, SELECT on boocode_sessions_alembic_version, USAGE on the sequence "
            "claude_session_entries_id_seq, and USAGE on the sequence claude_session_digests_id_seq"
        ),
    ),
    "25006": (
        ReadOnlyDatabaseError,
        "the transaction is read-only; connect to the primary, with default_transaction_read_only off",
    ),
    STALE_PLAN: (
        DatabaseError,
        "the database does not support it, or a column's type has changed; roll back, and run it again once",
    ),
    "26000": (
        DatabaseError,
        "a prepared statement is gone; behind a transaction pooler set prepare_threshold=None",
    ),
    "42P05": (
        DatabaseError,
        "a prepared statement exists already; behind a transaction pooler set prepare_threshold=None",
    ),
}
"""The error and the advice for a SQLSTATE that begins with the key. The first match counts."""

_DRIVERS = ("sqlalchemy.dialects", "sqlalchemy.pool", "asyncpg", "pg8000", "psycopg", "aiosqlite")

_REFUSED_BY_POLICY = (
    PermissionDeniedError,
    (
        "a row security policy of the database does not allow this user such a row; look at the policies' "
        "WITH CHECK, and at the settings of the connection that they read"
    ),
)

_BY_SQLITE_CODE: dict[int, tuple[type[DatabaseError], str]] = {
    sqlite3.SQLITE_BUSY: (TimedOutError, "another connection kept the database locked; try again"),
    sqlite3.SQLITE_LOCKED: (TimedOutError, "another connection kept a table locked; try again"),
    sqlite3.SQLITE_FULL: (StorageFullError, "the disk is full; free some space, then try again"),
    sqlite3.SQLITE_READONLY: (
        ReadOnlyDatabaseError,
        (
            "the database's file or its folder is read-only; what nobody writes to can be read as "
            "sqlite:///file:NAME?immutable=1&uri=true"
        ),
    ),
    sqlite3.SQLITE_PERM: (PermissionDeniedError, "the file system forbids it; check the file's permissions"),
    sqlite3.SQLITE_CANTOPEN: (UnavailableError, "the file can't be opened; check the path and its folder"),
    sqlite3.SQLITE_NOTADB: (UnavailableError, "the file is no SQLite database; check the path"),
    sqlite3.SQLITE_CORRUPT: (DatabaseError, "the database file is damaged; restore it from a backup"),
    sqlite3.SQLITE_IOERR: (RefusedError, "the disk failed to read or write; check it"),
}

_MISSING_RELATION = ("42P01", "42703", "3F000")
"""SQLSTATEs of an undefined table, column or schema: the migrations have not run here."""

LOST_ANSWER = ("08", "57P", "40003")
"""SQLSTATEs (by prefix) after which nobody knows whether a COMMIT has landed."""


def is_of_database(error: Exception, *, connecting: bool) -> bool:
    """True if an exception comes from the database or its driver, not from a mistake in the program.

    `connecting` says that there was no connection yet. Drivers then raise bare socket errors; asyncpg also
    raises them later.
    """
    if isinstance(error, sa.TimeoutError | sa.StatementError | sa.PendingRollbackError | UnicodeError):
        return True
    if isinstance(error, SessionStoreError):
        return False
    refused_options = connecting and is_of_options(error)
    if isinstance(error, TypeError):  # psycopg returns bytes over SQL_ASCII, which SQLAlchemy then can't read
        return refused_options or (connecting and is_of(error, "sqlalchemy.dialects"))
    if isinstance(error, AssertionError):  # from sqlalchemy.pool.AssertionPool, when it is exhausted
        return is_of(error, "sqlalchemy.pool")
    if isinstance(error, OSError):
        return connecting or is_of(error, *_DRIVERS)
    wants_password = connecting and isinstance(error, AttributeError) and is_of(error, "pg8000")
    refused = refused_options or wants_password or _is_bare(error)
    return refused or sqlstate_of(error) is not None


def _is_bare(error: Exception) -> bool:
    """True if a driver found its connection broken when it was given back. The pool raises that unwrapped."""
    kind = type(error)
    of_driver = kind.__module__.partition(".")[0] in {"psycopg", "psycopg2", "pg8000"}
    return of_driver and kind.__name__ in {"InterfaceError", "OperationalError"}


def translate(error: Exception, operation: str) -> SessionStoreError:
    """Return the error to raise in place of a database's `error`, which came up during `operation`."""
    if isinstance(error, sa.TimeoutError | AssertionError):
        return PoolExhaustedError(
            f"{operation}: the engine's pool had no free connection in time; "
            "raise pool_size or max_overflow, or give the store an engine of its own"
        )
    if isinstance(error, TypeError) and not is_of_options(error):
        return EncodingError(
            f"{operation}: the database or the connection is encoded in SQL_ASCII, which is no encoding; "
            "use a database made with ENCODING UTF8, and client_encoding UTF8"
        )
    if isinstance(error, UnicodeError):  # from a driver, before it sends anything; holds the whole text
        return EncodingError(
            f"{operation}: the database's encoding does not have the text's characters; "
            "use one made with ENCODING UTF8"
        )
    if isinstance(error, sa.PendingRollbackError):  # repeats the earlier failure, with its parameters
        return DatabaseError(f"{operation}: {_FAILED_BEFORE}")
    sqlstate = sqlstate_of(error)
    if sqlstate in _MISSING_RELATION:
        return SchemaMissingError(
            f"{operation}: a table or column of ours is missing (SQLSTATE {sqlstate}); "
            "run `boocode-sessions upgrade` with the URL of this database, or call migrations.upgrade, and "
            "check the schema and the search_path"
        )
    kind, advice = _UNCERTAIN if isinstance(error, UncertainCommitError) else _verdict(error, sqlstate)
    code = f"SQLSTATE {sqlstate}" if sqlstate else _driver_class(error)
    translated = kind(f"{operation}: {advice} ({code})")
    translated.sqlstate = sqlstate
    invalidated = getattr(error, "connection_invalidated", False)
    translated.connection_lost = bool(invalidated) or _is_bare(error)
    return translated


def timed_out(operation: str, seconds: float, *, connected: bool) -> TimedOutError:
    """Return the error to raise for a call that the client's own deadline ended."""
    dropped = (
        "and the connection was dropped; what was sent may have been written: send the same again"
        if connected
        else "and the call had no connection yet; nothing was written: send the same again"
    )
    failure = TimedOutError(f"{operation}: the database did not answer within {seconds:g} s, {dropped}")
    failure.connection_lost = True
    return failure


def sqlstate_of(error: BaseException) -> str | None:
    """Return the server's SQLSTATE, wherever the driver keeps it; None if there is none."""
    return next((code for cause in chain(error) if (code := _own_sqlstate(cause)) is not None), None)


def _own_sqlstate(error: BaseException) -> str | None:
    for name in ("sqlstate", "pgcode"):  # psycopg and asyncpg; psycopg2
        if isinstance(code := getattr(error, name, None), str):
            return code
    driver = type(error).__module__.partition(".")[0]
    said = error.args[0] if error.args else None
    if driver == "pg8000":
        code = cast("dict[str, object]", said).get("C") if isinstance(said, dict) else None
        return code if isinstance(code, str) else None
    if driver in {"psycopg", "psycopg2"} and type(error).__name__ == "OperationalError":
        return sqlstate_in_message(str(said))
    return None


def may_be_schema(error: BaseException) -> bool:
    """True if a missing or different schema could explain `error`. SQLite has no code of its own for that."""
    return sqlstate_of(error) in _MISSING_RELATION or _sqlite_code(error) == sqlite3.SQLITE_ERROR


def leaves_doubt(error: BaseException) -> bool:
    """True if a COMMIT that failed with `error` may have landed anyway."""
    sqlstate = sqlstate_of(error)
    if sqlstate is not None:
        return isinstance(error, UncertainCommitError) or sqlstate.startswith(LOST_ANSWER)
    return _sqlite_code(error) is None


def _verdict(error: Exception, sqlstate: str | None) -> tuple[type[DatabaseError], str]:
    if sqlstate == _INSUFFICIENT_PRIVILEGE and _by_policy(error):
        return _REFUSED_BY_POLICY
    if sqlstate is not None:
        unknown = (DatabaseError, "the database refused it; look the code up in its manual")
        known = (verdict for prefix, verdict in _BY_SQLSTATE.items() if sqlstate.startswith(prefix))
        return next(known, unknown)
    if (code := _sqlite_code(error)) is not None:
        return _BY_SQLITE_CODE.get(code & 0xFF, (DatabaseError, "SQLite refused it"))
    if isinstance(error, AttributeError):
        # From pg8000, when it has no password to send.
        return UnavailableError, "the server wants a password; check the URL's user and password"
    invalidated = getattr(error, "connection_invalidated", False) or _is_bare(error)
    unavailable = isinstance(error, sa.OperationalError | sa.InterfaceError | OSError)
    if invalidated or unavailable or is_of_options(error):
        return UnavailableError, refused_connections.explain(error)
    return DatabaseError, "the database or its driver failed"


def _by_policy(error: Exception) -> bool:
    """True if row security refused a row. Its SQLSTATE is also a missing grant's, and its text is localized.

    So the name of the server's function that refused it decides. psycopg and psycopg2 keep that name under
    one attribute, asyncpg under another.
    """
    for cause in chain(error):
        diagnosis = getattr(cause, "diag", cause)
        for name in ("source_function", "server_source_function"):
            if getattr(diagnosis, name, None) == "ExecWithCheckOptions":
                return True
    return False


def _sqlite_code(error: BaseException) -> int | None:
    for cause in chain(error):
        if isinstance(cause, sqlite3.Error):
            code = getattr(cause, "sqlite_errorcode", None)
            return code if isinstance(code, int) else sqlite3.SQLITE_ERROR
    return None


def _driver_class(error: Exception) -> str:
    original = error.orig if isinstance(error, sa.DBAPIError) else error
    return f"{type(original).__module__.partition('.')[0]}.{type(original).__name__}"
