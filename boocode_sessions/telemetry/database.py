"""Gauges of what a database holds: stale summaries, unplaced rows, sessions, bytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from sqlalchemy import Engine

from boocode_sessions._core.arguments import checked
from boocode_sessions.engine import check_dialect
from boocode_sessions.errors import SessionStoreError
from boocode_sessions.status import Holdings, holdings

GAUGES: dict[str, tuple[str, str, Callable[[Holdings], int | None]]] = {
    "sessions": ("{session}", "Sessions that have a main transcript", lambda held: held.sessions),
    "entries": ("{entry}", "Entries that are stored", lambda held: held.entries),
    "entries.unplaced": (
        "{entry}",
        "Rows of other writers that nobody has placed",
        lambda held: held.unplaced,
    ),
    "summaries.stale": (
        "{session}",
        "Sessions whose summary is missing or behind",
        lambda held: held.stale_summaries,
    ),
    "sessions.behind": (
        "{session}",
        "Sessions with entries that no question has taken",
        lambda held: held.behind,
    ),
    "size": ("By", "On disk", lambda held: held.bytes),
}
"""By its name after `boocode_sessions`: a unit, a description, and which count it is."""


@checked
def watch(
    engine: Engine,
    *,
    schema: str | None = None,
    seconds: float = 300,
    meter_provider: metrics.MeterProvider | None = None,
) -> None:
    """Have gauges tell what a database holds, as `status.holdings` counts it.

    One process per database is enough: the counts are the database's. The counting reads an index over all
    entries, in the thread that collects metrics.

    Args:
        engine: The database, through a synchronous driver: metrics are collected in a thread of their own.
        schema: Where the tables are, when the connection's search path does not lead there.
        seconds: How long a count is good for.
        meter_provider: Where metrics go; by default the global one.

    Raises:
        TypeError: `engine` is something else, such as an AsyncEngine.
        UnsupportedBindError: It is over a database that is not one of ours.
    """
    _check_engine(engine)
    meter = metrics.get_meter("boocode_sessions", meter_provider=meter_provider)
    counted = _Counted(engine, schema, seconds)
    for name, (unit, description, value) in GAUGES.items():
        meter.create_observable_gauge(
            f"boocode_sessions.{name}", [counted.observing(value)], unit, description
        )


def _check_engine(engine: object) -> None:
    if not isinstance(engine, Engine) or engine.dialect.is_async:
        raise TypeError(
            "engine is an Engine of a synchronous driver, since metrics are collected in a thread: "
            "boocode_sessions.engine.create_engine makes one of the application's URL"
        )
    check_dialect(engine.dialect.name)


class _Counted:
    """The newest count."""

    def __init__(self, engine: Engine, schema: str | None, seconds: float) -> None:
        self._engine, self._schema, self._seconds = engine, schema, seconds
        self._at: float | None = None
        self._held: Holdings | None = None
        self._lock = threading.Lock()

    def observing(
        self, value: Callable[[Holdings], int | None]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        attributes = {"db.system.name": self._engine.dialect.name}

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            held = self._now()
            count = None if held is None else value(held)
            return [] if count is None else [Observation(count, attributes)]

        return observe

    def _now(self) -> Holdings | None:
        """The count; None where the database can't be asked, so that a dashboard shows a gap."""
        with self._lock:
            if self._at is None or time.monotonic() - self._at >= self._seconds:
                self._at = time.monotonic()
                try:
                    self._held = holdings(self._engine, schema=self._schema)
                except SessionStoreError:
                    self._held = None
            return self._held
