"""`list`, `search`, `usage` and `tools`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from boocode_sessions.cli import clock
from boocode_sessions.cli.database import Database, ProjectOption, complete_session
from boocode_sessions.cli.output import JsonOption, count, print_rows
from boocode_sessions.cli.program import Panel, over_database
from boocode_sessions.cli.screen import say
from boocode_sessions.cli.tables import size
from boocode_sessions.cli.values import moment

if TYPE_CHECKING:
    from boocode_sessions.queries import PriceList, ToolCall
    from boocode_sessions.queries.token_usage import Dimension


PRICES_VARIABLE = "BOOCODE_SESSIONS_PRICES"

SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        parser=moment,
        help="From then on: 2026-11-22, a time as 2026-11-22T18:00, or an age as 7d, 12h, 30m.",
    ),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option("--until", metavar="WHEN", parser=moment, help="Before then, written likewise."),
]
InSessionOption = Annotated[
    str | None,
    typer.Option(
        "--session",
        "-s",
        metavar="ID",
        help="Only this session, by its id's beginning.",
        autocompletion=complete_session,
    ),
]


class By(StrEnum):
    """What `usage` sums over."""

    day = "day"
    model = "model"
    project = "project"
    session = "session"


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
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many; 0 for all.")] = 50,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", "-a", help="Subagents' among the main transcripts, and those without a prompt too."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """List sessions, the one that was worked in last first; those too of which only subagents' are there."""
    from boocode_sessions import queries

    found = queries.sessions(
        database.reading,
        project_key=project,
        since=since,
        limit=limit or None,
        conversations_only=not everything,
        schema=database.schema,
        encryption=database.encryption,
    )
    nothing = "No sessions."
    if (
        not found
        and not everything
        and queries.sessions(
            database.reading,
            project_key=project,
            since=since,
            limit=1,
            schema=database.schema,
            encryption=database.encryption,
        )
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
    first_to_go = ["project_key", "size", "entries", "tokens", "held"]
    print_rows(
        rows,
        columns,
        as_json=json,
        nothing=lambda: database.nothing(nothing, project),
        first_to_go=first_to_go,
    )


def _name(row: Mapping[str, Any]) -> str:
    if not row["has_main"]:
        return "(no main transcript)"
    return ("(a subagent's) " if row["is_sidechain"] else "") + (row["title"] or "(no prompt)")


@over_database("search", panel=Panel.ask)
def search(
    database: Database,
    *,
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help="What was said.")],
    places: Annotated[
        list[Place],
        typer.Option(
            "--in", help="What messages say, or what tools were given and gave back; may be repeated."
        ),
    ] = [Place.messages],  # noqa: B006 - typer copies it
    project: ProjectOption = None,
    session: InSessionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    json: JsonOption = False,
) -> None:
    """Find entries by what was said, the best matches first.

    A word finds those that begin so; main.py and "a phrase" are found as they stand; or, -not.
    """
    from boocode_sessions import queries

    within = _within(database, project, session, since, until)
    found = queries.search(
        database.engine,
        " ".join(words),
        places=[one.value for one in places],
        limit=limit,
        **within,
    )
    columns = {
        "session_id": "session",
        "timestamp": "when",
        "type": "by",
        "snippet": "~text",
        "project_key": "~project",
    }
    rows = [asdict(row) for row in found]
    first_to_go = ["project_key", "type"]
    print_rows(
        rows,
        columns,
        as_json=json,
        nothing=lambda: database.nothing("Nothing was found.", project),
        first_to_go=first_to_go,
    )


