"""Rows of questions are objects with names in a host's JSON, not arrays of values."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import flask
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, queries, retention
from tests.queries.lines import answer, entries, key, prompt, result, tool_use

KEY = key("s")
QUESTIONS: dict[str, Callable[[Engine], Any]] = {
    "sessions": queries.sessions,
    "conversation": lambda engine: queries.conversation(engine, "s"),
    "search": lambda engine: queries.search(engine, "parser"),
    "tools": queries.tools,
    "usage": queries.usage,
    "find_session": lambda engine: [queries.find_session(engine, "s")],
    "prune": lambda engine: retention.prune(engine, inactive_for=timedelta(0), dry_run=True).sessions,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_rows_are_objects_in_fastapi_and_flask(engine: Engine, question: str) -> None:
    said = [
        prompt("u1", "Please tidy the parser"),
        answer("a1", tool_use("t1"), parent="u1", call="m1", usage={"input_tokens": 10}),
        result("r1", "t1", parent="a1"),
    ]
    ClaudeSessionRepository(engine).append(KEY, entries(*said))
    asked = QUESTIONS[question]
    fastapi_app, flask_app = FastAPI(), flask.Flask(__name__)
    fastapi_app.get("/")(lambda: asked(engine))
    flask_app.get("/")(lambda: flask.jsonify(asked(engine)))
    (row, *_) = asked(engine)
    for answered in (TestClient(fastapi_app).get("/").json(), flask_app.test_client().get("/").json):
        assert answered
        assert set(answered[0]) == set(type(row).__dataclass_fields__)
        assert answered[0].get("session_id", "s") in {"s", None}


def test_a_row_has_no_room_for_names_that_it_lacks(engine: Engine) -> None:
    ClaudeSessionRepository(engine).append(KEY, [{"type": "user"}])
    (row,) = queries.sessions(engine)
    with pytest.raises((AttributeError, TypeError)):  # by the version of Python
        row.titel = "misspelt"  # type: ignore[attr-defined]
