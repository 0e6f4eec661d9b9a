"""Makes the pictures of the terminal in this folder: `python docs/pictures/make.py`.

Each is what the program really prints in a terminal, over the demo's sessions.
"""

import io
import os
import pty
import re
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from boocode_sessions import migrations
from boocode_sessions.cli.demo import fill
from boocode_sessions.engine import create_engine

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
WIDTH = 116

PICTURES = {
    "tour": [("list",), ("search", "umbrella"), ("usage", "--by", "model"), ("tools",)],
    "show": [("show",)],
    "search": [("search", "umbrella"), ("usage", "--by", "session", "--by", "model")],
}

QUESTIONS = (
    "entry = db.scalars(select(ClaudeSessionEntry).where(ClaudeSessionEntry.calls('Bash'))).first()",
    "entry",
    "entry.tool_names, entry.timestamp.isoformat(), entry.git_branch",
)

SHELL = (
    "[row.title or row.first_prompt for row in sessions(db)]",
    "db.scalar(select(func.count()).where(ClaudeSessionEntry.type == 'user'))",
)


def main() -> None:
    """Make every picture."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "demo.db"
        engine = create_engine(f"sqlite:///{database}")
        migrations.upgrade(engine)
        fill(engine, NOW)
        engine.dispose()
        _set_the_clock(database)
        for name, commands in PICTURES.items():
            _draw(name, "".join(_said(command, folder) for command in commands))
        _draw("shell", _said(("shell",), folder, typed=SHELL))
        _draw("entry", _said(("shell",), folder, typed=QUESTIONS))


def _set_the_clock(database: Path) -> None:
    """Storage times as if the sessions had been mirrored when they were told."""
    with sqlite3.connect(database) as connection:
        told = "SELECT max(entry ->> 'timestamp') FROM claude_session_entries e"
        last = f"({told} WHERE e.session_id = t.session_id)"
        at = f"strftime('%Y-%m-%d %H:%M:%f000', {last})"
        connection.execute(f"UPDATE claude_session_entries AS t SET created_at = {at}")  # noqa: S608 - no input
        connection.execute(f"UPDATE claude_sessions AS t SET updated_at = {at}")  # noqa: S608 - no input


def _said(command: tuple[str, ...], folder: str, typed: tuple[str, ...] = ()) -> str:
    """What a command prints in a terminal, behind a prompt that shows it."""
    environment = os.environ | {
        "BOOCODE_SESSIONS_URL": "sqlite:///demo.db",
        "COLUMNS": str(WIDTH),
        "TERM": "dumb" if typed else "xterm-256color",
        "PAGER": "cat",
        "TZ": "UTC",
        "PYTHONPATH": str(HERE.parents[1]),
    }
    ours, theirs = pty.openpty()
    plain = "import sys; sys.modules['IPython'] = None; " if typed else ""
    code = f"{plain}import sys; sys.argv = ['boocode-sessions', *{command!r}]; "
    process = subprocess.Popen(
        [sys.executable, "-c", code + "from boocode_sessions.cli import main; main()"],
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
    )
    os.close(theirs)
    out = _read(ours, until=b">>> " if typed else None)
    for line in typed:
        os.write(ours, line.encode() + b"\n")
        out += _read(ours, until=b">>> ")
    if typed:
        os.write(ours, b"\x04")
        _read(ours)
        out = out.removesuffix(b">>> ")
    process.wait(timeout=30)
    os.close(ours)
    text = out.decode().replace("\r\n", "\n").replace("\r", "")
    return f"\x1b[1;32m$ \x1b[0mboocode-sessions {' '.join(command)}\n{text}\n"


def _read(terminal: int, until: bytes | None = None) -> bytes:
    """What comes from a program, up to and including its prompt, or to its end."""
    out = b""
    while until is None or not out.endswith(until):
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # the end, on Linux
            break
        if not piece:
            break
        out += piece
    return out


def _draw(name: str, said: str) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(said.rstrip()), soft_wrap=False)
    svg = console.export_svg(title="boocode-sessions", unique_id=name)
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)  # fonts from elsewhere
    (HERE / f"{name}.svg").write_text(svg)


if __name__ == "__main__":
    main()
