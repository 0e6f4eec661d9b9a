"""Gauges for the contents of a database: stale summaries, unplaced rows, sessions, bytes."""

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

GAUGES: dict[str, tuple[str, str, str]] = {
    "sessions": ("{session}", "Sessions that have a main transcript", "sessions"),
    "entries": ("{entry}", "Entries that are stored", "entries"),
    "entries.unplaced": ("{entry}", "Rows of other writers that nobody has placed", "unplaced"),
    "summaries.stale": ("{session}", "Sessions whose summary is missing or behind", "stale_summaries"),
    "sessions.behind": (
        "{session}",
        "Sessions with entries that search, or in an encrypted store usage, has yet to process",
        "behind",
    ),
    "size": ("By", "Size on disk", "bytes"),
}
"""Unit, description and field of Holdings, by the part of a gauge's name after `boocode_sessions.`."""


@checked
def watch(
    engine: Engine,
    *,
    schema: str | None = None,
    seconds: float = 300,
    meter_provider: metrics.MeterProvider | None = None,
) -> None:
    """Register gauges with the counts of `status.holdings` for a database.

    Call it in one process per database, since every process would report the same counts. Counting scans an
    index over all entries, in the thread that collects metrics.

    Args:
        engine: The database, over a synchronous driver, since metrics are collected in a thread.
        schema: The schema of the tables, if they are not on the connection's search path.
        seconds: How long to reuse a count.
        meter_provider: Receives the metrics; by default the global provider.

    Raises:
        TypeError: `engine` is not a synchronous Engine.
        UnsupportedBindError: The database is neither PostgreSQL nor SQLite.
    """
    _check_engine(engine)
    meter = metrics.get_meter("boocode_sessions", meter_provider=meter_provider)
    counted = _CachedCounts(engine, schema, seconds)
    for name, (unit, description, field) in GAUGES.items():
        callbacks = [counted.callback(field)]
        meter.create_observable_gauge(f"boocode_sessions.{name}", callbacks, unit, description)


def _check_engine(engine: object) -> None:
    if not isinstance(engine, Engine) or engine.dialect.is_async:
        raise TypeError(
            "engine is an Engine of a synchronous driver, since metrics are collected in a thread: "
            "boocode_sessions.engine.create_engine makes one of the application's URL"
        )
    check_dialect(engine.dialect.name)


class _CachedCounts:
    """The latest counts, renewed when they are too old."""

    def __init__(self, engine: Engine, schema: str | None, seconds: float) -> None:
        self._engine, self._schema, self._seconds = engine, schema, seconds
        self._at: float | None = None
        self._counts: Holdings | None = None
        self._lock = threading.Lock()

    def callback(self, field: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        attributes = {"db.system.name": self._engine.dialect.name}

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            count: int | None = getattr(self._current(), field, None)
            return [] if count is None else [Observation(count, attributes)]

        return observe

    def _current(self) -> Holdings | None:
        """Return the counts, or None if the database fails, so that a dashboard shows a gap."""
        with self._lock:
            if self._at is None or time.monotonic() - self._at >= self._seconds:
                self._at = time.monotonic()
                try:
                    self._counts = holdings(self._engine, schema=self._schema)
                except SessionStoreError:
                    self._counts = None
            return self._counts
