"""The command line, over an empty database or over the demo's three sessions."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from boocode_sessions.cli.app import app
from boocode_sessions.cli.demo import fill
from tests.fixtures.databases import Database, Databases

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
"""The demo's current time."""
NAMES_AS_WRITTEN = make_url("sqlite:///%20").database == "%20"
"""True if URLs name files without percent-encoding, as in SQLAlchemy 2.0. Such names can't have a `?`."""


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """Runs commands over one database, in this process or as separate programs."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.env: dict[str, str] = {"BOOCODE_SESSIONS_URL": database.url, "TZ": "UTC"}

    def run(self, *arguments: str, input: str | None = None) -> Done:  # noqa: A002 - subprocess's name for it
        """Run in this process, without a terminal."""
        result = CliRunner().invoke(
            app, list(arguments), input=input, env=self.env, prog_name="boocode-sessions"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start as a separate program. The caller ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "boocode_sessions", *arguments],
            env=program_environment(self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def program(self, *arguments: str, input: str | None = None) -> Done:  # noqa: A002 - subprocess's name for it
        """Run as a separate program, and wait for its end."""
        done = subprocess.run(
            [sys.executable, "-m", "boocode_sessions", *arguments],
            env=program_environment(self.env),
            input=input or "",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)


def program_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for this source tree, without the settings of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return kept | {"PYTHONPATH": str(ROOT)} | dict(more)


@pytest.fixture
def terminal(database: Database) -> Terminal:
    """A terminal over a migrated database without sessions."""
    return Terminal(database)


@pytest.fixture(scope="session")
def demo_file(databases: Databases) -> Path:
    """A SQLite database with the demo's sessions, to copy from."""
    database = databases.migrated("sqlite")
    engine = database.engine()
    fill(engine, NOW)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    engine.dispose()
    return Path(str(make_url(database.url).database))


@pytest.fixture
def demo(demo_file: Path, tmp_path: Path) -> Terminal:
    """A terminal over the demo's sessions, on SQLite."""
    shutil.copyfile(demo_file, tmp_path / "demo.db")
    return Terminal(Database("sqlite", f"sqlite:///{tmp_path / 'demo.db'}"))


@pytest.fixture
def demo_anywhere(database: Database) -> Terminal:
    """A terminal over the demo's sessions, on each database."""
    engine = database.engine()
    fill(engine, NOW)
    engine.dispose()
    return Terminal(database)


@pytest.fixture
def ids(demo: Terminal) -> list[str]:
    """The demo's session ids, the newest first."""
    return [row["session_id"] for row in demo.run("list", "--json").json]


@pytest.fixture
def empty_terminal(empty_database: Database) -> Terminal:
    """A terminal over a database without our tables."""
    return Terminal(empty_database)
