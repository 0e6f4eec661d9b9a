"""The commands `list` and `search`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boocode_sessions.cli.database import BadInput, Database, ProjectOption
from boocode_sessions.cli.filters import InSessionOption, SinceOption, UntilOption, within
from boocode_sessions.cli.output import JsonOption, print_rows
from boocode_sessions.cli.program import Panel, over_database
from boocode_sessions.cli.tables import size
from boocode_sessions.cli.values import number

if TYPE_CHECKING:
    from boocode_sessions.queries import SessionRow


class Place(StrEnum):
    """Where `search` looks."""

    messages = "messages"
    tools = "tools"


@over_database("list", panel=Panel.ask)
def list_(
    database: Database,
    *,
    project: ProjectOption = None,
    since: SinceOption = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search",
            metavar="TEXT",
            help="Only those with this in their title, first prompt, project or id.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=0, callback=number, help="How many; 0 for all.")
    ] = 50,
    everything: Annotated[
        bool,
        typer.Option("--all", "-a", help="Also sessions that a subagent wrote, and those without a prompt."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """List sessions, the most recently used first, including those with only subagents' transcripts."""
    from boocode_sessions import queries

    found: Sequence[SessionRow] = queries.sessions(
        database.reading,
        project_key=project,
        since=since,
        limit=(limit or None) if search is None else None,
        conversations_only=not everything,
        **database.access,
    )
    nothing = "No sessions."
    if found and search is not None:
        named = (row for row in found if _is_named(row, search))
        found = list(islice(named, limit or None))
        nothing = "No session has that in its title, first prompt, project or id."
    elif (
        not found
        and not everything
        and queries.sessions(database.reading, project_key=project, since=since, limit=1, **database.access)
    ):
        nothing = "No sessions with a prompt; --all lists the others too."
    rows = [asdict(row) for row in found]
    if not json:
        for row in rows:
            row["size"] = size(row["bytes"])
            row["name"] = _name(row)
    columns = {
        "session_id": "session",
        "last_said": "last said",
        "name": "~title or first prompt",
        "entries": ">entries",
        "size": ">size",
        "tokens": ">tokens",
        "project_key": "~project",
    }
    if any(row["held"] for row in rows):
        columns["held"] = "held"
    drop_first = ["project_key", "size", "entries", "tokens", "held"]
    suggest = partial(database.nothing, nothing, project)
    print_rows(rows, columns, drop_first, as_json=json, nothing=suggest)


def _is_named(row: "SessionRow", text: str) -> bool:
    wanted = " ".join(text.split()).casefold()
    said = (row.title, row.first_prompt, row.project_key, row.session_id)
    return any(wanted in " ".join(one.split()).casefold() for one in said if one)


def _name(row: Mapping[str, Any]) -> str:
    if not row["has_main"]:
        return "(no main transcript)"
    return ("(a subagent's) " if row["is_sidechain"] else "") + (row["title"] or "(no prompt)")


@over_database("search", panel=Panel.ask)
def search(
    database: Database,
    *,
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help="What to search for.")],
    places: Annotated[
        list[Place],
        typer.Option(
            "--in",
            metavar="messages|tools",
            help="Search messages, or the inputs and outputs of tools; may be repeated.",
        ),
    ] = [Place.messages],  # noqa: B006 - typer copies it
    project: ProjectOption = None,
    session: InSessionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, callback=number, help="How many.")
    ] = 20,
    json: JsonOption = False,
) -> None:
    """Find entries by their text, best matches first.

    A word also finds longer words that begin with it. main.py finds main and py in sequence, and "a phrase"
    these whole words. `or` and -without work too.
    """
    from boocode_sessions import queries
    from boocode_sessions.queries.wanted import Wanted

    said = " ".join(words)
    if not Wanted.of(said).groups:
        raise BadInput(f"{said!r} has no word to look for: one has a letter or a digit, and no - before it")
    found = queries.search(
        database.engine,
        said,
        places=[one.value for one in places],
        limit=limit,
        **within(database, project, session, since, until),
    )
    columns = {
        "session_id": "session",
        "timestamp": "when",
        "type": "by",
        "snippet": "~text",
        "project_key": "~project",
    }
    nothing = partial(database.nothing, "Nothing was found.", project)
    print_rows(
        [asdict(row) for row in found], columns, ["project_key", "type"], as_json=json, nothing=nothing
    )
