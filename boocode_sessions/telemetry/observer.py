"""The observer that reports to OpenTelemetry, by its conventions for databases."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry import metrics, trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
from sqlalchemy import Engine

from boocode_sessions._core.append.request import AppendRequest
from boocode_sessions._core.binds import engine_of
from boocode_sessions.models import ClaudeSession, ClaudeSessionEntry
from boocode_sessions.telemetry.instruments import Instruments

_LISTINGS = {"list_sessions", "list_session_summaries"}
_KEY_PARTS = ("project_key", "session_id", "subpath")

_inside: ContextVar[bool] = ContextVar("boocode_sessions.telemetry.inside", default=False)
"""True inside a call that is already reported: a store's load calls a repository's load."""


def hashed(key: str) -> str:
    """Return a short hash of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Queued(NamedTuple):
    at: float
    span: SpanContext


class OpenTelemetryObserver:
    """Turns the package's calls, batches, locks and retries into spans and metrics."""

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
        name_key: Callable[[str], str],
    ) -> None:
        self._tracer = trace.get_tracer("boocode_sessions", tracer_provider=tracer_provider)
        self._instruments = Instruments(metrics.get_meter("boocode_sessions", meter_provider=meter_provider))
        self._name_key = name_key
        self._queued: WeakKeyDictionary[AppendRequest, _Queued] = WeakKeyDictionary()
        self._lock = threading.Lock()

    @contextmanager
    def call(
        self, name: str, bind: object, key: object, sent: int | None
    ) -> Generator[Callable[[int], None]]:
        """Like Observer.call."""
        if _inside.get():
            yield lambda _: None
            return
        attributes = _engine_attributes(engine_of(bind)) | {
            "db.operation.name": name,
            "db.collection.name": (ClaudeSession if name in _LISTINGS else ClaudeSessionEntry).__tablename__,
        }
        token = _inside.set(True)
        started = time.perf_counter()
        try:
            with self._tracer.start_as_current_span(
                f"{name} {attributes['db.collection.name']}",
                kind=SpanKind.CLIENT,
                attributes=attributes | self._key_attributes(key),
                record_exception=False,  # exception messages name keys
                set_status_on_exception=False,
            ) as span:
                if sent is not None:
                    self._instruments.entries.add(sent, attributes)
                    if sent != 1:
                        span.set_attribute("db.operation.batch.size", sent)

                def returned(rows: int) -> None:
                    span.set_attribute("db.response.returned_rows", rows)
                    self._instruments.rows.record(rows, attributes)

                try:
                    yield returned
                except BaseException as error:
                    attributes |= _mark_failed(span, error)
                    raise
        finally:
            _inside.reset(token)
            self._instruments.duration.record(time.perf_counter() - started, attributes)

    @contextmanager
    def batch(self, requests: Sequence[AppendRequest]) -> Generator[None]:
        """Like Observer.batch. The span of a single append is the parent; those of several become links."""
        links: list[Link] = []
        for request in requests:
            queued = self._dequeue(request)
            if queued is not None:
                self._instruments.queue_time.record(time.perf_counter() - queued.at)
                if queued.span.is_valid:
                    links.append(Link(queued.span))
        self._instruments.batch_appends.record(len(requests))
        entries = sum(len(request.encoded) for request in requests)
        self._instruments.batch_entries.record(entries)
        parent = (
            trace.set_span_in_context(trace.NonRecordingSpan(links[0].context)) if len(links) == 1 else None
        )
        with self._tracer.start_as_current_span(
            "append batch",
            context=parent,
            attributes={
                "boocode_sessions.batch.appends": len(requests),
                "boocode_sessions.batch.entries": entries,
            },
            links=None if len(links) == 1 else links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _mark_failed(span, error)
                raise

    def queued(self, request: AppendRequest) -> None:
        """Like Observer.queued."""
        self._instruments.queue_size.add(1)
        with self._lock:
            self._queued[request] = _Queued(time.perf_counter(), trace.get_current_span().get_span_context())

    def unqueued(self, request: AppendRequest) -> None:
        """Like Observer.unqueued."""
        self._dequeue(request)

    def connected(self, engine: Engine, seconds: float) -> None:
        """Like Observer.connected."""
        of_pool = {"db.client.connection.pool.name": _pool_name(engine)}
        self._instruments.pool_wait.record(seconds, _engine_attributes(engine) | of_pool)

    def locked(self, dialect: str, seconds: float, *, acquired: bool) -> None:
        """Like Observer.locked."""
        attributes: dict[str, Any] = {
            "db.system.name": dialect,
            "boocode_sessions.lock.acquired": acquired,
        }
        self._instruments.lock_wait.record(seconds, attributes)

    def retried(self, error: Exception) -> None:
        """Like Observer.retried."""
        attributes = _error_attributes(error)
        self._instruments.retries.add(1, attributes)
        trace.get_current_span().add_event("retry", attributes)

    def in_doubt(self) -> None:
        """Like Observer.in_doubt."""
        self._instruments.in_doubt.add(1)
        trace.get_current_span().add_event("in doubt")

    def _dequeue(self, request: AppendRequest) -> _Queued | None:
        with self._lock:
            queued = self._queued.pop(request, None)
        if queued is not None:
            self._instruments.queue_size.add(-1)
        return queued

    def _key_attributes(self, key: object) -> dict[str, str]:
        if isinstance(key, str):
            return {"boocode_sessions.project_key": self._name_key(key)}
        if not isinstance(key, Mapping):
            return {}
        parts: dict[str, Any] = {part: key.get(part) for part in _KEY_PARTS}  # pyright: ignore[reportUnknownMemberType] - any mapping
        return {
            f"boocode_sessions.{part}": self._name_key(value)
            for part, value in parts.items()
            if isinstance(value, str)
        }


def _engine_attributes(engine: Engine | None) -> dict[str, Any]:
    """Return the attributes that describe a database."""
    if engine is None:
        return {"db.system.name": "other_sql"}
    url = engine.url
    attributes: dict[str, Any] = {"db.system.name": engine.dialect.name}
    if url.database:
        attributes["db.namespace"] = PurePath(url.database).name  # a file's path may hold a person's name
    if url.host:
        attributes["server.address"] = url.host
        if url.port:
            attributes["server.port"] = url.port
    return attributes


def _pool_name(engine: Engine) -> str:
    url = engine.url
    host = f"{url.host}:{url.port}/" if url.port else f"{url.host}/" if url.host else ""
    return f"{host}{PurePath(url.database or '').name}"


def _mark_failed(span: Span, error: BaseException) -> dict[str, str]:
    """Mark a span as failed and return its new attributes. They leave out the message, which names keys."""
    attributes = _error_attributes(error)
    span.set_status(StatusCode.ERROR)
    span.set_attributes(attributes)
    return attributes


def _error_attributes(error: BaseException) -> dict[str, str]:
    attributes = {"error.type": type(error).__qualname__}
    if sqlstate := getattr(error, "sqlstate", None):
        attributes["db.response.status_code"] = str(sqlstate)
    return attributes
