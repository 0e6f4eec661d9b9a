"""`show`, `tail` and `shell`."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boocode_sessions.cli.database import BadInput, Database, ProjectOption, SessionArgument
from boocode_sessions.cli.output import JsonOption, console, paged, say
from boocode_sessions.cli.program import Panel, over_database
from boocode_sessions.cli.transcript import markdown, print_readable

if TYPE_CHECKING:
    from boocode_sessions._core.keys import Session
    from boocode_sessions.following import FollowedEntry


SubpathOption = Annotated[
    str | None,
    typer.Option(
        "--subpath", "-s", metavar="TEXT", help="A subagent's transcript, by a part of its subpath."
    ),
]


class Format(StrEnum):
    """How `show` writes a transcript."""

    text = "text"
    markdown = "markdown"
    jsonl = "jsonl"


@over_database("show", panel=Panel.read)
def show(
    database: Database,
    *,
    session: SessionArgument = None,
    project: ProjectOption = None,
    subpath: SubpathOption = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option("--format", "-f", help="For a terminal, as Markdown, or the exact lines.")
    ] = Format.text,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", "-a", help="Thinking, whole tool results, and entries that are no messages too."
        ),
    ] = False,
) -> None:
    """Read a session: what a resume of it would see.

    [b]--format jsonl[/b] prints every line of the transcript, exactly as it was stored.
    """
    from boocode_sessions import queries

    found = database.session(session, project)
    chosen = _subpath(database, found, subpath)
    if format is Format.jsonl:
        for followed in _stored(database, found, chosen):
            typer.echo(followed.text.encode())
        return
    entries: Iterator[Mapping[str, Any]]
    if everything:
        entries = (followed.entry for followed in _stored(database, found, chosen))
    else:
        messages = queries.conversation(
            database.reading,
            found.session_id,
            project_key=found.project_key,
            subpath=chosen or None,
            schema=database.schema,
        )
        entries = (message.entry for message in messages)
    if format is Format.markdown:
        typer.echo(f"# Session {found.session_id}\n\n".encode(), nl=False)
        for piece in markdown(entries, everything=everything):
            typer.echo(piece.encode(), nl=False)
        return
    with paged() as terminal:
        terminal.print(f"Session {found.session_id} of {found.project_key}", style="bold")
        print_readable(terminal, entries, everything=everything)
    if not chosen and (subkeys := _subkeys(database, found)):
        say(f"\nSubagents, to be shown with --subpath: {', '.join(subkeys)}")


@over_database("tail", panel=Panel.read)
def tail(
    database: Database,
    *,
    session: SessionArgument = None,
    project: ProjectOption = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the last entries to begin with.")
    ] = 10,
    main_only: Annotated[bool, typer.Option("--main", help="Leave subagents' entries out.")] = False,
    poll_seconds: Annotated[
        float, typer.Option("--poll", min=0.05, metavar="SECONDS", help="How often to look.")
    ] = 0.5,
    json: JsonOption = False,
) -> None:
    """Follow a session live, subagents included, until Ctrl-C.

    Each entry is shown once, and none is missed. With [b]--json[/b] each is a line: id, subpath, entry.
    """
    from boocode_sessions import following

    found = database.session(session, project)
    subpath = "" if main_only else None
    reading, schema = database.reading, database.schema
    after = following.id_before(reading, found, lines, subpath=subpath, schema=schema)
    say(f"Following {found.session_id} of {found.project_key}; Ctrl-C ends.")
    try:
        for followed in following.follow(
            reading, found, after, subpath=subpath, poll_seconds=poll_seconds, schema=schema
        ):
            _print_followed(followed, as_json=json)
    except KeyboardInterrupt:
        raise typer.Exit from None


@over_database("shell", panel=Panel.read)
def shell(
    database: Database,
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Let `db` change rows; without it every statement only reads.")
    ] = False,
) -> None:
    """Open a Python shell on the database: IPython where it is installed.

    [b]db[/b] is a SQLAlchemy Session, [b]repo[/b] the repository; the models, [b]select[/b] and the queries
    are imported.
    """
    from boocode_sessions.cli.shell import run

    run(database, write=write)


def _stored(database: Database, session: "Session", subpath: str) -> "Iterator[FollowedEntry]":
    from boocode_sessions.following import entries_after

    after = 0
    while page := entries_after(database.reading, session, after, subpath=subpath, schema=database.schema):
        yield from page
        after = page[-1].id


def _subkeys(database: Database, session: "Session") -> list[str]:
    from boocode_sessions.repository import ClaudeSessionRepository

    repository = ClaudeSessionRepository(database.reading, schema=database.schema)
    return repository.list_subkeys({"project_key": session.project_key, "session_id": session.session_id})


def _subpath(database: Database, session: "Session", part: str | None) -> str:
    """The subpath that was meant; empty for the main transcript."""
    if part is None:
        return ""
    subkeys = _subkeys(database, session)
    found = [subkey for subkey in subkeys if subkey == part] or [
        subkey for subkey in subkeys if part in subkey
    ]
    if len(found) == 1:
        return found[0]
    problem = f"more than one subpath holds {part!r}" if found else f"no subpath holds {part!r}"
    known = ", ".join(found or subkeys) or "none"
    raise BadInput(f"{problem} in session {session.session_id}; there: {known}")


def _print_followed(followed: "FollowedEntry", *, as_json: bool) -> None:
    import json
    import sys

    if as_json:
        head = f'{{"id": {followed.id}, "subpath": {json.dumps(followed.subpath)}, "entry": '
        typer.echo(head.encode() + followed.text.encode() + b"}")
    else:
        terminal = console()
        if followed.subpath:
            terminal.print(f"[{followed.subpath}]", style="magenta")
        print_readable(terminal, [followed.entry])
    sys.stdout.flush()
