"""A folder on the disk: which of its files can be transcripts, and why the others can't."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from boocode_sessions.errors import InvalidEntryError

LINES = ".jsonl"
METADATA = ".meta.json"
PROJECTS = "projects"
"""The agent's folder of all projects."""
SUBAGENTS = "subagents"
"""The folder inside a session's folder that holds its subagents' transcripts."""

MAX_LINE_BYTES = 256 << 20
"""Maximum bytes of a line: PostgreSQL accepts no longer entry. A crash can leave a file of a single line."""
LINE_TOO_LONG = f"it is longer than {MAX_LINE_BYTES >> 20} MB"


class Unusable(NamedTuple):
    """A file or a folder that is not imported, and why."""

    path: Path
    reason: str


@dataclass
class Folder:
    """A folder on the disk. Links are followed."""

    path: str
    lines: set[str] = field(default_factory=set[str])
    """The stems of its `.jsonl` files."""
    metadata: set[str] = field(default_factory=set[str])
    """The stems of its `.meta.json` files."""
    folders: list[str] = field(default_factory=list[str])
    unusable: list[Unusable] = field(default_factory=list[Unusable])
    """What looks like a transcript by its name but can't be imported."""

    @property
    def name(self) -> str:
        return os.path.basename(self.path)  # noqa: PTH119 - a Path per folder costs more than the call

    def within(self, name: str) -> str:
        return os.path.join(self.path, name)  # noqa: PTH118 - as above


def scan(path: str) -> Folder:
    """Read the folder at `path`. Raises OSError."""
    folder = Folder(path)
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            _classify(entry, folder)
    return folder


def _classify(entry: os.DirEntry[str], folder: Folder) -> None:
    name = entry.name
    ending = next((ending for ending in (LINES, METADATA) if name.endswith(ending)), None)
    problem: str | None = None
    try:
        if entry.is_dir():
            folder.folders.append(name)
            if ending is not None and not holds_lines(entry.path):
                problem = "it is a folder, and holds no transcripts"
        elif ending is not None or name == SUBAGENTS:
            problem = _problem(entry)
            if problem is None and not name.startswith("."):
                stems = folder.lines if ending == LINES else folder.metadata
                stems.add(name.removesuffix(ending or ""))
        else:
            problem = _likely_meant(name)
    except FileNotFoundError:
        if entry.is_symlink():
            problem = "it is a link that leads nowhere"
    except OSError as error:
        if ending is not None or name == SUBAGENTS:
            problem = f"it can't be read: {error.strerror}"
    if problem is not None:
        folder.unusable.append(Unusable(Path(entry.path), problem))


def _problem(entry: os.DirEntry[str]) -> str | None:
    """Return why something with a transcript's name is none. The files that macOS adds are passed over."""
    is_file = stat.S_ISREG(entry.stat().st_mode)
    if entry.name == SUBAGENTS:
        return "it is no folder"
    if not is_file:
        return "it is no file, but a pipe or a device"
    if entry.name.startswith(".") and not _is_apple_double(entry.path):
        return "its name begins with a dot, as no transcript's does"
    return None


def _likely_meant(name: str) -> str | None:
    """Return why a file with nearly a transcript's name is none. Backups (`.jsonl.bak`) are passed over."""
    stem, ending = os.path.splitext(name.lower())  # noqa: PTH122 - as above
    if ending == LINES:
        return f"its name does not end in {LINES}, as it has to in small letters"
    if ending in _COMPRESSED and stem.endswith(LINES):
        return "it is compressed: unpack it first"
    return None


_COMPRESSED = {".gz", ".zst", ".xz", ".bz2", ".lz4", ".br", ".zip", ".7z"}


def holds_lines(path: str) -> bool:
    """True if a folder holds `.jsonl` files at any depth."""
    return any(name.endswith(LINES) for _, _, files in os.walk(path) for name in files)


def _is_apple_double(path: str) -> bool:
    """True if the file holds another file's attributes: macOS makes it on file systems without attributes."""
    with open(path, "rb") as file:  # noqa: PTH123 - a Path per file costs more than the call
        return file.read(4) == b"\0\5\x16\7"


def whole_lines(file: BinaryIO, size: int) -> Iterator[bytes | None]:
    """Yield the lines that begin in the first `size` bytes of a file, and None for a line that is too long.

    A file can grow faster than it is read. Some of the system's files have no size, and no end either.
    """
    size = size or MAX_LINE_BYTES
    while file.tell() < size and (line := file.readline(MAX_LINE_BYTES)):
        if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
            yield line
            continue
        yield None
        while file.tell() < size and line and not line.endswith(b"\n"):
            line = file.readline(1 << 20)


def read_document(path: Path) -> bytes:
    """Read a file that is one JSON document. Raises InvalidEntryError if it can't be read or is too long."""
    try:
        with path.open("rb") as file:
            document = file.read(MAX_LINE_BYTES)
    except OSError as error:
        raise InvalidEntryError(f"it can't be read: {error.strerror}") from error
    if len(document) == MAX_LINE_BYTES:
        raise InvalidEntryError(LINE_TOO_LONG)
    return document
