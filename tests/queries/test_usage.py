"""`usage` counts each API call once; `tools` each call of a tool."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pytest
from claude_agent_sdk import fork_session_via_store, project_key_for_directory
from sqlalchemy import Engine, insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session, sessionmaker

from boocode_sessions import ClaudeSessionEntry, ClaudeSessionRepository, queries
from boocode_sessions.queries import Price, UsageRow, list_prices
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.queries.lines import DAY, Line, answer, entries, key, prompt, result, tool_use

SESSION = "0467bc32-8144-44c4-a02c-be06b16e901e"
FORKED = ["0467bc32-8144-44c4-a02c-00000000000" + str(n) for n in range(3)]


def tokens(output: int, **more: int) -> Line:
    return {
        "input_tokens": 10,
        "output_tokens": output,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_1h_input_tokens": 100, "ephemeral_5m_input_tokens": 200},
        **more,
    }


def write(
    engine: Engine, *lines: Line, session_id: str = "s1", project_key: str = "p", subpath: str | None = None
) -> None:
    ClaudeSessionRepository(engine).append(key(session_id, project_key, subpath), entries(*lines))


def test_a_call_on_several_lines_counts_once_at_its_largest(engine: Engine) -> None:
    write(
        engine,
        prompt("u", "hi"),
        answer("a1", "one", call="m1", usage=tokens(1)),
        answer("a2", tool_use("t1"), call="m1", usage=tokens(90)),
        answer("a3", tool_use("t2"), call="m1", usage=tokens(40)),
        answer("a4", "two", call="m2", usage=tokens(5)),
    )
    assert queries.usage(engine, by=()) == [
        UsageRow(None, None, None, None, 2, 20, 95, 2000, 600, 200, None),
    ]


def test_usage_is_grouped_by_day_model_project_and_session(engine: Engine) -> None:
    write(
        engine,
        answer("a", seconds=0),
        answer("b", seconds=86399),
        answer("c", seconds=86400, model="claude-haiku-5"),
    )
    write(engine, answer("d"), session_id="s2")
    write(engine, answer("e"), session_id="s3", project_key="q", subpath="subagents/agent-1")
    days = [(row.day, row.model, row.calls) for row in queries.usage(engine)]
    assert days == [
        (date(2026, 11, 20), "claude-opus-5-5", 4),
        (date(2026, 11, 21), "claude-haiku-5", 1),
    ]
    by_session = queries.usage(engine, by=["project", "session"])
    assert [(row.project_key, row.session_id, row.calls) for row in by_session] == [
        *(("p", "s1", 3), ("p", "s2", 1)),
        ("q", "s3", 1),
    ]
    assert [row.calls for row in queries.usage(engine, by=(), project_key="q")] == [1]
    assert [row.calls for row in queries.usage(engine, by="model", session_id="s1")] == [1, 2]
    assert queries.usage(engine, by=(), project_key="none") == []


def test_a_stretch_of_time_takes_a_call_by_its_first_line(engine: Engine) -> None:
    write(
        engine,
        answer("a1", call="m1", seconds=-1, usage=tokens(1)),
        answer("a2", call="m1", seconds=1, usage=tokens(2)),
        answer("b", call="m2", seconds=0, usage=tokens(10)),
        answer("c1", call="m3", seconds=3599, usage=tokens(100)),
        answer("c2", call="m3", seconds=3601, usage=tokens(200)),
        answer("d", call="m4", seconds=3600, usage=tokens(1000)),
        answer("zone", call="m5", usage=tokens(5000)) | {"timestamp": "2026-11-20T14:30:00.000+14:00"},
        {k: v for k, v in answer("now", call="m6", usage=tokens(7)).items() if k != "timestamp"},
    )
    [row] = queries.usage(engine, by=(), since=DAY, until=DAY + timedelta(hours=1))
    assert (row.calls, row.output_tokens) == (3, 10 + 200 + 5000)
    [row] = queries.usage(engine, by=(), until=DAY)
    assert (row.calls, row.output_tokens) == (1, 2)
    [row] = queries.usage(engine, by=(), since=datetime.now(UTC) - timedelta(hours=1))
    assert (row.calls, row.output_tokens) == (1, 7)
    with pytest.raises(ValueError, match="since has no time zone"):
        queries.usage(engine, since=datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake


def test_a_bound_or_a_zone_of_another_type_is_named(engine: Engine) -> None:
    mistaken: Any = "7d"
    with pytest.raises(TypeError, match="since is a datetime, a date or None, not str"):
        queries.sessions(engine, since=mistaken)
    with pytest.raises(TypeError, match="until is a datetime, a date or None, not str"):
        queries.usage(engine, until=mistaken)
    mistaken = "Europe/Vienna"
    with pytest.raises(TypeError, match="tz is a tzinfo"):
        queries.tools(engine, since=DAY.date(), tz=mistaken)


@pytest.mark.parametrize("ask", [queries.sessions, queries.tool_calls, queries.projects])
def test_a_negative_limit_is_refused(engine: Engine, ask: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="limit is 0 or more, not -1"):
        ask(engine, limit=-1)


@pytest.mark.anyio
async def test_a_fork_costs_nothing_again(engine: Engine) -> None:
    project = project_key_for_directory(".")
    store = SQLAlchemySessionStore(engine)
    one, two, three = FORKED
    await store.append(
        key(SESSION, project),
        entries(
            prompt(one, "hi"),
            answer(two, tool_use("t1"), parent=one, call="m1", usage=tokens(7)),
            answer(three, "last", parent=two, call="m2", seconds=1, usage=tokens(9)),
        ),
    )
    fork = await fork_session_via_store(store, SESSION)
    everything = queries.usage(engine, by="session")
    assert [(row.session_id, row.calls, row.output_tokens) for row in everything] == [(SESSION, 2, 16)]
    # The SDK stamps the last line of a fork with the fork's own time.
    assert queries.usage(engine, by=(), since=datetime.now(UTC) - timedelta(hours=1)) == []
    assert queries.usage(engine, by=(), session_id=fork.session_id) == []
    assert [(row.tool, row.calls) for row in queries.tools(engine)] == [("Bash", 1)]
    # With the original gone, the copy is what there is.
    ClaudeSessionRepository(engine).delete(key(SESSION, project))
    [row] = queries.usage(engine, by="session")
    assert (row.session_id, row.calls, row.output_tokens) == (fork.session_id, 2, 16)


def test_a_call_is_known_by_its_message_and_its_request(engine: Engine) -> None:
    """As a resume of older agents copied lines into another session; and as some gateways repeat ids."""
    write(engine, answer("z", call="m0"), session_id="s9", project_key="z")
    write(engine, answer("a", call="m1", usage=tokens(5), requestId="q1"), session_id="s2")
    write(engine, answer("b", call="m1", usage=tokens(6), requestId="q1"), project_key="a")
    write(engine, answer("c", call="m1", usage=tokens(7), requestId="q2"))
    write(engine, answer("d", call="m1", usage=tokens(8)))
    write(engine, answer("e", call="m1", usage=tokens(9)), subpath="subagents/agent-1")
    write(engine, answer("f", call="m1", usage=tokens(20)), session_id="s2")
    rows = queries.usage(engine, by=["project", "session"])
    assert [(row.project_key, row.session_id, row.calls, row.output_tokens) for row in rows] == [
        ("p", "s1", 2, 7 + 9),
        ("p", "s2", 2, 6 + 20),
        ("z", "s9", 1, 5),
    ]


def test_a_line_without_ids_is_a_call_of_its_own_and_a_copy_of_it_none(engine: Engine) -> None:
    lines = [answer(uuid, call=call, requestId="") for uuid, call in (("a", "m1"), ("b", "m2"), ("c", "m2"))]
    lines[0]["message"]["id"] = lines[1]["message"]["id"] = ""
    for session_id in ("s1", "s2"):
        copied = {"forkedFrom": {"sessionId": "s1", "messageUuid": "x"}} if session_id == "s2" else {}
        write(engine, *(line | copied for line in lines), session_id=session_id)
    assert [(row.session_id, row.calls) for row in queries.usage(engine, by="session")] == [("s1", 3)]


def test_a_day_is_one_of_the_time_zone_that_is_asked_for(engine: Engine) -> None:
    write(engine, *(answer(str(hour), seconds=hour * 3600) for hour in (0, 13, 14, 23)))
    untold = {name: value for name, value in answer("x", model="other").items() if name != "timestamp"}
    write(engine, untold)
    for tz, days in (
        (UTC, [(None, 1), (20, 4)]),
        (timezone(timedelta(hours=10)), [(None, 1), (20, 2), (21, 2)]),
        (timezone(timedelta(minutes=-45)), [(None, 1), (19, 1), (20, 3)]),
        (ZoneInfo("Asia/Kathmandu"), [(None, 1), (20, 3), (21, 1)]),
    ):
        rows = queries.usage(engine, by="day", tz=tz)
        assert [(row.day and row.day.day, row.calls) for row in rows] == days
    tokyo = ZoneInfo("Asia/Tokyo")  # nine hours before UTC: the 21st begins at 15:00
    [row] = queries.usage(engine, by=(), since=date(2026, 11, 21), until=date(2026, 11, 22), tz=tokyo)
    assert row.calls == 1
    by_model = queries.usage(engine, by=["day", "model"], tz=tokyo)
    assert [(row.day and row.day.day, row.model, row.calls) for row in by_model] == [
        (None, "other", 1),
        (20, "claude-opus-5-5", 3),
        (21, "claude-opus-5-5", 1),
    ]


def test_odd_usage_counts_for_nothing_and_breaks_nothing(engine: Engine) -> None:
    odd: list[Line] = [
        answer("a", usage={"input_tokens": "5", "output_tokens": None}),
        answer("b", usage={"input_tokens": 1e300, "output_tokens": -4, "cache_read_input_tokens": 2.6}),
        {"type": "assistant", "uuid": "c", "message": "text"},
        {"type": "assistant", "uuid": "d"},
        {
            "type": "assistant",
            "uuid": "e",
            "message": {"id": 7, "content": [3, "x", {"type": "tool_use"}, []]},
        },
        {"type": "user", "uuid": "f", "message": {"content": [3, '{"type":', {"type": "tool_result"}]}},
        {"type": "user", "uuid": "g", "forkedFrom": "x", "message": {"content": {"type": "tool_result"}}},
    ]
    write(engine, *odd)
    [row] = queries.usage(engine, by=())
    assert (row.calls, row.input_tokens, row.output_tokens, row.cache_read_tokens) == (5, 2**31 - 1, 0, 2)
    [tool] = queries.tools(engine)
    assert (tool.tool, tool.calls, tool.unanswered) == ("", 1, 1)


def test_cost_is_by_the_longest_name_that_fits(engine: Engine) -> None:
    write(
        engine, answer("a", usage=tokens(20)), answer("b", model="claude-haiku-5-20260101", usage=tokens(20))
    )
    prices = {
        "claude-opus-5": Price(input=5, output=25, cache_read=0.5, cache_write=6.25),
        "claude-": Price(input=100, output=100, cache_read=100, cache_write=100, cache_write_1h=100),
    }
    opus = (10 * 5 + 20 * 25 + 1000 * 0.5 + 200 * 6.25 + 100 * 10) / 1e6
    other = (10 + 20 + 1000 + 300) * 100 / 1e6
    costs = {row.model: row.cost for row in queries.usage(engine, by="model", prices=prices)}
    assert costs == pytest.approx({"claude-opus-5-5": opus, "claude-haiku-5-20260101": other})
    [total] = queries.usage(engine, by=(), prices=prices)
    assert total.cost == pytest.approx(opus + other)
    assert (total.model, total.calls) == (None, 2)


def test_the_list_prices_tell_versions_of_a_model_apart(engine: Engine) -> None:
    """Names begin with each other's: what lacks its own price would silently have another's."""
    models = ("claude-fable-5", "claude-fable-5-1", "claude-fable-5-2", "claude-opus-5", "claude-opus-5-5")
    write(engine, *(answer(model, model=model, usage=tokens(20)) for model in models))
    costs = {row.model: row.cost for row in queries.usage(engine, by="model", prices=list_prices().models)}
    assert set(costs) == set(models)
    assert len(set(costs.values())) == len(models)
    assert costs["claude-fable-5-2"] == pytest.approx(
        (10 * 8 + 20 * 40 + 1000 * 0.2 + 200 * 10 + 100 * 16) / 1e6
    )


def test_fast_mode_is_told_apart_and_has_its_own_price(engine: Engine) -> None:
    fast = {**tokens(20), "speed": "fast"}
    write(
        engine,
        answer("a", model="claude-opus-5-20260101", usage=tokens(20)),
        answer("b", model="claude-opus-5-20260101", usage=fast),
        answer("c", model="claude-opus-5-5", usage={**tokens(20), "speed": "standard"}),
        answer("d", model="claude-haiku-5-5", usage=fast),
    )
    [row] = queries.usage(engine, by=())
    assert row.calls == 4
    costs = {row.model: row.cost for row in queries.usage(engine, by="model", prices=list_prices().models)}
    standard = costs["claude-opus-5-20260101"]
    assert standard is not None
    assert costs["claude-opus-5-20260101-fast"] == pytest.approx(2 * standard)
    assert costs["claude-opus-5-5"] is not None
    assert costs["claude-haiku-5-5-fast"] is None, "no price is known, and the cost is not too low"
    opus = Price(5, 25, 0.5, 6.25)
    costs = {row.model: row.cost for row in queries.usage(engine, by="model", prices={"claude-opus-5": opus})}
    assert costs["claude-opus-5-20260101-fast"] is None


def test_cost_is_unknown_where_a_model_that_was_used_has_no_price(engine: Engine) -> None:
    nothing = {"input_tokens": 0, "output_tokens": 0}
    write(engine, answer("a"), answer("b", model="<synthetic>", usage=nothing))
    opus = Price(5, 25, 0.5, 6.25)
    assert [row.cost for row in queries.usage(engine, by=(), prices={"claude-opus": opus})] == [
        pytest.approx(175 / 1e6)
    ]
    assert [row.cost for row in queries.usage(engine, by=(), prices={"claude-haiku": opus})] == [None]
    assert [(row.model, row.cost) for row in queries.usage(engine)] == [("claude-opus-5-5", None)]


def test_by_must_be_known(engine: Engine) -> None:
    with pytest.raises(ValueError, match="by is of day, model, project, session, not week"):
        queries.usage(engine, by=["day", "week"])  # type: ignore[list-item]


def test_tools_are_counted_with_failures_and_durations(engine: Engine) -> None:
    write(
        engine,
        answer("a1", tool_use("t1"), call="m1", seconds=0),
        answer("a2", tool_use("t2"), call="m1", seconds=1),
        result("r2", "t2", seconds=3, error=True),
        result("r1", "t1", seconds=10),
        answer("a3", tool_use("t3"), tool_use("t4", "Read"), seconds=20),
        result("r4", "t4", seconds=20.5),
    )
    assert queries.tools(engine) == [
        queries.ToolRow("Bash", 3, 1, 1, 6.0, 10.0, 12.0),
        queries.ToolRow("Read", 1, 0, 0, 0.5, 0.5, 0.5),
    ]
    assert [(row.tool, row.calls) for row in queries.tools(engine, since=DAY + timedelta(seconds=20))] == [
        *(("Bash", 1), ("Read", 1)),
    ]
    assert queries.tools(engine, until=DAY) == []
    assert queries.tools(engine, session_id="other") == []


def test_rows_of_other_programs_count_too(engine: Engine) -> None:
    with engine.begin() as connection:
        for session_id, line in (
            ("s1", answer("a", tool_use("t1"), call="m1")),
            ("s1", result("r", "t1", seconds=2)),
        ):
            connection.execute(
                insert(ClaudeSessionEntry).values(
                    project_key="p", session_id=session_id, subpath="", entry=line
                )
            )
    assert [row.calls for row in queries.usage(engine)] == [1]
    assert [(row.tool, row.total_seconds) for row in queries.tools(engine)] == [("Bash", 2.0)]


def test_every_bind_will_do_and_a_callers_transaction_is_joined(engine: Engine) -> None:
    write(engine, answer("a"))
    with engine.connect() as connection, connection.begin() as transaction:
        ClaudeSessionRepository(connection).append(key(), entries(answer("b")))
        assert [row.calls for row in queries.usage(connection, by=())] == [2]
        transaction.rollback()
    for bind in (engine, sessionmaker(engine)):
        assert [row.calls for row in queries.usage(bind, by=())] == [1]
    with Session(engine) as db:
        assert [row.calls for row in queries.usage(db, by=())] == [1]


@pytest.mark.anyio
async def test_an_async_program_asks_with_run_sync(async_engine: AsyncEngine) -> None:
    async with async_engine.connect() as connection:
        assert await connection.run_sync(queries.usage, by=()) == []
        assert await connection.run_sync(queries.sessions) == []


def test_pandas_and_polars_take_the_rows_as_they_are(engine: Engine) -> None:
    write(
        engine,
        prompt("u", "look here"),
        answer("a", tool_use("t1"), parent="u"),
        result("r", "t1", parent="a", seconds=1),
    )
    write(engine, prompt("v", "look there"), session_id="s2")
    answers: dict[str, list[Any]] = {
        "sessions": queries.sessions(engine),
        "conversation": [dataclasses.replace(row, entry={}) for row in queries.conversation(engine, "s1")],
        "search": queries.search(engine, "look"),
        "tools": queries.tools(engine),
        "usage": queries.usage(engine, by=("day", "model", "session"), prices={}),
    }
    for name, rows in answers.items():
        assert rows, name
        pandas, polars = pd.DataFrame(rows), pl.DataFrame(rows)
        assert (
            list(pandas.columns) == polars.columns == [field.name for field in dataclasses.fields(rows[0])]
        ), name
        assert len(pandas) == len(polars) == len(rows), name
    usage = pl.DataFrame(answers["usage"])
    assert usage.schema["day"] == pl.Date
    assert usage.schema["input_tokens"] == pl.Int64
    sessions = pd.DataFrame(answers["sessions"])
    assert str(sessions.dtypes["updated"]).startswith("datetime64[")
    assert "UTC" in str(sessions.dtypes["updated"])
    assert sessions["tokens"].sum() == 15
