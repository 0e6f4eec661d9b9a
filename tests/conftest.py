"""Fixtures come as plugins by concern: see tests/fixtures."""

import pytest

# Before they import each other.
pytest.register_assert_rewrite("tests.fixtures", "tests.reliability")

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.databases",
    "tests.fixtures.stores",
    "tests.fixtures.faults",
    "tests.fixtures.pooler",
    "tests.reliability.counts",
]
