"""A line may hold any JSON in any member: whoever reads it goes on."""

import copy
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, queries
from boocode_sessions._core.codec import MAX_DEPTH
from boocode_sessions.cli.left_out import left_out
from boocode_sessions.cli.transcript import blocks
from boocode_sessions.pages import session_page
from boocode_sessions.queries.chain import main_conversation, subagent_conversation
from boocode_sessions.queries.rows import Rows
from tests.queries.lines import Line, answer, entries, key, prompt, result, tool_use

HALF = "half \ud83d"
"""Half of a character, as where a text was cut off: JSON has it, UTF-8 has not."""
ODD: tuple[Any, ...] = (None, True, 7, 1.5, "", "<b>", [], {}, [[]], [{}], {"a": []}, [None, 7, "x"], HALF)

MEMBERS = (
    *("type", "uuid", "parentUuid", "timestamp", "sessionId", "isSidechain", "isMeta", "requestId"),
    *("forkedFrom", "toolUseResult", "attachment", "teamName", "agentId", "sourceToolAssistantUUID"),
    *("aiTitle", "customTitle", "summary", "lastPrompt", "subtype", "message"),
)
OF_MESSAGES = ("role", "content", "id", "model", "usage")
OF_BLOCKS = (
    *("type", "text", "thinking", "id", "name", "input", "tool_use_id", "content", "is_error", "source"),
)


def odd_lines() -> Iterator[Line]:
    """Usual lines, of which each has one odd member."""
    usual = (
        prompt("u", "hello"),
        answer("a", tool_use("t")),
        result("r", "t", seconds=1),
        {"type": "attachment", "uuid": "q", "attachment": {"type": "queued_command", "prompt": "more"}},
    )
    number = 0
    for line in usual:
        for odd in ODD:
            for where in _places(line):
                changed = copy.deepcopy(line)
                changed["uuid"] = f"{line['uuid']}-{number}"
                place: Any = changed
                for name in where[:-1]:
                    place = place[name]
                place[where[-1]] = odd
                number += 1
                yield changed


def _places(line: Line) -> Iterator[tuple[Any, ...]]:
    yield from ((name,) for name in MEMBERS)
    if "message" in line:
        yield from (("message", name) for name in OF_MESSAGES)
        if isinstance(line["message"]["content"], list):
            yield from (("message", "content", 0, name) for name in OF_BLOCKS)
    if "attachment" in line:
        yield from (("attachment", name) for name in ("type", "prompt", "commandMode"))


def written(rows: Rows[Any]) -> bytes:
    """Rows as a host's JSON, and as all that shows them."""
    html: str = rows._repr_html_()
    told = [{name: value for name, value in asdict(row).items() if name != "entry"} for row in rows]
    texts = [json.dumps(told, ensure_ascii=False, default=str), repr(rows), html]
    rows.to_pandas().drop(columns="entry", errors="ignore").to_csv()
    rows.to_polars()
    return "".join(texts).encode()


def test_every_question_answers_whatever_a_line_holds(engine: Engine) -> None:
    lines = list(odd_lines())
    repository = ClaudeSessionRepository(engine)
    for start in range(0, len(lines), 500):
        repository.append(key(), entries(*lines[start : start + 500]))
    for bind in (engine, engine.connect()):
        assert written(queries.usage(bind))
        assert written(queries.tools(bind))
        assert written(queries.search(bind, "hello", places=["messages", "tools"]))
        assert written(queries.sessions(bind))
        assert written(queries.tool_calls(bind, limit=None))
        for queued in (True, False):
            assert written(queries.conversation(bind, key()["session_id"], queued=queued))
        for everything in (True, False):
            assert queries.as_html(bind, key()["session_id"], everything=everything).encode()
    bind.close()  # type: ignore[union-attr]


def test_each_such_line_is_a_page() -> None:
    for line in odd_lines():
        for lines in (main_conversation([line], queued=True), subagent_conversation([line]), [line]):
            page = session_page(lines, {"subagents/agent-x": [line]}, session_id="s", project_key="p")
            assert page.encode()


@pytest.mark.parametrize("everything", [True, False])
def test_a_terminal_shows_whatever_a_line_holds(everything: bool) -> None:
    lines = list(odd_lines())
    assert [block for line in lines for block in blocks(line, everything=everything)]
    assert left_out(lines, [], of_subagent=False, is_empty=True)


def test_a_half_character_is_shown_as_one_and_stored_as_it_is(engine: Engine) -> None:
    nested: Any = HALF
    for _ in range(MAX_DEPTH - 4):
        nested = [nested]
    lines = entries(
        prompt("u", HALF, nested=nested),
        answer("a", tool_use("t") | {"input": {HALF: [HALF]}}, parent="u"),
        {"type": "custom-title", "customTitle": HALF},
    )
    repository = ClaudeSessionRepository(engine)
    repository.append(key(), lines)
    (row,) = queries.sessions(engine)
    assert (row.title, row.first_prompt) == ("half \ufffd", "half \ufffd")
    said, called = queries.conversation(engine, key()["session_id"])
    assert said.text == "half \ufffd"
    assert [said.entry, called.entry] == lines[:2]
    (call,) = queries.tool_calls(engine)
    assert call.input == {"half \ufffd": ["half \ufffd"]}
    assert repository.load(key()) == lines
