"""Sums up tokens and cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import FAST
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.missing import Missing, ask
from boocode_sessions._core.statements.derived import Tokens
from boocode_sessions._core.unit_of_work import Bind
from boocode_sessions.queries.calls import grouped_calls
from boocode_sessions.queries.rows import Rows, installed
from boocode_sessions.queries.scope import Scope

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Dimension: TypeAlias = Literal["day", "model", "project", "session"]
Amount: TypeAlias = Literal["tokens", "output_tokens", "calls", "cost"]


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """A model's prices per million tokens, in any one currency."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    """The price of tokens that the cache keeps for five minutes."""
    cache_write_1h: float | None = None
    """The price of tokens that the cache keeps for an hour. None means twice the input price, as Anthropic's
    price list has it."""


@dataclasses.dataclass(frozen=True, slots=True)
class UsageRow:
    """The tokens and cost of one group of API calls. Dimensions that are not in `by` are None."""

    day: date | None
    """The day of the call's first line, in `tz`; None if no line has a time."""
    model: str | None
    """The model's name, with `-fast` appended if it answered in fast mode, which costs more."""
    project_key: str | None
    session_id: str | None
    calls: int
    """API calls, each counted once."""
    input_tokens: int
    """Input tokens that were neither read from the cache nor written to it."""
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    """All tokens written to the cache, including those it keeps for an hour."""
    cache_write_1h_tokens: int
    cost: float | None
    """Cost in the prices' currency; None without prices, or if a model that used tokens has none."""


class Usage(Rows[UsageRow]):
    """The result of `usage`. It can be plotted."""

    def plot(self, of: Amount = "tokens", *, ax: Axes | None = None) -> Axes:
        """Draw a bar for each day, with a part for each model, with matplotlib.

        Args:
            of: The amount to draw: tokens (of all kinds), output_tokens, calls or cost.
            ax: Where to draw; None for a new figure.

        Raises:
            ValueError: The rows have no days.
            MissingExtraError: matplotlib is not installed.
        """
        if self and all(row.day is None for row in self):
            raise ValueError("a plot has a bar for each day: ask for usage(..., by=('day', 'model'))")
        by_model: dict[str, dict[date, float]] = {}
        for row in self:
            if row.day is not None:
                of_model = by_model.setdefault(row.model or "every model", {})
                of_model[row.day] = of_model.get(row.day, 0) + _amount(row, of)
        drawn: Axes = _draw_bars(by_model, of, ax)
        return drawn


def _amount(row: UsageRow, of: Amount) -> float:
    if of == "tokens":
        return row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_tokens
    amount: float | None = getattr(row, of)
    return amount or 0


def _draw_bars(by_model: Mapping[str, Mapping[date, float]], of: Amount, ax: Any) -> Any:  # noqa: ANN401 - matplotlib's Axes
    if ax is None:
        ax = installed("matplotlib.pyplot", "plot()").subplots(figsize=(8, 4), layout="constrained")[1]
    else:
        installed("matplotlib", "plot()")
    said = sorted({day for of_model in by_model.values() for day in of_model})
    days = [said[0] + timedelta(days=at) for at in range((said[-1] - said[0]).days + 1)] if said else []
    below = [0.0] * len(days)
    for model, of_model in sorted(by_model.items()):
        heights = [of_model.get(day, 0.0) for day in days]
        ax.bar(days, heights, bottom=below, label=model, width=0.8)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    ax.set_ylabel(of.replace("_", " "))
    if of != "cost":  # 2M for 2,000,000 tokens or calls
        ax.yaxis.set_major_formatter(installed("matplotlib.ticker", "plot()").EngFormatter(sep=""))
    if days:
        dates = installed("matplotlib.dates", "plot()")
        locator = dates.AutoDateLocator(minticks=1, maxticks=8)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        ax.legend()
    return ax


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
    """Sum up the tokens of main agents and subagents, and their cost if `prices` are given.

    An API call has several lines, whose token counts grow, and forks copy them. Each call counts once, with
    its largest counts, in the session whose line was stored first.

    The sums come from tables that lag behind the entries. It first adds what the tables lack. Over a
    Connection or a Session, and where it can't write, it reads those entries instead.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        by: One or several of day, model, project and session. Rows are grouped and sorted by it.
        prices: Prices by a model's name or its beginning. The longest one that matches counts. Names of
            prices for fast mode end in `-fast`, as the names of models in the rows do.
        project_key: Only calls in this project.
        session_id: Only calls in the session with this id.
        since: Only calls whose first line is from this time on. A line without a time counts from when it was
            stored. A date means its beginning in `tz`.
        until: Only calls whose first line is before this time.
        tz: The time zone of days and dates.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        ValueError: `since` or `until` has no time zone, or `by` is unknown.
        TypeError: One of `prices` is no Price.
        SessionStoreError: The database can't be read.
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
    """Replace the quarter hour of each row with its day."""
    days: dict[int, date] = {}
    for row in rows:
        quarter: int | None = row.get("day")
        if quarter is None:
            yield row
            continue
        if quarter not in days:
            at = datetime.min.replace(tzinfo=UTC) + timedelta(minutes=15 * quarter)
            days[quarter] = at.astimezone(tz).date()
        yield {**row, "day": days[quarter]}


def _priced(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], prices: Mapping[str, Price] | None
) -> list[UsageRow]:
    totals: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        amounts = {name: int(row[name]) for name in ("calls", *Tokens._fields)}
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
    if not any(amounts[name] for name in Tokens._fields):
        return 0.0  # for any model
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
