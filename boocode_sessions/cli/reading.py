"""The commands `show`, `tail` and `shell`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boocode_sessions.cli.database import BadInput, Database, ProjectOption, SessionArgument
from boocode_sessions.cli.left_out import left_out
from boocode_sessions.cli.output import JsonOption, PatternOption, RedactOption, redactor, report_redacted
from boocode_sessions.cli.program import Panel, over_database
from boocode_sessions.cli.screen import one_line, paged, say, screen_of
from boocode_sessions.cli.transcript import markdown, print_readable
from boocode_sessions.cli.values import number

if TYPE_CHECKING:
    from boocode_sessions._core.keys import Session
    from boocode_sessions.following import FollowedEntry
    from boocode_sessions.redaction import Redactor


SubpathOption = Annotated[
    str | None,
    typer.Option(
        "--subpath", "-s", metavar="TEXT", help="A subagent's transcript, by a part of its subpath."
    ),
]


class Format(StrEnum):
    """The format in which `show` writes a transcript."""

    text = "text"
    markdown = "markdown"
    html = "html"
    jsonl = "jsonl"


@over_database("show", panel=Panel.read)
def show(
    database: Database,
    *,
    session: SessionArgument = None,
    project: ProjectOption = None,
    subpath: SubpathOption = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format,
        typer.Option(
            "--format", "-f", help="For a terminal, as Markdown, as a page for a browser, or the exact lines."
        ),
    ] = Format.text,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", "-a", help="Also thinking, whole tool results, and entries that are no messages."
        ),
    ] = False,
    redact: RedactOption = False,
    redact_pattern: PatternOption = None,
) -> None:
    """Show a session as a resume would see it.

    `--format html` prints one self-contained page that includes the subagents. `--format jsonl` prints every
    line of the transcript exactly as it was stored.
    """
    hidden = redactor(redact, redact_pattern)
    found = database.session(session, project)
    chosen = _subpath(database, found, subpath)
    if format is Format.jsonl:
        _print_lines(_stored(database, found, chosen), hidden)
    elif format is Format.html:
        _print_page(database, found, chosen, hidden, everything=everything)
    else:
        as_markdown = format is Format.markdown
        _print_text(database, found, chosen, hidden, as_markdown=as_markdown, everything=everything)
    report_redacted(hidden)


def _print_text(
    database: Database,
    found: "Session",
    chosen: str,
    hidden: "Redactor | None",
    *,
    as_markdown: bool,
    everything: bool,
) -> None:
    from boocode_sessions import queries

    stored = (followed.entry for followed in _stored(database, found, chosen))
    conversation: Sequence[queries.Message] = []
    entries: Iterable[Mapping[str, Any]] = stored
    if not everything:
        conversation = queries.conversation(
            database.reading,
            found.session_id,
            project_key=found.project_key,
            subpath=chosen or None,
            queued=True,
            **database.access,
        )
        entries = (message.entry for message in conversation)
    if hidden is not None:
        entries = map(hidden.entry, entries)

    def rest(shown: int) -> str | None:
        """Return what to say about the entries that were not shown."""
        if everything:
            return None if shown else "It holds no entries."
        uuids = {message.uuid for message in conversation}
        return left_out(stored, uuids, of_subagent=bool(chosen), is_empty=not shown)

    title = f"Session {one_line(found.session_id)}"
    if as_markdown:
        typer.echo(f"# {title}\n\n".encode(), nl=False)
        shown = 0
        for shown, piece in enumerate(markdown(entries, everything=everything), 1):  # noqa: B007 - told below
            typer.echo(piece.encode(), nl=False)
        if note := rest(shown):
            typer.echo(f"*{note}*\n".encode(), nl=False)
        return
    with paged() as screen:
        screen.write((f"{title} of {one_line(found.project_key)}", "bold"))
        if note := rest(print_readable(screen, entries, everything=everything)):
            screen.write(("\n" + note, "dim"))
    if not chosen and (subkeys := _subkeys(database, found)):
        say(f"Subagents, to be shown with --subpath: {', '.join(subkeys)}")


@over_database("tail", panel=Panel.read)
def tail(
    database: Database,
    *,
    session: SessionArgument = None,
    project: ProjectOption = None,
    lines: Annotated[
        int,
        typer.Option(
            "--lines",
            "-n",
            metavar="N",
            min=0,
            callback=number,
            help="How many of the last entries to show first.",
        ),
    ] = 10,
    main_only: Annotated[bool, typer.Option("--main", help="Leave subagents' entries out.")] = False,
    poll_seconds: Annotated[
        float, typer.Option("--poll", min=0.05, metavar="SECONDS", help="How often to look.")
    ] = 0.5,
    json: JsonOption = False,
) -> None:
    """Follow a session live, subagents included, until Ctrl-C.

    Each entry is shown once, and none is missed. With `--json` each is a line: id, subpath, entry.
    """
    from boocode_sessions import following

    found = database.session(session, project)
    subpath = "" if main_only else None
    reading, schema = database.reading, database.schema
    after = following.cursor_before(reading, found, lines, subpath=subpath, schema=schema)
    say(f"Following {found.session_id} of {found.project_key}; Ctrl-C ends.")
    try:
        for followed in following.follow(
            reading,
            found,
            after,
            subpath=subpath,
            poll_seconds=poll_seconds,
            schema=schema,
            encryption=database.encryption,
        ):
            _print_followed(followed, as_json=json)
    except KeyboardInterrupt:
        raise typer.Exit from None


@over_database("shell", panel=Panel.read)
def shell(
    database: Database,
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Let `db` change rows; by default it can only read.")
    ] = False,
) -> None:
    """Open a Python shell on the database: IPython if it is installed.

    `db` is a SQLAlchemy Session, `repo` the repository; the models, `select` and the queries
    are imported.
    """
    from boocode_sessions.cli.shell import run

    run(database, write=write)


def _print_page(
    database: Database, found: "Session", subpath: str, hidden: "Redactor | None", *, everything: bool
) -> None:
    from boocode_sessions import queries

    page = queries.as_html(
        database.reading,
        found.session_id,
        project_key=found.project_key,
        subpath=subpath or None,
        everything=everything,
        tz=None,
        **database.access,
        redact=None if hidden is None else hidden.entry,
    )
    typer.echo(page.encode())


def _print_lines(stored: "Iterable[FollowedEntry]", hidden: "Redactor | None") -> None:
    from boocode_sessions._core.codec import write_line

    for followed in stored:
        line = followed.text.encode() if hidden is None else write_line(hidden.entry(followed.entry))
        typer.echo(line.removesuffix(b"\n"))


def _stored(database: Database, session: "Session", subpath: str) -> "Iterator[FollowedEntry]":
    from boocode_sessions.following import START, entries_after

    after = START
    while page := entries_after(database.reading, session, after, subpath=subpath, **database.access):
        yield from page
        after = page[-1].cursor


def _subkeys(database: Database, session: "Session") -> list[str]:
    from boocode_sessions.repository import ClaudeSessionRepository

    return ClaudeSessionRepository(database.reading, schema=database.schema).list_subkeys(session._asdict())


def _subpath(database: Database, session: "Session", part: str | None) -> str:
    """Return the subpath that contains `part`; an empty one for the main transcript. Raises BadInput."""
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
        shown = screen_of()
        if followed.subpath:
            shown.write((f"[{one_line(followed.subpath)}]", "magenta"))
        print_readable(shown, [followed.entry])
    sys.stdout.flush()
