"""Counts the checks of the exactness and privacy tests, over a run in one process (`-n 0`)."""

from collections import Counter
from typing import Any

COUNTS: Counter[str] = Counter()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for what, number in sorted(COUNTS.items()):
        terminalreporter.write_line(f"{number:,} {what}")
