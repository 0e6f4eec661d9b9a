"""What OpenTelemetry is told: calls, queues, batches, locks, retries, doubts and pools, and no content."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import anyio
import pytest
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Engine, text

from boocode_sessions import (
    ClaudeSessionRepository,
    InvalidKeyError,
    SessionKey,
    TimedOutError,
    UnavailableError,
    telemetry,
)
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.telemetry.database import GAUGES
from boocode_sessions.telemetry.instruments import Instruments
from tests.docs.pages import ROOT
from tests.fixtures.canaries import CANARY, assert_private, canary_entries
from tests.fixtures.databases import Database
from tests.fixtures.stores import backend_of, open_store
from tests.reliability.proxy import Cut, Proxy

KEY: SessionKey = {"project_key": f"project-{CANARY}", "session_id": f"session-{CANARY}"}
PLAIN: SessionKey = {"project_key": "p", "session_id": "s"}


class Told(NamedTuple):
    """What OpenTelemetry was told so far."""

    spans_exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracer_provider: TracerProvider
    meter_provider: MeterProvider

    def spans(self, scope: str = "boocode_sessions") -> Sequence[ReadableSpan]:
        found = self.spans_exporter.get_finished_spans()
        return [span for span in found if (span.instrumentation_scope or span).name == scope]

    def metrics(self) -> dict[str, list[Any]]:
        """The data points of each metric."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def everything(self) -> list[str]:
        spans = [span.to_json() for span in self.spans_exporter.get_finished_spans()]
        data = self.reader.get_metrics_data()
        return [*spans, data.to_json() if data else ""]


@pytest.fixture
def told() -> Iterator[Told]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.instrument(tracer_provider=tracers, meter_provider=meters)
    yield Told(exporter, reader, tracers, meters)
    telemetry.uninstrument()
    meters.shutdown()


class TestEveryForm:
    @pytest.fixture
    def anyio_backend(self, store_kind: str) -> str:
        return backend_of(store_kind)

    @pytest.mark.anyio
    async def test_each_call_is_one_span_without_content(
        self, store_kind: str, database: Database, told: Told
    ) -> None:
        async with open_store(store_kind, database) as store:
            await store.append(KEY, canary_entries(3))
            await store.load(KEY)
            await store.list_sessions(KEY["project_key"])
            await store.list_session_summaries(KEY["project_key"])
            await store.list_subkeys(KEY)
            await store.delete(KEY)
            with pytest.raises(InvalidKeyError):
                await store.load({**KEY, "subpath": f"{CANARY}\0"})
        calls = [span for span in told.spans() if span.name != "append batch"]
        names = [
            "append",
            "load",
            "list_sessions",
            "list_session_summaries",
            "list_subkeys",
            "delete",
            "load",
        ]
        assert [(span.attributes or {})["db.operation.name"] for span in calls] == names
        append, load, *_, failed = [dict(span.attributes or {}) for span in calls]
        assert append["db.system.name"] == database.dialect
        assert append["db.operation.batch.size"] == load["db.response.returned_rows"] == 3
        assert append["boocode_sessions.session_id"] == telemetry.hashed(KEY["session_id"])
        assert failed["error.type"] == "InvalidKeyError"
        assert_private(told.everything())
        metrics = told.metrics()
        durations = metrics["db.client.operation.duration"]
        assert sum(point.count for point in durations) == len(names)
        assert [point.value for point in metrics["boocode_sessions.append.entries"]] == [3]
        assert metrics["db.client.connection.wait_time"]


def test_keys_are_shown_where_the_host_says_so(engine: Engine, told: Told) -> None:
    telemetry.instrument(tracer_provider=told.tracer_provider, name_key=str)
    ClaudeSessionRepository(engine).load({**PLAIN, "subpath": "subagents/a"})
    shown = dict(told.spans()[0].attributes or {})
    assert shown["boocode_sessions.project_key"] == "p"
    assert shown["boocode_sessions.subpath"] == "subagents/a"


def test_who_stops_listening_hears_nothing_more(engine: Engine, told: Told) -> None:
    telemetry.uninstrument()
    ClaudeSessionRepository(engine).append(PLAIN, [{"type": "user"}])
    assert told.spans() == []


@pytest.mark.anyio
async def test_appends_that_wait_are_told_as_a_batch_with_links(engine: Engine, told: Told) -> None:
    store = SQLAlchemySessionStore(engine)
    async with anyio.create_task_group() as group:
        for number in range(30):
            key: SessionKey = {**PLAIN, "session_id": str(number)}
            group.start_soon(store.append, key, [{"type": "user"}])
    batches = [span for span in told.spans() if span.name == "append batch"]
    calls = {span.context.span_id for span in told.spans() if span.name.startswith("append claude")}
    linked = {link.context.span_id for span in batches for link in span.links}
    parents = {span.parent.span_id for span in batches if span.parent}
    assert linked | parents == calls
    assert linked, "some waited together"
    metrics = told.metrics()
    assert [point.value for point in metrics["boocode_sessions.append.queue.size"]] == [0]
    assert metrics["boocode_sessions.append.queue.wait_time"][0].count == 30
    assert metrics["boocode_sessions.append.batch.size"][0].sum == 30
    assert metrics["boocode_sessions.append.batch.entries"][0].sum == 30


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_lock_that_is_waited_for_is_told(database: Database, told: Told) -> None:
    engine = create_engine(database.url)
    ClaudeSessionRepository(engine).append(PLAIN, [{"type": "user"}])
    with engine.connect() as holder:
        holder.execute(text("SELECT 1 FROM claude_sessions FOR UPDATE"))
        impatient = create_engine(database.url, connect_args={"options": "-c lock_timeout=50"})
        with pytest.raises(TimedOutError):
            ClaudeSessionRepository(impatient).append(PLAIN, [{"type": "user"}])
        impatient.dispose()
    ClaudeSessionRepository(engine).delete(PLAIN)
    engine.dispose()
    waits = {
        point.attributes["boocode_sessions.lock.acquired"]: point.count
        for point in told.metrics()["boocode_sessions.lock.wait_time"]
    }
    assert waits == {True: 2, False: 1}
    failed = [dict(span.attributes or {}) for span in told.spans() if not span.status.is_ok]
    assert [span["db.response.status_code"] for span in failed if "error.type" in span] == ["55P03"]


