"""Nothing is passed over in silence: `show` says what it leaves out, `list` what has no main transcript."""

import re
from typing import Any

import pytest

from boocode_sessions import ClaudeSessionRepository
from tests.cli.conftest import Terminal
from tests.cli.test_documented import json_keys

BOUNDARY = {"type": "system", "subtype": "compact_boundary", "uuid": "b", "parentUuid": None}


def said(
    uuid: str, parent: str | None, content: Any = "words", kind: str = "user", **members: Any
) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": uuid,
        "parentUuid": parent,
        "timestamp": "2026-11-22T18:00:00.000Z",
        "message": {"role": kind, "content": content},
        **members,
    }


THINKING = [{"type": "thinking", "thinking": "hm"}]
TRANSCRIPTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "two branches": (
        [said("1", None), said("2", "1"), said("3", "1"), said("4", "3")],
        "1 entry is on another branch: --all shows all.",
    ),
    "a branch of many": (
        [
            said("1", None),
            *(said(f"x{n}", "1" if n == 0 else f"x{n - 1}") for n in range(13)),
            said("2", "1"),
        ],
        "13 entries are on other branches: --all shows all.",
    ),
    "a circle": ([said("1", "2"), said("2", "1")], "2 entries are on other branches: --all shows all."),
    "subagents in the main transcript": (
        [said("1", None), said("s1", None, isSidechain=True), said("2", "1")],
        "1 entry is a subagent's: --all shows all.",
    ),
    "nothing but subagents": (
        [said("s1", None, isSidechain=True), said("s2", "s1", isSidechain=True)],
        "2 entries are subagents': --all shows all.",
    ),
    "a teammate's session": (
        [said("1", None, teamName="red"), said("2", "1", teamName="red")],
        "2 entries are an agent team's: --all shows all.",
    ),
    "a teammate's prompt in the main transcript": (
        [said("1", None), said("2", "1", teamName="red"), said("3", "2"), said("x", "1")],
        "1 entry is on another branch; 1 entry is an agent team's: --all shows all.",
    ),
    "a compaction": (
        [said("1", None), said("2", "1"), BOUNDARY, said("3", "b"), said("4", "3")],
        "2 entries were replaced by a compaction: --all shows all.",
    ),
    "a parent that is missing": (
        [said("1", None), said("2", "1"), said("3", "gone"), said("4", "3")],
        "2 entries are cut off by a line that is missing: --all shows all.",
    ),
    "a parent that is missing, and another branch": (
        [said("1", None), said("2", "gone"), said("3", "2"), said("x", "2"), said("4", "3")],
        "1 entry is on another branch; 1 entry is cut off by a line that is missing: --all shows all.",
    ),
    "a parent that comes later": (
        [said("1", None), said("3", "2"), said("x", "1"), said("2", "1"), said("4", "3")],
        "1 entry is on another branch: --all shows all.",
    ),
    "no uuids": (
        [{"type": "user", "message": {"role": "user", "content": "words"}}],
        "1 entry has no uuid, and so no place in it: --all shows all.",
    ),
    "no messages": (
        [{"type": "summary", "summary": "x"}, {"type": "file-history-snapshot"}],
        "2 entries are no messages: --all shows all.",
    ),
    "nothing but thinking": (
        [said("1", None, THINKING, "assistant")],
        "1 entry holds only thinking: --all shows all.",
    ),
    "nothing but notes of the agent": (
        [said("1", None, isMeta=True)],
        "1 entry is the agent's own note: --all shows all.",
    ),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_show_says_what_it_leaves_out_and_why(terminal: Terminal, name: str) -> None:
    entries, note = TRANSCRIPTS[name]
    _append(terminal, "s", entries)
    assert terminal.run("show").out.splitlines()[-1] == note
    assert terminal.run("show", "--format", "markdown").out.splitlines()[-1] == f"*{note}*"
    everything = terminal.run("show", "--all").out
    assert len(everything.splitlines()) > 1
    assert "--all" not in everything


def test_show_of_one_whole_conversation_has_nothing_to_add(demo: Terminal) -> None:
    for form in ("text", "markdown"):
        assert "--all" not in demo.run("show", "--format", form).out


