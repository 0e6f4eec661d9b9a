"""Fixtures with host projects and longer chains."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import Engine, NullPool, create_engine

from boocode_sessions.migrations import chain
from tests.fixtures.databases import Database
from tests.migrations.hosting import Host

HERE = Path(__file__).parent


@pytest.fixture
def host(tmp_path: Path) -> Callable[[str, Database], Host]:
    def make(route: str, database: Database) -> Host:
        folder = tmp_path / route
        shutil.copytree(HERE / "hosts" / route, folder)
        return Host(folder, database)

    return make


@pytest.fixture
def longer_chain(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Adds a folder of versions to our chain, as a later release does."""

    def add(folder: str) -> None:
        ours = chain.config

        def config() -> Config:
            made = ours()
            made.set_main_option("version_path_separator", "os")
            locations = [str(Path(chain.__file__).parent / "versions"), str(HERE / folder)]
            made.set_main_option("version_locations", os.pathsep.join(locations))
            return made

        monkeypatch.setattr(chain, "config", config)

    return add


@pytest.fixture
def plain_engine(empty_database: Database) -> Iterator[Engine]:
    """A host's engine, without our defaults, over a database without our tables."""
    engine = create_engine(empty_database.url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def run_python() -> Callable[[str], str]:
    """Runs a program in a fresh interpreter, and returns its output."""

    def run(program: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=HERE.parents[1],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.strip()

    return run
