"""What tells a project's folder from a session's: names first, and what the first lines of a file say.

The agent's own trees are regular, but what people import is not: archives of several machines, a folder too
high or too low, files copied beside the folders that they belong in. A transcript under a wrong key is worse
than one that is left out, since no list shows where it went.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from boocode_sessions.jsonl.folders import LINES, PROJECTS, SUBAGENTS, Folder, Unusable, scan

TOOL_RESULTS = "tool-results"
"""The one that holds the outputs of tools, whatever these are called."""
ENOUGH_LINES = 20
"""Lines of a file from which it is told what it is."""


class Head(NamedTuple):
    """What the first lines of a file say."""

    is_entry: bool | None
    """Whether its first readable line is an object with a type; None where none can be read."""
    session_id: str | None
    cwd: str | None
    is_subagents: bool
    """Whether the agent marked it as a subagent's."""
    has_uuid: bool
    agent_id: str | None


class Level(Enum):
    """Which part of the layout a folder is."""

    above = "above"
    """It holds projects' folders, or what holds them."""
    project = "project"
    session = "session"


def head_of(lines: Iterable[Mapping[str, Any]]) -> Head:
    """What the first lines of a transcript say."""
    is_entry: bool | None = None
    session_id = cwd = agent_id = None
    is_subagents: bool | None = None
    has_uuid = False
    for line in islice(lines, ENOUGH_LINES):
        if is_entry is None:
            is_entry = isinstance(line.get("type"), str)
        session_id = session_id or _text(line, "sessionId")
        cwd = cwd or _text(line, "cwd")
        has_uuid |= _text(line, "uuid") is not None
        if is_subagents is None and ("isSidechain" in line or "agentId" in line):
            # The first one decides: older agents wrote subagents' lines into the main transcript too.
            agent_id = _text(line, "agentId")
            is_subagents = line.get("isSidechain") is True or agent_id is not None
        if session_id and cwd and is_subagents is not None:
            break
    return Head(is_entry, session_id, cwd, is_subagents is True, has_uuid, agent_id)


def is_transcript(head: Head) -> bool:
    """Whether a file that lies among outputs of tools is a transcript's all the same."""
    return head.is_entry is True and (head.has_uuid or head.session_id is not None)