@over_database("usage", panel=Panel.ask)
def usage(
    database: Database,
    *,
    by: Annotated[list[By], typer.Option("--by", "-b", help="What to sum over; may be given twice.")] = [  # noqa: B006 - typer copies it
        By.day,
        By.model,
    ],
    cost: Annotated[
        bool,
        typer.Option("--cost", help="And what they cost, by the list prices that come with this."),
    ] = False,
    prices: Annotated[
        Path | None,
        typer.Option(
            "--prices",
            envvar=PRICES_VARIABLE,
            metavar="FILE",
            help="And what they cost by your own prices: a JSON file.",
        ),
    ] = None,
    project: ProjectOption = None,
    session: InSessionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    json: JsonOption = False,
) -> None:
    """Sum up tokens and, with `--cost` or `--prices`, what they cost.

    One call of the API spans several lines: each is counted once, across forks too.
    """
    from boocode_sessions import queries

    table = queries.read_prices(prices) if prices else queries.list_prices() if cost else None
    within = _within(database, project, session, since, until)
    found = queries.usage(
        database.engine,
        by=cast("Sequence[Dimension]", [str(one) for one in by]),
        prices=table.models if table else None,
        tz=clock.zone(),
        **within,
    )
    names = {By.day: "day", By.model: "model", By.project: "project_key", By.session: "session_id"}
    headings = {
        By.day: f"day ({clock.name()})",
        By.model: "~model",
        By.project: "~project",
        By.session: "session",
    }
    columns = {names[one]: headings[one] for one in by} | {
        "calls": ">calls",
        "input_tokens": ">input",
        "output_tokens": ">output",
        "cache_read_tokens": ">cache read",
        "cache_write_tokens": ">cache write",
    }
    if table:
        columns["cost"] = ">cost"
    rows = [asdict(row) for row in found]
    first_to_go = ["cache_write_tokens", "cache_read_tokens", "calls"]
    print_rows(
        rows,
        columns,
        as_json=json,
        nothing=lambda: database.nothing("No tokens were used.", project),
        first_to_go=first_to_go,
    )
    if table and rows:
        say(f"Prices: {_shown(table)}")
        if any(row["cost"] is None for row in rows):
            by_model = queries.usage(database.reading, by="model", prices=table.models, **within)
            lacking = [str(row.model) for row in by_model if row.cost is None]
            say(f"No price is known of {', '.join(lacking)}: their costs, and sums with them, are left out.")


@over_database("tools", panel=Panel.ask)
def tools(
    database: Database,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="List calls that failed, newest first.")] = False,
    tool: Annotated[
        str | None, typer.Option("--tool", metavar="NAME", help="List the calls of this tool, newest first.")
    ] = None,
    project: ProjectOption = None,
    session: InSessionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many to list; 0 for all.")] = 50,
    json: JsonOption = False,
) -> None:
    """Count tool calls, their failures and how long they took, in seconds; or list the calls."""
    from boocode_sessions import queries

    if failed or tool is not None:
        within = _within(database, project, session, since, until)
        chosen = True if failed else None
        calls = queries.tool_calls(
            database.reading,
            failed=chosen,
            tool=tool,
            limit=limit or None,
            encryption=database.encryption,
            **within,
        )
        _print_calls(calls, as_json=json)
        return
    found = queries.tools(database.engine, **_within(database, project, session, since, until))
    columns = {
        "tool": "~tool",
        "calls": ">calls",
        "failures": ">failures",
        "unanswered": ">unanswered",
        "mean_seconds": ">mean s",
        "max_seconds": ">max s",
        "total_seconds": ">total s",
    }
    rows = [asdict(row) for row in found]
    first_to_go = ["unanswered", "max_seconds", "mean_seconds"]
    print_rows(
        rows,
        columns,
        as_json=json,
        nothing=lambda: database.nothing("No tool was called.", project),
        first_to_go=first_to_go,
    )


def _within(
    database: Database,
    project: str | None,
    session: str | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[str, Any]:
    """The filters that queries share."""
    session_id = session
    if session is not None:
        project, session_id = database.session(session, project)
    return {
        "project_key": project,
        "session_id": session_id,
        "since": since,
        "until": until,
        "schema": database.schema,
    }


def _print_calls(calls: "Sequence[ToolCall]", *, as_json: bool) -> None:
    import json

    rows = [asdict(call) for call in calls]
    if not as_json:
        for row in rows:
            row["input"] = json.dumps(row["input"], ensure_ascii=False)
    columns = {
        "session_id": "session",
        "called": "when",
        "tool": "tool",
        "seconds": ">s",
        "failed": "failed",
        "result": "~result",
        "input": "~input",
        "project_key": "~project",
    }
    first_to_go = ["project_key", "failed", "input", "seconds"]
    print_rows(rows, columns, as_json=as_json, nothing=lambda: "No such call.", first_to_go=first_to_go)


def _shown(prices: "PriceList") -> str:
    if prices.as_of is None:
        return prices.source
    age = (datetime.now(UTC).date() - prices.as_of).days
    return f"{prices.source}, of {prices.as_of} ({count(age, 'day')} old)"
