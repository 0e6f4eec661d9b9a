"""Export: the agent's own layout, whole files, nothing outside the destination."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from claude_agent_sdk import (
    get_session_messages,
    get_session_messages_from_store,
    list_sessions,
    list_sessions_from_store,
)
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions.errors import DamagedEntryError
from boocode_sessions.jsonl import Progress, export_tree, import_tree
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.files.sample import (
    AGENT,
    LATCH,
    MAIN,
    METADATA,
    PROJECT,
    SESSION,
    exactly,
    file_of,
    message,
    rows,
    stored,
    write_tree,
)
from tests.fixtures.databases import Databases


@pytest.fixture
def filled(engine: Engine, tmp_path: Path) -> Engine:
    """An engine over a database that holds the sample tree, and another session."""
    import_tree(engine, write_tree(tmp_path / "from"))
    ClaudeSessionRepository(engine).append({"project_key": "p2", "session_id": "s2"}, [message(1)])
    return engine


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_exported_tree_is_the_imported_one(filled: Engine, tmp_path: Path) -> None:
    result = export_tree(filled, tmp_path / "to")
    assert (result.sessions, result.files, result.entries, result.refused) == (2, 5, 14, [])
    source, target = tmp_path / "from", tmp_path / "to"
    assert files_below(target) == {
        *(name for name in files_below(source) if "tool-results" not in name),
        "p2/s2.jsonl",
    }
    for name in files_below(target) - {"p2/s2.jsonl"}:
        written, original = ((folder / name).read_text() for folder in (target, source))
        if name.endswith(".jsonl"):
            assert exactly(map(json.loads, written.splitlines())) == exactly(
                map(json.loads, original.splitlines())
            )
        else:
            assert json.loads(written) == METADATA
    assert result.bytes == sum((target / name).stat().st_size for name in files_below(target))


def test_lines_are_written_as_the_agent_writes_them(filled: Engine, tmp_path: Path) -> None:
    export_tree(filled, tmp_path / "to")
    lines = file_of(tmp_path / "to", MAIN).read_bytes().splitlines()
    assert b'"h\xc3\xa4llo"' in lines[0]
    assert b"a\\u0000b \\\\u0000" in lines[4]
    assert b"half \\ud83d" in lines[5]
    assert b": " not in lines[1]


def test_importing_an_export_changes_nothing(filled: Engine, tmp_path: Path) -> None:
    export_tree(filled, tmp_path / "to")
    before = rows(filled)
    result = import_tree(filled, tmp_path / "to")
    assert (result.added, result.skipped) == (0, 14)
    assert rows(filled) == before


def test_an_export_makes_the_same_store_elsewhere(
    filled: Engine, databases: Databases, dialect: str, tmp_path: Path
) -> None:
    export_tree(filled, tmp_path / "to")
    elsewhere = databases.migrated(dialect).engine()
    import_tree(elsewhere, tmp_path / "to")
    assert stored(elsewhere) == stored(filled)
    elsewhere.dispose()


@pytest.mark.anyio
async def test_the_sdk_reads_from_the_files_what_it_reads_from_the_store(
    filled: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_tree(filled, tmp_path / "config" / "projects")
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "config"))
    store = SQLAlchemySessionStore(filled)
    [here] = [info for info in list_sessions() if info.session_id == SESSION]
    from_store = await get_session_messages_from_store(store, SESSION, directory="/home/someone/project")
    assert from_store
    assert get_session_messages(SESSION) == from_store
    [there] = await list_sessions_from_store(store, directory="/home/someone/project")
    assert (here.summary, here.first_prompt) == (there.summary, there.first_prompt)
    # A file has the time of what was said, which an import does not change; the store has that of the import.
    assert here.last_modified < there.last_modified


def test_the_last_metadata_entry_becomes_the_metadata_file(engine: Engine, tmp_path: Path) -> None:
    states = [{"type": "agent_metadata", "state": state} for state in ("begun", "finished")]
    only: SessionKey = {**MAIN, "subpath": "subagents/agent-only"}
    ClaudeSessionRepository(engine).append(AGENT, [states[0], LATCH, states[1]])
    ClaudeSessionRepository(engine).append(only, states)
    assert export_tree(engine, tmp_path).files == 3
    assert json.loads(file_of(tmp_path, AGENT, ".meta.json").read_text()) == {"state": "finished"}
    assert file_of(tmp_path, AGENT).read_text().count("\n") == 1
    assert not file_of(tmp_path, only).exists()
    assert file_of(tmp_path, only, ".meta.json").exists()


def test_one_project_and_one_session_can_be_exported(filled: Engine, tmp_path: Path) -> None:
    export_tree(filled, tmp_path / "project", project_key="p2")
    assert files_below(tmp_path / "project") == {"p2/s2.jsonl"}
    export_tree(filled, tmp_path / "session", session_id=SESSION)
    assert {name.split("/")[0] for name in files_below(tmp_path / "session")} == {PROJECT}
    assert export_tree(filled, tmp_path / "none", session_id="unknown").sessions == 0


def test_sessions_of_other_programs_are_exported(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO claude_session_entries (project_key, session_id, subpath, entry) "
                "VALUES ('p', 's', '', :entry)"
            ),
            {"entry": json.dumps(LATCH)},
        )
    assert export_tree(engine, tmp_path).entries == 1
    assert json.loads((tmp_path / "p" / "s.jsonl").read_text()) == LATCH


NO_FILE_NAMES: list[SessionKey] = [
    {"project_key": "..", "session_id": "s"},
    {"project_key": "p", "session_id": "../s"},
    {"project_key": "/etc", "session_id": "s"},
    {"project_key": "p", "session_id": ".", "subpath": "x"},
    {"project_key": "p", "session_id": "s", "subpath": "a/../../../x"},
    {"project_key": "p", "session_id": "s", "subpath": "/etc/x"},
    {"project_key": "p", "session_id": "s", "subpath": "a//x"},
    {"project_key": "p", "session_id": "s", "subpath": "..\\..\\x"},
    {"project_key": "C:p", "session_id": "s"},
    {"project_key": "p\n", "session_id": "s"},
    {"project_key": "p" * 300, "session_id": "s"},
    {"project_key": "link", "session_id": "s"},
    {"project_key": "link", "session_id": "s", "subpath": "deep/er"},
]


def test_a_key_that_is_no_file_name_is_refused(filled: Engine, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "to"
    target.mkdir(parents=True)
    (target / "link").symlink_to(tmp_path / "from")
    before = files_below(tmp_path)
    for key in NO_FILE_NAMES:
        ClaudeSessionRepository(filled).append(key, [LATCH])
    result = export_tree(filled, target)
    refused = [refused.key for refused in result.refused]
    assert sorted(map(str, refused)) == sorted(map(str, NO_FILE_NAMES))
    assert result.entries == 14
    outside = {name for name in files_below(tmp_path) if not name.startswith("deep/to/")}
    assert outside == {name for name in before if not name.startswith("deep/to/")}


def test_a_folder_and_a_file_of_one_name_are_told(engine: Engine, tmp_path: Path) -> None:
    repository = ClaudeSessionRepository(engine)
    repository.append({"project_key": "p", "session_id": "s"}, [LATCH])
    repository.append({"project_key": "p", "session_id": "s.jsonl", "subpath": "x"}, [LATCH])
    result = export_tree(engine, tmp_path, workers=1)
    assert [refused.key["session_id"] for refused in result.refused] == ["s.jsonl"]
    assert files_below(tmp_path) == {"p/s.jsonl"}


def test_a_file_that_is_there_stays_unless_it_may_be_overwritten(filled: Engine, tmp_path: Path) -> None:
    mine = tmp_path / "p2" / "s2.jsonl"
    mine.parent.mkdir()
    mine.write_text("mine")
    result = export_tree(filled, tmp_path)
    assert [refused.reason for refused in result.refused] == [f"{mine} exists already"]
    assert (mine.read_text(), result.entries) == ("mine", 13)
    assert not export_tree(filled, tmp_path, overwrite=True).refused
    assert json.loads(mine.read_text()) == message(1)


def test_a_transcript_that_can_not_be_read_leaves_no_part_of_a_file(filled: Engine, tmp_path: Path) -> None:
    with filled.begin() as connection:
        connection.execute(
            text("UPDATE claude_session_entries SET verbatim = '{' WHERE project_key = 'p2'"),
        )
    (tmp_path / "p2").mkdir()
    with pytest.raises(DamagedEntryError):
        export_tree(filled, tmp_path, project_key="p2")
    assert files_below(tmp_path / "p2") == set()


def test_files_have_the_time_when_their_last_line_was_said(filled: Engine, tmp_path: Path) -> None:
    timeless: SessionKey = {"project_key": "p3", "session_id": "s3"}
    ClaudeSessionRepository(filled).append(timeless, [{"type": "user", "timestamp": "yesterday"}])
    export_tree(filled, tmp_path)
    said = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert file_of(tmp_path, MAIN).stat().st_mtime == said
    assert file_of(tmp_path, AGENT, ".meta.json").stat().st_mtime == said
    [listed] = ClaudeSessionRepository(filled).list_sessions("p3")
    assert abs(file_of(tmp_path, timeless).stat().st_mtime * 1000 - listed["mtime"]) < 2000


def test_only_the_owner_can_read_the_files(filled: Engine, tmp_path: Path) -> None:
    export_tree(filled, tmp_path)
    assert (tmp_path / "p2" / "s2.jsonl").stat().st_mode & 0o777 == 0o600


def test_progress_counts_sessions(filled: Engine, tmp_path: Path) -> None:
    told: list[Progress] = []
    result = export_tree(filled, tmp_path, progress=told.append)
    assert told[-1] == Progress(result.bytes, 0, 2, 2, entries=14, skipped=0, broken=0)
