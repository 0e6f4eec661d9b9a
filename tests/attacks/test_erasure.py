"""What was erased is in no table, and on SQLite in no file."""

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.orm import Session

from boocode_sessions import ClaudeSessionRepository, SessionKey, SessionStoreError, queries
from boocode_sessions.retention import erase, hold, prune
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


def _delete(engine: Engine) -> None:
    ClaudeSessionRepository(engine).delete(MAIN)


def _delete_a_subagent(engine: Engine) -> None:
    ClaudeSessionRepository(engine).delete(AGENT)


def _prune(engine: Engine) -> None:
    prune(engine, inactive_for=timedelta(0))


def _erase(engine: Engine) -> None:
    erase(engine, MAIN)


@pytest.mark.parametrize("dialect", ["postgresql"])  # SQLite has one writer
@pytest.mark.parametrize("at", ["claude_session_texts", "claude_session_digests"])
@pytest.mark.parametrize("remove", [_delete, _delete_a_subagent, _prune, _erase])
def test_a_deletion_leaves_no_words_of_a_search_under_way(
    engine: Engine, database: Database, remove: Callable[[Engine], None], at: str
) -> None:
    """Whatever the search does when the deletion comes: store words, or note how far it has come."""
    repository = ClaudeSessionRepository(engine)
    repository.append(MAIN, [message(1, "kept")])
    repository.append(AGENT, [message(2, CANARY)])
    if remove is not _delete_a_subagent:
        repository.append(MAIN, [message(3, CANARY)])
    queries.usage(engine)  # what search takes itself is the words
    other = database.engine()
    removing = threading.Thread(target=remove, args=(other,))

    def interfere(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if removing.ident is None and (f"INTO {at}" in statement or f"UPDATE {at}" in statement):
            removing.start()
            removing.join(1)  # it may wait for this search

    event.listen(engine, "before_cursor_execute", interfere)
    queries.search(engine, CANARY)
    removing.join(30)
    other.dispose()
    assert CANARY not in everything_stored(engine)


@pytest.mark.parametrize("dialect", ["postgresql"])  # SQLite has one writer
@pytest.mark.parametrize("remove", [_delete, _delete_a_subagent])
def test_a_search_of_a_new_session_takes_no_words_of_a_deletion_under_way(
    engine: Engine, database: Database, remove: Callable[[Engine], None]
) -> None:
    """Nobody has asked yet, so that the deletion finds no digest to lock."""
    repository = ClaudeSessionRepository(engine)
    repository.append(MAIN, [message(1, "kept")])
    repository.append(AGENT, [message(2, CANARY)])
    other = database.engine()
    searching = threading.Thread(target=queries.search, args=(engine, CANARY))

    def interfere(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if searching.ident is None and "DELETE FROM claude_session_entries" in statement:
            searching.start()
            searching.join(1)  # it may wait for this deletion

    event.listen(other, "before_cursor_execute", interfere)
    remove(other)
    searching.join(30)
    other.dispose()
    assert CANARY not in everything_stored(engine)


def test_a_deletion_leaves_no_digest_of_a_session_that_nobody_has_asked_for(engine: Engine) -> None:
    ClaudeSessionRepository(engine).append(MAIN, [message(1, CANARY)])
    _delete(engine)
    assert MAIN["session_id"] not in everything_stored(engine)


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_prune_of_several_sessions_waits_for_a_search_before_it_locks_one(
    engine: Engine, database: Database
) -> None:
    """Each would wait for the other where both hold one of the sessions."""
    repository = ClaudeSessionRepository(engine)
    for session in ("a", "b"):
        repository.append({"project_key": "p", "session_id": session}, [message(1, CANARY)])
    queries.usage(engine)
    other, said = database.engine(), list[str]()
    removing = threading.Thread(target=_prune, args=(other,))

    def interfere(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if removing.ident is None and "INTO claude_session_texts" in statement:
            removing.start()
            removing.join(1)
            said.append("searched")

    event.listen(engine, "before_cursor_execute", interfere)
    event.listen(other, "before_cursor_execute", lambda *told: said.append(told[2]))
    queries.search(engine, CANARY)
    removing.join(30)
    other.dispose()
    [locks] = [at for at, one in enumerate(said) if "INTO claude_session_digests" in one]
    assert said.index("searched") < locks
    assert CANARY not in everything_stored(engine)


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("question", ["usage", "search"])
def test_deletions_in_one_transaction_do_not_deadlock_with_a_question(
    engine: Engine, database: Database, question: str
) -> None:
    """Each holds a session that the other wants: the server would end the host's transaction."""
    repository = ClaudeSessionRepository(engine)
    keys: list[SessionKey] = [{"project_key": "p", "session_id": name} for name in "ab"]
    for key in keys:
        repository.append(key, [message(1, CANARY)])
    queries.usage(engine)
    if question == "usage":
        for key in keys:
            repository.append(key, [message(2, CANARY)])
    other, failures = database.engine(), list[Exception]()

    def remove(taken: str) -> None:
        try:
            with Session(other) as db:
                for key in sorted(keys, key=lambda key: key["session_id"] == taken):
                    ClaudeSessionRepository(db).delete(key)
                db.commit()
        except SessionStoreError as error:
            failures.append(error)

    removing: list[threading.Thread] = []

    def interfere(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not removing and ("INTO claude_session_texts" in statement or "SET counted_to" in statement):
            held = text("SELECT session_id FROM claude_session_digests FOR UPDATE SKIP LOCKED")
            with other.connect() as look:
                [free] = look.execute(held).scalars()
            removing.append(threading.Thread(target=remove, args=("a" if free == "b" else "b",)))
            removing[0].start()
            removing[0].join(0.5)  # it waits for the session that this question holds

    event.listen(engine, "after_cursor_execute", interfere)
    queries.usage(engine) if question == "usage" else queries.search(engine, CANARY)
    removing[0].join(30)
    other.dispose()
    assert failures == []
    assert CANARY not in everything_stored(engine)
