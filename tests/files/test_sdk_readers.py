"""What the SDK's own readers of files answer is the same before an import and after the export of it."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from claude_agent_sdk import (
    SDKSessionInfo,
    fork_session,
    get_session_info,
    get_session_messages,
    get_subagent_messages,
    list_sessions,
    list_subagents,
    rename_session,
    tag_session,
)
from sqlalchemy import Engine

from boocode_sessions import queries
from boocode_sessions.jsonl import export_tree, import_tree

Entry = dict[str, Any]
CWD = "/home/you/app"
PROJECT = "-home-you-app"
BEGAN = datetime(2026, 3, 1, 9, tzinfo=UTC)


def uuid(number: int) -> str:
    return str(UUID(int=number))


S, T, U = (uuid(0xABC0_0000_0000_0000_0000_0000 + number) for number in range(3))


class Writer:
    """Writes lines as the agent does: each follows the one before it, and comes a second later."""

    def __init__(self, session: str, **members: Any) -> None:
        self.session = session
        self.members = members
        self.lines: list[Entry] = []
        self.last: str | None = None
        self._first = UUID(session).int & 0xFF

    def at(self, number: int) -> str:
        said = BEGAN + timedelta(days=self._first, seconds=number)
        return said.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def say(self, kind: str, message: object, *, after: str | None = None, **members: Any) -> str:
        number = len(self.lines) + 1
        own = uuid((self._first << 16) + number)
        self.lines.append(
            {
                "parentUuid": after or self.last,
                "isSidechain": False,
                "type": kind,
                "message": message,
                "uuid": own,
                "timestamp": self.at(number),
                "userType": "external",
                "cwd": CWD,
                "sessionId": self.session,
                "version": "2.1.100",
                "gitBranch": "main",
                **self.members,
                **members,
            }
        )
        self.last = own
        return own

    def user(self, text: object, **members: Any) -> str:
        return self.say("user", {"role": "user", "content": text}, **members)

    def answer(self, *blocks: Entry, message_id: str | None = None, **members: Any) -> str:
        number = message_id or f"msg_{self._first}_{len(self.lines)}"
        usage = {"input_tokens": 3, "output_tokens": 5}
        message = {"id": number, "role": "assistant", "model": "m", "usage": usage, "content": list(blocks)}
        return self.say("assistant", message, requestId=f"req_{number}", **members)

    def note(self, **members: Any) -> None:
        self.lines.append(members)

    def write(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(
            json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in self.lines
        )
        path.write_text(text, encoding="utf-8")
        return path


def text(words: str) -> Entry:
    return {"type": "text", "text": words}


def main_of(projects: Path, session: str = S) -> Path:
    return projects / PROJECT / f"{session}.jsonl"


def plain(projects: Path, session: str = S) -> Writer:
    writer = Writer(session)
    writer.note(type="permission-mode", permissionMode="default", sessionId=session)
    writer.user("find the bug in main.py")
    writer.answer(text("It is in line 3."))
    writer.user("mend it")
    writer.answer({"type": "tool_use", "id": "toolu_1", "name": "Edit", "input": {"z": 1, "cwd": "/else"}})
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"}
    writer.user([result], toolUseResult={"timestamp": "never", "summary": "edited"})
    writer.answer(text("Done."))
    writer.note(type="last-prompt", lastPrompt="mend it", sessionId=session, leafUuid=writer.last)
    writer.write(main_of(projects, session))
    return writer


def with_subagents(projects: Path) -> None:
    plain(projects)
    for name in ("agent-a1", "workflows/w1/agent-b2"):
        agent = Writer(S, isSidechain=True, agentId=name[-2:])
        agent.user("look around")
        agent.answer(text("Nothing there."))
        path = agent.write(projects / PROJECT / S / "subagents" / f"{name}.jsonl")
        metadata = {"agentType": "general-purpose", "toolUseId": f"toolu_{name[-2:]}", "parentAgentId": "a0"}
        path.with_name(path.stem + ".meta.json").write_text(json.dumps(metadata))


def replayed(projects: Path) -> None:
    writer = Writer(S)
    start = writer.user("start")
    ok = writer.answer(text("ok"))
    for branch in "AB":
        writer.user(branch, after=ok)
        writer.answer(text(f"answer {branch}"))
    assert start
    writer.lines += [dict(line) for line in writer.lines[:4]]
    writer.write(main_of(projects))


def replayed_with_other_bodies(projects: Path) -> None:
    writer = Writer(S)
    writer.user("start")
    ok = writer.answer(text("ok"))
    writer.user("A", after=ok)
    writer.answer(text("answer A"))
    writer.user("B", after=ok)
    for line in writer.lines[2:4]:
        writer.lines.append({**line, "timestamp": writer.at(len(writer.lines)), "slug": "again"})
    for number in range(5):
        writer.note(
            type="attachment",
            uuid=uuid(9),
            parentUuid=writer.last,
            timestamp=writer.at(20 + number),
            sessionId=S,
            attachment={"type": "hook_additional_context", "content": [f"context {number}"]},
        )
    writer.user("go on", after=uuid(9))
    writer.write(main_of(projects))


def tagged(projects: Path) -> None:
    given: dict[str, list[str | None]] = {S: ["first", "second"], T: ["once", None], U: ["büro"]}
    for session, tags in given.items():
        plain(projects, session)
        for tag in tags:
            tag_session(session, tag, CWD)


def renamed(projects: Path) -> None:
    for session in (S, T):
        plain(projects, session)
        with main_of(projects, session).open("a") as file:
            title = {"type": "ai-title", "aiTitle": "A generated title", "sessionId": session}
            file.write(json.dumps(title, separators=(",", ":")) + "\n")
    rename_session(S, 'a "better" title \\ with ünïcode', CWD)
    rename_session(S, "the last title", CWD)


def forked(projects: Path) -> None:
    writer = plain(projects)
    fork_session(S, CWD, up_to_message_id=writer.lines[2]["uuid"], title="a fork")
    fork_session(S, CWD)


def compacted(projects: Path) -> None:
    writer = Writer(S)
    writer.user("a long story")
    last = writer.answer(text("indeed"))
    writer.say(
        "system", None, subtype="compact_boundary", content="Conversation compacted", logicalParentUuid=last
    )
    writer.lines[-1]["parentUuid"] = None
    del writer.lines[-1]["message"]
    writer.user("This session is being continued.", isCompactSummary=True, isVisibleInTranscriptOnly=True)
    writer.user("and now?")
    writer.answer(text("On we go."))
    writer.note(type="summary", summary="A long story", leafUuid=last)
    writer.write(main_of(projects))


def parallel_tools(projects: Path) -> None:
    writer = Writer(S)
    writer.user("look at three files")
    calls: list[str] = []
    for number in range(3):
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": "Read", "input": {"file_path": "a"}}
        calls.append(writer.answer(use, message_id="msg_1"))
    for number, call in enumerate(calls):
        result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": "text"}
        writer.user([result], after=call, sourceToolAssistantUUID=call)
    writer.answer(text("All three are fine."))
    writer.write(main_of(projects))


def old_layout(projects: Path) -> None:
    plain(projects)
    old = Writer(S, isSidechain=True, agentId="0ld")
    old.user("Warmup")
    old.answer(text("I'm ready."))
    old.write(projects / PROJECT / "agent-0ld.jsonl")
    side = Writer(T, isSidechain=True)
    side.user("a sidechain among the main transcripts")
    side.write(main_of(projects, T))
    mixed = Writer(U)
    mixed.user("main")
    mixed.user("of a subagent, in the same file", isSidechain=True)
    mixed.answer(text("its answer"), isSidechain=True)
    mixed.answer(text("the main answer"), after=mixed.lines[0]["uuid"])
    mixed.write(main_of(projects, U))


def hostile(projects: Path) -> None:
    writer = Writer(S)
    writer.user("a\0b \u2028 \u2029 \x1b[31m \U0001f600 <b>", cost=1e23, zero=-0.0, big=2**80, small=5e-324)
    writer.answer(text('{"type":"tag","tag":"no"} \\ud83d'), deep={"type": "tag", "aaaaaaa": {"type": 1}})
    writer.note(uuid="no type")
    writer.note(type="tag", tag="x" * 70_000, sessionId=S)
    writer.note(type="tag", tag="real", sessionId=S)
    writer.user("last", timestamp=1767225600000)
    path = writer.write(main_of(projects))
    with path.open("ab") as file:
        file.write(b'\n  \n{"type":"user","uuid":"half \\ud83d","message":{"content":"\\ud83d"}}\n')
        file.write(b'not json\n{"type":"user","type":"system","uuid":"twice"}\r\n{"cut": ')
    empty = main_of(projects, T)
    empty.write_bytes(b"")
    alone = Writer(U)
    alone.note(type="queue-operation", operation="enqueue", sessionId=U, timestamp=alone.at(1))
    alone.write(main_of(projects, U))
    (projects / PROJECT / "not-a-uuid.jsonl").write_text('{"type":"user","uuid":"1"}\n')


def longer_than_the_readers_windows(projects: Path) -> None:
    writer = Writer(S)
    writer.user("<command-name>/model</command-name>")
    writer.user("the first prompt", isMeta=True)
    writer.user("the real one " + "x" * 300)
    for number in range(150):
        writer.answer(text(f"answer {number} " + "y" * 900))
        writer.user(f"question {number}", gitBranch=f"branch-{number}")
    writer.write(main_of(projects))


def two_projects_with_one_session(projects: Path) -> None:
    plain(projects)
    other = Writer(S)
    other.user("the same session in a worktree")
    other.answer(text("later"))
    other.write(projects / "-home-you-app--claude-worktrees-b" / f"{S}.jsonl")


def branched_with_every_line_twice(projects: Path) -> None:
    """As an agent wrote branches for some versions: each line with `forkedFrom`, and again without it."""
    lines = plain(projects).lines
    branch = Writer(T)
    copies = [{**line, "sessionId": T} for line in lines if "uuid" in line]
    branch.lines = [{**line, "forkedFrom": {"sessionId": S, "messageUuid": line["uuid"]}} for line in copies]
    branch.lines += copies
    branch.last = lines[-2]["uuid"]
    branch.user("another way")
    branch.write(main_of(projects, T))


def broken_chains(projects: Path) -> None:
    writer = Writer(S)
    writer.user("test 1")
    writer.answer(text("one"))
    writer.user("test 2", after=uuid(404))
    writer.answer(text("two"))
    writer.write(main_of(projects))
    circle = Writer(T)
    circle.user("round")
    circle.lines[0]["parentUuid"] = circle.answer(text("and round"))
    circle.user("alone")
    circle.lines[-1]["parentUuid"] = circle.last
    circle.write(main_of(projects, T))


def lines_of_another_session(projects: Path) -> None:
    """Two processes in one file, as a moved project had it; and a summary that is another session's."""
    writer = Writer(S)
    writer.user("mine")
    other = Writer(T)
    theirs = other.user("theirs")
    other.answer(text("to them"))
    writer.lines += other.lines
    writer.answer(text("to me"))
    writer.note(type="summary", summary="What they spoke of", leafUuid=theirs)
    writer.write(main_of(projects))
    alone = Writer(U)
    alone.note(type="queue-operation", operation="dequeue", sessionId=U, timestamp=alone.at(1))
    alone.note(type="summary", summary="Of a session that is gone", leafUuid=uuid(404))
    alone.write(main_of(projects, U))


