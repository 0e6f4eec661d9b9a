"""What people and machines see: tables, JSON, a pager, questions and progress."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import IO, TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from boocode_sessions.cli.database import BadInput

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

T = TypeVar("T")

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; its keys are stable.", show_default=False)
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask before deleting.", show_default=False)
]

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PIPED_WIDTH = 100_000
_KIB = 1024


def console(file: IO[str] | None = None, *, stderr: bool = False) -> "Console":
    """A terminal as it is; into a pipe no colours, and lines that are never cut."""
    from rich.console import Console

    made = Console(file=file, stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = _PIPED_WIDTH
    return made


def complain(line: str) -> None:
    """One line to standard error."""
    terminal = console(stderr=True)
    terminal.print("error: ", style="bold red", end="")
    terminal.print(clean(line), soft_wrap=True)


def say(line: str) -> None:
    """One line about what was done, to standard error: standard output is for what was asked for."""
    console(stderr=True).print(clean(line), soft_wrap=True)


def clean(text: str) -> str:
    """Text that a terminal only shows: what tools printed may hold escape sequences, and half characters."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def print_json(value: object) -> None:
    """One JSON document, ASCII, so that every pipe takes it."""
    typer.echo(json.dumps(value, indent=2, default=_plain))


def print_rows(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool, nothing: str
) -> None:
    """Rows as a table for people, or as a JSON array with every key of each.

    `columns`: key -> heading; one that begins with ">" is of numbers, one with "~" of text that may be cut
    where the terminal is narrow. `nothing`: said instead of an empty table.
    """
    if as_json:
        print_json(list(rows))
    elif not rows:
        say(nothing)
    else:
        with paged() as terminal:
            terminal.print(table(rows, columns, terminal))


@contextmanager
def paged() -> "Generator[Console]":
    """A console whose output goes through the pager when it is a terminal: PAGER, by default `less`.

    `less` ends by itself when all fits on one screen. `PAGER=cat` turns paging off.
    """
    pager = os.environ.get("PAGER") or "less"
    words = shlex.split(pager)
    if not console().is_terminal or words[0] == "cat" or shutil.which(words[0]) is None:
        yield console()
        return
    environment = {"LESS": "FRX", "LESSCHARSET": "utf-8"} | os.environ
    process = subprocess.Popen(  # noqa: S603 - the user's own pager
        words, stdin=subprocess.PIPE, env=environment, encoding="utf-8", errors="replace"
    )
    assert process.stdin is not None  # noqa: S101 - a PIPE
    from rich.console import Console

    try:
        with process.stdin as screen:
            yield Console(
                file=screen,
                force_terminal=True,
                width=console().width,
                highlight=False,
                markup=False,
                emoji=False,
            )
    except BrokenPipeError:
        pass  # the reader has seen enough
    finally:
        _wait(process)


def ask(question: str, *, yes: bool) -> None:
    """Go on only when the person agrees. Ends the command with status 1 when not."""
    if yes:
        return
    if not is_at_terminal():
        raise BadInput("nothing was deleted: there is no terminal to ask at, so say --yes")
    if not typer.confirm(clean(question), err=True):
        say("Nothing was deleted.")
        raise typer.Exit(1)


def is_at_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def progress(unit: str) -> "Progress":
    """A bar with rate and remaining time on standard error; silent when that is no terminal.

    Tasks count bytes when `unit` is "bytes".
    """
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{unit}, {task.speed or 0:,.0f}/s", style="progress.data.speed")

    terminal = console(stderr=True)
    counted = (
        (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(), RateColumn())
    )
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *counted,
        TimeRemainingColumn(),
        console=terminal,
        disable=not terminal.is_terminal,
        transient=True,
    )


def size(number: int | None) -> str:
    """Bytes as people read them."""
    if number is None:
        return ""
    value = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KIB
    return f"{value:.1f} TB"


def count(number: int, noun: str) -> str:
    """ "1 session", "2,000 sessions"."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def local(at: datetime | None) -> str:
    """A time on the clock of whoever reads."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M") if at is not None else ""


def from_ms(mtime_ms: int) -> datetime:
    """The contract's epoch milliseconds as an aware datetime."""
    return datetime.fromtimestamp(mtime_ms / 1000, UTC)


def shown(value: object) -> str:
    """One cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, datetime):
        return local(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return clean(" ".join(str(value).split()))


def table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], terminal: "Console"
) -> "RenderableType":
    """Rows as a table that is no wider than the terminal, if only text that may be cut is too long."""
    from rich import box
    from rich.table import Table

    cells = {key: [shown(row[key]) for row in rows] for key in columns}
    widths: Mapping[str, int | None] = dict.fromkeys(columns)
    if terminal.is_terminal:
        if "session_id" in cells:
            cells["session_id"] = _shortened(cells["session_id"])
        widths = _widths(cells, columns, terminal.width)
    made = Table(box=box.SIMPLE_HEAD if terminal.is_terminal else None, pad_edge=False, header_style="bold")
    for number, (key, heading) in enumerate(columns.items()):
        made.add_column(
            heading.lstrip(">~"),
            justify="right" if heading.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=widths[key],
            style="cyan" if number == 0 else "",
        )
    for row in zip(*cells.values(), strict=True):
        made.add_row(*row)
    return made


def _widths(
    cells: Mapping[str, Sequence[str]], columns: Mapping[str, str], room: int
) -> dict[str, int | None]:
    """What each column gets: those that may be cut share what the others leave."""
    from rich.cells import cell_len

    needed = {
        key: max(cell_len(text) for text in [columns[key].lstrip(">~"), *cells[key]]) for key in columns
    }
    cut = [key for key in columns if columns[key].startswith("~")]
    left = room - _GAP * len(columns) - sum(needed[key] for key in columns if key not in cut)
    widths: dict[str, int | None] = dict(needed)
    for number, key in enumerate(sorted(cut, key=lambda key: needed[key])):
        share = max(_LEAST_WIDTH, left // (len(cut) - number))
        widths[key] = min(needed[key], share)
        left -= min(needed[key], share)
    return widths


_LEAST_WIDTH = 8
_GAP = 3
"""What the table puts between two columns."""


def _shortened(ids: Sequence[str]) -> list[str]:
    """The beginnings by which sessions can be named, where people read them."""
    length = 8
    while len({one[:length] for one in ids}) < len(set(ids)):
        length += 4
    return [one[:length] for one in ids]


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def _wait(process: "subprocess.Popen[str]") -> None:
    while True:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue  # meant for the pager, which has seen it too
        return
