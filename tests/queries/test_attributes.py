"""An entry's attributes mean the same on an instance and in a statement, on both databases."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from IPython.lib.pretty import pretty as ipython_pretty
from sqlalchemy import Engine, inspect, select
from sqlalchemy.orm import Session, aliased

from boocode_sessions import ClaudeSessionEntry
from boocode_sessions._core.attributes import string_at

Entry = ClaudeSessionEntry

NAMES = [
    *("uuid", "timestamp", "parent_uuid", "is_sidechain", "role"),
    *("text", "tool_names", "git_branch", "cwd", "version"),
]

ANSWER: dict[str, Any] = {
    "type": "assistant",
    "uuid": "u1",
    "parentUuid": "u0",
    "isSidechain": True,
    "timestamp": "2026-11-22T12:27:19.026Z",
    "gitBranch": "main",
    "cwd": "/home/me/héllo",
    "version": "2.1.330",
    "message": {
        "role": "assistant",
        "model": "claude-opus-5",
        "content": [
            {"type": "thinking", "thinking": "hm", "text": 1},
            {"type": "text", "text": "Let me look.\nSay \"hi\" to C:\\new\t😀 <b>bold</b> & 'more'"},
            {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}},
            {"type": "text", "text": "And then"},
            {"type": "tool_use", "id": "t2", "name": "Read", "input": {}},
        ],
    },
}

ODD: list[Any] = [
    {},
    {
        "type": 7,
        "uuid": None,
        "timestamp": 5,
        "parentUuid": ["x"],
        "isSidechain": "true",
        "cwd": {},
        "version": 2,
    },
    {
        "type": "user",
        "isSidechain": 1,
        "gitBranch": False,
        "message": {"role": 1, "model": [], "content": "said"},
    },
    {"type": "user", "isSidechain": None, "message": {"content": ""}},
    {"type": "user", "isSidechain": False, "message": "text"},
    {"type": "user", "message": ["role", "model", "content"]},
    {"type": "user", "message": {"content": []}},
    {"type": "user", "message": {"content": {"type": "text", "text": "an object", "name": "n"}}},
    {"type": "user", "message": {"content": [[{"type": "text", "text": "nested"}], "bare", 4, None, {}]}},
    {"type": "user", "message": {"content": [{"type": "text"}, {"type": "text", "text": None}]}},
    {"type": "user", "message": {"content": [{"type": "text", "text": ""}, {"type": "text", "text": ""}]}},
    {"type": "user", "message": {"content": [{"type": ["tool_use"], "name": "Bash"}]}},
    {"type": "user", "message": {"content": [{"type": "tool_use", "name": 3}, {"type": "tool_use"}]}},
    {"type": "user", "message": {"content": [{"type": "tool_result", "content": "no", "text": "no"}]}},
    {"type": '"user"', "uuid": "%s :x ? {}", "message": {"content": "100% :done?"}},
    {"type": "user", "message": {"content": "€" * 3000}},
    [1, 2],
]

TIMES = [
    *(
        "2026-11-22T12:27:19Z",
        "2026-11-22T12:27:19.1Z",
        "2026-11-22T12:27:19.123456Z",
        "2024-02-29T00:00:00Z",
    ),
    *("2026-11-22T23:59:59.999999+01:30", "2026-01-01T00:00:00.5-14:00", "2026-01-01T00:00:00.9995+00:00"),
]
NO_TIMES = [
    *(
        "",
        "Z",
        "yesterday",
        "2026-11-22",
        "2026-11-22T12:27:19",
        "2026-11-22 12:27:19Z",
        "2026-02-29T00:00:00Z",
    ),
    *("2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-11-31T00:00:00Z"),
    *("2026-11-22T24:00:00Z", "2026-11-22T12:60:00Z", "2026-11-22T12:00:60Z", "0001-01-01T00:00:00Z"),
    *(
        "9999-12-31T23:59:59Z",
        "2026-11-22T12:27:19.Z",
        "2026-11-22T12:27:19.1234567Z",
        "2100-02-29T00:00:00Z",
    ),
    *(
        "2026-11-22T12:27:19.12a4Z",
        "2026-11-22T12:27:19+15:00",
        "2026-11-22T12:27:19+0100",
        "now",
        "infinity",
    ),
    *("2026-11-22T12:27:19z", " 2026-11-22T12:27:19Z", "2026-11-22T12:27:19Z ", "2026-11-22T12:27:19Z\n"),
    *("٢٠٢٦-11-22T12:27:19Z", "12026-11-22T12:27:19Z", "2026-11-22T12:27:19Zjunk", "2026-11-22T12:27:19.1 Z"),
]


def kind_of(line: Any) -> Any:
    """What the column `type` holds."""
    return string_at(line, "type")


def stored(engine: Engine, lines: list[Any]) -> list[tuple[ClaudeSessionEntry, Any]]:
    """Each line as an instance, and its attributes as the database sees them."""
    with Session(engine, expire_on_commit=False) as db:
        db.add_all(
            Entry(project_key="p", session_id="s", subpath="", entry=line, type=kind_of(line))
            for line in lines
        )
        db.commit()
        rows = db.execute(select(Entry, *(getattr(Entry, name) for name in NAMES)).order_by(Entry.id)).all()
    return [(row[0], row[1:]) for row in rows]


def test_attributes_are_the_same_in_python_and_in_sql(engine: Engine) -> None:
    lines = [ANSWER, *ODD, *({"timestamp": at} for at in TIMES + NO_TIMES)]
    for instance, in_sql in stored(engine, lines):
        in_python = [getattr(instance, name) for name in NAMES]
        assert dict(zip(NAMES, in_sql, strict=True)) == dict(zip(NAMES, in_python, strict=True)), (
            instance.entry
        )


def test_attributes_say_what_the_line_says(engine: Engine) -> None:
    [(instance, in_sql)] = stored(engine, [ANSWER])
    assert dict(zip(NAMES, in_sql, strict=True)) == {
        "uuid": "u1",
        "timestamp": datetime(2026, 11, 22, 12, 27, 19, 26000, tzinfo=UTC),
        "parent_uuid": "u0",
        "is_sidechain": True,
        "role": "assistant",
        "text": ANSWER["message"]["content"][1]["text"] + "\n\nAnd then",
        "tool_names": ["Bash", "Read"],
        "git_branch": "main",
        "cwd": "/home/me/héllo",
        "version": "2.1.330",
    }
    assert instance.calls("Read")
    assert not instance.calls("Write")


def test_a_timestamp_is_read_with_its_zone_and_all_its_digits(engine: Engine) -> None:
    rows = stored(engine, [{"timestamp": at} for at in TIMES])
    for at, (instance, in_sql) in zip(TIMES, rows, strict=True):
        assert in_sql[NAMES.index("timestamp")] == instance.timestamp == datetime.fromisoformat(at)


def test_text_that_is_no_time_is_none_and_breaks_no_query(engine: Engine) -> None:
    for instance, in_sql in stored(engine, [{"timestamp": at} for at in NO_TIMES]):
        assert in_sql[NAMES.index("timestamp")] is None, instance.entry
        assert instance.timestamp is None, instance.entry


def test_attributes_filter_sort_and_group_through_an_alias_too(engine: Engine) -> None:
    stored(engine, [ANSWER, {"type": "user", "message": {"content": "said"}}, *ODD])
    other = aliased(Entry)
    with Session(engine) as db:
        found = select(other.uuid).where(
            other.type == "assistant",
            other.timestamp > datetime(2026, 11, 22, tzinfo=UTC),
            other.is_sidechain,
            other.text.contains("C:\\new", autoescape=True),
            other.calls("Bash"),
            ~other.calls("Write"),
        )
        assert db.scalars(found.order_by(other.timestamp, other.text)).all() == ["u1"]
        assert db.scalar(select(Entry.id).where(Entry.text == "said", Entry.role.is_(None)).limit(1))


def entry(line: object) -> ClaudeSessionEntry:
    return Entry(project_key="p", session_id="0467bc32-8144", subpath="", entry=line, id=12)


def pretty(instance: ClaudeSessionEntry) -> str:
    shown = ipython_pretty(instance)  # type: ignore[no-untyped-call]
    assert isinstance(shown, str)
    return shown


def test_repr_names_the_line_and_says_nothing_of_its_content() -> None:
    assert repr(entry(ANSWER)) == (
        "<ClaudeSessionEntry 12 assistant 2026-11-22 12:27:19Z session 0467bc32 claude-opus-5>"
    )
    assert repr(Entry()) == "<ClaudeSessionEntry new ?>"


def test_a_detached_instance_can_be_shown(engine: Engine) -> None:
    with Session(engine) as db:
        db.add(instance := Entry(project_key="p", session_id="s", entry=ANSWER))
        db.commit()
    assert inspect(instance).detached
    for shown in (repr(instance), pretty(instance), instance._repr_html_()):
        assert "ClaudeSessionEntry" in shown or "?" in shown


def test_ipython_shows_what_is_said() -> None:
    shown = pretty(entry(ANSWER))
    assert shown.splitlines()[0] == (
        "12 · assistant · 2026-11-22 12:27:19Z · session 0467bc32 · claude-opus-5"
    )
    assert "Let me look.\n  Say" in shown
    assert shown.endswith("calls Bash, Read")


def test_jupyter_shows_html_in_which_nothing_of_the_line_is_markup() -> None:
    line = json.loads(json.dumps(ANSWER).replace("claude-opus-5", "<script>x</script>"))
    html = entry(line)._repr_html_()
    assert "<script>" not in html
    assert "<b>bold" not in html
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; &#x27;more&#x27;" in html
    assert "&lt;script&gt;" in html


def test_a_display_of_a_huge_line_stays_short() -> None:
    shown = pretty(entry({"type": "user", "message": {"content": "x" * 1_000_000}}))
    assert len(shown) < 3000
    assert "1,000,000 characters" in shown


@pytest.mark.parametrize("line", ODD)
def test_an_odd_line_can_be_shown(line: object) -> None:
    assert repr(entry(line))
    assert pretty(entry(line))
    assert entry(line)._repr_html_()
