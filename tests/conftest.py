"""Fixtures come as plugins by concern: see tests/fixtures."""

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.databases",
    "tests.fixtures.stores",
    "tests.fixtures.faults",
]
