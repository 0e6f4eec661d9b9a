"""The Python shell on a database."""

import code
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sqlalchemy import Engine, event, func, select
from sqlalchemy.orm import Session

import boocode_sessions
from boocode_sessions import queries
from boocode_sessions.cli.database import BadInput, Database
from boocode_sessions.engine import create_engine
from boocode_sessions.models import ClaudeSession, ClaudeSessionEntry
from boocode_sessions.repository import ClaudeSessionRepository

BANNER = """\
{url} as db ({mode}) and repo, with the models, select and func:
  sessions(db)   search(db, "words")   conversation(db, "id")   usage(db)   tools(db)
  db.scalars(select(ClaudeSessionEntry).where(ClaudeSessionEntry.type == "user").limit(5)).all()"""


def run(database: Database, *, write: bool) -> None:
    """Open the shell until its user leaves it."""
    engine = database.engine if write else _reading_engine(database.engine)
    try:
        schema = {"schema_translate_map": {None: database.schema}} if database.schema else {}
        with Session(engine.execution_options(**schema)) as db:
            # Report a database without our tables now, and not at the first query.
            queries.sessions(db, limit=1)
            db.rollback()
            mode = "writes when you commit" if write else "reads only"
            _interact(BANNER.format(url=database.shown_url, mode=mode), _names(db, database))
    finally:
        engine.dispose()


def _names(db: Session, database: Database) -> dict[str, Any]:
    """Return the names that the shell starts with."""
    return {
        "db": db,
        "repo": ClaudeSessionRepository(database.engine, **database.access),
        "boocode_sessions": boocode_sessions,
        "ClaudeSessionEntry": ClaudeSessionEntry,
        "ClaudeSession": ClaudeSession,
        "select": select,
        "func": func,
        **{name: getattr(queries, name) for name in queries.__all__},
    }


def _reading_engine(engine: Engine) -> Engine:
    """Make an engine whose statements see the newest data, leave no locks, and can't write.

    People leave a prompt open for hours. An open transaction would keep migrations waiting, and on SQLite
    would show the data as of its first statement.
    """
    made = create_engine(engine.url, isolation_level="AUTOCOMMIT")

    @event.listens_for(made, "connect")
    def _forbid_writing(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        cursor = connection.cursor()
        if made.dialect.name == "sqlite":
            cursor.execute("PRAGMA query_only = ON")
        elif not cursor.execute(_FORBID, {"pid": connection.info.backend_pid}).fetchone():
            raise BadInput(
                "a pooler is between here and the server, and would hand a connection that only reads to "
                "other programs: give the server's own address, or --write"
            )
        cursor.close()
        connection.commit()

    return made


_FORBID = "SELECT set_config('default_transaction_read_only', 'on', false) WHERE pg_backend_pid() = %(pid)s"
"""It returns no row behind a pooler, which gives clients process ids other than the server's."""


def _interact(banner: str, names: Mapping[str, Any]) -> None:
    if find_spec("IPython") is None:
        with suppress(ImportError):  # Python has a prompt even without it
            import_module("readline")  # adds history and editing to the prompt
        code.interact(banner=banner, local=dict(names), exitmsg="")
        return
    from IPython import start_ipython
    from traitlets.config import Config

    config = Config()
    config.TerminalInteractiveShell.banner1 = banner + "\n"
    config.TerminalInteractiveShell.banner2 = ""
    config.TerminalInteractiveShell.enable_tip = False
    config.TerminalInteractiveShell.confirm_exit = False
    sys.stdout.flush()
    start_ipython(argv=[], user_ns=dict(names), config=config)
