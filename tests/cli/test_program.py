"""The program as a whole: its start, exit statuses, pipes, completion, and itself without its extra."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from boocode_sessions.cli.app import app
from tests.cli.conftest import Terminal, program_environment
from tests.fixtures.databases import Database


def run_python(code: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=program_environment(env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_python_m_is_the_same_program(demo: Terminal) -> None:
    assert demo.program("list", "--json").json == demo.run("list", "--json").json


def test_ctrl_c_is_quiet_from_the_start(demo: Terminal) -> None:
    code = (
        "import os, signal, sys\n"
        f"sys.argv = ['boocode-sessions', '--url', {demo.env['BOOCODE_SESSIONS_URL']!r}, 'list']\n"
        "from boocode_sessions.cli import main\n"
        "signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))\n"
        "signal.setitimer(signal.ITIMER_REAL, {seconds})\n"
        "main()"
    )
    early = [run_python(code.replace("{seconds}", str(after)), {}) for after in (0.001, 0.02, 0.05, 0.1, 0.2)]
    # Python itself drops an interrupt that comes in the callback of an import's lock, and says so.
    early = [done for done in early if "_get_module_lock" not in done.stderr]
    assert {(done.returncode, done.stderr) for done in early} <= {(130, ""), (0, "")}
    assert early[0].returncode == 130


def test_help_starts_without_sqlalchemy_and_the_sdk() -> None:
    code = (
        "import sys; sys.argv = ['boocode-sessions', '--help']\n"
        "from boocode_sessions.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({name.split('.')[0] for name in sys.modules} & {'sqlalchemy', 'alembic', 'claude_agent_sdk'})"
    )
    done = run_python(code, {})
    assert done.returncode == 0, done.stderr
    assert "Keep Claude Agent SDK sessions" in done.stdout
    assert done.stdout.endswith("set()\n")


def test_a_question_starts_without_what_typer_converts_values_with(demo: Terminal) -> None:
    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        f"sys.argv = ['boocode-sessions', '--url', {demo.env['BOOCODE_SESSIONS_URL']!r}, 'list', '--json']\n"
        "from boocode_sessions.cli import main\n"
        "main()"
    )
    done = run_python(code, {})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_question_starts_without_the_parameters_of_other_commands(demo: Terminal) -> None:
    code = (
        "import sys\n"
        "from boocode_sessions.cli import main\n"
        "from boocode_sessions.cli.app import app\n"
        "sys.argv = ['boocode-sessions', 'list', '--json']\n"
        "try: main()\n"
        "except SystemExit: sys.stderr.write(' '.join(one.name for one in app.registered_commands))"
    )
    done = run_python(code, demo.env)
    assert json.loads(done.stdout) == demo.run("--url", demo.database.url, "list", "--json").json
    assert done.stderr == "list"


def without_the_sdk(*arguments: str) -> str:
    """A program that runs a command where the SDK is not installed."""
    return (
        "import sys; sys.modules['claude_agent_sdk'] = None\n"
        f"sys.argv = {['boocode-sessions', *arguments]!r}\n"
        "from boocode_sessions.cli import main\n"
        "main()"
    )


def test_no_command_needs_the_sdk(demo: Terminal) -> None:
    done = run_python(without_the_sdk("list", "--json"), demo.env)
    assert (done.returncode, done.stderr) == (0, "")


def test_backfill_says_that_it_needs_the_sdk_to_fold(demo: Terminal) -> None:
    done = run_python(without_the_sdk("backfill"), demo.env)
    assert (done.returncode, done.stdout) == (0, "0 entries placed, 0 sessions folded\n")
    assert "install boocode-sessions[sdk]" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("lisst",), "Did you mean 'list'?"),
        (("list", "--nope"), "see `boocode-sessions list --help`"),
        (("list", "--limit", "many"), "see `boocode-sessions list --help`"),
        (("prune",), "Missing option '--inactive-for'"),
        (("prune", "--inactive-for", "long"), "write 30d, 4w, 12h, 90m or 45s"),
        (("list", "--since", "yesterday"), "write 2026-11-22, 2026-11-22T18:00, or 7d"),
        (
            ("usage", "--by", "moon"),
            "'-b': 'moon' is not one of 'day', 'model', 'project', 'session';",
        ),
        (("search", "x", "--in", "moon"), "'--in': 'moon' is not one of 'messages', 'tools';"),
        (("list", "--project", ""), "project_key is empty"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(
    demo: Terminal, arguments: tuple[str, ...], hint: str
) -> None:
    done = demo.run(*arguments)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("error: ")
    assert hint in done.err


def test_the_help_names_no_types_of_python(demo: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (False, True):
        monkeypatch.setattr("boocode_sessions.cli.program.is_terminal", lambda _stream, shown=terminal: shown)
        for command in ("", *(one.name or "" for one in app.registered_commands)):
            shown = demo.run(*command.split(), "--help").out
            found = re.findall(r"<(?:bool|str|path|int range|list)\b.*?>|\[\[", shown)
            assert (command, found) == (command, [])


def test_the_exit_status_reaches_the_shell(demo: Terminal) -> None:
    assert demo.program("list").status == 0
    assert demo.program("show", "nosuch").status == 2


def test_a_database_without_our_tables_is_one_line(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    terminal = Terminal(empty_database)
    engine = empty_database.engine()
    engine.connect().close()  # a SQLite file without tables, and not no file
    engine.dispose()
    for arguments in (
        ("list",),
        ("show", "nosuch"),
        ("search", "x"),
        ("usage",),
        ("tools",),
        ("tail",),
        ("delete", "x", "--yes"),
        ("hold", "x"),
        ("prune", "--inactive-for", "1d"),
        ("export", "dest"),
        ("backfill",),
        ("shell",),
    ):
        done = terminal.run(*arguments)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), arguments
        assert "run `boocode-sessions upgrade`" in done.err


def test_into_a_pipe_there_are_no_colours_and_no_cut_lines(demo: Terminal) -> None:
    out = demo.program("list").out
    assert "\x1b" not in out
    assert "Which stations missed the storm last night? An umbrella is no help any more." in out
    assert "…" not in out


def test_a_reader_that_goes_away_early_is_no_error(demo: Terminal) -> None:
    program = demo.start("show", "--format", "jsonl")
    assert program.stdout is not None
    program.stdout.close()
    assert program.stderr is not None
    assert program.stderr.read() == ""
    program.stderr.close()
    assert program.wait(timeout=30) in {0, 141}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_can_be_had(demo: Terminal, shell: str) -> None:
    demo.env["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"  # else it is that of a parent process
    script = demo.program("--show-completion", shell)
    assert script.status == 0
    assert "_BOOCODE_SESSIONS_COMPLETE" in script.out


def test_completion_completes_commands(demo: Terminal) -> None:
    demo.env |= {
        "_BOOCODE_SESSIONS_COMPLETE": "complete_bash",
        "COMP_WORDS": "boocode-sessions exp",
        "COMP_CWORD": "1",
    }
    assert demo.program().out.split() == ["export"]


@pytest.mark.parametrize(
    "words",
    [
        "show 8",
        "show ",
        "export --session ",
        "list --project -home",
        "list -p -",
        "usage --project = -home",
    ],
)
def test_completion_completes_sessions_and_projects(demo: Terminal, ids: list[str], words: str) -> None:
    incomplete = words.rpartition(" ")[2]
    demo.env |= {
        "_BOOCODE_SESSIONS_COMPLETE": "complete_bash",
        "COMP_WORDS": f"boocode-sessions {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    known = ["-home-you-weather"] if "-p" in words else ids
    done = demo.program()
    assert sorted(done.out.split()) == sorted(one for one in known if one.startswith(incomplete))
    assert done.err == ""


def test_completion_is_silent_where_there_is_no_database(demo: Terminal) -> None:
    demo.env |= {
        "_BOOCODE_SESSIONS_COMPLETE": "complete_bash",
        "COMP_WORDS": "boocode-sessions show ",
        "COMP_CWORD": "2",
        "BOOCODE_SESSIONS_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    done = demo.program()
    assert (done.out.strip(), done.err) == ("", "")


def test_without_the_extra_one_line_names_it() -> None:
    code = "import sys; sys.modules['typer'] = None\nfrom boocode_sessions.cli import main\nmain()"
    done = run_python(code, {})
    assert done.returncode == 2
    assert (
        done.stderr
        == "error: the command line needs its libraries: run `pip install 'boocode-sessions[cli]'`\n"
    )


def test_help_is_there_at_once() -> None:
    """The figure that matters at a prompt: about 0.3 s. Processor time, since the machine may be busy."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "boocode_sessions", "--help"],
        env=program_environment({}),
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 1.0


@pytest.mark.parametrize(
    ("before", "url", "told"),
    [
        ("import os; os.environ['PSYCOPG_IMPL'] = 'nosuch'", "postgresql://", "boocode-sessions[binary]"),
        (
            "import sys; sys.modules['psycopg2'] = None",
            "postgresql+psycopg2://",
            "needs 'psycopg2', which is not installed",
        ),
    ],
    ids=["psycopg's libpq", "psycopg2"],
)
def test_a_driver_that_is_missing_is_named_in_one_line(
    demo: Terminal, before: str, url: str, told: str
) -> None:
    code = (
        f"{before}\n"
        "import sys\n"
        f"sys.argv = ['boocode-sessions', '--url', '{url}localhost/x', 'list']\n"
        "from boocode_sessions.cli import main\n"
        "main()"
    )
    done = run_python(code, demo.env)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert told in done.stderr
