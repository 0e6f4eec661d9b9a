"""Two versions of the package over one database, as replicas are while a deployment rolls."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

import boocode_sessions
from boocode_sessions import ClaudeSessionRepository, SchemaNewerError, migrations
from boocode_sessions.models import SCHEMA_VERSION
from boocode_sessions.status import schema_status
from tests.fixtures.databases import Database

KEY = {"project_key": "p", "session_id": "s"}
NEXT = f"{int(SCHEMA_VERSION) + 1:04}"

_APPENDS = """
import sys
from boocode_sessions import ClaudeSessionRepository, SchemaOutdatedError, migrations
from boocode_sessions.engine import create_engine
engine = create_engine(sys.argv[1])
repository = ClaudeSessionRepository(engine)
key = {"project_key": "p", "session_id": "s"}
try:
    repository.load(key)
except SchemaOutdatedError as error:
    print(error)
migrations.upgrade(engine)
repository.append(key, [{"type": "user", "uuid": "newer"}])
print([entry["uuid"] for entry in repository.load(key)])
"""


@pytest.fixture
def run_newer(tmp_path: Path) -> Callable[[str, Database], list[str]]:
    """Runs the program above with the package's next version, whose migration adds a table."""

    def run(kind: str, database: Database) -> list[str]:
        package = tmp_path / "newer" / "boocode_sessions"
        shutil.copytree(Path(boocode_sessions.__file__).parent, package)
        probe = (Path(__file__).parent / "next_version" / "0002_probe.py").read_text()
        probe = probe.replace('"0002"', f'"{NEXT}"').replace('"0001"', f'"{SCHEMA_VERSION}"')
        if kind == "additive":
            probe += "\nadditive = True\n"
        (package / "migrations" / "versions" / f"{NEXT}_probe.py").write_text(probe)
        models = package / "models.py"
        needs = f'SCHEMA_VERSION = "{SCHEMA_VERSION}"'
        assert needs in models.read_text()
        models.write_text(models.read_text().replace(needs, f'SCHEMA_VERSION = "{NEXT}"'))
        done = subprocess.run(
            [sys.executable, "-c", _APPENDS, database.url],
            env={**os.environ, "PYTHONPATH": str(package.parent)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.fixture
def restarted(database: Database) -> Iterator[Callable[[], Engine]]:
    """A replica of this version that begins now: it looks at the schema anew."""
    made: list[Engine] = []

    def start() -> Engine:
        made.append(database.engine())
        return made[-1]

    yield start
    for engine in made:
        engine.dispose()


def test_old_replicas_go_on_over_an_additive_newer_schema(
    database: Database,
    engine: Engine,
    restarted: Callable[[], Engine],
    run_newer: Callable[[str, Database], list[str]],
) -> None:
    running = ClaudeSessionRepository(engine)
    running.append(KEY, [{"type": "user", "uuid": "older"}])

    needs, sees = run_newer("additive", database)
    assert f"is at schema version {SCHEMA_VERSION}, this version of the package needs {NEXT}" in needs
    assert "run `boocode-sessions upgrade`" in needs
    assert sees == "['older', 'newer']"

    running.append(KEY, [{"type": "user", "uuid": "still running"}])
    again = restarted()
    ClaudeSessionRepository(again).append(KEY, [{"type": "user", "uuid": "restarted"}])
    assert [line.get("uuid") for line in running.load(KEY) or []] == [
        "older",
        "newer",
        "still running",
        "restarted",
    ]
    migrations.upgrade(again)
    assert migrations.pending(again) == []
    stands = schema_status(again)
    assert (stands.found, stands.needed, stands.compatible) == (NEXT, SCHEMA_VERSION, True)
    with pytest.raises(SchemaNewerError, match=f"one that knows {SCHEMA_VERSION} or later"):
        migrations.downgrade(again)


def test_old_replicas_stop_at_a_schema_that_is_not_additive(
    database: Database, restarted: Callable[[], Engine], run_newer: Callable[[str, Database], list[str]]
) -> None:
    run_newer("changing", database)
    again = restarted()
    with pytest.raises(SchemaNewerError, match=f"one that knows {NEXT} or later"):
        ClaudeSessionRepository(again).load(KEY)
    with pytest.raises(SchemaNewerError, match=f"one that knows {NEXT} or later"):
        migrations.upgrade(again)
    assert not schema_status(again).compatible


def test_versions_that_add_keep_the_beginning_of_the_range(
    plain_engine: Engine, longer_chain: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up and down: the range is what the version on the way says."""
    longer_chain("next_version")

    def said() -> list[str]:
        with plain_engine.connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT version_num, compatible_range FROM boocode_sessions_alembic_version"
            )
            return [" ".join(row) for row in found]

    migrations.upgrade(plain_engine, "0001")
    assert said() == ["0001 0001..0001"]
    migrations.upgrade(plain_engine)
    assert said() == ["0002 0002..0002"]
    migrations.downgrade(plain_engine, "0001")
    assert said() == ["0001 0001..0001"]
    monkeypatch.undo()
    with plain_engine.begin() as connection:
        # Whatever moves the version alone, such as `alembic stamp`, takes no promise along.
        connection.exec_driver_sql("UPDATE boocode_sessions_alembic_version SET version_num = '0002'")
    with pytest.raises(SchemaNewerError):
        migrations.upgrade(plain_engine)
