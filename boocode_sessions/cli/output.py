"""Output of commands: tables, JSON, questions and progress."""

import json
import re
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boocode_sessions.cli.database import BadInput
from boocode_sessions.cli.screen import console, is_terminal, one_line, paged, say
from boocode_sessions.cli.tables import print_table

if TYPE_CHECKING:
    from boocode_sessions.redaction import Redactor

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; its keys are stable.", show_default=False)
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask before deleting.", show_default=False)
]


def print_json(value: object) -> None:
    """Print one JSON document in ASCII, so that every pipe takes it."""
    typer.echo(json.dumps(value, indent=2, default=_plain))


def print_json_line(value: object) -> None:
    """Print one of several JSON documents as a line, and flush it."""
    typer.echo(json.dumps(value, default=_plain))
    sys.stdout.flush()


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    drop_first: Sequence[str],
    *,
    as_json: bool,
    nothing: Callable[[], str],
) -> None:
    """Print rows as a table for people, or as a JSON array with every key of each row.

    `columns` and `drop_first` are those of `print_table`. `nothing` returns what to say if there are no
    rows.
    """
    if as_json:
        print_json(list(rows))
    elif not rows:
        say(nothing())
    else:
        with paged() as screen:
            print_table(screen, rows, columns, drop_first)


def ask(question: str, *, yes: bool) -> None:
    """Ask a person to agree, or else end the command with status 1."""
    if yes:
        return
    if not is_at_terminal():
        raise BadInput("nothing was deleted: there is no terminal to ask at, so say --yes")
    if not typer.confirm(one_line(question), err=True):
        say("Nothing was deleted.")
        raise typer.Exit(1)


def is_at_terminal() -> bool:
    """True if there is somebody to ask."""
    return sys.stdin.isatty()


@contextmanager
def progress(label: str, unit: str, total: int | None = None) -> Generator[Callable[[int, int | None], None]]:
    """Show a bar with rate and remaining time on standard error, if that is a terminal.

    It gives a function to call with how much is done, and of how much. `unit` names what is counted; "bytes"
    are shown as MB and the like.
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

    terminal = console(stderr=True, at_terminal=is_terminal(sys.stderr))
    counted = (
        (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(), RateColumn())
    )
    columns = (TextColumn("{task.description}"), BarColumn(), *counted, TimeRemainingColumn())
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: "1 session", "2,000 sessions"."""
    plural = noun[:-1] + "ies" if noun.endswith("y") and noun != "day" else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


RedactOption = Annotated[
    bool, typer.Option("--redact", help="Replace keys, tokens and passwords with placeholders.")
]
PatternOption = Annotated[
    list[str] | None,
    typer.Option(
        "--redact-pattern",
        metavar="NAME=REGEX",
        help="Also replace what this matches; may be repeated.",
    ),
]


def redactor(wanted: bool, patterns: Sequence[str] | None) -> "Redactor | None":
    """Return a Redactor, or None if no option asks for one."""
    if not wanted and not patterns:
        return None
    from boocode_sessions.redaction import Redactor

    named: dict[str, str] = {}
    for given in patterns or ():
        name, _, pattern = given.partition("=")
        if not _KIND.fullmatch(name) or not pattern:
            raise BadInput("--redact-pattern is NAME=REGEX, its name of letters, digits and dashes")
        if name in named:
            raise BadInput(f"--redact-pattern {name} is given twice: join the two with |")
        named[name] = pattern
    try:
        return Redactor(named)
    except re.error as error:
        raise BadInput(f"--redact-pattern: no regular expression: {error.msg}") from None
    except ImportError:
        raise BadInput("--redact needs `pip install 'boocode-sessions[redaction]'`") from None


_KIND = re.compile(r"[A-Za-z0-9-]+")


def report_redacted(redacted: "Redactor | None") -> None:
    """Report what was redacted, without the values."""
    for kind, values, places in () if redacted is None else redacted.report:
        say(f"redacted: {kind}, {count(values, 'value')} in {count(places, 'place')}")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
