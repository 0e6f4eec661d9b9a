"""Plots of what was used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from boocode_sessions.queries.frames import installed

if TYPE_CHECKING:
    from boocode_sessions.queries.token_usage import UsageRow

Amount: TypeAlias = Literal["tokens", "output_tokens", "calls", "cost"]


def plot_usage(rows: Sequence[UsageRow], of: Amount, ax: Any) -> Any:  # noqa: ANN401 - matplotlib's Axes
    """A bar for each day, with a part for each model."""
    if any(row.day is None for row in rows) and all(row.day is None for row in rows):
        raise ValueError("a plot has a bar for each day: ask for usage(..., by=('day', 'model'))")
    if ax is None:
        ax = installed("matplotlib.pyplot", "plot()").subplots(figsize=(8, 4), layout="constrained")[1]
    else:
        installed("matplotlib", "plot()")
    amounts: dict[str, dict[date, float]] = {}
    for row in rows:
        if row.day is not None:
            of_model = amounts.setdefault(row.model or "every model", {})
            of_model[row.day] = of_model.get(row.day, 0) + _amount(row, of)
    said = sorted({day for of_model in amounts.values() for day in of_model})
    days = [said[0] + timedelta(days=at) for at in range((said[-1] - said[0]).days + 1)] if said else []
    below = [0.0] * len(days)
    for model, of_model in sorted(amounts.items()):
        heights = [of_model.get(day, 0.0) for day in days]
        ax.bar(days, heights, bottom=below, label=model, width=0.8)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    ax.set_ylabel(of.replace("_", " "))
    if of != "cost":
        ax.yaxis.set_major_formatter(installed("matplotlib.ticker", "plot()").EngFormatter(sep=""))
    if days:
        dates = installed("matplotlib.dates", "plot()")
        locator = dates.AutoDateLocator(minticks=1, maxticks=8)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        ax.legend()
    return ax


def _amount(row: UsageRow, of: Amount) -> float:
    if of == "tokens":
        return row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_tokens
    return getattr(row, of) or 0
