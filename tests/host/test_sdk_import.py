"""The SDK is imported when a store is made, and never inside a transaction.

A repository may import it with its first append, before that begins: whoever only reads needs none of it.
"""

import subprocess
import sys

import pytest

from tests.fixtures.databases import Database

PROGRAM = """
import asyncio, sys, uuid
import sqlalchemy
from sqlalchemy import event

url, kind = sys.argv[1], sys.argv[2]
key = {"project_key": "p", "session_id": "s"}

def imported():
    return "claude_agent_sdk" in sys.modules

if kind == "import":
    import boocode_sessions
    boocode_sessions.ClaudeSessionEntry
    print("SDK", imported())
    sys.exit()

engine = sqlalchemy.create_engine(url)
if kind == "import_tree":
    import pathlib, tempfile
    projects = pathlib.Path(tempfile.mkdtemp()) / "projects"
    (projects / "-p").mkdir(parents=True)
    (projects / "-p" / f"{uuid.uuid4()}.jsonl").write_text('{"type": "user"}')
if kind == "adopt":
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE claude_session_store (project_key text, session_id text, subpath text DEFAULT '',"
            " seq bigserial, entry jsonb, mtime bigint)"
        )
        connection.exec_driver_sql(
            "INSERT INTO claude_session_store (project_key, session_id, entry, mtime)"
            " VALUES ('p', 's', '{\\"type\\": \\"user\\"}', 1700000000000)"
        )
late = []
event.listen(engine, "begin", lambda connection: imported() or late.append("begin"))
event.listen(engine, "before_cursor_execute", lambda *rest: imported() or late.append("execute"))
if kind in ("import_tree", "adopt"):
    from boocode_sessions import adoption, jsonl
    assert not imported(), "the SDK is imported by whoever imports the package"
    done = jsonl.import_tree(engine, projects) if kind == "import_tree" else adoption.adopt(engine)
    assert imported() and not late, late
    engine.dispose()
    sys.exit()
if kind == "repository":
    from boocode_sessions import ClaudeSessionRepository
    made = ClaudeSessionRepository(engine)
else:
    from boocode_sessions.sdk import SQLAlchemySessionStore
    made = SQLAlchemySessionStore(engine)
assert imported() or kind == "repository", "the SDK is not imported when the store is made"
before = set(sys.modules)
if kind == "repository":
    made.append(key, [{"type": "user"}])
else:
    asyncio.run(made.append(key, [{"type": "user"}]))
assert not late, late
new = [name for name in set(sys.modules) - before if name.partition(".")[0] in ("claude_agent_sdk", "mcp")]
assert not new or kind == "repository", f"the first append imports {sorted(new)[:5]}"
engine.dispose()
"""


@pytest.mark.parametrize("kind", ["repository", "store"])
def test_it_is_there_before_the_first_transaction(database: Database, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database.url, kind],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("dialect", "kind"), [("postgresql", "import_tree"), ("sqlite", "import_tree"), ("postgresql", "adopt")]
)
def test_no_import_and_no_adoption_locks_a_session_meanwhile(database: Database, kind: str) -> None:
    test_it_is_there_before_the_first_transaction(database, kind)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_to_import_the_package_imports_no_sdk(database: Database) -> None:
    """It takes a second, which completion and a host that only migrates must not wait for."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database.url, "import"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "SDK False", done.stderr
