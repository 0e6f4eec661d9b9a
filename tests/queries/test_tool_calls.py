"""Calls of tools, one by one: on lines with one block, with several, and on rows of other programs."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, queries
from tests.fixtures.seed import insert_as_the_seed_does
from tests.queries.lines import DAY, Line, answer, entries, key, prompt, result, tool_use

LINES = [
    prompt("u1", "tidy"),
    answer("a1", tool_use("t1"), parent="u1", seconds=1),
    result("r1", "t1", parent="a1", seconds=3.5, error=True),
    answer("a2", tool_use("t2"), tool_use("t3", "Read"), parent="r1", seconds=4),
    result("r2", "t2", "t3", parent="a2", seconds=5),
    answer("a3", tool_use("t4"), parent="r2", seconds=9),
]

Write = Callable[[Engine, list[Line]], None]


def by_us(engine: Engine, lines: list[Line]) -> None:
    ClaudeSessionRepository(engine).append(key("s"), entries(*lines))


def by_another_program(engine: Engine, lines: list[Line]) -> None:
    insert_as_the_seed_does(engine, key("s"), [json.dumps(line) for line in lines])


@pytest.mark.parametrize("write", [by_us, by_another_program])
def test_every_call_says_what_where_and_how_long(engine: Engine, write: Write) -> None:
    write(engine, LINES)
    running, bash, read, failed = queries.tool_calls(engine)
    assert [call.tool_use_id for call in (running, bash, read, failed)] == ["t4", "t2", "t3", "t1"]
    assert (running.failed, running.result, running.result_id, running.seconds) == (None, None, None, None)
    assert (bash.failed, bash.result, bash.seconds, bash.tool) == (False, "done", 1.0, "Bash")
    assert read.tool == "Read"
    assert (failed.failed, failed.result, failed.seconds) == (True, "done", 2.5)
    assert failed.input == {"command": "ls"}
    assert failed.called == DAY + timedelta(seconds=1)
    assert (failed.project_key, failed.session_id, failed.subpath) == (*key("s").values(), "")


@pytest.mark.parametrize("write", [by_us, by_another_program])
def test_what_is_asked_for_narrows_it_down(engine: Engine, write: Write) -> None:
    write(engine, LINES)

    def uses(**asked: object) -> list[str | None]:
        return [call.tool_use_id for call in queries.tool_calls(engine, **asked)]  # type: ignore[arg-type]

    assert uses(failed=True) == ["t1"]
    assert uses(failed=False) == ["t2", "t3"]
    assert uses(tool="Read") == ["t3"]
    assert uses(tool="Read", failed=True) == []
    assert uses(limit=1) == ["t4"]
    assert uses(limit=None, session_id="s") == ["t4", "t2", "t3", "t1"]
    assert uses(session_id="another") == []
    assert uses(since=DAY + timedelta(seconds=2), until=DAY + timedelta(seconds=9)) == ["t2", "t3"]
    counted = {row.tool: row.calls for row in queries.tools(engine)}
    assert counted == {"Bash": 3, "Read": 1}


def test_a_copy_that_a_fork_made_counts_once(engine: Engine) -> None:
    by_us(engine, LINES)
    copies = [{**line, "uuid": f"copy {line['uuid']}", "forkedFrom": {"sessionId": "s"}} for line in LINES]
    ClaudeSessionRepository(engine).append(key("fork"), entries(*copies))
    assert {call.session_id for call in queries.tool_calls(engine)} == {"s"}


def test_a_result_of_blocks_is_their_text(engine: Engine) -> None:
    said = [{"type": "text", "text": "one"}, {"type": "image", "source": {}}, {"type": "text", "text": "two"}]
    answered = result("r1", "t1", parent="a1")
    answered["message"]["content"][0]["content"] = said
    by_us(engine, [answer("a1", tool_use("t1")), answered])
    (call,) = queries.tool_calls(engine)
    assert call.result == "one\n\ntwo"


def test_a_call_without_an_id_is_one(engine: Engine) -> None:
    by_us(engine, [answer("a1", {"type": "tool_use", "name": "Bash", "input": 1})])
    (call,) = queries.tool_calls(engine)
    assert (call.tool_use_id, call.input, call.failed) == (None, 1, None)


def test_many_calls_are_read_in_pages(engine: Engine) -> None:
    by_us(engine, [answer(f"a{n}", tool_use(f"t{n}"), seconds=n) for n in range(1200)])
    listed = queries.tool_calls(engine, limit=None)
    assert [call.tool_use_id for call in listed] == [f"t{n}" for n in reversed(range(1200))]
