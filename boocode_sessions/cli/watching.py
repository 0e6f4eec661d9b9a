"""`status --watch`: prints a line about what the database holds at each look."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from boocode_sessions.cli.clock import zone
from boocode_sessions.cli.database import Database
from boocode_sessions.cli.output import print_json_line
from boocode_sessions.cli.tables import size

if TYPE_CHECKING:
    from boocode_sessions.status import Holdings

_COLUMNS: "dict[str, Callable[[Holdings, Holdings], str]]" = {
    "sessions": lambda now, _: f"{now.sessions:,}",
    "entries": lambda now, _: f"{now.entries:,}",
    "new": lambda now, before: f"{now.entries - before.entries:+,}",
    "size": lambda now, _: size(now.bytes),
    "unplaced": lambda now, _: f"{now.unplaced:,}",
    "stale": lambda now, _: f"{now.stale_summaries:,}",
    "behind": lambda now, _: "" if now.behind is None else f"{now.behind:,}",
}
_HEADER_EVERY = 20
"""Lines between headers. It is small, so that a screen always shows one."""


def watch_holdings(database: Database, every_seconds: float, *, as_json: bool) -> None:
    """Print what the database holds until Ctrl-C: a table that grows, or a line of JSON for each look."""
    try:
        for number, (now, before) in enumerate(_looks(database, every_seconds)):
            at = datetime.now(UTC)
            if as_json:
                print_json_line({"at": at, **asdict(now)})
                continue
            if number % _HEADER_EVERY == 0:
                typer.echo("time    " + "".join(f"{name:>12}" for name in _COLUMNS))
            row = "".join(f"{value(now, before):>12}" for value in _COLUMNS.values())
            typer.echo(f"{at.astimezone(zone()):%H:%M:%S}{row}")
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit from None


def _looks(database: Database, every_seconds: float) -> "Iterator[tuple[Holdings, Holdings]]":
    """Yield each count with the one before."""
    from boocode_sessions.status import holdings

    before = None
    while True:
        now = holdings(database.reading, schema=database.schema)
        yield now, before or now
        before = now
        time.sleep(every_seconds)
