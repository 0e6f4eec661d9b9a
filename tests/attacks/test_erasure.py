"""What was erased is in no table, and on SQLite in no file."""

import os
from pathlib import Path

from sqlalchemy import Engine, make_url, text

from boocode_sessions import ClaudeSessionRepository, queries
from boocode_sessions.retention import erase, hold
from tests.files.sample import AGENT, MAIN, message
from tests.fixtures.databases import Database

CANARY = f"canary{os.urandom(6).hex()}"


def test_a_session_is_erased_whole(engine: Engine, database: Database) -> None:
    repository = ClaudeSessionRepository(engine)
    for key in (MAIN, AGENT):
        repository.append(key, [message(1, CANARY), message(2, CANARY * 3000)])
    repository.append({**MAIN, "session_id": "other"}, [message(3)])
    assert len(queries.search(engine, CANARY)) > 0  # from here on the index has the words
    hold(engine, MAIN)
    assert erase(engine, MAIN) == 4
    assert erase(engine, MAIN) == 0
    assert [row["session_id"] for row in repository.list_sessions(MAIN["project_key"])] == ["other"]
    with engine.connect() as connection:
        for table in ("claude_session_entries", "claude_sessions", "claude_session_texts"):
            assert CANARY not in repr(connection.execute(text(f"SELECT * FROM {table}")).all())
    if database.dialect == "sqlite":
        file = Path(str(make_url(database.url).database))
        held = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
        assert CANARY.encode() not in held
