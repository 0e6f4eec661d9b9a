"""Tells a project's folder from a session's, by names first and then by the first lines of files.

The agent's own trees are regular, but the trees that people import are not: archives of several machines, a
folder one level too high or too low, files copied beside the folders that they belong in. A transcript under
a wrong key is worse than one that is left out, because no list shows where it went.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from boocode_sessions._core.attributes import string_at
from boocode_sessions.jsonl.folders import LINES, PROJECTS, SUBAGENTS, Folder, Unusable, scan

TOOL_RESULTS = "tool-results"
"""The folder that holds the outputs of tools. Their files can have any name."""
ENOUGH_LINES = 20
"""How many lines of a file are read to find out what it is."""


class Head(NamedTuple):
    """What the first lines of a file say."""

    is_entry: bool | None
    """True if the first readable line is an object with a type; None if no line can be read."""
    session_id: str | None
    cwd: str | None
    is_subagent: bool
    """True if the agent marked the file as a subagent's."""
    has_uuid: bool
    agent_id: str | None


class Level(Enum):
    """Which part of the layout a folder is."""

    above = "above"
    """It holds projects' folders, at some depth."""
    project = "project"
    session = "session"


def head_of(lines: Iterable[Mapping[str, Any]]) -> Head:
    """Return what the first lines of a transcript say."""
    is_entry: bool | None = None
    session_id = cwd = agent_id = None
    is_subagent: bool | None = None
    has_uuid = False
    for line in islice(lines, ENOUGH_LINES):
        if is_entry is None:
            is_entry = isinstance(line.get("type"), str)
        session_id = session_id or string_at(line, "sessionId") or None
        cwd = cwd or string_at(line, "cwd") or None
        has_uuid |= bool(string_at(line, "uuid"))
        if is_subagent is None and ("isSidechain" in line or "agentId" in line):
            # The first marked line decides: older agents wrote subagents' lines into main transcripts too.
            agent_id = string_at(line, "agentId") or None
            is_subagent = line.get("isSidechain") is True or agent_id is not None
        if session_id and cwd and is_subagent is not None:
            break
    return Head(is_entry, session_id, cwd, is_subagent is True, has_uuid, agent_id)


def is_transcript(head: Head) -> bool:
    """True if a file among the outputs of tools is a transcript all the same."""
    return head.is_entry is True and (head.has_uuid or head.session_id is not None)


