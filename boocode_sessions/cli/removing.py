"""The commands `prune`, `hold`, `release` and `delete`."""

import itertools
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from boocode_sessions.cli.database import Database, ProjectOption
from boocode_sessions.cli.output import JsonOption, YesOption, ask, count, print_json, print_rows, progress
from boocode_sessions.cli.program import Panel, over_database
from boocode_sessions.cli.screen import say
from boocode_sessions.cli.tables import size
from boocode_sessions.cli.values import age, number

if TYPE_CHECKING:
    from boocode_sessions.retention import PruneResult


MeantSession = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id or its beginning.")]


@over_database("prune", panel=Panel.tidy_up)
def prune(
    database: Database,
    *,
    inactive_for: Annotated[
        timedelta,
        typer.Option(
            "--inactive-for",
            metavar="AGE",
            parser=age,
            help="How long ago the last append or import must be: 30d, 12h, 4w.",
        ),
    ],
    project: ProjectOption = None,
    keep: Annotated[
        int,
        typer.Option(
            "--keep",
            metavar="N",
            min=0,
            callback=number,
            help="How many of each project's newest sessions stay anyway.",
        ),
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Delete whole sessions that had no append for a while, beside live writers, in batches.

    Sessions on hold stay.
    """
    from boocode_sessions import retention

    def run(*, dry_run: bool) -> "PruneResult":
        total = None if dry_run else len(going.sessions)
        done = itertools.count(1)
        with progress("Looking" if dry_run else "Deleting", "sessions", total) as show:
            return retention.prune(
                database.engine,
                inactive_for=inactive_for,
                project_key=project,
                keep=keep,
                dry_run=dry_run,
                schema=database.schema,
                progress=lambda _: show(next(done), total),
            )

    going = result = run(dry_run=True)
    if not dry_run and going.sessions:
        ask(
            f"Delete {count(len(going.sessions), 'session')}, {count(going.entries, 'entry')}, "
            f"{size(going.bytes)}?",
            yes=yes,
        )
        result = run(dry_run=False)
    rows = [asdict(session) for session in result.sessions]
    if json:
        print_json({"dry_run": dry_run, "sessions": rows, "entries": result.entries, "bytes": result.bytes})
        return
    if dry_run or (project is not None and not rows):
        columns = {
            "session_id": "session",
            "last_append": "last append",
            "entries": ">entries",
            "size": ">size",
            "project_key": "~project",
        }
        for row in rows:
            row["size"] = size(row["bytes"])
        drop_first = ["project_key", "size", "entries"]
        nothing = partial(database.nothing, "No session is that old.", project)
        print_rows(rows, columns, drop_first, as_json=False, nothing=nothing)
    verb = "would be deleted" if dry_run else "deleted"
    say(f"{count(len(rows), 'session')}, {count(result.entries, 'entry')}, {size(result.bytes)} {verb}.")


@over_database("hold", panel=Panel.tidy_up)
def hold(database: Database, session: MeantSession, project: ProjectOption = None) -> None:
    """Exempt a session from pruning."""
    from boocode_sessions import retention

    found = database.session(session, project)
    retention.hold(database.engine, found._asdict(), schema=database.schema)
    say(f"Session {found.session_id} is held: prune leaves it.")


@over_database("release", panel=Panel.tidy_up)
def release(database: Database, session: MeantSession, project: ProjectOption = None) -> None:
    """Let a session be pruned again."""
    from boocode_sessions import retention

    found = database.session(session, project)
    retention.release(database.engine, found._asdict(), schema=database.schema)
    say(f"Session {found.session_id} is no longer held.")


@over_database("delete", panel=Panel.tidy_up)
def delete(
    database: Database, session: MeantSession, project: ProjectOption = None, yes: YesOption = False
) -> None:
    """Delete one session, including its subagents' transcripts."""
    from boocode_sessions.repository import ClaudeSessionRepository

    found = database.session(session, project)
    ask(f"Delete session {found.session_id} of {found.project_key}, subagents included?", yes=yes)
    ClaudeSessionRepository(database.engine, schema=database.schema).delete(found._asdict())
    say(f"Session {found.session_id} is deleted.")
