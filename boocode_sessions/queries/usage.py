"""What was used: tokens and cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Select, Text, cast, func, select, union_all

from boocode_sessions._core.codec import TOKENS
from boocode_sessions._core.operations import Tables
from boocode_sessions._core.sql.entry_json import day_of, json_count, json_string
from boocode_sessions._core.sql.facts import fact
from boocode_sessions._core.unit_of_work import Bind, Transactions
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.scope import Scope, at_of_entry, moment, said_within

Dimension: TypeAlias = Literal["day", "model", "project", "session"]


@dataclasses.dataclass(frozen=True)
class Price:
    """What a model costs per million tokens, in any one currency."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    """Written for five minutes."""
    cache_write_1h: float | None = None
    """Written for an hour; twice the price of input where it is None, as Anthropic's price list has it."""


class UsageRow(NamedTuple):
    """What was used by one group of API calls. A dimension that was not asked for is None."""

    day: date | None
    """In UTC: the day of the call's first line."""
    model: str | None
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


_NAMES: dict[str, str] = {"day": "day", "model": "model", "project": "project_key", "session": "session_id"}


def usage(
    bind: Bind,
    *,
    by: Sequence[Dimension] | Dimension = ("day", "model"),
    prices: Mapping[str, Price] | None = None,
    project_key: str | None = None,
    session_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    schema: str | None = None,
) -> list[UsageRow]:
    """Tokens, and cost where `prices` are given, of main agents and subagents, grouped and sorted by `by`.

    An API call is spread over several lines, whose usage grows, and a fork copies them: each call counts
    once, at its largest, in the session that was stored first. `prices` are by a model's name or the
    beginning of it; the longest that fits is taken.

    One statement, which reads the lines' stored facts (benchmarks/ask.py has the figures).
    """
    moment("since", since)
    moment("until", until)
    dimensions: tuple[str, ...] = (by,) if isinstance(by, str) else tuple(by)
    if unknown := set(dimensions) - set(_NAMES):
        raise ValueError(f"by is of {', '.join(_NAMES)}, not {', '.join(sorted(unknown))}")
    columns = [_NAMES[dimension] for dimension in dimensions]
    groups = columns if prices is None or "model" in columns else [*columns, "model"]
    calls = _calls(project_key, session_id, since, until)
    statement = _grouped(calls, groups)

    def operation(tables: Tables) -> list[dict[str, Any]]:
        return [dict(row) for row in tables.select(statement).mappings()]

    rows = Transactions(bind, schema).read("count the tokens used", operation)
    return _priced(rows, columns, prices)


def calls_of_entries() -> list[ColumnElement[Any]]:
    """What a line without facts says of its API call, in columns named as in UsageRow."""
    # A line without a message id is a call of its own.
    key = func.coalesce(json_string(Entry.entry.expression, "message", "id"), "~" + cast(Entry.id, Text))
    tokens = [
        json_count(Entry.entry.expression, "message", "usage", *path).label(n) for n, path in TOKENS.items()
    ]
    return [key.label("call"), Entry.model.label("model"), *tokens]


def calls_of_facts() -> list[ColumnElement[Any]]:
    """The same columns, of a line that has facts."""
    return [fact(Entry.facts.expression, name).label(name) for name in ("call", "model", *TOKENS)]


def largest(of: Any) -> list[ColumnElement[int]]:  # noqa: ANN401 - the columns of any subquery
    """The tokens of one call, from the columns of its lines."""
    return [func.coalesce(func.max(of[name]), 0).label(name) for name in TOKENS]


def _calls(
    project_key: str | None, session_id: str | None, since: datetime | None, until: datetime | None
) -> Any:  # noqa: ANN401 - a subquery's columns have no useful type
    scope = Scope(project_key, session_id, since, until)
    at = fact(Entry.facts.expression, "at")
    said = union_all(
        select(Entry.id, at.label("at"), *calls_of_facts()).where(*scope.by_facts("call")),
        select(Entry.id, at_of_entry().label("at"), *calls_of_entries()).where(*scope.by_entry("assistant")),
    ).subquery("said")
    once = (
        select(
            func.min(said.c.id).label("first_id"),
            func.max(said.c.model).label("model"),
            func.min(said.c.at).label("at"),
            *largest(said.c),
        )
        .group_by(said.c.call)
        .subquery("once")
    )
    return select(once).where(*said_within(once.c.at, since, until)).subquery("calls")


def _grouped(calls: Any, groups: Sequence[str]) -> Select[*tuple[Any, ...]]:  # noqa: ANN401
    first = {"project_key": Entry.project_key, "session_id": Entry.session_id}
    dimensions = {"day": day_of(calls.c.at), "model": calls.c.model, **first}
    chosen = [dimensions[name].label(name) for name in groups]
    statement = select(
        *chosen, func.count().label("calls"), *(func.sum(calls.c[name]).label(name) for name in TOKENS)
    ).select_from(calls)
    if first.keys() & set(groups):
        statement = statement.join(Entry, Entry.id == calls.c.first_id)
    return statement.group_by(*chosen).order_by(*chosen).having(func.count() > 0)


def _priced(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], prices: Mapping[str, Price] | None
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
        return 0.0  # such as the agent's own notices, which have a model's place but no model
    names = [name for name in prices if model is not None and model.startswith(name)]
    if not names:
        return None
    price = prices[max(names, key=len)]
    hour = amounts["cache_write_1h_tokens"]
    hour_price = 2 * price.input if price.cache_write_1h is None else price.cache_write_1h
    return (
        amounts["input_tokens"] * price.input
        + amounts["output_tokens"] * price.output
        + amounts["cache_read_tokens"] * price.cache_read
        + (amounts["cache_write_tokens"] - hour) * price.cache_write
        + hour * hour_price
    ) / 1_000_000
