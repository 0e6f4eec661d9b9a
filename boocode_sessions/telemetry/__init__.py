"""Spans and metrics for OpenTelemetry, without content: docs/telemetry.md.

Needs the extra `otel`. Nothing else in the package imports this one.
"""

from __future__ import annotations

from collections.abc import Callable

from boocode_sessions._core import observing
from boocode_sessions._core.arguments import checked
from boocode_sessions.errors import MissingExtraError

try:
    from opentelemetry import metrics, trace

    from boocode_sessions.telemetry.database import watch
    from boocode_sessions.telemetry.observer import OpenTelemetryObserver, hashed
except ModuleNotFoundError as error:
    raise MissingExtraError("telemetry", "boocode-sessions[otel]", error.name) from None

__all__ = ["hashed", "instrument", "uninstrument", "watch"]


@checked
def instrument(
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    name_key: Callable[[str], str] = hashed,
) -> None:
    """Tell OpenTelemetry from now on what every store and repository of this process does.

    Args:
        tracer_provider: Where spans go; by default the global one.
        meter_provider: Where metrics go; by default the global one.
        name_key: What spans show of project keys, session ids and subpaths. By default a hash, the same for
            the same key. Who can guess a key recognizes its hash: give a keyed hash of your own where that
            matters. `name_key=str` shows them as they are.
    """
    observing.observe(OpenTelemetryObserver(tracer_provider, meter_provider, name_key))


def uninstrument() -> None:
    """Tell nobody any more."""
    observing.observe(None)
