"""Every command into a pipe: whole lines, no blanks at their ends, laid out for no terminal's width."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boocode_sessions import ClaudeSessionRepository
from tests.cli.conftest import NAMES_AS_WRITTEN, Terminal, program_environment
from tests.cli.test_documented import COMMANDS

TITLE = ("Title of many words " * 1000).strip()
LONG = "<b>" + "x" * 125_000 + " end"
HOSTILE = "-home-\x1b]0;owned\x07\n\u202eyou"


@pytest.fixture
def full(demo: Terminal) -> Terminal:
    """Over sessions with all that used to be padded, cut or obeyed."""
    engine = demo.database.engine()
    repository = ClaudeSessionRepository(engine)
    for number in range(20):
        key: Any = {"project_key": "p", "session_id": f"s{number:02}"}
        repository.append(
            key,
            [
                _said("user", f"hello {number}", number),
                {"type": "custom-title", "customTitle": f"Title {number}"},
            ],
        )
    repository.append(
        {"project_key": "p", "session_id": "long"},
        [_said("user", "go", 1), _said("assistant", LONG, 2), {"type": "custom-title", "customTitle": TITLE}],
    )
    repository.append({"project_key": HOSTILE, "session_id": "hostile"}, [_said("user", "umbrella", 1)])
    repository.append(
        {"project_key": "p", "session_id": "orphan", "subpath": "subagents/agent-1"},
        [_said("user", "inner", 1)],
    )
    engine.dispose()
    return demo


def _said(kind: str, text: str, number: int) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"u{number}",
        "parentUuid": f"u{number - 1}",
        "timestamp": f"2026-11-22T18:00:{number:02}.000Z",
        "message": {
            "role": kind,
            "id": f"m{number}",
            "model": "claude-opus-5-5",
            "content": text,
            "usage": {"input_tokens": 525_333_312, "output_tokens": 1},
        },
    }


RUNS = [
    "list",
    "list --limit 0",
    "list --json",
    "search umbrella",
    "search nosuchword",
    "usage",
    "usage --by session --by project",
    "tools",
    "show",
    "show long",
    "show long --all",
    "show long --format markdown",
    "show hostile",
    "show orphan",
    "status",
    "export OUT",
    "import TREE",
    "prune --inactive-for 1s --dry-run",
    "prune --inactive-for 1s --keep 99 --yes",
    "hold long",
    "release long",
    "delete s01 --yes",
    "backfill",
    "check",
    "check long",
    "backfill --json",
    "upgrade",
    "upgrade --sql",
    "demo FILE",
    "adopt",
    "host-revision",
    "generate-key",
    "reencrypt",
    "distribute",
    "nosuch",
    "list --nosuch",
    "--help",
    "usage --help",
    "prune --help",
]
LONGEST = {
    "list": 20_500,
    "list --limit 0": 20_500,
    "list --json": 20_500,
    "show long": 125_100,
    "show long --all": 125_100,
    "show long --format markdown": 125_100,
    "import TREE": 600,
    "demo FILE": 600,
    "export OUT": 600,
}


@pytest.mark.parametrize("run", RUNS)
def test_into_a_pipe_no_line_is_laid_out(
    full: Terminal, tmp_path: Path, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "s.jsonl").write_text('{"type": "user", "uuid": "u"}\nno json\n')
    places = {"OUT": tmp_path / "out", "TREE": tmp_path, "FILE": tmp_path / "demo.db"}
    arguments = [str(places.get(word, word)) for word in shlex.split(run)]
    full.env |= {"COLUMNS": "60", "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = full.run(*arguments)
    assert done.out or done.err
    for line in (done.out + done.err).split("\n"):
        assert line == line.rstrip(), run
        assert len(line) <= LONGEST.get(run, 400), run
        assert " " * 40 not in line
    assert not set(done.out + done.err) & {"\x1b", "\x07", "\u202e"}
    if arguments[0] in {"list", "usage", "tools", "show"} and "--help" not in arguments:
        full.env["COLUMNS"] = "200"
        assert full.run(*arguments).out == done.out


@pytest.mark.parametrize("columns", ["20", "40", "60"])
def test_no_line_of_any_help_ends_in_blanks(columns: str, demo: Terminal) -> None:
    demo.env["COLUMNS"] = columns
    for command in COMMANDS:
        for line in demo.run(*command.split(), "--help").out.split("\n"):
            assert line == line.rstrip(), command


def test_no_command_is_left_out() -> None:
    assert {run.split()[0] for run in RUNS} >= set(COMMANDS) - {"tail", "shell"}


def test_tail_into_a_pipe_is_not_laid_out(full: Terminal) -> None:
    program = full.start("tail", "long")
    assert program.stdout is not None
    said = [program.stdout.readline() for _ in range(6)]
    program.kill()
    program.communicate()
    assert max(map(len, said)) == len(LONG) + 1
    assert all(line.removesuffix("\n") == line.rstrip() for line in said)


@pytest.mark.parametrize(
    ("command", "joined"),
    [
        ("list", " 2>&1"),
        ("show long", ""),
        ("show long --format markdown", " 2>&1"),
        ("show long --format jsonl", ""),
        ("usage", " 2>&1"),
        ("status", ""),
        ("status", " 2>&1"),
        ("--help", ""),
    ],
)
def test_a_reader_that_has_seen_enough_is_no_error(
    full: Terminal, tmp_path: Path, command: str, joined: str
) -> None:
    program = f"{shlex.quote(sys.executable)} -m boocode_sessions {command}"
    errors = tmp_path / "errors"
    script = f"{{ {program}{joined}; echo $? > {tmp_path / 'status'}; }} 2> {errors} | head -c 20 > /dev/null"
    subprocess.run(["bash", "-c", script], env=program_environment(full.env), timeout=60, check=True)
    assert errors.read_text() == ""
    assert int((tmp_path / "status").read_text()) in {0, 141}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_the_terminal_lacks_are_no_error(demo: Terminal, encoding: str) -> None:
    env = program_environment(demo.env | {"PYTHONIOENCODING": encoding})
    program = [sys.executable, "-m", "boocode_sessions"]
    done = subprocess.run([*program, "show"], env=env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1)
    assert b"? Agent Look for gaps" in done.stdout


def test_a_program_without_standard_output_is_no_error(full: Terminal) -> None:
    for command in ("list", "show long", "status"):
        script = f"{shlex.quote(sys.executable)} -m boocode_sessions {command} >&-"
        done = subprocess.run(
            ["bash", "-c", script],
            env=program_environment(full.env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command


def test_a_demo_in_one_pipe_tells_its_steps_in_order() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "boocode_sessions", "demo"],
        env=program_environment({"TZ": "UTC"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=True,
    )
    steps = [line for line in done.stdout.splitlines() if line.startswith("$ ")]
    assert [step.split()[2] for step in steps] == ["upgrade", "list", "show", "search", "usage", "tools"]
    parts = re.split(r"^\$ .*$", done.stdout, flags=re.MULTILINE)
    for part, told in zip(
        parts[1:],
        ["three sessions", "project", "Subagents", "snippet|text", "input", "failures"],
        strict=True,
    ):
        assert re.search(told, part), told
    assert done.stdout.rstrip().splitlines()[-1].startswith("Your own transcripts")


def test_names_of_files_are_shown_as_they_are(tmp_path: Path) -> None:
    for name in ("bücher/ün 漢字.db", "a b#100%.db" if NAMES_AS_WRITTEN else "a b?c#100%.db"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        env = program_environment({"TZ": "UTC"})
        program = [sys.executable, "-m", "boocode_sessions"]
        done = subprocess.run(
            [*program, "demo", str(path)], env=env, capture_output=True, text=True, timeout=60, check=True
        )
        assert path.exists()
        [hint] = [line for line in done.stderr.splitlines() if line.startswith("Go on with it: ")]
        url = shlex.split(hint)[6]
        if not set(name) & set("%?#"):
            assert url == f"sqlite:///{path}"
        again = subprocess.run(
            [*program, "--url", url, "status"],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert f"{url}\n" in again.stdout
