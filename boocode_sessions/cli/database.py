"""Opens the database that a command works on, and makes one line of an error."""

import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

    from boocode_sessions._core.keys import Session
    from boocode_sessions.privacy import Encryption

_T = TypeVar("_T")

URL_VARIABLE = "BOOCODE_SESSIONS_URL"
SCHEMA_VARIABLE = "BOOCODE_SESSIONS_SCHEMA"
KEYS_VARIABLE = "BOOCODE_SESSIONS_KEYS"
KEY_FILE_VARIABLE = "BOOCODE_SESSIONS_KEY_FILE"


def complete_session(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return sessions for the shell's completion, newest first, each with its title."""
    from boocode_sessions import queries

    def sessions(database: "Database") -> list[tuple[str, str]]:
        project = ctx.params.get("project")
        found = queries.sessions(database.reading, project_key=project, limit=None, **database.access)
        return [
            (row.session_id, row.title or row.project_key)
            for row in found
            if row.session_id.startswith(incomplete)
        ][:_COMPLETIONS]

    return _completions_for(ctx, sessions)


def complete_project(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return project keys for the shell's completion."""
    from boocode_sessions import queries

    def projects(database: "Database") -> list[str]:
        found = queries.projects(database.reading, containing=incomplete, schema=database.schema)
        return [key for key in found if key.startswith(incomplete)][:_COMPLETIONS]

    return _completions_for(ctx, projects)


_COMPLETIONS = 50


def _completions_for(ctx: typer.Context, found: "Callable[[Database], list[_T]]") -> "list[_T]":
    """Return completions from the database; none if it can't be read, as completion can't show errors."""
    said = ctx.find_root().params
    with suppress(Exception), opened(said.get("url"), said.get("schema"), may_create=False) as database:
        return found(database)
    return []


UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The database: postgresql://user@host/name or sqlite:///file.db.",
        rich_help_panel="Database",
    ),
]
SchemaOption = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="NAME",
        help="The PostgreSQL schema that our tables are in.",
        rich_help_panel="Database",
    ),
]
ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project", "-p", metavar="KEY", help="Only this project key.", autocompletion=complete_project
    ),
]
SessionArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="SESSION",
        help="The session's id or its beginning; by default the newest.",
        autocompletion=complete_session,
    ),
]


class BadInput(Exception):  # noqa: N818 - a person's input, not a fault
    """The command can't do what was typed. The message says what it can do."""


class Where(NamedTuple):
    """The options for the database that came before the command's name."""

    url: str | None = None
    schema: str | None = None


class Database(NamedTuple):
    """The database of one command."""

    engine: "Engine"
    schema: str | None
    encryption: "Encryption | None" = None
    """Encryption with the keys of the environment."""

    @property
    def access(self) -> dict[str, Any]:
        """The arguments that every function over the database gets besides its bind."""
        return {"schema": self.schema, "encryption": self.encryption}

    @property
    def shown_url(self) -> str:
        """The URL without its password and, where possible, without percent-encoding."""
        return readable(self.engine.url)

    @property
    def reading(self) -> "Engine":
        """The engine for commands that only read. On SQLite they then wait for no writer."""
        return self.engine.execution_options(boocode_sessions_reading=True)

    def nothing(self, said: str, project: str | None) -> str:
        """Return what to say if nothing was found. It suggests projects for one that may be mistyped."""
        from boocode_sessions import queries

        if project is None or not project.strip():
            return said
        similar = queries.projects(self.reading, containing=project, limit=4, schema=self.schema)
        if not similar or project in similar:
            return said
        return f"{said.rstrip('.')} in project {project!r}. Did you mean {' or '.join(similar)}?"

    def check_project(self, project: str | None) -> None:
        """Raise BadInput for a project that has no session."""
        from boocode_sessions import queries

        if project and not queries.sessions(self.reading, project_key=project, limit=1, **self.access):
            raise self._no_session(project)

    def _no_session(self, project: str | None) -> BadInput:
        nothing = "there is no session yet" + (f" in project {project!r}" if project else "")
        meant = self.nothing("there is no session", project)
        return BadInput(meant if "?" in meant else nothing)

    def session(self, beginning: str | None, project: str | None) -> "Session":
        """Return the session whose id begins with `beginning`, or the newest one.

        Raises UnknownSessionError, AmbiguousSessionError, BadInput.
        """
        from boocode_sessions import queries
        from boocode_sessions._core.keys import Session

        if beginning is not None:
            found = queries.find_session(self.reading, beginning, project_key=project, schema=self.schema)
            return Session(found.project_key, found.session_id)
        for only in (True, False):
            newest = queries.sessions(
                self.reading, project_key=project, limit=1, conversations_only=only, **self.access
            )
            if newest:
                return Session(newest[0].project_key, newest[0].session_id)
        raise self._no_session(project)


