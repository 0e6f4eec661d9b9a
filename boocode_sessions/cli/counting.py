"""The commands `usage` and `tools`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from boocode_sessions.cli import clock
from boocode_sessions.cli.database import Database, ProjectOption
from boocode_sessions.cli.filters import InSessionOption, SinceOption, UntilOption, within
from boocode_sessions.cli.output import JsonOption, count, print_rows
from boocode_sessions.cli.program import Panel, over_database
from boocode_sessions.cli.screen import say
from boocode_sessions.cli.values import number

if TYPE_CHECKING:
    from boocode_sessions.queries import PriceList, ToolCall
    from boocode_sessions.queries.token_usage import Dimension


PRICES_VARIABLE = "BOOCODE_SESSIONS_PRICES"


class By(StrEnum):
    """What `usage` groups by."""

    day = "day"
    model = "model"
    project = "project"
    session = "session"


@over_database("usage", panel=Panel.ask)
def usage(
    database: Database,
    *,
    by: Annotated[
        list[By],
        typer.Option(
            "--by", "-b", metavar="day|model|project|session", help="What to group by; may be repeated."
        ),
    ] = [  # noqa: B006 - typer copies it
        By.day,
        By.model,
    ],
    cost: Annotated[
        bool,
        typer.Option("--cost", help="Add the cost, by the list prices in this package."),
    ] = False,
    prices: Annotated[
        Path | None,
        typer.Option(
            "--prices",
            envvar=PRICES_VARIABLE,
            metavar="FILE",
            help="Add the cost, by your own prices in a JSON file.",
        ),
    ] = None,
    project: ProjectOption = None,
    session: InSessionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    json: JsonOption = False,
) -> None:
    """Sum up tokens and, with `--cost` or `--prices`, their cost.

    An API call spans several lines. Each call counts once, even if forks copied it.
    """
    from boocode_sessions import queries

    table = queries.read_prices(prices) if prices else queries.list_prices() if cost else None
    filters = within(database, project, session, since, until)
    found = queries.usage(
        database.engine,
        by=cast("Sequence[Dimension]", [str(one) for one in by]),
        prices=table.models if table else None,
        tz=clock.zone(),
        **filters,
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
    drop_first = ["cache_write_tokens", "cache_read_tokens", "calls"]
    nothing = partial(database.nothing, "No tokens were used.", project)
    print_rows([asdict(row) for row in found], columns, drop_first, as_json=json, nothing=nothing)
    if table and found:
        say(f"Prices: {_shown(table)}")
        if any(row.cost is None for row in found):
            by_model = queries.usage(database.reading, by="model", prices=table.models, **filters)
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
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-n", metavar="N", min=0, callback=number, help="How many to list; 0 for all."
        ),
    ] = 50,
    json: JsonOption = False,
) -> None:
    """Count tool calls and failures, and show how many seconds the calls took; or list the calls."""
    from boocode_sessions import queries

    filters = within(database, project, session, since, until)
    if failed or tool is not None:
        calls = queries.tool_calls(
            database.reading,
            failed=failed or None,
            tool=tool,
            limit=limit or None,
            encryption=database.encryption,
            **filters,
        )
        _print_calls(calls, partial(database.nothing, "No such call.", project), as_json=json)
        return
    found = queries.tools(database.engine, **filters)
    columns = {
        "tool": "~tool",
        "calls": ">calls",
        "failures": ">failures",
        "unanswered": ">unanswered",
        "mean_seconds": ">mean s",
        "max_seconds": ">max s",
        "total_seconds": ">total s",
    }
    drop_first = ["unanswered", "max_seconds", "mean_seconds"]
    nothing = partial(database.nothing, "No tool was called.", project)
    print_rows([asdict(row) for row in found], columns, drop_first, as_json=json, nothing=nothing)


def _print_calls(calls: "Sequence[ToolCall]", nothing: Callable[[], str], *, as_json: bool) -> None:
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
    drop_first = ["project_key", "failed", "input", "seconds"]
    print_rows(rows, columns, drop_first, as_json=as_json, nothing=nothing)


def _shown(prices: "PriceList") -> str:
    if prices.as_of is None:
        return prices.source
    age = (datetime.now(UTC).date() - prices.as_of).days
    return f"{prices.source}, of {prices.as_of} ({count(age, 'day')} old)"
