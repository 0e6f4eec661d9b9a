"""`sessions` lists what the SDK lists, with figures; `search` finds where something was said."""

import dataclasses
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from claude_agent_sdk import list_sessions_from_store, project_key_for_directory
from sqlalchemy import Engine, delete, func, insert, select, update

from boocode_sessions import (
    ClaudeSession,
    ClaudeSessionEntry,
    ClaudeSessionRepository,
    queries,
)
from boocode_sessions.models import SessionText
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.queries.lines import DAY, Line, answer, entries, key, prompt, result, tool_use


def write(
    engine: Engine, *lines: Line, session_id: str = "s1", project_key: str = "p", subpath: str | None = None
) -> None:
    ClaudeSessionRepository(engine).append(key(session_id, project_key, subpath), entries(*lines))


def write_as_another(
    engine: Engine, *lines: Line, session_id: str, project_key: str = "p", subpath: str = ""
) -> None:
    """As the TypeScript writer of the same table inserts."""
    with engine.begin() as connection:
        for line in lines:
            row = {"project_key": project_key, "session_id": session_id, "subpath": subpath, "entry": line}
            connection.execute(insert(ClaudeSessionEntry).values(row))


def test_a_session_has_its_title_its_size_and_its_tokens(engine: Engine) -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 4,
    }
    before = datetime.now(UTC)
    write(
        engine,
        {"type": "last-prompt", "lastPrompt": "and on"},
        prompt("u", "first\nthing", seconds=5),
        answer("a1", call="m1", usage=usage | {"output_tokens": 1}, seconds=4),
        answer("a2", call="m1", usage=usage, seconds=6),
    )
    write(engine, answer("b", usage=usage, seconds=-60), subpath="subagents/agent-1")
    [row] = queries.sessions(engine)
    assert dataclasses.replace(row, bytes=0, updated=DAY) == queries.SessionRow(
        *("p", "s1", "and on", "first thing", 5, 1, 0, 20),
        started=DAY + timedelta(seconds=-60),
        last_said=DAY + timedelta(seconds=6),
        updated=DAY,
        held=False,
        has_main=True,
        is_sidechain=False,
    )
    assert row.bytes > 500
    assert row.updated is not None
    assert before - timedelta(seconds=5) < row.updated < datetime.now(UTC) + timedelta(seconds=5)
    write(engine, {"type": "custom-title", "customTitle": "Mine", "uuid": "t", "timestamp": "x"})
    assert queries.sessions(engine)[0].title == "Mine"


def test_the_session_that_was_worked_in_last_comes_first(engine: Engine) -> None:
    for number, seconds in ((3, 3), (0, 1), (1, 0), (2, 2)):
        line = prompt("u", "hi", seconds=seconds)
        write(engine, line, session_id=f"s{number}", project_key="pq"[number % 2])
    with engine.begin() as connection:
        connection.execute(update(ClaudeSession).where(ClaudeSession.session_id == "s1").values(held=True))
    assert [row.session_id for row in queries.sessions(engine)] == ["s3", "s2", "s0", "s1"]
    assert [row.session_id for row in queries.sessions(engine, limit=2)] == ["s3", "s2"]
    assert [row.session_id for row in queries.sessions(engine, limit=None, project_key="q")] == ["s3", "s1"]
    assert [row.held for row in queries.sessions(engine, project_key="q")] == [False, True]
    recent = queries.sessions(engine, since=DAY + timedelta(seconds=1))
    assert [row.session_id for row in recent] == ["s3", "s2", "s0"]
    assert len(queries.sessions(engine, since=DAY.date())) == 4
    assert queries.sessions(engine, since=DAY.date(), tz=timezone(timedelta(hours=-1))) == []


def test_a_session_that_does_not_say_when_is_sorted_by_when_it_was_stored(engine: Engine) -> None:
    write(engine, prompt("u", "hi"), session_id="told")
    write(engine, {"type": "custom-title", "customTitle": "Untold"}, session_id="untold")
    rows = queries.sessions(engine)
    assert [(row.session_id, row.started, row.last_said) for row in rows] == [
        ("untold", None, None),
        ("told", DAY, DAY),
    ]
    assert [row.session_id for row in queries.sessions(engine, since=DAY)] == ["told"]
    assert queries.sessions(engine, since=datetime.now(UTC) - timedelta(days=1)) == []


