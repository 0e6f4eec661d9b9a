"""`boocode-sessions check` finds what a session lacks, and takes in what the agent's own files have."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, insert, select, text

from boocode_sessions import (
    ClaudeSessionEntry,
    ClaudeSessionRepository,
    DatabaseError,
    SessionKey,
    UnavailableError,
    migrations,
)
from boocode_sessions.agents.integrity import Finding, check_session, find_missing
from boocode_sessions.agents.models import ClaudeAgentSession
from boocode_sessions.engine import create_engine
from boocode_sessions.jsonl import export_tree
from boocode_sessions.privacy import Encryption, generate_key
from tests.cli.conftest import Terminal
from tests.fixtures.databases import Database, on_sqlite

SESSION: SessionKey = {"project_key": "p", "session_id": "6f0c2f0e-5a39-4a4e-9a8c-0a4f5f1a0001"}


def line(kind: str, uuid: str, parent: str | None, *blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    message = {"role": kind, "content": list(blocks)}
    return {"type": kind, "uuid": uuid, "parentUuid": parent, "message": message, **more}


CALL = {"type": "tool_use", "id": "t", "name": "Agent", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "found"}
WHOLE = [
    line("user", "a", None, {"type": "text", "text": "Look."}),
    line("assistant", "b", "a", CALL),
    line("user", "c", "b", RESULT, toolUseResult={"agentId": "x"}),
    line("assistant", "d", "c", {"type": "text", "text": "Done."}),
]
SUBAGENT = [line("user", "s", None, {"type": "text", "text": "Look."}, isSidechain=True)]


@pytest.fixture
def repository(engine: Engine) -> ClaudeSessionRepository:
    made = ClaudeSessionRepository(engine)
    made.append(SESSION, WHOLE)
    made.append({**SESSION, "subpath": "subagents/agent-x"}, SUBAGENT)
    return made


@pytest.fixture
def files(engine: Engine, repository: ClaudeSessionRepository, tmp_path: Path) -> Path:  # noqa: ARG001 - it fills the database
    """The agent's own files of the whole session."""
    export_tree(engine, tmp_path / "projects")
    main = tmp_path / "projects" / "p" / f"{SESSION['session_id']}.jsonl"
    with main.open("a") as lines:
        lines.write('{"type": "cost-state", "totalCostUSD": 1}\n')
    return tmp_path / "projects"


def lose(engine: Engine, *uuids: str) -> None:
    """Remove entries, as a mirror that failed leaves them out."""
    with engine.begin() as connection:
        ids = [
            row.id
            for row in connection.execute(select(ClaudeSessionEntry.id, ClaudeSessionEntry.entry))
            if row.entry["uuid"] in uuids
        ]
        connection.execute(delete(ClaudeSessionEntry).where(ClaudeSessionEntry.id.in_(ids)))


def test_a_whole_session_lacks_nothing(engine: Engine, files: Path) -> None:
    report = check_session(engine, **_ids(), files=files)
    assert report.is_whole
    assert (report.entries, report.findings, report.in_files) == (5, [], 0)


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("lost", "found"),
    [
        ("b", [Finding("broken_chain", "", "c", "b")]),
        ("c", [Finding("broken_chain", "", "d", "c"), Finding("missing_result", "", "t", "t")]),
        ("s", [Finding("missing_subagent", "", "x", "subagents/agent-x")]),
    ],
)
def test_what_is_missing_is_named(engine: Engine, lost: str, found: list[Finding]) -> None:
    lose(engine, lost)
    report = check_session(engine, **_ids())
    assert report.findings == found
    assert not report.is_whole


def test_a_call_that_is_still_at_work_lacks_nothing() -> None:
    assert list(find_missing("", WHOLE[:2], ["subagents/agent-x"])) == []


@pytest.mark.parametrize("value", [None, [], ["a"], {}, {"a": 1}, 5, True])
@pytest.mark.parametrize("member", ["type", "uuid", "parentUuid", "message", "toolUseResult"])
def test_a_member_of_another_shape_stops_no_check(member: str, value: object) -> None:
    assert list(find_missing("", [*WHOLE, {"type": "user", "uuid": "e", member: value}], ["agent-x"])) == []


