"""`search` finds what a plain recount of the entries finds, whoever wrote and deleted them."""

import itertools
import re
from datetime import timedelta
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from boocode_sessions import ClaudeSessionEntry, queries
from tests.queries.histories import live_through
from tests.queries.lines import DAY, Line, answer, at, prompt

WORDS = ("ant", "ants", "bee", "Cat", "it", "x2")
SINCE = DAY + timedelta(seconds=50)

_uuids = map(str, itertools.count())


class Said(NamedTuple):
    """A line to be."""

    kind: str
    words: tuple[str, ...]
    seconds: int

    def line(self) -> Line:
        uuid, said = next(_uuids), " ".join(self.words)
        if self.kind == "prompt":
            return prompt(uuid, said, seconds=self.seconds)
        if self.kind == "answer":
            return answer(uuid, *said.split(" ", 1), seconds=self.seconds)
        if self.kind == "tool":
            block = {"type": "tool_use", "id": uuid, "name": "Tool", "input": {"text": said}}
            return answer(uuid, block, seconds=self.seconds)
        kind, mode = self.kind.split()
        attachment = {"type": kind, "prompt": said, "commandMode": mode}
        return {"type": "attachment", "uuid": uuid, "timestamp": at(self.seconds), "attachment": attachment}


said = st.builds(
    Said,
    st.sampled_from(
        [
            *("prompt", "answer", "tool"),
            *("queued_command prompt", "queued_command task-notification", "other prompt"),
        ]
    ),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(tuple),
    st.sampled_from([0, 50, 100]),
)
places = st.tuples(
    st.sampled_from("pq"), st.sampled_from(["s0", "s1"]), st.sampled_from([None, None, "subagents/agent-1"])
)
appends = st.tuples(st.just("append"), places, st.lists(said, min_size=1, max_size=4))
steps = st.lists(
    st.one_of(
        appends,
        appends,
        st.tuples(st.just("seed"), places, st.lists(said, min_size=1, max_size=2)),
        st.tuples(st.sampled_from(["delete", "seed-delete", "ask"]), places, st.just([])),
    ),
    min_size=2,
    max_size=10,
)

QUESTIONS = {
    "ant": [r"\bants?\b"],
    "bee cat": [r"\bbee\b", r"\bcat\b"],
    '"bee it"': [r"\bbee it\b"],
    "x2 or cat": [r"\b(x2|cat)\b"],
}
"""What is typed, and what has to be in a text, all of it."""
SCOPES: list[dict[str, Any]] = [
    {},
    {"project_key": "p"},
    {"project_key": "p", "session_id": "s1"},
    {"since": SINCE},
    {"places": ("messages", "tools")},
    {"places": "tools", "until": SINCE},
]


def texts_of(entry: Line) -> dict[str, str]:
    """What an entry says, in each of the places that are searched."""
    attachment = entry.get("attachment")
    if attachment is not None:
        queued = attachment["type"] == "queued_command" and attachment["commandMode"] == "prompt"
        return {"messages": attachment["prompt"]} if queued else {}
    content = entry["message"]["content"]
    if isinstance(content, str):
        return {"messages": content}
    if content[0]["type"] == "tool_use":
        return {"tools": f"Tool {content[0]['input']['text']}"}
    return {"messages": " ".join(block["text"] for block in content)}


def recounted(entries: list[Any], patterns: list[str], scope: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    places = scope.get("places", "messages")
    for project, session, entry in entries:
        if project not in (scope.get("project_key"), None) and "project_key" in scope:
            continue
        if "session_id" in scope and session != scope["session_id"]:
            continue
        time = entry["timestamp"]
        if ("since" in scope and time < at(50)) or ("until" in scope and time >= at(50)):
            continue
        for place, text in texts_of(entry).items():
            if place in places and all(re.search(pattern, text, re.IGNORECASE) for pattern in patterns):
                found.append((entry["uuid"], place))
    return sorted(found)


def compare(engine: Engine, bind: Any) -> None:
    Entry = ClaudeSessionEntry  # noqa: N806 - the model
    with engine.connect() as connection:
        entries = [
            tuple(row)
            for row in connection.execute(select(Entry.project_key, Entry.session_id, Entry.entry)).all()
        ]
    for number, (words, patterns) in enumerate(QUESTIONS.items()):
        for scope in SCOPES[number % 2 :: 2]:
            matches = queries.search(bind, words, limit=1000, **scope)
            found = sorted((match.uuid or "", match.place) for match in matches)
            assert found == recounted(entries, patterns, scope), (words, scope)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_search_finds_what_a_recount_finds(engine: Engine, steps: list[tuple[str, Any, list[Said]]]) -> None:
    live_through(engine, steps, lambda: queries.search(engine, "ant"))
    with engine.connect() as connection:
        compare(engine, connection)  # without writing
    compare(engine, engine)
