"""What was erased is in no table, and on SQLite in no file."""

import os
from pathlib import Path

from sqlalchemy import Engine, make_url

from boocode_sessions import ClaudeSessionRepository, queries
from boocode_sessions.retention import erase, hold
from tests.attacks.test_rotation import everything_stored
from tests.files.sample import AGENT, MAIN, message
from tests.fixtures.databases import Database

CANARY = f"canary{os.urandom(6).hex()}"
CALL = {
    "type": "assistant",
    "uuid": "call",
    "message": {
        "id": f"msg {CANARY}",
        "model": CANARY,
        "usage": {"input_tokens": 1, "output_tokens": 2},
        "content": [{"type": "tool_use", "id": CANARY, "name": CANARY, "input": {}}],
    },
}


def test_a_session_is_erased_whole(engine: Engine, database: Database) -> None:
    repository = ClaudeSessionRepository(engine)
    for key in (MAIN, AGENT):
        repository.append(key, [message(1, CANARY), message(2, CANARY * 3000), CALL])
    repository.append({**MAIN, "session_id": "other"}, [message(3)])
    assert len(queries.search(engine, CANARY)) > 0  # from here on the index has the words
    assert [tool.tool for tool in queries.tools(engine)] == [CANARY]  # and the tables for sums the rest
    assert queries.usage(engine)
    hold(engine, MAIN)
    assert everything_stored(engine).count(CANARY) > 5
    assert erase(engine, MAIN) == 6
    assert erase(engine, MAIN) == 0
    assert [row["session_id"] for row in repository.list_sessions(MAIN["project_key"])] == ["other"]
    assert CANARY not in everything_stored(engine)
    assert MAIN["session_id"] not in everything_stored(engine)
    if database.dialect == "sqlite":
        file = Path(str(make_url(database.url).database))
        held = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
        assert CANARY.encode() not in held
