"""Explains why there is no connection. Each driver reports a failure to connect in its own words."""

import re
from collections.abc import Iterator
from traceback import walk_tb
from types import FrameType

from sqlalchemy import exc as sa

_BY_WORDS = (
    ("28P01", re.compile(r"password authentication failed|no password supplied")),
    (
        "28000",
        re.compile(r'role ".*" (?:does not exist|is not permitted)|pg_hba\.conf|authentication failed'),
    ),
    ("42501", re.compile(r'permission denied for database ".*"')),
    ("3D000", re.compile(r'database ".*" does not exist')),
    ("53300", re.compile(r"too many (?:clients|connections)|remaining connection slots")),
    ("57P03", re.compile(r"the database system is (?:starting up|shutting down|in recovery|not yet)")),
)
"""libpq tells only in words why a server refuses a connection. They are English unless set otherwise."""

_UNREACHED = re.compile(
    "Connection refused|No such file|not known|could not translate|name resolution|[Tt]ime(d )?out|"
    "[Nn]o route|unreachable"
)
"""How drivers say that no server answered."""

_NO_TLS = re.compile(r"(?:not support|refuses|rejected) SSL|certificate|unsupported protocol|wrong version")
"""How drivers say that they and the server disagree on TLS. A broken TLS connection is not one of these."""

_BAD_VALUE = re.compile(r"invalid (?:\w+ )*value|must be one of")
"""How drivers say that an option doesn't have this value."""


def sqlstate_in_message(said: str) -> str | None:
    """Return the SQLSTATE with which the server refused a connection, found in libpq's message."""
    return next((code for code, words in _BY_WORDS if words.search(said)), None)


def is_of_options(error: BaseException) -> bool:
    """True if a driver rejected the URL or `connect_args` before it asked any server."""
    unfit = (TypeError, ValueError, sa.ProgrammingError)
    return any(
        isinstance(cause, unfit) and not isinstance(cause, OSError) and _is_of_connect(cause)
        for cause in chain(error)
    )


def explain(error: Exception) -> str:
    """Explain to people why a connection can't be made, or is lost."""
    said = [str(cause) for cause in chain(error)]
    if any(map(_is_of_connect, chain(error))):
        if is_of_options(error) or any(map(_BAD_VALUE.search, said)):
            return (
                "the driver does not take an option of the URL or of connect_args; drivers name them "
                "differently, as psycopg's sslmode is asyncpg's ssl"
            )
        if any(map(_NO_TLS.search, said)):
            return (
                "the driver and the server do not agree on TLS, or on a certificate; check the URL's sslmode "
                "or ssl, and the server's certificate"
            )
    if isinstance(error, OSError) or _UNREACHED.search(str(getattr(error, "orig", error))):
        return "the database can't be reached; check that it runs, and the URL's host and port"
    return (
        "the database can't be reached or refuses the connection; check that it runs, "
        "and the URL's host, port, database, user and password"
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything that it came from, each once."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        cause = pending.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        pending += [getattr(cause, "orig", None), cause.__cause__, cause.__context__]


def is_of(error: BaseException, *packages: str) -> bool:
    """True if code of one of these packages was running when the error was raised."""
    return any(_module(frame).startswith(packages) for frame, _ in walk_tb(error.__traceback__))


def _is_of_connect(error: BaseException) -> bool:
    """True if SQLAlchemy was calling the driver's `connect`. A host's own code raises elsewhere."""
    return any(
        _module(frame) == "sqlalchemy.engine.default" and frame.f_code.co_name == "connect"
        for frame, _ in walk_tb(error.__traceback__)
    )


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
