"""Spans and metrics for OpenTelemetry, without transcript content: docs/telemetry.md.

Needs the `otel` extra. Nothing else in the package imports this package.
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
    """Report the calls of every store and repository in this process to OpenTelemetry.

    Args:
        tracer_provider: Receives the spans; by default the global provider.
        meter_provider: Receives the metrics; by default the global provider.
        name_key: Maps a project key, session id or subpath to the text that spans show. The default is a
            hash, equal for equal keys. Somebody who can guess a key recognizes its hash: if that matters,
            pass a keyed hash of your own. `name_key=str` shows keys as they are.
    """
    observing.observe(OpenTelemetryObserver(tracer_provider, meter_provider, name_key))


def uninstrument() -> None:
    """Stop reporting to OpenTelemetry."""
    observing.observe(None)
