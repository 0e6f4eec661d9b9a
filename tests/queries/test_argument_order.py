"""A tool's arguments read alike on every database, though JSONB puts the shortest name first."""

import json
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, queries
from boocode_sessions._core.attributes import main_argument
from boocode_sessions._core.derived.words import tools_of
from boocode_sessions.cli.transcript import blocks
from boocode_sessions.pages.blocks import part_of
from tests.queries.lines import answer, entries, key

MESSAGE: dict[str, Any] = {"recipient": "reviewer", "content": "look at it", "summary": "a look", "n": 2}
QUESTION: dict[str, Any] = {"questions": [{"text": "Which?", "options": {"b": 1, "aa": [{"z": 1, "y": 2}]}}]}
EDIT = {"file_path": "a.py", "old_string": "old", "new_string": "new", "replace_all": False}


def call(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": "t", "name": "SendMessage", "input": arguments}


@pytest.mark.parametrize("arguments", [MESSAGE, EDIT])
def test_in_whatever_order_they_come_they_are_shown_and_searched_alike(arguments: dict[str, Any]) -> None:
    seen: set[str] = set()
    for names in permutations(arguments):
        given = {name: arguments[name] for name in names}
        line = answer("a", call(given), parent="u")
        page = part_of(call(given), {})
        shown = [block.text for block in blocks(line, everything=True)]
        seen.add(repr((main_argument(given), page.argument, page.fields, shown, tools_of(line))))
    assert len(seen) == 1


def test_what_arguments_hold_is_in_one_order_too(engine: Engine) -> None:
    ClaudeSessionRepository(engine).append(key("s"), entries(answer("a", call(QUESTION))))
    shown = '{"questions": [{"options": {"aa": [{"y": 2, "z": 1}], "b": 1}, "text": "Which?"}]}'
    [asked] = queries.tool_calls(engine)
    [message] = queries.conversation(engine, "s")
    [block] = blocks(message.entry, everything=True)
    assert json.dumps(asked.input) == shown
    assert "".join(block.text.split()) == "".join(shown.split())


def test_an_edit_says_what_was_there_before_what_came() -> None:
    page = part_of(call(dict(reversed(EDIT.items()))), {})
    assert [name for name, _ in page.fields] == ["file_path", "old_string", "new_string", "replace_all"]


def test_a_files_name_is_found_however_long_its_content_is(engine: Engine) -> None:
    write = call({"file_path": "weather/forecast.py", "content": "rain " * 20_000})
    ClaudeSessionRepository(engine).append(key("s"), entries(answer("a", write)))
    assert [match.uuid for match in queries.search(engine, "forecast.py", places=["tools"])] == ["a"]


@pytest.mark.parametrize("kind", ["text", "thinking"])
def test_a_text_that_is_null_says_nothing(kind: str) -> None:
    line = answer("a", {"type": kind, kind: None})
    assert [block.text for block in blocks(line, everything=True)] == [""]