def test_a_lost_answer_and_a_retry_are_told(proxy: Proxy, told: Told) -> None:
    engine = create_engine(proxy.url, pool_size=1, max_overflow=0)
    repository = ClaudeSessionRepository(engine)
    entries = [{"type": "user"}]
    repository.append(PLAIN, entries)
    proxy.cut(Cut.AFTER)
    with pytest.raises(UnavailableError):
        repository.append(PLAIN, entries)
    repository.append(PLAIN, entries)
    proxy.drop_all()
    assert len(repository.load(PLAIN) or []) == 2
    engine.dispose()
    metrics = told.metrics()
    assert [point.value for point in metrics["boocode_sessions.append.in_doubt"]] == [1]
    assert [dict(point.attributes)["error.type"] for point in metrics["boocode_sessions.retries"]] == [
        "UnavailableError"
    ]
    events = [event.name for span in told.spans() for event in span.events]
    assert events == ["in doubt", "retry"]


def test_what_a_database_holds_is_told_in_gauges(engine: Engine, told: Told) -> None:
    ClaudeSessionRepository(engine).append(PLAIN, [{"type": "user"}, {"type": "user"}])
    with engine.begin() as connection:
        connection.execute(text("UPDATE claude_sessions SET data = NULL"))
    telemetry.watch(engine, meter_provider=told.meter_provider)
    metrics = told.metrics()
    names = ("sessions", "entries", "entries.unplaced", "summaries.stale", "sessions.behind", "size")
    values = {name: metrics[f"boocode_sessions.{name}"][0].value for name in names}
    assert values.pop("size") > 0
    assert values == {
        "sessions": 1,
        "entries": 2,
        "entries.unplaced": 0,
        "summaries.stale": 1,
        "sessions.behind": 1,
    }


def test_it_works_beside_the_instrumentation_of_sqlalchemy(engine: Engine, told: Told) -> None:
    """Whose spans stand below ours, in worker threads and greenlets too."""
    SQLAlchemyInstrumentor().instrument(
        engine=engine,
        tracer_provider=told.tracer_provider,
        skip_dep_check=True,  # its version for SQLAlchemy 2.1 is still to come
    )
    try:
        ClaudeSessionRepository(engine).append(KEY, canary_entries(3))
        anyio.run(SQLAlchemySessionStore(engine).append, KEY, canary_entries(3))
        ClaudeSessionRepository(engine).load(KEY)
    finally:
        SQLAlchemyInstrumentor().uninstrument()
    theirs = [span for span in told.spans_exporter.get_finished_spans() if span not in told.spans()]
    ours = {span.context.span_id for span in told.spans()}
    statements = [span for span in theirs if span.name != "connect"]
    assert statements
    assert all(span.parent and span.parent.span_id in ours for span in statements)
    assert_private(told.everything())


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "examples" / "grafana" / "dashboard.json").read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    shown = set(re.findall(r"\b(?:db_client|boocode_sessions)_\w+", asked))
    meters = MeterProvider([reader := InMemoryMetricReader()])
    instruments = vars(Instruments(meters.get_meter("x"))).values()
    for instrument in instruments:
        (instrument.record if isinstance(instrument, Histogram) else instrument.add)(1)
    telemetry.watch(create_engine("sqlite://"), meter_provider=meters)
    data = reader.get_metrics_data()
    assert data is not None
    kinds = {"s": "_seconds", "By": "_bytes"}
    told = {
        f"boocode_sessions_{name.replace('.', '_')}{kinds.get(unit, '')}"
        for name, (unit, *_) in GAUGES.items()
    }
    for scope in data.resource_metrics[0].scope_metrics:
        for metric in scope.metrics:
            name = metric.name.replace(".", "_") + kinds.get(metric.unit or "", "")
            points: list[Any] = list(metric.data.data_points)
            histogram = hasattr(points[0], "bucket_counts")
            counter = getattr(metric.data, "is_monotonic", False)
            told |= (
                {f"{name}_bucket", f"{name}_count"} if histogram else {f"{name}_total" if counter else name}
            )
    assert shown <= told
    documented = (ROOT / "docs" / "telemetry.md").read_text()
    assert [
        instrument.name for instrument in instruments if instrument.name.split(".")[-1] not in documented
    ] == []