def test_a_session_that_only_has_subagents_is_listed_as_such(engine: Engine) -> None:
    write(engine, answer("b"), subpath="subagents/agent-1")
    write_as_another(engine, answer("c"), session_id="s2", subpath="subagents/agent-1")
    rows = queries.sessions(engine)
    assert [(row.session_id, row.has_main, row.updated, row.subagents) for row in rows] == [
        ("s2", False, None, 1),
        ("s1", False, None, 1),
    ]
    write(engine, prompt("u", "hi"))
    assert {row.session_id: row.has_main for row in queries.sessions(engine)} == {"s1": True, "s2": False}


def test_a_session_without_entries_is_not_listed(engine: Engine) -> None:
    write(engine, answer("b"), subpath="subagents/agent-1")
    ClaudeSessionRepository(engine).delete(key(subpath="subagents/agent-1"))
    write(engine, prompt("u", "hi"), session_id="s2")
    with engine.begin() as connection:
        connection.execute(delete(ClaudeSessionEntry))
    assert queries.sessions(engine) == []


def test_sessions_of_other_writers_are_listed_alike(engine: Engine) -> None:
    lines: list[Line] = [
        {"type": "queue-operation", "timestamp": "2026-11-20T00:00:00.000Z"},
        prompt("m", "meta", isMeta=True),
        prompt("c", "<command-name>/clear</command-name>"),
        prompt("u", "the first", seconds=1),
        answer("a", "yes"),
        result("r", "t1"),
        prompt("v", "the second"),
        {"type": "ai-title", "aiTitle": "About firsts"},
    ]
    write(engine, *lines, session_id="ours")
    write_as_another(engine, *lines, session_id="theirs")
    write(engine, *lines[:-1], session_id="overtaken")
    write_as_another(engine, *lines[-1:], session_id="overtaken")
    rows = {row.session_id: row for row in queries.sessions(engine)}
    assert set(rows) == {"ours", "theirs", "overtaken"}
    for row in rows.values():
        assert (row.title, row.first_prompt, row.entries, row.tokens, row.started) == (
            *("About firsts", "the first", 8, 15),
            DAY,
        )


def test_more_sessions_of_other_writers_than_a_statement_has_parameters(engine: Engine) -> None:
    line = prompt("u", "hello")
    rows = [{"project_key": "p", "session_id": f"s{n}", "entry": line} for n in range(33_000)]
    with engine.begin() as connection:
        connection.execute(insert(ClaudeSessionEntry), rows)
    listed = queries.sessions(engine, limit=None)
    assert len(listed) == 33_000
    assert {row.title for row in listed} == {"hello"}


