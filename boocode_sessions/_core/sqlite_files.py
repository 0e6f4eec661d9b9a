"""SQLite's files: their write-ahead log, and who may read a new file."""

import os
import sqlite3
import time
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit


def switch_to_wal(cursor: Any, seconds: float) -> None:  # noqa: ANN401 - the driver's cursor
    """Turn on the write-ahead log. Raises the driver's error if the file stays locked for so many seconds.

    A read-only file keeps its mode. The mode is stored in the file, so only a new file needs this.
    SQLite doesn't wait for this lock, whatever the busy_timeout, but it does wait when a transaction begins.
    So an empty transaction waits here until the holder of the lock is done.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) == sqlite3.SQLITE_READONLY:
                return
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        else:
            return
        try:
            cursor.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY:
                raise
        else:
            cursor.execute("ROLLBACK")


def _code(error: sqlite3.Error) -> int:
    # SQLAlchemy raises an error without a code if aiosqlite's connection is closed.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def make_private(name: str) -> None:
    """Create a SQLite file for its owner alone, unless it exists. Its log and journal get the same mode."""
    path = name
    if name.startswith("file:"):
        parts = urlsplit(name)
        makes_none = {"mode=ro", "mode=rw", "mode=memory"} & set(parts.query.split("&"))
        path = "" if makes_none else unquote(parts.path)
    if path and path != ":memory:":
        with suppress(OSError):  # the file exists, or SQLite itself will report the problem
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