def teams_and_progress(projects: Path) -> None:
    writer = Writer(S)
    writer.user("begin", teamName="red", agentName="lead")
    writer.user("the first prompt")
    writer.say(
        "progress", None, data={"type": "agent_progress", "message": {"type": "user", "uuid": uuid(7)}}
    )
    queued = {"type": "queued_command", "commandMode": "prompt", "prompt": "and quickly"}
    writer.say("attachment", None, attachment=queued)
    writer.answer(text("soon"), timestamp="2026-03-01T14:45:09.000+05:45")
    writer.say("system", None, subtype="turn_duration", durationMs=3)
    writer.user("<local-command-stdout>ok</local-command-stdout>", isMeta=True)
    writer.user("for the team only", teamName="red")
    writer.note(type="last-prompt", lastPrompt="the first prompt", sessionId=S)
    writer.write(main_of(projects))


def with_what_other_programs_leave(projects: Path) -> None:
    writer = plain(projects)
    path = main_of(projects)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    path.with_name(f".{S}.jsonl").write_text("an editor's\n")
    path.with_name(f"._{S}.jsonl").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    path.with_name("sessions-index.json").write_text("{}")
    main_of(projects, U).mkdir()
    writer.lines.insert(0, {"type": "queue-operation", "picture": "x" * 80_000})
    writer.write(main_of(projects, T))