@contextmanager
def opened(url: str | None, schema: str | None, *, may_create: bool) -> Generator[Database]:
    """Open the database for one command. With `may_create` the command may make a missing SQLite file."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from boocode_sessions.engine import create_engine

    chosen = url or os.environ.get(URL_VARIABLE) or None
    try:
        engine = create_engine(chosen or default_url(create=may_create))
    except (ArgumentError, NoSuchModuleError):
        engine = None
    except ImportError as error:
        raise BadInput(_missing_driver(error.name)) from None
    if engine is None:
        # Raised outside the handler and without the given URL, which may hold a password.
        raise BadInput(
            "the URL names no database that we know: give postgresql://user@host/name or sqlite:///file.db"
        )
    if not may_create:
        _check_file(engine.url)
    try:
        yield Database(engine, schema or os.environ.get(SCHEMA_VARIABLE) or None, _encryption())
    finally:
        engine.dispose()


def _encryption() -> "Encryption | None":
    """Return the encryption with the keys of the environment or of the file that it names, or None."""
    keys, file = os.environ.get(KEYS_VARIABLE), os.environ.get(KEY_FILE_VARIABLE)
    if not keys and not file:
        return None
    try:
        from boocode_sessions.privacy import Encryption, read_keys
    except ImportError:
        raise BadInput("encryption needs `pip install 'boocode-sessions[encryption]'`") from None
    if keys and file:
        raise BadInput(f"both {KEYS_VARIABLE} and {KEY_FILE_VARIABLE} are set: which of the two is meant?")
    try:
        text = Path(file).read_text() if file else keys or ""
    except UnicodeDecodeError:
        text = ""  # refused outside the handler, because this error holds the file's bytes
    except OSError as error:
        raise BadInput(f"{KEY_FILE_VARIABLE}: {file}: {error.strerror}") from None
    return Encryption(read_keys(text))


def readable(url: "URL") -> str:
    """Return a URL without its password. Percent-encoded letters are decoded unless that changes the URL's
    meaning: SQLAlchemy 2.0 takes the name of a file as it is written."""
    from urllib.parse import unquote_to_bytes

    from sqlalchemy import make_url

    def decoded(found: re.Match[str]) -> str:
        try:
            return unquote_to_bytes(found[0]).decode()
        except UnicodeDecodeError:
            return found[0]

    written = url.render_as_string(hide_password=True)
    shown = re.sub(r"(?:%[89A-Fa-f][0-9A-Fa-f])+|%20|%2F", decoded, written)
    return shown if make_url(shown) == make_url(written) else written


def file_url(path: Path) -> "URL":
    """Return the URL of a SQLite file with any name."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path))


def default_url(*, create: bool = False) -> "URL":
    """Return the URL of a SQLite file in the user's data folder. `create` makes the folder."""
    import platformdirs

    folder = Path(platformdirs.user_data_dir("boocode-sessions", appauthor=False))
    if create:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return file_url(folder / "sessions.db")


def one_line(error: Exception) -> str | None:
    """Return an error as one line for a person, or None for an error that is a defect of ours."""
    format_message = getattr(error, "format_message", None)
    if callable(format_message):  # an error of click's: the arguments were wrong
        context = getattr(error, "ctx", None)
        hint = f"; see `{context.command_path} --help`" if context else ""
        said = str(format_message()).replace("Value error, ", "")  # pydantic's
        return said.rstrip(".") + hint
    if isinstance(error, BadInput):
        return str(error)

    from sqlalchemy.exc import SQLAlchemyError

    from boocode_sessions._core.database_errors import translate
    from boocode_sessions.errors import SessionStoreError

    if isinstance(error, SQLAlchemyError):
        return str(translate(error, "this command"))
    if isinstance(error, SessionStoreError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return None


def _check_file(url: "URL") -> None:
    """Raise BadInput for a missing SQLite file: SQLite would make an empty one of a mistyped name."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return
    if not Path(name).exists():
        given = "" if url == default_url() else ", with the same URL,"
        raise BadInput(
            f"there is no database at {name} yet: run `boocode-sessions upgrade`{given} to make it"
        )


def _missing_driver(module: str | None) -> str:
    if module is None or module in {"psycopg", "psycopg_c", "psycopg_binary"}:  # libpq may be missing
        return "psycopg finds no libpq: run `pip install 'boocode-sessions[binary]'`"
    return f"the URL needs {module!r}, which is not installed: run `pip install {module}`"