def test_another_writers_sessions_have_titles_without_the_sdk_too(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boocode_sessions._core.fold._sdk_fold", lambda: None)
    write_as_another(engine, prompt("u", "hi"), {"type": "ai-title", "aiTitle": "A title"}, session_id="s")
    assert [row.title for row in queries.sessions(engine)] == ["A title"]


@pytest.mark.anyio
async def test_titles_and_prompts_are_those_that_the_sdk_lists(engine: Engine) -> None:
    project = project_key_for_directory(".")
    sessions: dict[str, list[Line]] = {
        "title": [
            prompt("u", "hi"),
            {"type": "custom-title", "customTitle": "Mine"},
            {"type": "ai-title", "aiTitle": "x"},
        ],
        "last": [prompt("u", "hi"), {"type": "last-prompt", "lastPrompt": "later"}],
        "summary": [prompt("u", "hi"), {"type": "summary", "summary": "in short"}],
        "prompt": [prompt("u", "x" * 500)],
        "command": [prompt("u", "<command-name>/init</command-name>")],
    }
    for name, lines in sessions.items():
        write(engine, *lines, session_id=name, project_key=project)
        write_as_another(engine, *lines, session_id=name + " of another", project_key=project)
    listed = await list_sessions_from_store(SQLAlchemySessionStore(engine))
    assert len(listed) == 10
    assert {(s.session_id, s.summary, s.first_prompt) for s in listed} == {
        (row.session_id, row.title, row.first_prompt) for row in queries.sessions(engine)
    }


# search


SAID = {
    "s1": [
        prompt("u1", "Please deploy the new version to staging"),
        answer("a1", "It was deployed. Deploying took a while; the deployment is <b>done</b>.\nNext\\line"),
        answer("a2", tool_use("t1", "deploy")),
        result("r1", "t1"),
    ],
    "s2": [
        prompt(
            "u2",
            [
                {"type": "text", "text": "100% sure?"},
                {"type": "image"},
                {"type": "text", "text": "ÜBER ünder"},
            ],
        ),
        answer("a3", "The staging area has the old version"),
        {"type": "attachment", "uuid": "x", "attachment": {"content": "staging"}},
    ],
}


@pytest.fixture
def said(engine: Engine) -> Engine:
    for session_id, lines in SAID.items():
        write(engine, *lines, session_id=session_id)
    return engine


def found(engine: Engine, words: str, **scope: Any) -> list[str]:
    return sorted(match.uuid or "" for match in queries.search(engine, words, **scope))


def test_words_are_found_in_what_was_said(said: Engine) -> None:
    assert found(said, "staging version") == ["a3", "u1"]
    assert found(said, '"new version"') == ["u1"]
    assert found(said, "STAGING old") == ["a3"]
    assert found(said, "next") == found(said, "line") == ["a1"]
    assert found(said, "nowhere") == found(said, "  ") == found(said, '""') == []
    assert found(said, "staging", session_id="s2") == ["a3"]
    assert found(said, "staging", project_key="other") == []
    assert found(said, "staging", limit=1) in (["a3"], ["u1"])
    assert found(said, "staging", until=DAY) == []
    assert found(said, "staging", since=DAY) == ["a3", "u1"]


def test_any_words_can_be_searched_for(said: Engine) -> None:
    odd = ["%", "_", "'", "100%", "a & b | !c:*", "\\", ":", "(", "<->", '"', "x" * 5000, "-", "or"]
    for words in odd:
        queries.search(said, words)


def test_a_match_shows_where_and_what(said: Engine) -> None:
    [match] = queries.search(said, '"old version"')
    assert (match.project_key, match.session_id, match.subpath) == ("p", "s2", "")
    assert (match.uuid, match.type, match.timestamp) == ("a3", "assistant", DAY)
    assert "staging area has the old version" in re.sub("[«»]", "", match.snippet)
    assert "«" in match.snippet


def test_a_word_finds_longer_ones_and_the_best_match_comes_first(said: Engine) -> None:
    matches = queries.search(said, "deploy")
    assert [match.uuid for match in matches] == ["a1", "u1"]
    assert matches[0].rank > matches[1].rank > 0
    assert "«deployed»" in matches[0].snippet
    assert found(said, "staging -old") == ["u1"]
    assert found(said, "old or new") == ["a3", "u1"]
    assert found(said, "100% ÜBER") == ["u2"]
    [match] = queries.search(said, "deployment")
    assert match.snippet.endswith("a while; the «deployment» is <b>done</b>. Next\\line")


def test_rows_of_other_writers_are_found(engine: Engine) -> None:
    write_as_another(engine, prompt("u", "the needle"), session_id="theirs")
    assert found(engine, "needle") == ["u"]


def test_the_newest_matches_are_compared_for_the_best(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in {"RANKED": 3, "WINDOW": 6}.items():
        monkeypatch.setattr(f"boocode_sessions.queries.searching.{name}", limit)
    write(engine, *(prompt(f"u{n}", "hay " * (10 - n)) for n in range(10)))
    assert [match.uuid for match in queries.search(engine, "hay")] == ["u7", "u8", "u9"]
    write(engine, *(prompt(f"v{n}", "grass") for n in range(4)))
    assert [match.uuid for match in queries.search(engine, "hay")] == ["u7", "u8", "u9"]
    write(engine, *(prompt(f"w{n}", "grass") for n in range(20)))
    assert [match.uuid for match in queries.search(engine, "hay")] == ["u7", "u8", "u9"]
    assert len(queries.search(engine, "grass or hay")) == 3


def test_words_are_found_in_what_was_asked_for(engine: Engine) -> None:
    write(engine, *(prompt(f"a{n}", "hay", seconds=n) for n in range(4)), session_id="a")
    write(engine, prompt("untold", "hay", timestamp=None), session_id="a")
    write(engine, prompt("b", "hay"), session_id="b", project_key="other")
    for bind in (engine, engine.connect()):
        assert found(bind, "hay", project_key="p") == ["a0", "a1", "a2", "a3", "untold"]  # type: ignore[arg-type]
        assert found(bind, "hay", project_key="nosuch") == []  # type: ignore[arg-type]
        assert found(bind, "hay", session_id="b") == ["b"]  # type: ignore[arg-type]
        assert found(bind, "hay", until=DAY + timedelta(seconds=1)) == ["a0", "b"]  # type: ignore[arg-type]
        # What does not say when it was said counts from when it was stored, which is later.
        assert found(bind, "hay", since=DAY + timedelta(seconds=3)) == ["a3", "untold"]  # type: ignore[arg-type]
    bind.close()  # type: ignore[union-attr]


SPOKEN = (
    "Run main.py in src/app, see page.html of v2.1.100: 日本語サーバーを再起動する 한국어 "
    "\uff26\uff55\uff4c\uff4c Straße git commit --no-verify"
)


FOUND = (
    *("main.py", "src/app", "page.html", "2.1.100", "v2.1", "MAIN", "pag"),
    *("日本語", "本語", "語", "サーバー", "再起動", "る", "한국", "full", "strasse"),
    *('"Run main.py"', '"see page html"', '"app see"', "nosuch or main"),
    *("--no-verify", "commit --no", "--verify"),
)
NOT_FOUND = (
    *("main.html", "1.2", "2.1.10", "ain.py", "日語", "本日", "動再", "国語", "서버"),
    *("--verify-no", "commit -verify", "main --amend"),
    *('"main run"', "main -app", '"Run mai"', "main nosuch", "-main"),
)


def test_names_numbers_and_parts_of_japanese_are_found_alike(engine: Engine) -> None:
    write(engine, prompt("u", SPOKEN), prompt("v", "something else"))
    expected: dict[str, list[str]] = {words: ["u"] if words in FOUND else [] for words in FOUND + NOT_FOUND}
    assert {words: found(engine, words) for words in expected} == expected
    with engine.connect() as connection:
        matches = {words: queries.search(connection, words) for words in expected}
    assert {words: [match.uuid for match in those] for words, those in matches.items()} == expected


def test_tools_are_searched_on_request(engine: Engine) -> None:
    write(engine, answer("a", "I list", tool_use("t1", "Bash")), result("r", "t1"))
    assert found(engine, "bash") == found(engine, "done") == []
    matches = queries.search(engine, "ls or done or list", places=["messages", "tools"])
    assert {(match.uuid, match.place) for match in matches} == {
        *(("a", "messages"), ("a", "tools"), ("r", "tools")),
    }
    assert found(engine, "list", places="tools") == []
    with pytest.raises(ValueError, match="places are messages and tools, not here"):
        queries.search(engine, "x", places="here")  # type: ignore[arg-type]


def test_what_was_deleted_is_not_found_and_its_words_are_gone(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    write(engine, prompt("u", "the needle"))
    write(engine, prompt("v", "the needle"), subpath="subagents/agent-1")
    assert found(engine, "needle") == ["u", "v"]
    repository.delete(key(subpath="subagents/agent-1"))
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(SessionText)) == 0
    assert found(engine, "needle") == ["u"]
    repository.delete(key())
    write(engine, prompt("w", "another needle"))
    assert found(engine, "needle") == ["w"]
