"""Fixtures come as plugins by concern: see tests/fixtures."""

import signal

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
