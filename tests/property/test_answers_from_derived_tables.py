"""`usage` and `tools` answer from tables that follow behind; a recount of the entries says the same."""

import collections
import itertools
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from boocode_sessions import ClaudeSessionEntry, queries
from tests.queries.histories import live_through
from tests.queries.lines import DAY, Line, answer, result, tool_use
from tests.reliability.verdicts import scaled

SESSIONS = ("s0", "s1", "s2")
TIMES = (DAY, DAY + timedelta(hours=13), DAY + timedelta(days=1, minutes=1))
SINCE = DAY + timedelta(hours=12)

_uuids = map(str, itertools.count())


class Said(NamedTuple):
    """A line to be."""

    kind: str
    message: str | None
    request: str | None
    model: str
    tokens: int
    origin: str | None
    time: int | None
    uses: tuple[str, ...]

    def line(self) -> Line:
        made = (
            result(next(_uuids), *self.uses, error=self.tokens % 2 == 1)
            if self.kind == "user"
            else answer(
                next(_uuids),
                "hi",
                *(tool_use(use, f"T{use}") for use in self.uses),
                call=self.message,
                model=self.model,
                usage={"input_tokens": self.tokens, "output_tokens": 3 * self.tokens},
            )
        )
        if self.kind == "assistant":
            made["message"]["id"] = self.message
            made["requestId"] = self.request
        if self.origin is not None:
            made["forkedFrom"] = {"sessionId": self.origin, "messageUuid": "x"}
        made.pop("timestamp")
        if self.time is not None:
            made["timestamp"] = f"{TIMES[self.time]:%Y-%m-%dT%H:%M:%S}.000Z"
        return made


said = st.builds(
    Said,
    st.sampled_from(["assistant", "assistant", "user"]),
    st.sampled_from([None, "m1", "m2"]),
    st.sampled_from([None, "q1", "q1", "q2"]),
    st.sampled_from(["a", "b", "<synthetic>"]),
    st.integers(0, 9),
    st.sampled_from([None, None, None, *SESSIONS]),
    st.sampled_from([None, 0, 1, 2]),
    st.lists(st.sampled_from(["t1", "t2", "t3"]), max_size=2).map(tuple),
)
places = st.tuples(
    st.sampled_from("pq"), st.sampled_from(SESSIONS), st.sampled_from([None, None, "subagents/agent-1"])
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), places, st.lists(said, min_size=1, max_size=4)),
        st.tuples(st.just("append"), places, st.lists(said, min_size=1, max_size=4)),
        st.tuples(st.just("seed"), places, st.lists(said, min_size=1, max_size=2)),
        st.tuples(st.sampled_from(["delete", "seed-delete", "ask"]), places, st.just([])),
    ),
    min_size=2,
    max_size=12,
)


class Row(NamedTuple):
    place: tuple[str, str]
    order: tuple[int, int]
    at: datetime
    entry: Line
    """Without the copies of sessions that are there."""

    @property
    def said_at(self) -> datetime | None:
        said_at = self.entry.get("timestamp")
        return None if said_at is None else datetime.fromisoformat(said_at)


def rows_of(engine: Engine) -> list[Row]:
    Entry = ClaudeSessionEntry  # noqa: N806 - the model
    columns = (Entry.project_key, Entry.session_id, Entry.position, Entry.id, Entry.created_at, Entry.entry)
    with engine.connect() as connection:
        found = connection.execute(select(*columns)).all()
        there = set(connection.execute(select(Entry.session_id)).scalars())
    rows: list[Row] = []
    for project, session, position, row_id, created_at, entry in found:
        if entry.get("forkedFrom", {}).get("sessionId") not in there:
            rows.append(Row((project, session), (position, row_id), created_at, entry))
    return [row._replace(at=row.said_at or row.at) for row in rows]


