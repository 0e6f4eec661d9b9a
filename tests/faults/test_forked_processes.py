"""A process that is forked during a call leaves its parent's connections alone."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions import engine as settings
from tests.fixtures.databases import Database

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
CHILDS: SessionKey = {**KEY, "session_id": "child"}
ENTRIES: list[Any] = [{"type": "user"}]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process can be forked here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_child_cuts_no_connection_of_its_parent(
    database: Database, disposing: Callable[[Engine], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child inherits the deadline of a call under way, and the socket that it would cut."""
    monkeypatch.setattr(settings, "CALL_SECONDS", 2)
    engine = disposing(sqlalchemy.create_engine(database.url, pool_size=1, max_overflow=0))
    blocking = disposing(sqlalchemy.create_engine(database.url))
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, ENTRIES)
    with blocking.connect() as locked:
        locked.execute(text("SELECT 1 FROM claude_sessions FOR UPDATE"))
        call = threading.Thread(target=repository.append, args=(KEY, ENTRIES))
        call.start()
        time.sleep(0.5)
        child = os.fork()
        if not child:  # it begins a watch of its own, and goes on beyond its parent's deadline
            engine.dispose(close=False)
            own = ClaudeSessionRepository(sqlalchemy.create_engine(database.url))
            for _ in range(2):
                own.append(CHILDS, ENTRIES)
                time.sleep(3)
            os._exit(0)
        locked.rollback()
        call.join()
    with engine.connect() as connection:
        assert os.waitpid(child, 0)[1] == 0
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    assert len(repository.load(KEY) or []) == 2
    assert len(repository.load(CHILDS) or []) == 2
