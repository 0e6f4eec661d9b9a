"""show, tail and shell."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.cli.screen import clean
from tests.cli.conftest import Terminal, program_environment
from tests.cli.test_documented import json_keys

PROJECT = "-home-you-weather"


def test_show_reads_the_newest_session(demo_anywhere: Terminal) -> None:
    shown = demo_anywhere.run("show")
    assert shown.status == 0
    for said in ("Which stations missed the storm", "● Agent Look for gaps", "Porto needs a new battery."):
        assert said in shown.out
    assert "--subpath: subagents/agent-logs" in shown.err


def test_show_takes_the_beginning_of_an_id(demo: Terminal, ids: list[str]) -> None:
    assert demo.run("show", ids[2][:6]).out == demo.run("show", ids[2]).out
    assert "Lisbon" in demo.run("show", ids[2][:6]).out


def test_an_unknown_and_an_ambiguous_id_say_what_to_do(demo: Terminal) -> None:
    _append(demo, "abc-1", "one")
    _append(demo, "abc-2", "two")
    for meant in ("nosuch", "abc-"):
        done = demo.run("show", meant)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert meant in done.err
    assert "give more of it: abc-1 in p, abc-2 in p\n" in done.err
    assert demo.run("show", "abc-1").status == 0


def test_show_of_a_subagent_takes_a_part_of_its_subpath(demo: Terminal, ids: list[str]) -> None:
    assert "Faro of ten minutes" in demo.run("show", ids[0], "--subpath", "logs").out
    wrong = demo.run("show", ids[0], "--subpath", "nosuch")
    assert wrong.status == 2
    assert "there: subagents/agent-logs" in wrong.err


def test_show_as_jsonl_gives_the_stored_lines(demo_anywhere: Terminal) -> None:
    newest = demo_anywhere.run("list", "--json").json[0]["session_id"]
    engine = demo_anywhere.database.engine()
    stored = ClaudeSessionRepository(engine).load({"project_key": PROJECT, "session_id": newest})
    engine.dispose()
    lines = demo_anywhere.run("show", newest, "--format", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == stored


def test_show_as_markdown_keeps_code_inside_its_fence(demo: Terminal) -> None:
    _append(demo, "fences", "see", result="```python\nx = 1\n```")
    out = demo.run("show", "fences", "--format", "markdown").out
    assert out.startswith("# Session fences\n\n## You")
    assert "````\n```python\nx = 1\n```\n````\n" in out


def test_show_as_html_gives_one_page_with_the_subagents_inside(demo: Terminal) -> None:
    page = demo.run("show", "--format", "html").out
    assert page.startswith("<!doctype html>")
    for said in (
        "Which stations missed the storm",
        "subagents/agent-logs",
        "<b>Agent</b>",
        "Faro of ten minutes",
    ):
        assert said in page
    assert "Lisbon" not in page


def test_export_as_html_writes_a_site(demo: Terminal, tmp_path: Path) -> None:
    for written in (3, 0):
        done = demo.run("export", "--format", "html", "--json", str(tmp_path / "site"))
        assert {name: done.json[name] for name in ("sessions", "written", "removed")} == {
            "sessions": 3,
            "written": written,
            "removed": 0,
        }
    assert "3 sessions, 0 pages written" in demo.run("export", "-f", "html", str(tmp_path / "site")).out
    assert (tmp_path / "site" / "index.html").exists()


def test_what_a_tool_printed_cannot_steer_the_terminal(demo: Terminal) -> None:
    _append(demo, "bells", "\x1b]0;owned\x07 \x9b31m \u202e half \ud83d", result="\x1b[2J\x00")
    for form in ("text", "markdown"):
        out = demo.program("show", "bells", "--format", form)
        assert (out.status, out.err) == (0, "")
        assert not set(out.out) & {"\x1b", "\x07", "\x9b", "\x00", "\u202e"}
        assert "owned" in out.out
    exact = json.loads(demo.program("show", "bells", "--format", "jsonl").out.splitlines()[0])
    assert exact["message"]["content"].startswith("\x1b]0;owned\x07")


def test_clean_leaves_text_as_it_is() -> None:
    assert clean("a\tb\nc é 漢字 🙂") == "a\tb\nc é 漢字 🙂"


def test_show_all_shows_thinking_and_whole_results(demo: Terminal) -> None:
    _append(demo, "long", "go", result="\n".join(f"line {n}" for n in range(30)), thinking="hm, let me see")
    short, long = demo.run("show", "long").out, demo.run("show", "long", "--all").out
    assert "line 29" not in short
    assert "22 more lines" in short
    assert "hm, let me see" not in short
    assert "line 29" in long
    assert "hm, let me see" in long


def test_tail_shows_the_last_entries_and_then_each_new_one_once(demo: Terminal) -> None:
    _append(demo, "live", "first")
    program = demo.start("tail", "live", "--json", "--lines", "1", "--poll", "0.05")
    assert program.stdout is not None
    assert _said(program.stdout.readline()) == "first"
    for number in range(20):
        _append(demo, "live", f"live {number}", subpath="subagents/agent-1" if number % 3 == 0 else None)
    seen = [json.loads(program.stdout.readline()) for _ in range(20)]
    program.send_signal(signal.SIGINT)
    rest, err = program.communicate(timeout=30)
    assert [line["entry"]["message"]["content"] for line in seen] == [
        f"live {number}" for number in range(20)
    ]
    assert {line["subpath"] for line in seen} == {"", "subagents/agent-1"}
    assert set(seen[0]) == json_keys("tail")
    assert (rest, program.returncode) == ("", 0)
    assert err.count("\n") == 1


def test_tail_of_the_main_transcript_leaves_subagents_out(demo: Terminal) -> None:
    _append(demo, "live", "inner", subpath="subagents/agent-1")
    _append(demo, "live", "outer")
    program = demo.start("tail", "live", "--main", "--poll", "0.05")
    assert program.stdout is not None
    lines = [program.stdout.readline() for _ in range(3)]
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=30)
    assert "outer" in "".join(lines)
    assert "inner" not in "".join(lines)


@pytest.mark.parametrize("prompt", ["IPython", "plain"])
def test_the_shell_answers_with_everything_at_hand(
    demo_anywhere: Terminal, prompt: str, tmp_path: Path
) -> None:
    if prompt == "IPython":
        pytest.importorskip("IPython")
    done = _shell(
        demo_anywhere,
        tmp_path,
        "print(len(sessions(db)), len(db.scalars(select(ClaudeSessionEntry)).all()) > 20)",
        f"print(len(repo.list_sessions({PROJECT!r})))",
        without_ipython=prompt == "plain",
    )
    assert done.returncode == 0, done.stderr
    assert "3 True" in done.stdout
    banner = done.stderr if prompt == "plain" else done.stdout.partition("In [")[0]
    assert len(banner.strip().splitlines()) == 3
    assert "search(db," in banner


def test_the_shell_only_reads_unless_asked_otherwise(demo_anywhere: Terminal, tmp_path: Path) -> None:
    change = (
        "from sqlalchemy import delete",
        "db.execute(delete(ClaudeSessionEntry)); db.commit()",
        "print('left', db.scalar(select(func.count()).select_from(ClaudeSessionEntry)) > 0)",
    )
    reading = _shell(demo_anywhere, tmp_path, *change, without_ipython=True)
    assert "left True" in reading.stdout
    assert "only" in reading.stderr  # read-only, or readonly
    writing = _shell(demo_anywhere, tmp_path, *change, without_ipython=True, options=("--write",))
    assert "left False" in writing.stdout


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_the_shell_that_writes_loses_a_transaction_left_idle_and_goes_on(
    terminal: Terminal, tmp_path: Path
) -> None:
    show = "print('limit', db.scalar(select(func.current_setting('idle_in_transaction_session_timeout'))))"
    assert "limit 30s" in _shell(terminal, tmp_path, show, without_ipython=True, options=("--write",)).stdout
    joined = "&" if "?" in terminal.env["BOOCODE_SESSIONS_URL"] else "?"
    terminal.env["BOOCODE_SESSIONS_URL"] += (
        f"{joined}options=-c%20idle_in_transaction_session_timeout%3D200ms"
    )
    lines = (
        "import time",
        "db.add(ClaudeSessionEntry(project_key='p', session_id='s', entry={'type': 'user'})); db.flush()",
        "time.sleep(1)",
        "db.commit()",
        "db.rollback()",
        "print('entries', db.scalar(select(func.count()).select_from(ClaudeSessionEntry)))",
    )
    left = _shell(terminal, tmp_path, *lines, without_ipython=True, options=("--write",))
    assert "idle-in-transaction timeout" in left.stderr
    assert "entries 0" in left.stdout


def test_the_shell_sees_what_is_written_meanwhile_and_blocks_nobody(demo: Terminal, tmp_path: Path) -> None:
    write = ("repo.append({'project_key': 'p', 'session_id': 's'}, [{'type': 'user', 'uuid': 'u'}])",)
    count = "print('entries', db.scalar(select(func.count()).select_from(ClaudeSessionEntry)))"
    done = _shell(demo, tmp_path, count, *write, count, without_ipython=True)
    first, second = (int(line.split()[-1]) for line in done.stdout.splitlines() if "entries" in line)
    assert second == first + 1


def _shell(
    terminal: Terminal,
    folder: Path,
    *lines: str,
    without_ipython: bool,
    options: tuple[str, ...] = (),
) -> "subprocess.CompletedProcess[str]":
    hide = "import sys; sys.path_importer_cache.clear(); import importlib.util as u; find = u.find_spec\n"
    hide += "u.find_spec = lambda name, *rest: None if name == 'IPython' else find(name, *rest)\n"
    code = (hide if without_ipython else "") + (
        f"import sys; sys.argv = ['boocode-sessions', 'shell', *{options!r}]\n"
        "from boocode_sessions.cli import main\nmain()"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env=program_environment({**terminal.env, "HOME": str(folder), "IPYTHONDIR": str(folder)}),
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _append(
    terminal: Terminal,
    session_id: str,
    text: str,
    *,
    subpath: str | None = None,
    result: str | None = None,
    thinking: str | None = None,
) -> None:
    def entry(kind: str, content: object, parent: str | None) -> dict[str, Any]:
        return {
            "type": kind,
            "uuid": f"{session_id}-{text}-{len(entries)}",
            "parentUuid": parent,
            "isSidechain": False,
            "sessionId": session_id,
            "timestamp": f"2026-11-22T18:00:0{len(entries)}.000Z",
            "message": {"role": kind, "content": content},
        }

    entries: list[Any] = []
    entries.append(entry("user", text, None))
    if thinking is not None:
        thought = [{"type": "thinking", "thinking": thinking}]
        entries.append(entry("assistant", thought, entries[-1]["uuid"]))
    if result is not None:
        call = [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "cat x"}}]
        entries.append(entry("assistant", call, entries[-1]["uuid"]))
        answer = [{"type": "tool_result", "tool_use_id": "t1", "content": result}]
        entries.append(entry("user", answer, entries[-1]["uuid"]))
    engine = terminal.database.engine()
    key: Any = {"project_key": "p", "session_id": session_id}
    ClaudeSessionRepository(engine).append(key | ({"subpath": subpath} if subpath else {}), entries)
    engine.dispose()


def _said(line: str) -> str:
    return str(json.loads(line)["entry"]["message"]["content"])