def first_lines(path: str) -> Iterator[dict[str, Any]]:
    """Yield the first lines of a file as objects: none if it can't be read, {} for a line of other JSON."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path per file costs more than the call
            beginning = file.read(_HEAD_BYTES)
    except OSError:
        return
    for raw in beginning.splitlines(keepends=True):
        try:
            line: object = json.loads(raw.strip(b"\0"))
        except (ValueError, RecursionError):
            if not raw.endswith(b"\n") and len(beginning) == _HEAD_BYTES:
                yield _members_of_part(raw)
            continue
        yield cast("dict[str, Any]", line) if isinstance(line, dict) else {}


def _members_of_part(raw: bytes) -> dict[str, Any]:
    """Return the known members of a line whose end was not read, such as a prompt with a picture.

    Inside a string quotation marks are escaped, so every match is a member of an object.
    """
    found: dict[str, Any] = {
        name.decode(): value.decode(errors="replace") for name, value in _MEMBER.findall(raw)
    }
    if b'"isSidechain":true' in raw:
        found["isSidechain"] = True
    return found


_HEAD_BYTES = 1 << 17
_MEMBER = re.compile(rb'"(type|uuid|sessionId|cwd|agentId)" ?: ?"([^"\\]*)"')


class Levels:
    """Finds out which part of the layout each folder of a tree is. Reads each folder at most once."""

    def __init__(self) -> None:
        self._folders: dict[str, Folder] = {}
        self._heads: dict[str, Head] = {}
        self._levels: dict[str, Level | None] = {}

    def folder(self, path: str) -> Folder:
        """Return the folder at `path`; if it can't be read, an empty one whose `unusable` says why."""
        if path not in self._folders:
            try:
                self._folders[path] = scan(path)
            except OSError as error:
                reason = f"it can't be read: {error.strerror}"
                self._folders[path] = Folder(path, unusable=[Unusable(Path(path), reason)])
        return self._folders[path]

    def head(self, folder: Folder, stem: str) -> Head:
        """Return what the first lines of one file of a folder say."""
        path = folder.within(stem + LINES)
        if path not in self._heads:
            self._heads[path] = head_of(first_lines(path))
        return self._heads[path]

    def copied_from(self, folder: Folder, stem: str) -> str | None:
        """Return the stem of the file that this one is a copy of, or None if it is no copy.

        It knows the names that sync programs and desktops give to copies. Imported under its own name, a copy
        would become a session or a subagent that nobody ever had.
        """
        if not _COPY_MARK.search(stem) and not _UUID.match(stem):
            return None  # saves reading each subagent's file
        if found := _CONFLICT.fullmatch(stem):
            return found[1]
        head = self.head(folder, stem)
        for name in (head.session_id, head.agent_id and f"agent-{head.agent_id}"):
            if not name or not stem.startswith(name) or stem == name:
                continue
            if _COPY_MARK.match(stem, len(name)) or _UUID.fullmatch(name):
                return name
        return None

    def of(self, path: str, *, has_file_beside: bool = False, max_depth: int = 6) -> Level | None:
        """Return which part of the layout a folder is, or None if there is no evidence.

        `has_file_beside` says that a `.jsonl` file of the folder's name lies beside it. `max_depth` is how
        many levels down to look for evidence.
        """
        if path not in self._levels:
            self._levels[path] = None  # a link may lead back here
            self._levels[path] = self._of(self.folder(path), has_file_beside, max_depth)
        return self._levels[path]

    def _of(self, folder: Folder, has_file_beside: bool, max_depth: int) -> Level | None:
        if SUBAGENTS in folder.folders:
            return Level.session
        heads = {stem: self.head(folder, stem) for stem in sorted(folder.lines)[:_ENOUGH_FILES]}
        above = Path(folder.path).parent.parts
        if any(head.session_id in above for head in heads.values()):
            return None  # it lies inside that session's folder
        proven = _proven_level(folder.name, heads)
        below = proven or self._by_children(folder, max_depth)
        if proven or below is Level.above:
            return below
        return _by_files(folder, heads) or below or _by_names(folder, has_file_beside)

    def _by_children(self, folder: Folder, max_depth: int) -> Level | None:
        if max_depth == 0:
            return None
        found: Level | None = None
        for name in folder.folders:
            level = self.of(
                folder.within(name), has_file_beside=name in folder.lines, max_depth=max_depth - 1
            )
            if level is Level.above:
                return level
            if level is Level.project and not self._is_backup(self.folder(folder.within(name)), folder):
                return Level.above
            if level is Level.session:
                found = Level.project
        return found

    def _is_backup(self, folder: Folder, of: Folder) -> bool:
        """True if all transcripts in a folder are also in another one: it is somebody's backup."""
        return bool(folder.lines) and not folder.folders and folder.lines <= of.lines


def _proven_level(name: str, heads: Mapping[str, Head]) -> Level | None:
    """Return the level that a folder's name proves, alone or together with its files."""
    if any(head.cwd and is_named_after(name, head.cwd) for head in heads.values()):
        return Level.project
    if name == PROJECTS:
        return Level.above
    if any(head.session_id == name and (stem != name or head.is_subagent) for stem, head in heads.items()):
        return Level.session
    return Level.project if _PROJECT_NAME.match(name) else None


def _by_files(folder: Folder, heads: Mapping[str, Head]) -> Level | None:
    for stem, head in heads.items():
        # Older agents kept subagents' files beside main transcripts.
        old = head.is_subagent and head.session_id not in {None, *Path(folder.path).parts}
        if head.session_id == stem or old:
            return Level.project
    return None


def _by_names(folder: Folder, has_file_beside: bool) -> Level | None:
    if has_file_beside or _UUID.fullmatch(folder.name):
        return Level.session
    return Level.project if any(map(_UUID.fullmatch, folder.lines)) else None


_ENOUGH_FILES = 3
"""How many files of a folder are read to find its level."""
_PROJECT_NAME = re.compile(r"-|[A-Za-z]--")
"""How the agent's project names begin. It makes them from absolute paths, on Windows with a drive."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONFLICT = re.compile(r"(.+?)(?:\.sync-conflict-\d{8}-\d{6}-\w+| \(.*conflicted copy.*\))", re.DOTALL)
"""Names that Syncthing, Dropbox and Nextcloud give to the second of two conflicting versions."""
_COPY_MARK = re.compile(r"[ .(~]")
"""What follows the original's name in a copy's: `S (1)`, `S 2`, `S - Copy`."""
_MAX_NAME_CHARS = 200
"""Characters of a longer path that the agent keeps in the folder's name, before it appends a hash."""


def is_named_after(name: str, cwd: str) -> bool:
    """True if a project's folder has the name that the agent makes from the working folder `cwd`."""
    made = re.sub(r"[^a-zA-Z0-9]", "-", cwd)
    return name.startswith(made[:_MAX_NAME_CHARS] + "-") if len(made) > _MAX_NAME_CHARS else name == made