def test_a_session_without_its_main_transcript_is_listed_and_marked(terminal: Terminal) -> None:
    _append(terminal, "whole", [said("1", None)])
    _append(terminal, "orphan", [said("1", None), said("2", "1")], "subagents/agent-1")
    _append(terminal, "orphan", [said("3", None)], "subagents/agent-2")
    rows = {row["session_id"]: row for row in terminal.run("list", "--json").json}
    assert {name: row["has_main"] for name, row in rows.items()} == {"whole": True, "orphan": False}
    assert (rows["orphan"]["entries"], rows["orphan"]["subagents"]) == (3, 2)
    assert set(rows["orphan"]) == set(rows["whole"]) == json_keys("list")
    lines = terminal.run("list").out.splitlines()
    assert "(no main transcript)" in lines[1]
    assert len(terminal.run("list", "--limit", "1").out.splitlines()) == 2
    assert terminal.run("list", "--project", "other").out == ""
    assert "orphan" not in terminal.run("list", "--since", "2099-01-01").out
    shown = terminal.run("show", "orphan")
    assert "It holds no entries." in shown.out
    assert "subagents/agent-1, subagents/agent-2" in shown.err
    assert "words" in terminal.run("show", "orphan", "--subpath", "agent-2").out


def test_a_session_whose_main_transcript_comes_later_is_no_orphan(terminal: Terminal) -> None:
    _append(terminal, "s", [said("1", None)], "subagents/agent-1")
    _append(terminal, "s", [said("1", None)])
    [row] = terminal.run("list", "--json").json
    assert row["has_main"] is True
    assert terminal.run("delete", "s", "--yes").status == 0
    assert terminal.run("list", "--json").json == []


def test_hostile_names_are_shown_clean_everywhere(terminal: Terminal) -> None:
    project, session, subpath = "p\x1b]0;owned\x07", "s\x1b[2J\n\u202eevil", "subagents/\x9b31m\nagent"
    _append(terminal, session, [said("1", None)], project=project)
    _append(terminal, session, [said("1", None)], subpath, project=project)
    for command in (
        "list",
        "show",
        "show --format markdown",
        "show --subpath agent",
        "show --subpath nosuch",
        "search words",
        "usage --by session",
        "hold s",
        "prune --inactive-for 1s --dry-run",
        "show x",
    ):
        done = terminal.run(*command.split())
        assert not set(done.out + done.err) & {"\x1b", "\x07", "\x9b", "\u202e"}, command
    assert terminal.run("show").out.splitlines()[0].startswith("Session s")


def test_what_the_agent_says_itself_is_no_usage(terminal: Terminal) -> None:
    def answer(number: int, model: str, tokens: int) -> dict[str, Any]:
        usage = {"input_tokens": tokens, "output_tokens": tokens}
        message = {"role": "assistant", "id": f"m{number}", "model": model, "content": "x", "usage": usage}
        return {**said(str(number), None, kind="assistant"), "message": message}

    _append(terminal, "s", [answer(1, "claude-opus-5-5", 3), answer(2, "<synthetic>", 0)])
    assert [row["model"] for row in terminal.run("usage", "--json").json] == ["claude-opus-5-5"]
    assert "<synthetic>" not in terminal.run("usage").out


def _append(
    terminal: Terminal, session: str, entries: list[Any], subpath: str | None = None, project: str = "p"
) -> None:
    engine = terminal.database.engine()
    key: Any = {"project_key": project, "session_id": session}
    ClaudeSessionRepository(engine).append(key | ({"subpath": subpath} if subpath else {}), entries)
    engine.dispose()


def queued(prompt: Any, **members: Any) -> dict[str, Any]:
    attachment = {"type": "queued_command", "commandMode": "prompt", "prompt": prompt}
    return {
        "type": "attachment",
        "timestamp": "2026-11-22T18:00:01.000Z",
        "attachment": attachment,
        **members,
    }


def test_a_prompt_that_was_sent_while_the_agent_was_at_work_is_shown(terminal: Terminal) -> None:
    note = queued("<task-notification>", uuid="n", parentUuid="3")
    note["attachment"]["commandMode"] = "task-notification"
    lines = [
        said("1", None, "begin"),
        {"type": "queue-operation", "operation": "enqueue", "content": "use red and green"},
        said("2", "1", "working", kind="assistant"),
        queued("and keep it short"),
        queued([{"type": "text", "text": "use red and green"}], uuid="3", parentUuid="2"),
        note,
        said("4", "n", "done", kind="assistant"),
        said("5", "2", "another branch"),
        queued("on another branch", uuid="6", parentUuid="5"),
        said("7", "4", "thanks"),
    ]
    _append(terminal, "s", lines)
    shown = terminal.run("show", "s").out
    order = ["begin", "working", "and keep it short", "use red and green", "done", "thanks"]
    assert [shown.count(words) for words in order] == [1] * len(order)
    assert sorted(order, key=shown.index) == order
    assert shown.count("on another branch") == 1  # in the note at the end
    everything = terminal.run("show", "s", "--all").out
    assert "enqueue use red and green" in everything
    assert "<task-notification>" in everything
    assert "## You" in terminal.run("show", "s", "--format", "markdown").out


