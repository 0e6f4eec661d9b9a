"""What stands in the columns beside an entry."""

import math
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boocode_sessions._core.codec.extracted import Extracted, extract
from tests.fixtures.json_values import values

LABELS = ("message_id", "request_id", "model", "tool_name", "tool_use_id", "forked_from")
TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
)


def answer(**message: Any) -> dict[str, Any]:
    return {"type": "assistant", "requestId": "r", "message": {"id": "m", "model": "opus", **message}}


def said_at(timestamp: Any) -> str | None:
    return extract({"timestamp": timestamp}).said_at


def test_an_answers_values() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 4,
        "cache_creation": {"ephemeral_1h_input_tokens": 5},
    }
    content = [{"type": "text", "text": "x"}, {"type": "tool_use", "id": "t", "name": "Bash"}]
    entry = {
        **answer(usage=usage, content=content),
        "timestamp": "2026-11-20T10:00:00.123Z",
        "forkedFrom": {"sessionId": "s"},
    }
    expected = ("assistant", "2026-11-20 10:00:00.123000", "m", "r", "opus", 1, 2, 3, 4, 5)
    assert extract(entry) == Extracted(*expected, "Bash", "t", 1, None, "s")


@pytest.mark.parametrize(("is_error", "failed"), [(True, True), (False, False), ("true", False), (1, False)])
def test_a_tool_results_values(is_error: Any, failed: bool) -> None:
    block = {"type": "tool_result", "tool_use_id": "t", "is_error": is_error}
    found = extract(
        {"type": "user", "message": {"content": [block], "id": "m", "usage": {"input_tokens": 1}}}
    )
    assert found == Extracted("user", tool_use_id="t", tool_count=1, failed=failed)


@pytest.mark.parametrize(("kind", "block"), [("assistant", "tool_use"), ("user", "tool_result")])
def test_of_several_blocks_only_the_number_is_known(kind: str, block: str) -> None:
    blocks = [{"type": block, "id": "t", "tool_use_id": "t", "name": "Bash", "is_error": True}] * 3
    assert extract({"type": kind, "message": {"content": blocks}}) == Extracted(kind, tool_count=3)
    other = "user" if kind == "assistant" else "assistant"
    assert extract({"type": other, "message": {"content": blocks}}) == Extracted(other)


@pytest.mark.parametrize("kind", ["user", "system", "progress", None, 7])
def test_only_an_answer_has_what_an_api_call_says(kind: Any) -> None:
    found = extract({**answer(usage={"input_tokens": 1}), "type": kind, "forkedFrom": {"sessionId": "s"}})
    assert found == Extracted(kind if isinstance(kind, str) else None, forked_from="s")


def test_an_answer_without_usage_has_no_tokens() -> None:
    found = extract(answer(model="<synthetic>"))
    assert found == Extracted("assistant", None, "m", "r", "<synthetic>")


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (0, 0),
        (-1, 0),
        (2**31 - 1, 2**31 - 1),
        (2**31, 2**31 - 1),
        (10**4000, 2**31 - 1),
        (7.9, 7),
        (-0.5, 0),
        (1e308, 2**31 - 1),
        (math.inf, None),
        (math.nan, None),
        (True, None),
        ("7", None),
        (None, None),
        ([7], None),
    ],
)
def test_tokens_fit_an_integer_column(value: Any, tokens: int | None) -> None:
    assert extract(answer(usage={"output_tokens": value})).output_tokens == tokens


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", "é\udfff", 7, None, ["x"], {"x": 1}, True])
def test_what_is_no_text_that_a_database_stores_is_left_out(value: Any) -> None:
    assert extract({"type": value}).type is None
    assert extract(answer(model=value)).model is None


def test_members_of_enumerations_become_plain_values() -> None:
    class Kind(StrEnum):
        ANSWER = "assistant"

    class Count(IntEnum):
        ONE = 1

    found = extract({**answer(usage={"input_tokens": Count.ONE}), "type": Kind.ANSWER})
    assert (found.type, found.input_tokens) == ("assistant", 1)
    assert (type(found.type), type(found.input_tokens)) == (str, int)


