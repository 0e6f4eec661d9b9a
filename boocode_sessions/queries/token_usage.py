"""What was used: tokens and cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, tzinfo
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import FAST
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.missing import Missing, ask
from boocode_sessions._core.statements.derived import TOKENS
from boocode_sessions._core.unit_of_work import Bind
from boocode_sessions.queries.calls import day_of, grouped_calls
from boocode_sessions.queries.plots import plot_days
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.scope import Scope

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Dimension: TypeAlias = Literal["day", "model", "project", "session"]
Amount: TypeAlias = Literal["tokens", "output_tokens", "calls", "cost"]


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """What a model costs per million tokens, in any one currency."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    """Written for five minutes."""
    cache_write_1h: float | None = None
    """Written for an hour; twice the price of input where it is None, as Anthropic's price list has it."""


@dataclasses.dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used by one group of API calls. A dimension that was not asked for is None."""

    day: date | None
    """The day of the call's first line, in `tz`; None where no line says when it was said."""
    model: str | None
    """With `-fast` behind its name where it answered in fast mode, which costs more."""
    project_key: str | None
    session_id: str | None
    calls: int
    """API calls, each counted once."""
    input_tokens: int
    """Without those that the cache knew or took."""
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    """All, those that are kept for an hour included."""
    cache_write_1h_tokens: int
    cost: float | None
    """In the prices' currency; None without prices, or where a model that used tokens has none."""


class Usage(Rows[UsageRow]):
    """What was used, with a plot."""

    def plot(self, of: Amount = "tokens", *, ax: Axes | None = None) -> Axes:
        """A bar for each day with a part for each model, drawn by matplotlib.

        Args:
            of: What is drawn: tokens of all kinds, output_tokens, calls or cost.
            ax: Where to draw; by default a figure of its own.

        Raises:
            ValueError: The rows have no days.
            MissingExtraError: matplotlib is not installed.
        """
        if self and all(row.day is None for row in self):
            raise ValueError("a plot has a bar for each day: ask for usage(..., by=('day', 'model'))")
        amounts = [
            (row.day, row.model or "every model", _amount(row, of)) for row in self if row.day is not None
        ]
        drawn: Axes = plot_days(amounts, of.replace("_", " "), ax, prefixes=of != "cost")
        return drawn


def _amount(row: UsageRow, of: Amount) -> float:
    if of == "tokens":
        return row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_tokens
    amount: float | None = getattr(row, of)
    return amount or 0


_NAMES: dict[str, str] = {"day": "day", "model": "model", "project": "project_key", "session": "session_id"}


@checked
def usage(
    bind: Bind,
    *,
    by: Sequence[Dimension] | Dimension = ("day", "model"),
    prices: Mapping[str, Price] | None = None,
    project_key: str | None = None,
    session_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    tz: tzinfo = UTC,
    schema: str | None = None,
) -> Usage:
    """Tokens, and cost where `prices` are given, of main agents and subagents, grouped and sorted by `by`.

    An API call is spread over several lines, whose usage grows, and a fork copies them: each call counts
    once, at its largest, in the session that was stored first.

    Args:
        by: One of day, model, project and session, or several.
        prices: By a model's name or the beginning of it; the longest that fits is taken. Those of fast mode
            end in `-fast`, as its models do here.
        project_key, session_id: Only calls of this project or session.
        since, until: Only calls whose first line was said from then on, and before then. A line that does not
            say it counts from when it was stored. A date is its beginning in `tz`.
        tz: The time zone whose days are meant.
        schema: Where the tables are, when the connection's search path does not lead there.

    Answered from tables that follow behind the entries. What they lack is taken first; over a Connection or a
    Session, and where nothing may be written, it is read from the entries instead.
    """
    dimensions: tuple[str, ...] = (by,) if isinstance(by, str) else tuple(by)
    if unknown := set(dimensions) - set(_NAMES):
        raise ValueError(f"by is of {', '.join(_NAMES)}, not {', '.join(sorted(unknown))}")
    if prices and not all(isinstance(price, Price) for price in prices.values()):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise TypeError("each of prices is a queries.Price, as those of queries.list_prices().models are")
    scope = Scope.of(project_key, session_id, since, until, tz)
    columns = [_NAMES[dimension] for dimension in dimensions]
    groups = columns if prices is None or "model" in columns else [*columns, "model"]

    def question(connection: StoreConnection, missing: Missing) -> list[Mapping[str, Any]]:
        return [*grouped_calls(connection, missing, scope, frozenset(groups), utc=tz is UTC)]

    rows = ask(bind, schema, "count the tokens used", scope.named, question)
    found = _priced(_in_days(rows, tz), columns, prices)
    order = sorted(
        found, key=lambda row: [((value := getattr(row, name)) is not None, value) for name in columns]
    )
    return Usage(UsageRow, order)


def _in_days(rows: Iterable[Mapping[str, Any]], tz: tzinfo) -> Iterator[Mapping[str, Any]]:
    """The same with a day in the place of a quarter of an hour."""
    days: dict[int, date] = {}
    for row in rows:
        quarter: int | None = row.get("day")
        if quarter is None:
            yield row
            continue
        if quarter not in days:
            days[quarter] = day_of(quarter, tz)
        yield {**row, "day": days[quarter]}


def _priced(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], prices: Mapping[str, Price] | None
) -> list[UsageRow]:
    totals: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        amounts = {name: int(row[name]) for name in ("calls", *TOKENS)}
        cost = None if prices is None else _cost(amounts, row["model"], prices)
        key = tuple(row[name] for name in columns)
        total = totals.get(key)
        if total is None:
            totals[key] = amounts | {"cost": cost}
            continue
        for name, amount in amounts.items():
            total[name] += amount
        total["cost"] = None if cost is None or total["cost"] is None else total["cost"] + cost
    named: dict[str, Any] = dict.fromkeys(_NAMES.values())
    return [
        UsageRow(**(named | dict(zip(columns, key, strict=True)) | total)) for key, total in totals.items()
    ]


def _cost(amounts: Mapping[str, int], model: str | None, prices: Mapping[str, Price]) -> float | None:
    if not any(amounts[name] for name in TOKENS):
        return 0.0  # whatever the model was
    plain = (model or "").removesuffix(FAST)
    fits = [
        name
        for name in prices
        if model is not None
        and model.endswith(FAST) == name.endswith(FAST)
        and plain.startswith(name.removesuffix(FAST))
    ]
    if not fits:
        return None
    price = prices[max(fits, key=len)]
    hour = amounts["cache_write_1h_tokens"]
    hour_price = 2 * price.input if price.cache_write_1h is None else price.cache_write_1h
    return (
        amounts["input_tokens"] * price.input
        + amounts["output_tokens"] * price.output
        + amounts["cache_read_tokens"] * price.cache_read
        + (amounts["cache_write_tokens"] - hour) * price.cache_write
        + hour * hour_price
    ) / 1_000_000
