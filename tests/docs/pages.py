"""Finds the documentation's code blocks, and decides which of them run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>[\w+-]*)[^\n]*")
_COMMENT = re.compile(r"<!--(?P<text>.*?)-->", re.DOTALL)
_NOT_RUN = re.compile(r"not run: (?P<reason>\S.{9,})", re.DOTALL)
_ELSEWHERE = re.compile(r"run by (?P<path>[\w./-]+\.py)\b", re.DOTALL)


class MarkerError(Exception):
    """A marker without a valid reason."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """Line number of the first line of code, counted from 1."""
    language: str
    marker: str
    """Text of the comment right before the block; empty if there is none."""
    code: str

    @property
    def runs(self) -> bool:
        """True for Python and shell blocks, unless a marker says why not.

        Raises MarkerError for a marker without a reason, or with a test that doesn't exist.
        """
        if self.language not in {"python", "sh", "bash", "shell"}:
            return False
        if not self.marker.startswith(("not run", "run by", "skip")):
            return True
        if _NOT_RUN.fullmatch(self.marker):
            return False
        elsewhere = _ELSEWHERE.match(self.marker)
        if elsewhere and (ROOT / elsewhere["path"]).is_file():
            return False
        raise MarkerError(
            f"{self.page}:{self.line}: write <!-- not run: the reason --> or <!-- run by tests/....py -->, "
            f"with a test that exists, not <!-- {self.marker} -->"
        )


def pages() -> list[Path]:
    """Return README.md and every page below docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def runs_elsewhere(text: str) -> bool:
    """True if a page names an existing test that runs all of its blocks."""
    whole = re.search(r"<!-- this page is run by (tests/[\w./]+\.py) -->", text)
    return whole is not None and (ROOT / whole[1]).is_file()


def blocks(page: Path, text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    lines = text.splitlines()
    number = 0
    marker = ""
    while number < len(lines):
        opened = _FENCE.fullmatch(lines[number])
        if opened is None:
            number, marker = _after_comment(lines, number, marker)
            continue
        first = number = number + 1
        indent = len(opened["indent"])
        while number < len(lines) and lines[number].strip() != opened["fence"]:
            number += 1
        code = "\n".join(line[indent:] for line in lines[first:number]) + "\n"
        yield Block(page, first + 1, opened["language"], marker, code)
        number, marker = number + 1, ""


def _after_comment(lines: list[str], number: int, marker: str) -> tuple[int, str]:
    """Skip this line, or the comment that begins here. Return the next line's number and the marker."""
    line = lines[number].strip()
    if not line:
        return number + 1, marker
    if not line.startswith("<!--"):
        return number + 1, ""
    last = number
    while last < len(lines) and "-->" not in lines[last]:
        last += 1
    comment = _COMMENT.search("\n".join(lines[number : last + 1]))
    return last + 1, " ".join(comment["text"].split()) if comment else ""


@contextmanager
def closing_connections() -> Iterator[None]:
    """Close connections that a snippet leaves open, so that pages needn't dispose of their engines."""
    opened: list[Any] = []

    def remember(connection: Any, _record: object) -> None:
        opened.append(connection)

    event.listen(Pool, "connect", remember)
    try:
        yield
    finally:
        event.remove(Pool, "connect", remember)
        for connection in opened:
            if not hasattr(connection, "run_async"):  # its async engine closes it
                connection.close()