def test_long_text_is_left_out_whole() -> None:
    """By its bytes: an index row has room for no more."""
    assert extract({"type": "é" * 64}).type == "é" * 64
    assert extract({"type": "é" * 65}).type is None
    assert extract(answer(id="x" * 128)).message_id == "x" * 128
    assert extract(answer(id="x" * 129)).message_id is None


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-11-20T10:00:00.123Z", "2026-11-20 10:00:00.123000"),
        ("2026-11-20t10:00:00z", "2026-11-20 10:00:00.000000"),
        ("2026-11-20 10:00:00", "2026-11-20 10:00:00.000000"),
        ("2026-11-20T10:00:00.123456789Z", "2026-11-20 10:00:00.123456"),
        ("2026-11-20T10:00:00.5+02:00", "2026-11-20 08:00:00.500000"),
        ("2026-11-20T10:00:00-14:00", "2026-11-21 00:00:00.000000"),
        ("2026-11-20T10:00:00+05:45", "2026-11-20 04:15:00.000000"),
        (1795168800123, "2026-11-20 10:00:00.123000"),
        (1795168800123.5, "2026-11-20 10:00:00.123500"),
        (946684800000, "2000-01-01 00:00:00.000000"),
        (946684799999, None),
        (32503679999999, "2999-12-31 23:59:59.999000"),
        (32503680000000, None),
        (1795168800, None),
        (True, None),
        (math.nan, None),
        (10**400, None),
        ("1795168800123", None),
        ("2026-02-30T10:00:00.123Z", None),
        ("2026-02-30 10:00:00", None),
        ("2026-11-20T24:00:00Z", None),
        ("2026-11-20T10:00:60Z", None),
        ("2026-11-20T10:00:00+14:01", None),
        ("2026-11-20T10:00:00+02:60", None),
        ("0000-01-01T00:00:00.000Z", None),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("2026-11-20", None),
        ("2026-11-20T10:00:00.Z", None),
        ("2026-11-20T10:00:00.123Z\n", None),
        ("\uff12\uff10\uff12\uff16-11-20T10:00:00.123Z", None),
        ("", None),
        (None, None),
        ({}, None),
    ],
)
def test_a_time_is_understood_or_unknown(timestamp: Any, expected: str | None) -> None:
    assert said_at(timestamp) == expected


@given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
def test_a_time_in_any_zone_is_stored_in_utc(at: datetime, minutes: int) -> None:
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    written = f"{at.isoformat(timespec='microseconds')}{zone}"
    found = said_at(written)
    if found is not None:
        assert datetime.fromisoformat(f"{found}+00:00") == datetime.fromisoformat(written)
    else:
        assert at.year in (1, 9999)


NO_MEMBERS: dict[str, st.SearchStrategy[Any]] = {}


def sometimes(*likely: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.sampled_from(likely), values, st.floats())


blocks: st.SearchStrategy[Any] = st.lists(
    st.one_of(
        values,
        st.fixed_dictionaries(
            {"type": sometimes("tool_use", "tool_result")},
            optional={name: sometimes("t") for name in ("id", "name", "tool_use_id", "is_error")},
        ),
    ),
    max_size=3,
)
messages: st.SearchStrategy[Any] = st.fixed_dictionaries(
    NO_MEMBERS,
    optional={
        "id": sometimes("m"),
        "model": sometimes("opus"),
        "content": st.one_of(values, blocks),
        "usage": st.one_of(
            values,
            st.fixed_dictionaries(
                NO_MEMBERS,
                optional={
                    "input_tokens": sometimes(1),
                    "cache_creation": st.one_of(values, st.just({"ephemeral_1h_input_tokens": -1})),
                },
            ),
        ),
    },
)
lines: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"type": sometimes("assistant", "user")},
    optional={
        "timestamp": st.one_of(
            values,
            st.floats(),
            st.from_regex(r"\A\d{4}-[01]\d-[0-3]\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-][01]\d:\d\d)?\Z"),
        ),
        "requestId": sometimes("r"),
        "message": st.one_of(values, messages),
        "forkedFrom": st.one_of(values, st.just({"sessionId": "s"})),
    },
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(lines)
def test_of_any_line_the_values_can_be_stored(entry: dict[str, Any]) -> None:
    found = extract(entry)._asdict()
    for name in ("type", *LABELS):
        if (text := found[name]) is not None:
            assert 0 < len(text) <= 128
            assert "\0" not in text
            text.encode()
    for name in TOKENS:
        assert found[name] is None or (type(found[name]) is int and 0 <= found[name] < 2**31)
    assert found["tool_count"] is None or found["tool_count"] >= 1
    assert found["failed"] in (None, True, False)
    if found["said_at"] is not None:
        at = datetime.fromisoformat(found["said_at"])
        assert at.tzinfo is None
        assert at.isoformat(" ", "microseconds") == found["said_at"]