TREES: Sequence[Callable[[Path], object]] = [
    plain,
    with_subagents,
    replayed,
    replayed_with_other_bodies,
    tagged,
    renamed,
    forked,
    compacted,
    parallel_tools,
    old_layout,
    hostile,
    longer_than_the_readers_windows,
    two_projects_with_one_session,
    branched_with_every_line_twice,
    broken_chains,
    lines_of_another_session,
    teams_and_progress,
    with_what_other_programs_leave,
]


def set_times(projects: Path) -> None:
    """Each file was written when its last line was said, as the agent leaves it."""
    for path in filter(Path.is_file, projects.rglob("*.jsonl")):
        found = [
            datetime.fromisoformat(line["timestamp"]).timestamp()
            for raw in path.read_bytes().split(b"\n")
            if b'"timestamp"' in raw
            and isinstance(line := json.loads(raw), dict)
            and isinstance(line["timestamp"], str)
        ]
        if found:
            os.utime(path, (max(found), max(found)))


def answers(monkeypatch: pytest.MonkeyPatch, config: Path, *, with_subagents: bool) -> dict[str, Any]:
    """Everything that the SDK's readers say about a configuration folder."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(config))
    listed, here = map(_told, (list_sessions(), list_sessions(directory=CWD)))
    found: dict[str, Any] = {"sessions": listed, "here": here}
    for session in {info.session_id for info in listed} | {S, T, U}:
        info = get_session_info(session)
        found[f"info {session}"] = info and _unsized(info)
        found[f"messages {session}"] = get_session_messages(session)
        found[f"some {session}"] = get_session_messages(session, limit=2, offset=1)
        if with_subagents:
            agents = found[f"subagents {session}"] = list_subagents(session)
            for agent in agents:
                found[f"messages {session} {agent}"] = get_subagent_messages(session, agent)
    return found


def _told(listed: Sequence[SDKSessionInfo]) -> list[SDKSessionInfo]:
    """In its order, but for sessions of the same millisecond, which come as the folder has them."""
    return sorted(map(_unsized, listed), key=lambda info: (-info.last_modified, info.session_id))


def _unsized(info: SDKSessionInfo) -> SDKSessionInfo:
    """Without the file's size: a character may have been an escape, and a line may have been broken."""
    return replace(info, file_size=None)


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.__name__)
def test_the_sdks_readers_answer_the_same_after_an_import_and_an_export(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: Callable[[Path], object]
) -> None:
    projects = tmp_path / "before" / "projects"
    (projects / PROJECT).mkdir(parents=True)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(projects.parent))
    tree(projects)
    set_times(projects)
    # Today's SDK looks where an export writes subagents' files, and not where older agents kept them.
    with_subagents = tree is not old_layout
    before = answers(monkeypatch, projects.parent, with_subagents=with_subagents)
    assert before["sessions"]
    import_tree(engine, projects)
    listed = queries.sessions(engine, conversations_only=True)
    assert {row.session_id for row in listed} == {info.session_id for info in before["sessions"]}
    assert queries.sessions(engine, conversations_only=True, limit=1) == listed[:1]
    shutil.rmtree(projects)
    export_tree(engine, tmp_path / "after" / "projects")
    assert answers(monkeypatch, tmp_path / "after", with_subagents=with_subagents) == before
    for session in {info.session_id for info in before["sessions"]}:
        if tree is not two_projects_with_one_session:
            ours = [message.entry.get("message") for message in queries.conversation(engine, session)]
            assert ours == [message.message for message in before[f"messages {session}"]]
