"""Loads the fixtures, which are plugins by concern: see tests/fixtures."""

import gc
import logging
import signal
from collections.abc import Generator

import hypothesis  # noqa: F401 - its plugin looks for referrers of objects, so import it before gc.freeze
import pytest

# A shell that runs the tests in the background makes them, and the programs that they start, ignore SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before they import each other.
pytest.register_assert_rewrite("tests.fixtures", "tests.reliability")

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.databases",
    "tests.fixtures.stores",
    "tests.fixtures.faults",
    "tests.fixtures.pooler",
    "tests.fixtures.left_out",
    "tests.reliability.counts",
]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Freeze the half a million objects that collection makes, so that garbage collection skips them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


class _Fail(logging.Handler):
    """Fails a test whose query can't write the derived tables: it still answers, so nobody would notice."""

    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage())


logging.getLogger("boocode_sessions._core.derived").addHandler(_Fail())
