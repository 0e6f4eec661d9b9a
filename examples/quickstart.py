"""A session store from scratch: migrate, append, list, load.

Run it with `python examples/quickstart.py`. It uses the database in BOOCODE_SESSIONS_URL, or SQLite.
"""

import os
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select

from boocode_sessions import (
    ClaudeSessionEntry,
    ClaudeSessionRepository,
    SessionKey,
    migrations,
)
from boocode_sessions.engine import create_engine


def main() -> None:
    """Store a short session and read it back."""
    with tempfile.TemporaryDirectory(prefix="boocode-sessions-") as folder:
        url = os.environ.get("BOOCODE_SESSIONS_URL") or f"sqlite:///{Path(folder) / 'sessions.db'}"
        engine = create_engine(url)
        migrations.upgrade(engine)
        print(f"migrated {engine.url.render_as_string(hide_password=True)}")

        repository = ClaudeSessionRepository(engine)
        key: SessionKey = {"project_key": "quickstart", "session_id": str(uuid4())}
        turn = [said("user", "Is it going to rain?"), said("assistant", "Take an umbrella.")]
        repository.append(key, turn)
        repository.append(key, turn)  # sent again, as after a lost answer: nothing doubles
        repository.append({**key, "subpath": "subagents/agent-1"}, [said("assistant", "A cloud, I saw.")])

        for listed in repository.list_sessions("quickstart"):
            print(f"session {listed['session_id']}, last written at {listed['mtime']} ms")
        print(f"subagents: {repository.list_subkeys(key)}")
        for entry in repository.load(key) or []:
            print(f"  {entry}")

        with engine.connect() as connection:
            kind = ClaudeSessionEntry.entry["type"].as_string()
            counts = select(kind, func.count()).group_by(kind).order_by(kind)
            for name, number in connection.execute(counts):
                print(f"{number} of type {name}")
        repository.delete(key)
        engine.dispose()


def said(role: str, text: str) -> dict[str, Any]:
    """Make a transcript line in the agent's format."""
    return {
        "type": role,
        "uuid": str(uuid4()),
        "timestamp": "2026-11-22T12:00:00.000Z",
        "message": {"role": role, "content": [{"type": "text", "text": text}]},
    }


if __name__ == "__main__":
    main()
