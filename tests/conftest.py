"""Fixtures come as plugins by concern: see tests/fixtures."""

import gc
import logging
import signal
from collections.abc import Generator

import hypothesis  # noqa: F401 - its plugin asks who refers to an object: before any is frozen
import pytest

# A shell that runs the tests in the background makes them, and the programs that they start, deaf to Ctrl-C.
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
    """Half a million objects are collected, and stay: no garbage collection looks through them again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


class _Fail(logging.Handler):
    """A question that can't write the derived tables is answered all the same: nobody would see why."""

    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage())


logging.getLogger("boocode_sessions._core.derived").addHandler(_Fail())
