"""Rows of questions are objects with names in a host's JSON, not arrays of values."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import flask
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from boocode_sessions import (
    ClaudeSessionRepository,
    SessionStoreListEntry,
    SessionSummaryEntry,
    adoption,
    jsonl,
    queries,
    retention,
    status,
)
from boocode_sessions.agents import integrity
from tests.queries.lines import answer, entries, key, prompt, result, tool_use

KEY = key("s")
QUESTIONS: dict[str, Callable[[Engine], Any]] = {
    "sessions": queries.sessions,
    "conversation": lambda engine: queries.conversation(engine, "s"),
    "search": lambda engine: queries.search(engine, "parser"),
    "tools": queries.tools,
    "tool_calls": queries.tool_calls,
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


RESULTS: dict[str, tuple[Any, Callable[[Engine, Path], Any]]] = {
    "list_sessions": (
        list[SessionStoreListEntry],
        lambda engine, _: ClaudeSessionRepository(engine).list_sessions("p"),
    ),
    "list_session_summaries": (
        list[SessionSummaryEntry],
        lambda engine, _: ClaudeSessionRepository(engine).list_session_summaries("p"),
    ),
    "load": (list[dict[str, Any]], lambda engine, _: ClaudeSessionRepository(engine).load(KEY)),
    "usage": (list[queries.UsageRow], lambda engine, _: queries.usage(engine)),
    "conversation": (list[queries.Message], lambda engine, _: queries.conversation(engine, "s")),
    "list_prices": (queries.PriceList, lambda *_: queries.list_prices()),
    "schema_status": (status.SchemaStatus, lambda engine, _: status.schema_status(engine)),
    "holdings": (status.Holdings, lambda engine, _: status.holdings(engine)),
    "prune": (
        retention.PruneResult,
        lambda engine, _: retention.prune(engine, inactive_for=timedelta(0), dry_run=True),
    ),
    "export_tree": (jsonl.ExportResult, jsonl.export_tree),
    "import_tree": (
        jsonl.ImportResult,
        lambda engine, folder: (jsonl.export_tree(engine, folder), jsonl.import_tree(engine, folder))[1],
    ),
    "backfill": (adoption.Backfilled, lambda engine, _: adoption.backfill(engine)),
    "check_session": (integrity.Report, lambda engine, _: integrity.check_session(engine, "p", "s")),
}


@pytest.mark.parametrize("result", RESULTS)
def test_results_are_response_models(engine: Engine, tmp_path: Path, result: str) -> None:
    """Which FastAPI also describes, for its documentation and for clients that are generated."""
    ClaudeSessionRepository(engine).append(KEY, entries(prompt("u1", "Please tidy the parser")))
    model, make = RESULTS[result]
    app = FastAPI()
    app.get("/", response_model=model)(lambda: make(engine, tmp_path / "exported"))
    client = TestClient(app)
    answered = client.get("/")
    assert (answered.status_code, answered.json() is None) == (200, False)
    content = client.get("/openapi.json").json()["paths"]["/"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"]


def test_a_row_has_no_room_for_names_that_it_lacks(engine: Engine) -> None:
    ClaudeSessionRepository(engine).append(KEY, [{"type": "user"}])
    (row,) = queries.sessions(engine)
    with pytest.raises((AttributeError, TypeError)):  # by the version of Python
        row.titel = "misspelt"  # type: ignore[attr-defined]
