"""A session's transcripts in turn, which is how an agent and its subagents write."""

from typing import Any

from sqlalchemy import Engine, event

from boocode_sessions import ClaudeSessionRepository, SessionKey

MAIN: SessionKey = {"project_key": "p", "session_id": "s"}
SUB: SessionKey = {**MAIN, "subpath": "subagents/agent-1"}


def test_each_append_takes_the_quick_way_once_its_transcript_is_known(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    for key in (MAIN, SUB, MAIN, SUB):
        repository.append(key, [{"type": "user"}])
    statements: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    for key in (MAIN, SUB, MAIN, SUB):
        repository.append(key, [{"type": "user"}])
    assert len(statements) == 4 * (1 if engine.dialect.name == "postgresql" else 2)
    for key in (MAIN, SUB):
        assert repository.load(key) == [{"type": "user"}] * 4