def test_list_leaves_out_what_the_sdk_leaves_out_and_says_where_it_is(terminal: Terminal) -> None:
    _append(terminal, "side", [said("1", None, isSidechain=True)])
    _append(terminal, "mute", [{"type": "mode", "mode": "plan"}])
    assert "--all" in terminal.run("list").err
    assert "(a subagent's) words" in terminal.run("list", "--all").out
    assert "(no prompt)" in terminal.run("list", "--all").out
    _append(terminal, "main", [said("2", None)])
    assert [row["session_id"] for row in terminal.run("list", "--json").json] == ["main"]
    everything = terminal.run("list", "--all", "--json").json
    assert {row["session_id"]: row["is_sidechain"] for row in everything} == {
        "main": False,
        "side": True,
        "mute": False,
    }
    assert "Session main" in terminal.run("show").out


def test_parts_of_a_message_that_are_no_text_stand_with_it(terminal: Terminal) -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "AAAA"}}
    search = {
        "type": "server_tool_use",
        "id": "s",
        "name": "web_search",
        "input": {"query": "rain in Vienna"},
    }
    page = {"type": "web_search_result", "title": "The weather", "url": "https://weather.example"}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [page]}
    odd = {"type": "odd_block", "words": "said oddly"}
    lines = [
        said("1", None, [picture, {"type": "text", "text": "what is this"}]),
        said("2", "1", [search, found, odd, {"type": "text", "text": "It rains"}], kind="assistant"),
        said("3", "2", [{"type": "tool_result", "tool_use_id": "x", "content": {"text": "an object"}}]),
    ]
    _append(terminal, "s", lines)
    for arguments in ([], ["--format", "markdown"]):
        shown = terminal.run("show", "s", *arguments).out
        order = [
            "You",
            "image",
            "what is this",
            "rain in Vienna",
            "The weather",
            "Claude",
            "odd_block",
            "It rains",
        ]
        places = [shown.index(words) for words in [*order, "an object"]]
        assert places == sorted(places)
    everything = terminal.run("show", "s", "--all").out
    assert "said oddly" in everything
    assert "AAAA" not in everything


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("```python\nx = 1", "```"),
        ("~~~\n```\nx", "~~~"),
        ("````\n```\ny\n```", "````"),
        ("```\nwhole\n```", ""),
        ("```\nclosed by more\n`````  ", ""),
        ("``` no `fence`", ""),
        ("    ```\nindented", ""),
    ],
)
def test_a_code_block_that_a_message_leaves_open_ends_with_it(
    terminal: Terminal, text: str, end: str
) -> None:
    _append(terminal, "s", [said("1", None, text), said("2", "1", "next", kind="assistant")])
    markdown = terminal.run("show", "--format", "markdown").out
    message = markdown[markdown.index(text) + len(text) : markdown.index("## Claude")]
    assert message.strip() == end


@pytest.mark.parametrize(
    ("stamp", "shown"),
    [
        (1767225600000, "You  2026-01-01 00:00"),
        ("2026-01-02T03:04:05", "You  2026-01-02 03:04"),
        ("2026-01-02T03:04:05.123456789+01:00", "You  2026-01-02 02:04"),
        ("02/01/2026", "You  02/01/2026"),
        (None, "You"),
    ],
)
def test_the_time_above_a_message_is_the_one_that_it_is_listed_by(
    terminal: Terminal, stamp: object, shown: str
) -> None:
    _append(terminal, "s", [said("1", None, timestamp=stamp)])
    assert shown in terminal.run("--timezone", "UTC", "show", "s").out.splitlines()
    [_, listed] = terminal.run("--timezone", "UTC", "list").out.splitlines()
    day = re.search(r"\d{4}-\d\d-\d\d", shown)
    assert listed.split("\t")[1].partition(" ")[0] == (day[0] if day else "")  # never the day of storage