def test_a_repair_takes_in_each_line_once_and_a_look_takes_in_none(engine: Engine, files: Path) -> None:
    lose(engine, "b", "c", "s")
    looked = check_session(engine, **_ids(), files=files)
    assert (looked.in_files, looked.repaired, looked.is_whole, looked.entries) == (3, False, False, 2)
    repaired = check_session(engine, **_ids(), files=files, repair=True)
    assert (repaired.in_files, repaired.repaired, repaired.is_whole, repaired.entries) == (3, True, True, 5)
    again = check_session(engine, **_ids(), files=files, repair=True)
    assert (again.in_files, again.entries) == (0, 5)


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("translated", [False, True])
def test_a_repair_notes_that_the_chat_is_whole_wherever_its_table_is(
    engine: Engine, files: Path, *, translated: bool
) -> None:
    migrations.upgrade(engine, schema="elsewhere")
    there = engine.execution_options(schema_translate_map={None: "elsewhere"})
    now = func.now()
    chat = {"chat_id": "c", "agent": "a", "created_at": now, "updated_at": now, "incomplete": True}
    with there.begin() as connection:
        connection.execute(insert(ClaudeAgentSession).values(**_ids(), **chat))
    more: dict[str, Any] = {} if translated else {"schema": "elsewhere"}
    assert check_session(there if translated else engine, **_ids(), files=files, repair=True, **more).repaired
    with there.connect() as connection:
        assert connection.scalar(select(ClaudeAgentSession.incomplete)) is False


def test_the_command_refuses_files_that_are_not_there(database: Database, tmp_path: Path) -> None:
    done = Terminal(database).run("check", "--files", str(tmp_path / "projcts"))
    assert done.status == 2
    assert "does not exist" in done.err


def test_the_command_names_what_is_missing_and_repairs_it(
    engine: Engine, files: Path, database: Database
) -> None:
    lose(engine, "c")
    terminal = Terminal(database)
    done = terminal.run("check", "6f0c", "--files", str(files))
    assert done.status == 1
    assert "entry d follows c, which is not there" in done.err
    assert "1 line only in the agent's own files" in done.err
    assert "1 session checked, 1 not whole" in done.out
    done = terminal.run("check", "--files", str(files), "--repair")
    assert (done.status, "1 line taken in from the agent's own files" in done.err) == (0, True)
    (report,) = terminal.run("check", "--files", str(files), "--json").json
    assert (report["whole"], report["in_files"], report["findings"]) == (True, 0, [])


@pytest.mark.parametrize("stored", ["tenant:acme/p", "users/ada/p", "ada"])
def test_the_files_of_a_scoped_and_encrypted_session_are_found(
    engine: Engine, files: Path, database: Database, stored: str
) -> None:
    """The folder has the SDK's own key as its name. What is taken in is encrypted as the rest is."""
    key = generate_key()
    scoped: SessionKey = {**SESSION, "project_key": stored}
    inside = ClaudeSessionRepository(engine, encryption=Encryption([key]))
    inside.append(scoped, WHOLE[:3])
    terminal = Terminal(database)
    terminal.env["BOOCODE_SESSIONS_KEYS"] = key
    command = ("check", SESSION["session_id"], "--project", stored, "--files", str(files))
    assert "2 lines only in the agent's own files" in terminal.run(*command).err
    done = terminal.run(*command, "--repair")
    assert (done.status, "2 lines taken in from the agent's own files" in done.err) == (0, True)
    assert inside.load(scoped) == WHOLE
    assert inside.load({**scoped, "subpath": "subagents/agent-x"}) == SUBAGENT


def test_the_folder_of_another_project_is_not_taken(engine: Engine, files: Path) -> None:
    """A session that was resumed in another folder has files there, too: they hold what it was there."""
    report = check_session(engine, "-srv-other", SESSION["session_id"], files=files)
    assert report.in_files is None


def _ids() -> dict[str, Any]:
    return {"project_key": SESSION["project_key"], "session_id": SESSION["session_id"]}


@on_sqlite
def test_what_the_database_refuses_is_an_error_of_ours(engine: Engine, files: Path) -> None:
    unreachable = create_engine("postgresql+psycopg://127.0.0.1:1/none")
    with pytest.raises(UnavailableError):
        check_session(unreachable, **_ids(), files=files)
    now = func.now()
    chat = {"chat_id": "c", "agent": "a", "created_at": now, "updated_at": now, "incomplete": True}
    refuse = "BEFORE UPDATE ON claude_agent_sessions BEGIN SELECT RAISE(FAIL, 'no'); END"
    with engine.begin() as connection:
        connection.execute(insert(ClaudeAgentSession).values(**_ids(), **chat))
        connection.execute(text(f"CREATE TRIGGER refuse {refuse}"))
    with pytest.raises(DatabaseError):
        check_session(engine, **_ids(), files=files, repair=True)
