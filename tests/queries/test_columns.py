"""The columns beside an entry say what the entry says, whoever wrote it and by whatever way."""

import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select, update

from boocode_sessions import ClaudeSession, ClaudeSessionRepository, jsonl, queries
from boocode_sessions import ClaudeSessionEntry as Entry
from boocode_sessions._core.codec import Extracted
from boocode_sessions.adoption import backfill
from boocode_sessions.models import UNPLACED
from tests.fixtures.seed import insert_as_the_seed_does
from tests.queries.lines import DAY, Line, answer, entries, key, prompt, result, tool_use
from tests.reliability.verdicts import scaled

ODD: list[Any] = [None, True, "", "x", "é" * 64, "é" * 65, 0, -1, 2.5, 10**16, [], ["x"], {}, {"x": 1}]
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
        "requestId": usually("r1", "r2"),
        "forkedFrom": usually(*({"sessionId": "s0", "messageUuid": uuid} for uuid in ("u0", "gone"))),
    },
)


def answers(engine: Engine) -> list[Any]:
    """What the questions answer."""
    sessions = [
        dataclasses.replace(row, bytes=0, updated=None) for row in queries.sessions(engine, limit=None)
    ]
    dimensions: list[Any] = ["day", "model", "session"]
    return [
        sorted(sessions, key=lambda row: row.session_id),
        queries.usage(engine, by=dimensions),
        queries.tools(engine),
        queries.usage(engine, by=dimensions, since=DAY + timedelta(hours=8), until=DAY + timedelta(hours=9)),
        queries.tools(engine, until=DAY + timedelta(hours=9)),
    ]


def unplace(engine: Engine) -> None:
    """As if another program had written all that is stored."""
    columns = dict.fromkeys((*Extracted._fields, "size", "is_first", "dedup_key"))
    with engine.begin() as connection:
        connection.execute(update(Entry).values(position=UNPLACED, **columns))
        connection.execute(delete(ClaudeSession))


@settings(
    max_examples=scaled(90),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(said=st.lists(lines, min_size=1, max_size=12))
def test_the_answers_are_the_same_from_columns_as_from_entries(engine: Engine, said: list[Line]) -> None:
    with engine.begin() as connection:
        connection.execute(delete(Entry))
        connection.execute(delete(ClaudeSession))
    repository = ClaudeSessionRepository(engine)
    repository.append(key("s0"), entries(answer("u0", tool_use("t9"))))
    repository.append(key("s1"), entries(*said))
    from_columns = answers(engine)
    unplace(engine)
    assert answers(engine) == from_columns


TOLD = entries(
    prompt("u", "hi"),
    answer("a", tool_use("t1"), call="m1", usage={"input_tokens": 7}, requestId="q1"),
    result("r", "t1", seconds=2, error=True),
)
NAMES = ("type", "said_at", "message_id", "request_id", "model", "input_tokens", "tool_name", "tool_use_id")
SAID = [
    ("user", DAY, *[None] * 6, None, None),
    ("assistant", DAY, "m1", "q1", "claude-opus-5-5", 7, "Bash", "t1", 1, None),
    ("user", DAY + timedelta(seconds=2), *[None] * 5, "t1", 1, True),
]
NOTHING = (None,) * 10


def stored(engine: Engine) -> list[Any]:
    columns = (getattr(Entry, name) for name in (*NAMES, "tool_count", "failed"))
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(Entry.position, Entry.id))]


def test_every_way_in_fills_them(engine: Engine, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("finish", ["the next append", "backfill"])
def test_the_rows_of_other_programs_get_them_when_they_are_placed(engine: Engine, finish: str) -> None:
    insert_as_the_seed_does(engine, key("s"), [json.dumps(line) for line in TOLD])
    assert stored(engine) == [NOTHING] * 3
    assert queries.usage(engine, by=())[0].input_tokens == 7
    if finish == "backfill":
        backfill(engine)
        assert stored(engine) == SAID
    else:
        ClaudeSessionRepository(engine).append(key("s"), entries(prompt("v", "on")))
        assert stored(engine) == [*SAID, SAID[0]]
    assert queries.usage(engine, by=())[0].input_tokens == 7


def test_a_call_of_which_some_lines_are_placed_counts_once(engine: Engine) -> None:
    lines = [
        answer("a", tool_use("t1"), call="m1", usage={"input_tokens": n}, requestId="q1") for n in (1, 2)
    ]
    ClaudeSessionRepository(engine).append(key("s"), entries(lines[0], result("r", "t1", seconds=2)))
    insert_as_the_seed_does(engine, key("s"), [json.dumps(lines[1])])
    [row] = queries.usage(engine, by="session")
    assert (row.session_id, row.calls, row.input_tokens) == ("s", 1, 2)
    assert [(row.calls, row.total_seconds) for row in queries.tools(engine)] == [(1, 2.0)]
    [session] = queries.sessions(engine)
    assert (session.entries, session.title) == (3, None)