def recounted_usage(
    rows: list[Row], since: datetime | None
) -> Mapping[tuple[date | None, str, str, str], tuple[int, int]]:
    calls: dict[Any, list[Row]] = collections.defaultdict(list)
    for row in rows:
        message = row.entry["message"]
        if row.entry["type"] != "assistant" or message["model"] == "<synthetic>":
            continue
        call, request = message["id"], row.entry["requestId"]
        origin = row.entry.get("forkedFrom", {}).get("sessionId") or row.place[1]
        own = row.order[1] if call is None else (row.place[0], origin, call)
        calls[own if call is None or request is None else (call, request)].append(row)
    totals: dict[Any, list[int]] = collections.defaultdict(lambda: [0, 0])
    for lines in calls.values():
        if since is not None and min(line.at for line in lines) < since:
            continue
        day = min((line.said_at for line in lines if line.said_at), default=None)
        group = (
            day and day.date(),
            max(line.entry["message"]["model"] for line in lines),
            *min(lines, key=lambda line: line.order).place,
        )
        totals[group][0] += 1
        totals[group][1] += max(line.entry["message"]["usage"]["output_tokens"] for line in lines)
    return {group: (count, tokens) for group, (count, tokens) in totals.items()}


def recounted_tools(rows: list[Row], since: datetime | None) -> list[queries.ToolRow]:
    asked: dict[str, list[tuple[str, datetime]]] = collections.defaultdict(list)
    answered: dict[str, list[tuple[bool, datetime]]] = collections.defaultdict(list)
    for row in rows:
        for block in row.entry["message"]["content"]:
            if block["type"] == "tool_use":
                asked[block["id"]].append((block["name"], row.at))
            elif block["type"] == "tool_result":
                answered[block["tool_use_id"]].append((block["is_error"], row.at))
    uses: dict[str, list[tuple[int, float | None]]] = collections.defaultdict(list)
    for use, questions in asked.items():
        first = min(at for _, at in questions)
        if since is None or first >= since:
            results = answered[use]
            seconds = (min(at for _, at in results) - first).total_seconds() if results else None
            failed = int(any(error for error, _ in results))
            uses[max(name for name, _ in questions)].append((failed, seconds))
    found: list[queries.ToolRow] = []
    for tool, each in uses.items():
        times = [seconds for _, seconds in each if seconds is not None]
        summed = (sum(times) / len(times), max(times), sum(times)) if times else (None, None, None)
        rounded = (None if seconds is None else round(seconds, 3) for seconds in summed)
        failures = sum(failed for failed, _ in each)
        found.append(queries.ToolRow(tool, len(each), failures, len(each) - len(times), *rounded))
    return sorted(found, key=lambda row: (-row.calls, row.tool))


def narrowed(rows: list[Row], project: str | None, session: str | None) -> list[Row]:
    return [row for row in rows if project in (None, row.place[0]) and session in (None, row.place[1])]


SCOPES: list[dict[str, Any]] = [
    {"project_key": None, "session_id": None, "since": None},
    {"project_key": None, "session_id": None, "since": SINCE},
    {"project_key": "p", "session_id": None, "since": None},
    {"project_key": "p", "session_id": "s1", "since": None},
]


def compare(engine: Engine, bind: Any) -> None:
    rows = rows_of(engine)
    for scope in SCOPES:
        some = narrowed(rows, scope["project_key"], scope["session_id"])
        since = scope["since"]
        used = queries.usage(bind, by=("day", "model", "project", "session"), **scope)
        assert {
            (row.day, row.model, row.project_key, row.session_id): (row.calls, row.output_tokens)
            for row in used
        } == recounted_usage(some, since)
        assert queries.tools(bind, **scope) == recounted_tools(some, since)


@settings(max_examples=scaled(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_answers_are_those_of_a_recount(engine: Engine, steps: list[tuple[str, Any, list[Said]]]) -> None:
    live_through(engine, steps, lambda: compare(engine, engine))
    with engine.connect() as connection:
        compare(engine, connection)  # without writing
    compare(engine, engine)
