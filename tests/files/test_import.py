"""Import: everything once, whatever is there already and whatever the files hold."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from claude_agent_sdk import fold_session_summary, import_session_to_store
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, migrations, queries
from boocode_sessions.engine import create_engine
from boocode_sessions.errors import BrokenLineError, NotATranscriptTreeError
from boocode_sessions.jsonl import BrokenLine, Progress, export_tree, import_tree
from boocode_sessions.jsonl.folders import MAX_LINE_BYTES
from boocode_sessions.retention import erase
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.status import holdings
from tests.files.sample import (
    AGENT,
    JOURNAL,
    LATCH,
    MAIN,
    METADATA,
    PROJECT,
    SESSION,
    exactly,
    file_of,
    line,
    main_entries,
    message,
    rows,
    stored,
    write,
    write_tree,
)
from tests.fixtures.databases import Database, Databases


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "projects")


def test_every_line_of_a_tree_comes_back_exactly(engine: Engine, projects: Path) -> None:
    result = import_tree(engine, projects)
    assert (result.files, result.added, result.skipped, result.broken) == (3, 13, 0, 0)
    repository = ClaudeSessionRepository(engine)
    assert exactly(repository.load(MAIN)) == exactly(main_entries())
    metadata = {**METADATA, "type": "agent_metadata"}
    assert exactly(repository.load(AGENT)) == exactly([message(11, isSidechain=True), LATCH, metadata])
    assert repository.load(JOURNAL) == [{"type": "started"}, {"type": "result"}]
    assert len(stored(engine)) == 3


@pytest.mark.anyio
async def test_the_sdks_own_import_would_store_the_same(
    databases: Databases, dialect: str, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = (databases.migrated(dialect).engine() for _ in range(2))
    import_tree(ours, projects.parent)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(projects.parent))
    await import_session_to_store(SESSION, SQLAlchemySessionStore(theirs))
    assert stored(ours) == stored(theirs)
    assert len(stored(ours)) == 3
    ours.dispose()
    theirs.dispose()


def test_a_second_import_changes_nothing(engine: Engine, projects: Path) -> None:
    import_tree(engine, projects)
    before = rows(engine)
    again = import_tree(engine, projects)
    assert (again.added, again.skipped) == (0, 13)
    assert rows(engine) == before


def test_a_grown_file_adds_only_its_new_lines(engine: Engine, projects: Path) -> None:
    import_tree(engine, projects)
    grown = [*main_entries(), LATCH, message(4), LATCH]
    write(file_of(projects, MAIN), grown)
    assert import_tree(engine, projects).added == 3
    assert stored(engine)[PROJECT, SESSION, ""] == grown


def test_what_a_live_mirror_stored_is_not_added_again(engine: Engine, projects: Path) -> None:
    mirror = ClaudeSessionRepository(engine)
    missed = {"type": "api-request", "only": "on disk"}
    entries = main_entries()
    for start in range(0, len(entries), 3):
        mirror.append(MAIN, entries[start : start + 3])
    mirror.append(AGENT, [{"type": "agent_metadata", **METADATA}, message(11, isSidechain=True)])
    write(file_of(projects, MAIN), [missed, *entries, LATCH])
    result = import_tree(engine, projects)
    assert stored(engine)[PROJECT, SESSION, ""] == [*entries, missed, LATCH]
    assert stored(engine)[PROJECT, SESSION, AGENT["subpath"]][2:] == [LATCH]
    assert result.added == 2 + 1 + 2
    assert import_tree(engine, projects).added == 0


def test_what_another_program_stored_is_not_added_again(engine: Engine, projects: Path) -> None:
    with engine.begin() as connection:
        for entry in [LATCH, message(1, "find the bug"), message(2, "its own body")]:
            connection.execute(
                text(
                    "INSERT INTO claude_session_entries (project_key, session_id, subpath, entry) "
                    "VALUES (:project, :session, '', :entry)"
                ),
                {"project": PROJECT, "session": SESSION, "entry": json.dumps(entry)},
            )
    assert import_tree(engine, projects).added == 13 - 3
    main = stored(engine)[PROJECT, SESSION, ""]
    assert main[:3] == [LATCH, message(1, "find the bug"), message(2, "its own body")]
    assert main.count(LATCH) == 3
    assert import_tree(engine, projects).added == 0


def test_every_line_of_a_uuid_that_a_file_repeats_is_kept_in_its_place(
    engine: Engine, tmp_path: Path
) -> None:
    """Another body, or the same one replayed: the SDK's reader takes a uuid's last line, where it stands."""
    filler = [message(number) for number in range(100, 2200)]  # more than one transaction's
    lines = [
        message(1, "old"),
        message(2),
        message(2),
        *filler,
        message(1, "new"),
        message(2),
        message(1, "old"),
    ]
    write(file_of(tmp_path, MAIN), lines)
    assert import_tree(engine, tmp_path).added == len(lines)
    before = rows(engine)
    assert stored(engine)[PROJECT, SESSION, ""] == lines
    assert import_tree(engine, tmp_path).added == 0
    assert rows(engine) == before


def test_broken_lines_are_told_and_the_rest_goes_on(engine: Engine, projects: Path) -> None:
    path = file_of(projects, MAIN)
    secret = b"SECRET"
    broken = [
        (b'{"a": SECRET}\n', "it is not JSON"),
        (b'["SECRET"]\n', "it is JSON, but not an object"),
        (b'{"type": "\xff SECRET\n', "it is not UTF-8"),
        (b'{"type": NaN, "s": "SECRET"}\n', "it holds a number"),
        (b'{"type": ' + b"1" * 5000 + b"}\n", "it holds a number"),
        (b"[" * 5000 + b"\n", "nested too deeply"),
        (b'{"type": "user", "cut": "SECR', "it is not JSON; it is the file's last line"),
    ]
    path.write_bytes(
        b"\n" + line(message(1)) + b"".join(raw for raw, _ in broken[:-1]) + line(message(2)) + broken[-1][0]
    )
    told: list[BrokenLine] = []
    result = import_tree(engine, projects, on_broken=told.append)
    assert result.broken == len(broken)
    assert list(result.first_broken) == told
    assert [(item.path, item.line) for item in told] == [(path, number) for number in (3, 4, 5, 6, 7, 8, 10)]
    for item, (_, problem) in zip(told, broken, strict=True):
        assert problem in item.problem
        assert str(item).startswith(f"{path}:{item.line}: ")
        assert secret.decode() not in str(item)
    assert stored(engine)[PROJECT, SESSION, ""] == [message(1), message(2)]


def test_every_whole_record_of_a_damaged_line_comes_in(engine: Engine, projects: Path) -> None:
    entries = [message(number, sessionId=SESSION) for number in range(1, 5)]
    one, two, three, four = (line(entry).rstrip(b"\n") for entry in entries)
    path = file_of(projects, MAIN)
    path.write_bytes(
        one + two + b"\n" + b"\0" * 5000 + three + b"\n" + b'{"type": "us' + four + b"\n" + b"\0" * 9
    )
    result = import_tree(engine, projects)
    assert stored(engine)[PROJECT, SESSION, ""] == entries
    assert [(item.path, item.line, item.kept) for item in result.first_broken] == [
        (path, 1, 2),
        (path, 2, 1),
        (path, 3, 1),
        (path, 4, 0),
    ]
    assert import_tree(engine, projects).added == 0


def test_bytes_that_are_not_utf_8_cost_no_line(engine: Engine, projects: Path) -> None:
    """The agent reads each as �, and goes on."""
    path = file_of(projects, MAIN)
    one, two = message(1, "caf\u00e9 \U0001f600"), message(2, "whole")
    path.write_bytes(line(one).replace("é".encode(), b"\xe9").replace(b"\x9f\x98\x80", b"") + line(two))
    result = import_tree(engine, projects)
    assert stored(engine)[PROJECT, SESSION, ""] == [message(1, "caf\ufffd \ufffd"), two]
    problem = "it is not UTF-8 everywhere: what is not is kept as \ufffd"
    assert [(item.line, item.problem, item.kept) for item in result.first_broken] == [(1, problem, 1)]
    assert import_tree(engine, projects).added == 0


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_in_utf_16_is_told_once(engine: Engine, projects: Path, encoding: str) -> None:
    path = file_of(projects, MAIN)
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path.write_bytes((mark + b"".join(line(message(number)) for number in (1, 2)).decode()).encode(encoding))
    result = import_tree(engine, projects)
    assert [str(item) for item in result.first_broken] == [f"{path}: it is UTF-16; a transcript is UTF-8"]
    assert {subpath for _, _, subpath in stored(engine)} == {AGENT["subpath"], JOURNAL["subpath"]}


def _answer(number: int, **members: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    call = {"role": "assistant", "id": f"m{number}", "model": "opus", "content": "x", "usage": usage}
    return message(number, type="assistant", requestId=f"r{number}", **{"message": call, **members})


@pytest.mark.parametrize("changed", [{"slug": "again"}, {"uuid": None}])
def test_the_listing_counts_calls_once_that_a_file_repeats(
    engine: Engine, tmp_path: Path, changed: dict[str, Any]
) -> None:
    """As an agent wrote branches for some versions, and the history with each prompt that streamed in."""
    calls = [_answer(number) for number in range(2100)]  # more than one transaction's
    again = [{**call, **changed} for call in calls]
    path = file_of(tmp_path, MAIN)
    for lines in (calls, [*calls, *again], [*calls, *again, *again[:10], _answer(3000)]):
        write(path, lines)
        import_tree(engine, tmp_path)
        [session] = queries.sessions(engine)
        [usage] = queries.usage(engine, by=())
        assert session.tokens == 15 * usage.calls == 15 * (2100 + (len(lines) > 4200))
    assert import_tree(engine, tmp_path).added == 0


def test_a_broken_metadata_file_costs_only_itself(engine: Engine, projects: Path) -> None:
    file_of(projects, AGENT, ".meta.json").write_text("{")
    result = import_tree(engine, projects)
    assert [(item.path.name, item.line) for item in result.first_broken] == [("agent-a1.meta.json", None)]
    assert result.added == 12


def test_a_line_that_the_database_refuses_costs_only_itself(databases: Databases, projects: Path) -> None:
    engine = databases.migrated("postgresql").engine()
    with engine.begin() as connection:
        connection.execute(
            text(
                "ALTER TABLE claude_session_entries "
                "ADD CHECK (entry #>> '{message,content}' <> 'find the bug')"
            )
        )
    result = import_tree(engine, projects)
    engine.dispose()
    assert [(item.line, item.problem) for item in result.first_broken] == [
        (3, "the database refuses it (SQLSTATE 23514)")
    ]
    assert result.added == 12


def test_strict_stops_at_the_first_broken_line(engine: Engine, projects: Path) -> None:
    path = file_of(projects, MAIN)
    path.write_bytes(line(message(1)) + b"nothing\n" + line(message(2)))
    with pytest.raises(BrokenLineError, match=r"e901e\.jsonl:2: it is not JSON$"):
        import_tree(engine, projects, strict=True)


@pytest.mark.parametrize("workers", [1, 3])
def test_progress_ends_at_the_whole_tree(engine: Engine, projects: Path, workers: int) -> None:
    told: list[Progress] = []
    import_tree(engine, projects, workers=workers, progress=told.append)
    total = sum(file_of(projects, key).stat().st_size for key in (MAIN, AGENT, JOURNAL))
    total += file_of(projects, AGENT, ".meta.json").stat().st_size
    assert told[-1] == Progress(total, total, 3, 3, entries=13, skipped=0, broken=0)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (Path.exists, "does not exist"),
        (Path.touch, "is not a folder"),
        (Path.mkdir, "holds no transcripts"),
    ],
)
def test_a_path_that_is_no_tree_is_said_plainly(
    engine: Engine, tmp_path: Path, make: Callable[[Path], object], problem: str
) -> None:
    make(tmp_path / "there")
    with pytest.raises(NotATranscriptTreeError, match=f"there {problem}: give ~/.claude/projects"):
        import_tree(engine, tmp_path / "there")


def test_a_configuration_folder_its_projects_and_one_project_are_trees(
    engine: Engine, projects: Path
) -> None:
    write(projects.parent / "history.jsonl", [{"display": "no transcript"}])
    assert [import_tree(engine, path).files for path in (projects.parent, projects, projects / PROJECT)] == [
        3
    ] * 3
    assert len(stored(engine)) == 3


def test_a_name_that_is_no_key_is_told(engine: Engine, projects: Path) -> None:
    write(projects / os.fsdecode(b"\xff") / "s.jsonl", [message(1)])
    result = import_tree(engine, projects)
    assert result.added == 13
    assert "lone surrogate" in result.first_broken[0].problem


def test_the_listing_has_the_order_in_which_the_agent_wrote(engine: Engine, tmp_path: Path) -> None:
    sizes = [3000, 1, 1, 2500, *[1] * 40]
    for number, size in enumerate(sizes):
        path = write(tmp_path / PROJECT / f"s{number}.jsonl", [message(n) for n in range(size)])
        os.utime(path, (2_000_000_000 - number, 2_000_000_000 - number))
    import_tree(engine, tmp_path, workers=3)
    listing = ClaudeSessionRepository(engine).list_sessions(PROJECT)
    session_at = {row["mtime"]: row["session_id"] for row in listing}
    newest_first = [session_at[mtime] for mtime in sorted(session_at, reverse=True)]
    assert newest_first == [f"s{number}" for number in range(len(sizes))]


def test_an_import_of_a_file_that_grows_meanwhile_ends(engine: Engine, tmp_path: Path) -> None:
    path = write(tmp_path / PROJECT / "main.jsonl", [message(n) for n in range(5000)])
    calls = 0

    def grow(_: Progress) -> None:
        nonlocal calls
        calls += 1
        assert calls < 10
        with path.open("a") as file:
            file.writelines(f"{json.dumps(message(5000 * calls + n))}\n" for n in range(5000))

    assert import_tree(engine, tmp_path, progress=grow).added == 5000
    assert import_tree(engine, tmp_path).added == 5000 * calls


def test_the_summary_is_the_fold_of_the_transcript(engine: Engine, projects: Path) -> None:
    import_tree(engine, projects)
    repository = ClaudeSessionRepository(engine)
    [summary] = repository.list_session_summaries(PROJECT)
    expected = fold_session_summary(None, MAIN, cast("Any", repository.load(MAIN)))
    assert summary["data"] == expected["data"]
    assert summary["data"]["first_prompt"] == "find the bug"
    assert summary["mtime"] >= repository.list_sessions(PROJECT)[0]["mtime"]


def test_an_import_joins_the_callers_transaction(engine: Engine, projects: Path) -> None:
    with engine.connect() as connection:
        assert import_tree(connection, projects, workers=3).added == 13
        assert import_tree(connection, projects).added == 0
        connection.rollback()
    assert stored(engine) == {}


@pytest.mark.parametrize("schema", ["my Schema", "a%b", "%%(s)s", 'x"y:z'])
def test_an_import_finds_the_tables_in_their_schema(
    databases: Databases, projects: Path, schema: str
) -> None:
    database = databases.empty("postgresql")
    migrations.upgrade(database.url, schema=schema)
    engine = database.engine()
    assert import_tree(engine, projects, schema=schema).added == 13
    assert import_tree(engine, projects, schema=schema).added == 0
    assert len(ClaudeSessionRepository(engine, schema=schema).load(MAIN) or []) == 8
    engine.dispose()


@pytest.mark.parametrize(
    ("driver", "schema"), [("psycopg", "a%b"), ("psycopg", 'x"y:z'), ("psycopg2", "a%%b"), ("pg8000", "a%%b")]
)
def test_whatever_follows_an_import_finds_them_too(
    databases: Databases, projects: Path, tmp_path: Path, driver: str, schema: str
) -> None:
    database = databases.empty("postgresql")
    migrations.upgrade(database.url, schema=schema)
    engine = create_engine(database.url_over(driver))
    import_tree(engine, projects, schema=schema)
    assert queries.search(engine, "bug", schema=schema)
    assert queries.usage(engine, schema=schema) is not None
    assert queries.tools(engine, schema=schema) is not None
    assert holdings(engine, schema=schema).entries == 13
    assert export_tree(engine, tmp_path / "out", schema=schema).entries == 13
    assert erase(engine, MAIN, schema=schema) > 0
    assert ClaudeSessionRepository(engine, schema=schema).load(MAIN) is None
    engine.dispose()


def test_two_imports_at_once_store_one_tree(engine: Engine, tmp_path: Path) -> None:
    for number in range(4):
        entries = [entry for n in range(500) for entry in (message(n), LATCH)]
        write(tmp_path / PROJECT / f"s{number}.jsonl", entries)
    added: list[int] = []
    both = [
        threading.Thread(target=lambda: added.append(import_tree(engine, tmp_path, workers=2).added))
        for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert sum(added) == 4 * 1000
    assert {len(entries) for entries in stored(engine).values()} == {1000}


def test_an_error_in_one_file_stops_the_others(engine: Engine, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / PROJECT / f"s{number}.jsonl", [message(n) for n in range(4100)])
    threads = threading.active_count()
    told: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        told.append(progress)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        import_tree(engine, tmp_path, workers=3, progress=interrupt)
    assert len(told) <= 3
    assert threading.active_count() == threads
    assert sum(map(len, stored(engine).values())) <= 3 * 2000


KILLED = """
import os, sys
from boocode_sessions.engine import create_engine
from boocode_sessions.jsonl import import_tree
import_tree(create_engine(sys.argv[1]), sys.argv[2], progress=lambda at: os._exit(9))
"""


def test_an_import_that_was_killed_is_run_again(database: Database, tmp_path: Path) -> None:
    entries = [entry for number in range(2500) for entry in (LATCH, message(number))]
    write(file_of(tmp_path, MAIN), entries)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, database.url, str(tmp_path)], timeout=60, check=False
    )
    assert killed.returncode == 9
    engine = create_engine(database.url)
    part = stored(engine)[PROJECT, SESSION, ""]
    assert 0 < len(part) < len(entries)
    assert import_tree(engine, tmp_path).added == len(entries) - len(part)
    assert stored(engine)[PROJECT, SESSION, ""] == entries
    engine.dispose()


def test_a_line_without_end_costs_no_memory_and_stops_nothing(engine: Engine, tmp_path: Path) -> None:
    """As a crash or a full disk leaves a file: NULs instead of text, here more than an entry may have."""
    file = write(tmp_path / "p" / "s.jsonl", [message(1)])
    metadata = tmp_path / "p" / "s" / "subagents" / "agent-1.meta.json"
    write(metadata.with_name("agent-1.jsonl"), [message(2)])
    metadata.touch()
    os.truncate(metadata, MAX_LINE_BYTES)
    with file.open("r+b") as opened:
        opened.seek(MAX_LINE_BYTES + 1, os.SEEK_END)
        opened.write(b"\n" + line(message(3)))
    result = import_tree(engine, tmp_path, workers=1)
    assert (result.added, result.broken) == (3, 2)
    assert sorted(str(broken) for broken in result.first_broken) == [
        f"{file}:2: it is longer than 256 MB",
        f"{metadata}: it is longer than 256 MB",
    ]
    assert ClaudeSessionRepository(engine).load({"project_key": "p", "session_id": "s"}) == [
        message(1),
        message(3),
    ]


@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")
def test_a_file_of_the_systems_without_end_is_reported(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / "p" / "s.jsonl", [message(1)])
    (tmp_path / "p" / "endless.jsonl").symlink_to("/proc/self/pagemap")
    result = import_tree(engine, tmp_path)
    assert (result.added, result.broken) == (1, 1)
