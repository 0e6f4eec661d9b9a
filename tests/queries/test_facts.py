"""The facts beside an entry say what the entry says, whoever wrote it and by whatever way."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select, text, update

from boocode_sessions import ClaudeSessionEntry as Entry
from boocode_sessions import ClaudeSessionRepository, ClaudeSessionSummary, jsonl, queries
from boocode_sessions._core.codec import FACTS, facts_of
from boocode_sessions.adoption import backfill
from tests.fixtures.seed import insert_as_the_seed_does
from tests.queries.lines import Line, answer, entries, key, prompt, result, tool_use

ODD: list[Any] = [None, True, "", "x", "\0", "\ud800", "é" * 200, 0, -1, 2.5, 10**16, [], ["x"], {}, {"x": 1}]
odd = st.sampled_from(ODD)


def usually(*values: Any) -> st.SearchStrategy[Any]:
    """One of these, or now and then something odd."""
    return st.sampled_from(values * 3) | odd


blocks = st.fixed_dictionaries(
    {"type": usually("tool_use", "tool_result", "text")},
    optional={
        "id": usually("t1", "t2"),
        "tool_use_id": usually("t1", "t2"),
        "name": usually("Bash", "Read"),
        "is_error": usually(True, False),
    },
)
usage = st.fixed_dictionaries(
    {},
    optional={
        "input_tokens": usually(1, 20),
        "output_tokens": usually(1, 20),
        "cache_read_input_tokens": usually(5),
        "cache_creation_input_tokens": usually(6),
        "cache_creation": usually({"ephemeral_1h_input_tokens": 3}, {"ephemeral_1h_input_tokens": "3"}),
    },
)
messages = st.fixed_dictionaries(
    {"content": st.lists(blocks | odd, max_size=3) | odd, "usage": usage | odd},
    optional={"id": usually("m1", "m2"), "model": usually("claude-opus-5", "<synthetic>")},
)
TIMES = ["2026-11-20T10:00:00.123Z", "2026-11-21T10:00:00.5+02:00", "2026-02-30T10:00:00.123Z", "2026-11-20"]
lines = st.fixed_dictionaries(
    {"type": usually("assistant", "assistant", "user", "user", "mode")},
    optional={
        "timestamp": usually(TIMES[0], TIMES[0], *TIMES),
        "message": messages | odd,
        "forkedFrom": usually(*({"sessionId": "s0", "messageUuid": uuid} for uuid in ("u0", "gone"))),
    },
)


def answers(engine: Engine) -> list[Any]:
    """What the questions answer that can be asked of facts."""
    sessions = [(row.session_id, row.tokens, row.started, row.entries) for row in queries.sessions(engine)]
    dimensions: list[Any] = ["day", "model", "session"]
    return [sorted(sessions), queries.usage(engine, by=dimensions), queries.tools(engine)]


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(said=st.lists(lines, min_size=1, max_size=12))
def test_the_answers_are_the_same_from_the_facts_as_from_the_entries(
    engine: Engine, said: list[Line]
) -> None:
    with engine.begin() as connection:
        connection.execute(delete(Entry))
        connection.execute(delete(ClaudeSessionSummary))
    repository = ClaudeSessionRepository(engine)
    repository.append(key("s0"), entries(answer("u0", tool_use("t9"))))
    repository.append(key("s1"), entries(*said))
    from_facts = answers(engine)
    with engine.begin() as connection:
        connection.execute(update(Entry).values(facts=None))
    assert answers(engine) == from_facts


TOLD = entries(
    prompt("u", "hi"),
    answer("a", tool_use("t1"), call="m1", usage={"input_tokens": 7}),
    result("r", "t1", seconds=2, error=True),
)
SAID = [
    ["2026-11-20 00:00:00.000000"],
    ["2026-11-20 00:00:00.000000", "m1", "claude-opus-5-5", 7, 0, 0, 0, 0, "t1", "Bash"],
    ["2026-11-20 00:00:02.000000", *[None] * 7, "t1", None, True],
]


def stored(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(Entry.facts).order_by(Entry.id)).scalars())


def test_the_facts_are_those_that_their_names_say() -> None:
    facts = json.loads(facts_of(TOLD[1]) or "")
    assert dict(zip(FACTS, facts, strict=False)) == {
        "at": "2026-11-20 00:00:00.000000",
        "call": "m1",
        "model": "claude-opus-5-5",
        "input_tokens": 7,
        "output_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "use": "t1",
        "tool": "Bash",
    }


def test_every_way_in_stores_them(engine: Engine, tmp_path: Path) -> None:
    repository = ClaudeSessionRepository(engine)
    repository.append(key("at once"), TOLD)
    for line in TOLD:
        repository.append(key("one by one"), [line])
    folder = tmp_path / "projects" / "p"
    folder.mkdir(parents=True)
    file = folder / "0467bc32-8144-44c4-a02c-be06b16e901e.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in TOLD))
    jsonl.import_tree(engine, tmp_path / "projects")
    assert stored(engine) == SAID * 3


def test_a_new_body_brings_its_facts(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    repository.append(key("s"), TOLD)
    told = entries(answer("a", tool_use("t1"), call="m1", usage={"input_tokens": 8}))
    repository.append(key("s"), told)
    assert stored(engine)[1][3] == 8
    assert queries.usage(engine, by=())[0].input_tokens == 8


@pytest.mark.parametrize("finish", ["the next append", "backfill"])
def test_the_rows_of_other_writers_get_them_when_they_are_claimed(engine: Engine, finish: str) -> None:
    insert_as_the_seed_does(engine, key("s"), [json.dumps(line) for line in TOLD])
    assert stored(engine) == [None] * 3
    assert queries.usage(engine, by=())[0].input_tokens == 7
    if finish == "backfill":
        backfill(engine)
        assert stored(engine) == SAID
    else:
        ClaudeSessionRepository(engine).append(key("s"), entries(prompt("v", "on")))
        assert stored(engine) == [*SAID, SAID[0]]


def test_backfill_notes_what_was_copied_or_emptied(engine: Engine) -> None:
    ClaudeSessionRepository(engine).append(key("s"), TOLD)
    with engine.begin() as connection:
        connection.execute(text("UPDATE claude_session_entries SET facts = NULL"))
    backfill(engine)
    assert stored(engine) == SAID
