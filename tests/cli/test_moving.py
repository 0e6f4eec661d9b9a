"""import and export."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from boocode_sessions._core.statements.derived import lock_catching_up
from boocode_sessions.engine import create_engine
from boocode_sessions.models import SessionText
from tests.cli.conftest import Terminal
from tests.cli.test_documented import json_keys
from tests.fixtures.databases import Databases


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree as the agent writes it: one session with a subagent."""
    folder = tmp_path / "claude" / "projects" / "-work"
    main = [_line("u1", "Will it rain?"), {"type": "atis-latch", "sessionId": "aaaa"}]
    _write(folder / "aaaa.jsonl", main)
    _write(folder / "aaaa" / "subagents" / "agent-1.jsonl", [_line("u2", "A cloud")])
    return tmp_path / "claude" / "projects"


def test_import_takes_a_tree_in_once(terminal: Terminal, tree: Path) -> None:
    first = terminal.run("import", str(tree), "--json")
    assert first.status == 0
    assert set(first.json) == json_keys("import")
    assert (first.json["files"], first.json["added"]) == (2, 3)
    again = terminal.run("import", str(tree))
    assert again.status == 0
    assert "0 entries added, 3 stored before" in again.out


def test_after_an_import_nobody_waits_for_the_first_answer(terminal: Terminal, tree: Path) -> None:
    terminal.run("import", str(tree))
    engine = create_engine(terminal.env["BOOCODE_SESSIONS_URL"])
    with engine.connect() as connection:
        words = connection.scalars(select(SessionText.words)).all()
    engine.dispose()
    assert sorted("cloud" in text for text in words) == [False, True]


def test_an_import_tells_what_it_did_before_it_prepares(databases: Databases, tree: Path) -> None:
    database = databases.migrated("postgresql")
    engine = database.engine()
    with engine.begin() as other:  # takes lines, so that this one waits
        other.execute(lock_catching_up(None))
        program = Terminal(database).start("import", str(tree))
        assert program.stdout is not None
        assert "3 entries added" in program.stdout.readline()
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=30)
    engine.dispose()
    assert (program.returncode, errors) == (130, "")


def test_import_takes_the_agents_own_folder_by_default(terminal: Terminal, tree: Path) -> None:
    terminal.env["CLAUDE_CONFIG_DIR"] = str(tree.parent)
    assert terminal.run("import", "--json").json["added"] == 3


def test_a_broken_line_is_named_and_the_rest_goes_on(terminal: Terminal, tree: Path) -> None:
    file = tree / "-work" / "aaaa.jsonl"
    file.write_text('{"type": "user", "uuid"\n' + file.read_text())
    done = terminal.run("import", str(tree))
    assert done.status == 1
    assert f"skipped {file}:1: " in done.err
    assert "3 entries added, 0 stored before, 1 broken line skipped" in done.out


def test_a_damaged_line_a_stray_file_and_a_broken_line_are_told_apart(terminal: Terminal, tree: Path) -> None:
    file = tree / "-work" / "aaaa.jsonl"
    file.write_text("{}\n" + file.read_text().replace("\n", "", 1) + "no json\n")
    (tree / "stray\n.jsonl").write_text("{}\n")
    done = terminal.run("import", str(tree))
    assert done.status == 1
    assert "1 broken line skipped, 1 broken line repaired, 1 file left out" in done.out
    assert {line.split()[0] for line in done.err.splitlines()} == {"skipped", "repaired", "left"}
    assert len(done.err.splitlines()) == 3
    told = terminal.run("import", str(tree), "--json")
    assert (told.status, told.json["broken"], told.json["left_out"]) == (1, 2, 1)
    assert [line.startswith(f"{file}:") for line in told.json["first_broken"]] == [True, True]


def test_strict_stops_at_a_broken_line(terminal: Terminal, tree: Path) -> None:
    file = tree / "-work" / "aaaa.jsonl"
    file.write_text('{"type": "user", "uuid"\n')
    done = terminal.run("import", str(tree), "--strict")
    assert done.status == 2
    assert f"{file}:1" in done.err.splitlines()[-1]


def test_a_path_that_is_no_tree_is_one_line(terminal: Terminal, tmp_path: Path) -> None:
    for path in (tmp_path / "nosuch", Path(__file__).parent):
        done = terminal.run("import", str(path))
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert str(path) in done.err


def test_an_exported_tree_is_imported_again_as_it_was(demo_anywhere: Terminal, tmp_path: Path) -> None:
    done = demo_anywhere.run("export", str(tmp_path / "out"), "--json")
    assert done.status == 0
    assert set(done.json) == json_keys("export")
    assert (done.json["sessions"], done.json["files"], done.json["refused"]) == (3, 4, [])
    again = demo_anywhere.run("import", str(tmp_path / "out"), "--json").json
    assert (again["added"], again["skipped"]) == (0, done.json["entries"])


def test_export_takes_one_session_by_the_beginning_of_its_id(
    demo: Terminal, ids: list[str], tmp_path: Path
) -> None:
    assert demo.run("export", str(tmp_path / "out"), "--session", ids[1][:6]).status == 0
    assert [path.stem for path in (tmp_path / "out").rglob("*.jsonl")] == [ids[1]]


def test_export_leaves_files_alone_unless_told_otherwise(demo: Terminal, tmp_path: Path) -> None:
    demo.run("export", str(tmp_path / "out"))
    second = demo.run("export", str(tmp_path / "out"))
    assert second.status == 1
    assert second.err.count("not written: ") == 4
    assert demo.run("export", str(tmp_path / "out"), "--overwrite").status == 0


def _line(uuid: str, text: str) -> dict[str, Any]:
    return {"type": "user", "uuid": uuid, "sessionId": "aaaa", "message": {"role": "user", "content": text}}


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
