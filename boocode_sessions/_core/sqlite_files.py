"""SQLite's files: the write-ahead log, and who may read a new one."""

import os
import sqlite3
import time
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit


def switch_to_wal(cursor: Any, seconds: float) -> None:  # noqa: ANN401 - the driver's cursor
    """Turn the write-ahead log on. Raises the driver's error where the file stays locked for so many seconds.

    A file that can only be read keeps the mode that it has. SQLite doesn't wait for a lock here, whatever the
    busy_timeout. It does where a transaction begins: an empty one waits until whoever has the lock is done.
    The mode stays in the file: only a new one needs this.
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
    # SQLAlchemy makes one without a code where aiosqlite's connection is closed.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def make_private(name: str) -> None:
    """Make a SQLite file that is not there, for its owner alone. Its log and journal get the same mode."""
    path = name
    if name.startswith("file:"):
        parts = urlsplit(name)
        makes_none = {"mode=ro", "mode=rw", "mode=memory"} & set(parts.query.split("&"))
        path = "" if makes_none else unquote(parts.path)
    if path and path != ":memory:":
        with suppress(OSError):  # there already; or what SQLite itself will complain of
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