def first_lines(path: str) -> Iterator[dict[str, Any]]:
    """The objects among the first lines of a file; none where it can't be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
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
    """What can be told of a line that is longer than what is read: a prompt with a picture, for one.

    Within a string a quotation mark is escaped, so that what is found is a member of an object.
    """
    found: dict[str, Any] = {
        name.decode(): value.decode(errors="replace") for name, value in _MEMBER.findall(raw)
    }
    if b'"isSidechain":true' in raw:
        found["isSidechain"] = True
    return found


_HEAD_BYTES = 1 << 17
_MEMBER = re.compile(rb'"(type|uuid|sessionId|cwd|agentId)" ?: ?"([^"\\]*)"')


def _text(line: Mapping[str, Any], member: str) -> str | None:
    found = line.get(member)
    return found if isinstance(found, str) and found else None


class Levels:
    """Tells of each folder of a tree which part of the layout it is. Reads each at most once."""

    def __init__(self) -> None:
        self._folders: dict[str, Folder] = {}
        self._heads: dict[str, Head] = {}
        self._levels: dict[str, Level | None] = {}

    def folder(self, path: str) -> Folder:
        """The folder at `path`; an empty one, with what is wrong, where it can't be read."""
        if path not in self._folders:
            try:
                self._folders[path] = scan(path)
            except OSError as error:
                reason = f"it can't be read: {error.strerror}"
                self._folders[path] = Folder(path, unusable=[Unusable(Path(path), reason)])
        return self._folders[path]

    def head(self, folder: Folder, stem: str) -> Head:
        """What the first lines of one of a folder's files say."""
        path = folder.within(stem + LINES)
        if path not in self._heads:
            self._heads[path] = head_of(first_lines(path))
        return self._heads[path]

    def copied_from(self, folder: Folder, stem: str) -> str | None:
        """The stem of the file that one is a copy of, as syncing and desktops name copies; else None.

        Under its own name it would be another session, or another subagent, that nobody ever had.
        """
        if not _COPY_MARK.search(stem) and not _UUID.match(stem):
            return None  # without a look into each subagent's file
        if found := _CONFLICT.fullmatch(stem):
            return found[1]
        head = self.head(folder, stem)
        for name in (head.session_id, head.agent_id and f"agent-{head.agent_id}"):
            if not name or not stem.startswith(name) or stem == name:
                continue
            if _COPY_MARK.match(stem, len(name)) or _UUID.fullmatch(name):
                return name
        return None

    def of(self, path: str, *, has_file_beside: bool = False, deep: int = 6) -> Level | None:
        """Which part of the layout a folder is; None where nothing tells.

        `has_file_beside`: whether a `.jsonl` file of its name lies beside it. `deep`: how many folders down
        evidence is looked for.
        """
        if path not in self._levels:
            self._levels[path] = None  # a link may lead back here
            self._levels[path] = self._of(self.folder(path), has_file_beside, deep)
        return self._levels[path]

    def _of(self, folder: Folder, has_file_beside: bool, deep: int) -> Level | None:
        if SUBAGENTS in folder.folders:
            return Level.session
        heads = {stem: self.head(folder, stem) for stem in sorted(folder.lines)[:_ENOUGH_FILES]}
        above = Path(folder.path).parent.parts
        if any(head.session_id in above for head in heads.values()):
            return None  # it lies within that session's folder
        surely = _surely(folder.name, heads)
        below = surely or self._by_children(folder, deep)
        if surely or below is Level.above:
            return below
        return _by_files(folder, heads) or below or _by_names(folder, has_file_beside)

    def _by_children(self, folder: Folder, deep: int) -> Level | None:
        if deep == 0:
            return None
        found: Level | None = None
        for name in folder.folders:
            level = self.of(folder.within(name), has_file_beside=name in folder.lines, deep=deep - 1)
            if level is Level.above:
                return level
            if level is Level.project and not self._copies(self.folder(folder.within(name)), folder):
                return Level.above
            if level is Level.session:
                found = Level.project
        return found

    def _copies(self, folder: Folder, of: Folder) -> bool:
        """Whether all transcripts in a folder are those of another one: somebody's backup in it."""
        return bool(folder.lines) and not folder.folders and folder.lines <= of.lines


def _surely(name: str, heads: Mapping[str, Head]) -> Level | None:
    """What a folder's name says, alone or with what its files say."""
    if any(head.cwd and is_named_after(name, head.cwd) for head in heads.values()):
        return Level.project
    if name == PROJECTS:
        return Level.above
    if any(head.session_id == name and (stem != name or head.is_subagents) for stem, head in heads.items()):
        return Level.session
    return Level.project if _PROJECT_NAME.match(name) else None


def _by_files(folder: Folder, heads: Mapping[str, Head]) -> Level | None:
    for stem, head in heads.items():
        # Older agents kept subagents' files where main transcripts are.
        old = head.is_subagents and head.session_id not in {None, *Path(folder.path).parts}
        if head.session_id == stem or old:
            return Level.project
    return None


def _by_names(folder: Folder, has_file_beside: bool) -> Level | None:
    if has_file_beside or _UUID.fullmatch(folder.name):
        return Level.session
    return Level.project if any(map(_UUID.fullmatch, folder.lines)) else None


_ENOUGH_FILES = 3
"""Files of a folder whose beginnings are read for its level."""
_PROJECT_NAME = re.compile(r"-|[A-Za-z]--")
"""How the agent's names of projects begin: those of absolute paths, on Windows with a drive."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONFLICT = re.compile(r"(.+?)(?:\.sync-conflict-\d{8}-\d{6}-\w+| \(.*conflicted copy.*\))", re.DOTALL)
"""Names that Syncthing, Dropbox and Nextcloud give to the other one of two versions."""
_COPY_MARK = re.compile(r"[ .(~]")
"""How the rest of a copy's name begins: `S (1)`, `S 2`, `S - Copy`."""
_LONGEST_NAME = 200
"""Characters that the agent takes of a path for a project's folder; a hash follows."""


def is_named_after(name: str, cwd: str) -> bool:
    """Whether a project's folder has the name that the agent makes of a working folder."""
    made = re.sub(r"[^a-zA-Z0-9]", "-", cwd)
    return name.startswith(made[:_LONGEST_NAME] + "-") if len(made) > _LONGEST_NAME else name == made
