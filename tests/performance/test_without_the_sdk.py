"""Without the SDK an append to a known session reads none of its entries: there is no fold to catch up."""

import subprocess
import sys

import pytest

from tests.fixtures.databases import Database

PROGRAM = """
import re
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "claude_agent_sdk":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())

import sqlalchemy
from sqlalchemy import event, text
from boocode_sessions import ClaudeSessionRepository

url, before, appends = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
engine = sqlalchemy.create_engine(url)
key = {"project_key": "p", "session_id": "s"}
statements = []
event.listen(engine, "before_cursor_execute", lambda c, d, statement, *rest: statements.append(statement))
repository = ClaudeSessionRepository(engine)
repository.append(key, [{"type": "user", "n": n} for n in range(before)])
for n in range(3):
    repository.append(key, [{"type": "user", "n": n}])
statements.clear()

def read():
    engine.dispose()
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        return connection.execute(text(
            "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_all_tables"
            " WHERE relname = 'claude_session_entries'")).scalar_one()

earlier = read() if engine.dialect.name == "postgresql" else 0
statements.clear()
for n in range(appends):
    repository.append(key, [{"type": "user", "n": n}])
made = list(statements)
later = read() if engine.dialect.name == "postgresql" else 0
assert len(repository.load(key)) == before + 3 + appends
bodies = re.compile(r"^\\s*SELECT\\b(?:(?!\\bFROM\\b).)*\\b(entry|verbatim)\\b", re.DOTALL)
selects = [s for s in made if bodies.match(s)]
print(later - earlier, len(selects), "claude_agent_sdk" in sys.modules)
engine.dispose()
"""


@pytest.mark.parametrize("before", [0, 500])
def test_an_append_reads_no_other_entries(database: Database, before: int) -> None:
    appends = 10
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database.url, str(before), str(appends)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows, selects, imported = done.stdout.split()
    assert imported == "False", "the SDK was not blocked"
    # A writer may look for a newest entry, or for equal uuids. It must not read what there was before.
    assert int(rows) <= 3 * appends, f"{rows} rows were read in {appends} appends"
    assert int(selects) == 0, f"{selects} statements read what entries say in {appends} appends"
