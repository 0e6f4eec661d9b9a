"""The metrics of calls and appends, with their names and units."""

from __future__ import annotations

from opentelemetry.metrics import Histogram, Meter

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""The histogram buckets that OpenTelemetry's database conventions prescribe."""
_COUNTS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10000.0)


class Instruments:
    """Metrics of OpenTelemetry's conventions, named `db.client...`, and ours, named `boocode_sessions...`."""

    def __init__(self, meter: Meter) -> None:
        def seconds(name: str, description: str) -> Histogram:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS
            )

        def counts(name: str, unit: str, description: str) -> Histogram:
            return meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=_COUNTS
            )

        self.duration = seconds("db.client.operation.duration", "How long a call of the contract takes")
        self.rows = counts("db.client.response.returned_rows", "{row}", "What a call returns")
        self.pool_wait = seconds(
            "db.client.connection.wait_time", "How long the pool takes to give a connection"
        )
        self.entries = meter.create_counter(
            "boocode_sessions.append.entries", "{entry}", "Entries that appends were given"
        )
        self.queue_size = meter.create_up_down_counter(
            "boocode_sessions.append.queue.size", "{append}", "Appends that wait in the queue"
        )
        self.queue_time = seconds("boocode_sessions.append.queue.wait_time", "How long appends wait")
        self.batch_appends = counts(
            "boocode_sessions.append.batch.size", "{append}", "Appends that go to the database together"
        )
        self.batch_entries = counts("boocode_sessions.append.batch.entries", "{entry}", "Entries of a batch")
        self.lock_wait = seconds(
            "boocode_sessions.lock.wait_time", "How long the lock of a session takes, its round trip included"
        )
        self.retries = meter.create_counter(
            "boocode_sessions.retries", "{retry}", "Transactions of ours that were run again"
        )
        self.in_doubt = meter.create_counter(
            "boocode_sessions.append.in_doubt", "{append}", "Appends whose answer was lost"
        )
