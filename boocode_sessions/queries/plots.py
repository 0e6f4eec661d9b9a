"""Plots of rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from boocode_sessions.queries.rows import installed


def plot_days(
    amounts: Iterable[tuple[date, str, float]],
    label: str,
    ax: Any,  # noqa: ANN401 - matplotlib's Axes
    *,
    prefixes: bool,
) -> Any:  # noqa: ANN401 - as above
    """Draw a bar for each day, with a part for each kind. If `ax` is None, it makes a figure.

    `prefixes` shows 2M for 2,000,000 on the vertical axis. Raises MissingExtraError.
    """
    if ax is None:
        ax = installed("matplotlib.pyplot", "plot()").subplots(figsize=(8, 4), layout="constrained")[1]
    else:
        installed("matplotlib", "plot()")
    kinds: dict[str, dict[date, float]] = {}
    for day, kind, amount in amounts:
        of_kind = kinds.setdefault(kind, {})
        of_kind[day] = of_kind.get(day, 0) + amount
    said = sorted({day for of_kind in kinds.values() for day in of_kind})
    days = [said[0] + timedelta(days=at) for at in range((said[-1] - said[0]).days + 1)] if said else []
    below = [0.0] * len(days)
    for kind, of_kind in sorted(kinds.items()):
        heights = [of_kind.get(day, 0.0) for day in days]
        ax.bar(days, heights, bottom=below, label=kind, width=0.8)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    ax.set_ylabel(label)
    if prefixes:
        ax.yaxis.set_major_formatter(installed("matplotlib.ticker", "plot()").EngFormatter(sep=""))
    if days:
        dates = installed("matplotlib.dates", "plot()")
        locator = dates.AutoDateLocator(minticks=1, maxticks=8)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        ax.legend()
    return ax
