"""The documentation's code blocks: which of them run, and how."""

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
    """A marker that says nothing."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """Of its first line of code, counted from 1."""
    language: str
    marker: str
    """The text of the comment right before it; empty without one."""
    code: str

    @property
    def runs(self) -> bool:
        """Python and shell run unless a marker says why not.

        Raises MarkerError for a marker without a reason, or one that names a test that is not there.
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
    """README.md and everything below docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def runs_elsewhere(text: str) -> bool:
    """Whether a page says that a test of its own runs all its blocks, and that test is there."""
    whole = re.search(r"<!-- this page is run by (tests/[\w./]+\.py) -->", text)
    return whole is not None and (ROOT / whole[1]).is_file()


def blocks(page: Path, text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
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
    """Past this line, or past the comment that begins here; and the marker that then holds."""
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
    """Close what a snippet leaves open: it names an engine, and need not say what becomes of it."""
    opened: list[Any] = []

    def remember(connection: Any, _record: object) -> None:
        opened.append(connection)

    event.listen(Pool, "connect", remember)
    try:
        yield
    finally:
        event.remove(Pool, "connect", remember)
        for connection in opened:
            if not hasattr(connection, "run_async"):  # an asynchronous one, which its engine closes
                connection.close()
