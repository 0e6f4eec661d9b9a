"""The SDK is imported when a store is made, and never inside a transaction.

A repository may import it with its first append, before that begins: whoever only reads needs none of it.
"""

import subprocess
import sys

import pytest

from tests.fixtures.databases import Database

PROGRAM = """
import asyncio, sys
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
late = []
event.listen(engine, "begin", lambda connection: imported() or late.append("begin"))
event.listen(engine, "before_cursor_execute", lambda *rest: imported() or late.append("execute"))
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
