"""The `~/.claude/projects` layout: which file holds which transcript.

<project key>/<session id>.jsonl                    the main transcript
<project key>/<session id>/<subpath>.jsonl          a subagent's transcript, or another one the agent keeps
<project key>/<session id>/<subpath>.meta.json      what the agent knows about that subagent
<project key>/agent-<id>.jsonl                      a subagent's transcript, where older agents kept it
"""

from __future__ import annotations

import ntpath
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from boocode_sessions._core.keys import MAIN, Transcript, transcript_of
from boocode_sessions.errors import InvalidKeyError, NotATranscriptTreeError
from boocode_sessions.jsonl.evidence import TOOL_RESULTS, Head, Level, Levels, is_transcript
from boocode_sessions.jsonl.folders import (
    LINES,
    METADATA,
    PROJECTS,
    SUBAGENTS,
    Folder,
    Unusable,
    holds_lines,
    scan,
)


class TranscriptFile(NamedTuple):
    """The files of one transcript."""

    transcript: Transcript
    stem: str
    """The path without its ending."""
    has_lines: bool
    has_metadata: bool
    size: int
    """Bytes of both files."""
    modified: float
    """When the agent last wrote to it: Unix time, seconds."""

    @property
    def lines(self) -> Path:
        return Path(self.stem + LINES)

    @property
    def metadata(self) -> Path:
        return Path(self.stem + METADATA)


def find_transcripts(path: str | os.PathLike[str]) -> tuple[list[TranscriptFile], list[Unusable]]:
    """Find every transcript below `path`, and what looks like one but can't be imported.

    The session that was written last comes last. Within a session the main transcript comes first. `path` is
    a Claude configuration folder, its `projects` folder, the folder of one project, or a folder that holds
    such folders. Files in no project's folder are unusable, and so are files that name another session than
    the one that they lie with. Raises NotATranscriptTreeError.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise NotATranscriptTreeError(f"{path} {what}: {_ADVICE}")
    if (root / PROJECTS).is_dir():
        root /= PROJECTS
    # The name as given: a link keeps its own name, not that of the folder it leads to.
    tree = _Tree(os.path.abspath(root))  # noqa: PTH100
    try:
        tree.read()
    except OSError as error:
        raise NotATranscriptTreeError(f"{error.filename} can't be read: {error.strerror}") from None
    if not tree.sessions and not tree.unusable:
        raise NotATranscriptTreeError(f"{path} holds no transcripts: {_ADVICE}")
    tree.sessions.sort(key=lambda files: files[0].modified)
    return [file for files in tree.sessions for file in files], tree.unusable


class _Tree:
    """A search for the transcripts below one folder."""

    def __init__(self, root: str) -> None:
        self.sessions: list[list[TranscriptFile]] = []
        self.unusable: list[Unusable] = []
        self._root = root
        self._levels = Levels()

    def read(self) -> None:
        """Run the search. Raises OSError, NotATranscriptTreeError."""
        scan(self._root)
        inside = Path(self._root)
        if SUBAGENTS in inside.parts:
            raise NotATranscriptTreeError(f"{inside} lies within one session's folder: {_ADVICE}")
        root = self._levels.folder(self._root)
        match self._levels.of(self._root) or self._by_depth(root):
            case Level.session:
                raise NotATranscriptTreeError(f"{inside} is one session's folder: give {inside.parent}")
            case Level.project:
                self._add_project(root)
            case Level.above:
                self._add_projects_below(root)
            case _:
                raise NotATranscriptTreeError(
                    f"nothing tells whether {inside} is a project's folder: {_ADVICE}"
                )

    def _by_depth(self, root: Folder) -> Level | None:
        """Return what the given folder must be by the depth of its files, for lack of other evidence."""
        below = any(self._levels.folder(root.within(name)).lines for name in root.folders)
        if root.lines:
            return None if below else Level.project
        if below or not any(holds_lines(root.within(name)) for name in root.folders):
            return Level.above
        return None

    def _add_projects_below(self, folder: Folder, max_depth: int = 6) -> None:
        """Add the projects below a folder that is no project's itself."""
        self.unusable.extend(folder.unusable)
        for stem in sorted(folder.lines):
            self._refuse(folder.within(stem + LINES), "it lies in no project's folder")
        for name in folder.folders:
            path = folder.within(name)
            child = self._levels.folder(path)
            match self._levels.of(path, has_file_beside=name in folder.lines):
                case Level.project:
                    self._add_project(child)
                case Level.above if max_depth:
                    self._add_projects_below(child, max_depth - 1)
                case Level.session:
                    self._refuse(path, "it is a session's folder, and lies in no project's folder")
                case _ if child.lines:
                    self._add_likely_project(child)
                case _ if holds_lines(path):
                    self._refuse(path, "nothing tells whether it is a project's folder or a session's")
                case _:
                    pass

    def _add_likely_project(self, folder: Folder) -> None:
        """Add a folder that lies among projects and whose files name no session."""
        if all(self._levels.head(folder, stem).is_entry is False for stem in folder.lines):
            self._refuse(folder.path, "its files hold no transcripts")
        else:
            self._add_project(folder)

    def _add_project(self, folder: Folder) -> None:
        """Add the sessions of a project."""
        self.unusable.extend(folder.unusable)
        found: dict[str, list[tuple[str, str]]] = {}
        for stem in sorted(folder.lines):
            if self._is_copy(folder, stem):
                continue
            session_id = self._parent_session(stem, self._levels.head(folder, stem))
            path = folder.within(stem)
            if session_id is None:
                found.setdefault(stem, []).insert(0, (path, MAIN))
            else:
                found.setdefault(session_id, []).append((path, f"{SUBAGENTS}/{stem}"))
        for name in folder.folders:
            beside = self._session_files(self._levels.folder(folder.within(name)), name)
            found.setdefault(name, []).extend(beside)
        for session_id, stems in found.items():
            files = [
                file for stem, subpath in stems if (file := self._file(folder, session_id, stem, subpath))
            ]
            if files:
                self.sessions.append(files)

    def _is_copy(self, folder: Folder, stem: str) -> bool:
        """True if a file is a copy of another one. It is then noted as unusable."""
        if (of := self._levels.copied_from(folder, stem)) is None:
            return False
        reason = f"its name is a copy's; to add its lines, import it as {of}{LINES}"
        self._refuse(folder.within(stem + LINES), reason)
        return True

    def _parent_session(self, stem: str, head: Head) -> str | None:
        """Return the session whose subagent wrote a file that lies beside main transcripts, or None."""
        if head.session_id is None or head.session_id == stem:
            return None
        return head.session_id if head.is_subagent or stem.startswith("agent-") else None

    def _session_files(self, folder: Folder, session_id: str) -> Iterator[tuple[str, str]]:
        """Yield the stems and subpaths of the files in a session's folder."""
        for stem, subpath in self._stems_below(folder, "", set(), _places_above(folder.path)):
            above, name = os.path.split(stem)
            there = self._levels.folder(above)
            if self._is_copy(there, name):
                continue
            if not subpath.startswith(f"{SUBAGENTS}/"):
                head = self._levels.head(there, name) if name in there.lines else None
                if subpath.startswith(f"{TOOL_RESULTS}/") and not (head and is_transcript(head)):
                    continue
                if head and head.session_id != session_id and head.session_id in Path(stem).parts:
                    reason = f"it is the session {head.session_id!r}, and lies with {session_id!r}"
                    self._refuse(stem + LINES, reason)
                    continue
            yield stem, subpath

    def _stems_below(
        self, folder: Folder, within: str, seen: set[tuple[int, int]], above: set[tuple[int, int]]
    ) -> Iterator[tuple[str, str]]:
        """Yield every stem in a folder and its subfolders. It follows links, and enters no folder twice.

        `above` are the folders that the session's folder lies in. A link to one of them would give the
        session everything in that folder.
        """
        if (place := _place(folder.path)) in above:
            self._refuse(folder.path, "it is a link that leads back to a folder that it lies in")
            return
        if place in seen:
            return
        seen.add(place)
        self.unusable.extend(folder.unusable)
        for stem in sorted(folder.lines | folder.metadata):
            yield folder.within(stem), within + stem
        for name in sorted(folder.folders, key=lambda name: Path(folder.within(name)).is_symlink()):
            yield from self._stems_below(
                self._levels.folder(folder.within(name)), f"{within}{name}/", seen, above
            )

    def _file(self, project: Folder, session_id: str, stem: str, subpath: str) -> TranscriptFile | None:
        key = Transcript(project.name, session_id, subpath).key
        try:
            transcript = transcript_of(key)
        except InvalidKeyError as error:
            self._refuse(stem + LINES, str(error))
            return None
        lines = _file_stat(stem + LINES)
        metadata = None if transcript.is_main else _file_stat(stem + METADATA)
        stats = [found for found in (lines, metadata) if found is not None]
        if not stats:  # gone since the folder was read
            return None
        size, modified = sum(one.st_size for one in stats), max(one.st_mtime for one in stats)
        return TranscriptFile(transcript, stem, lines is not None, metadata is not None, size, modified)

    def _refuse(self, path: str, reason: str) -> None:
        self.unusable.append(Unusable(Path(path), reason))


_ADVICE = "give ~/.claude/projects, or one project's folder in it"


def path_of(transcript: Transcript, root: Path) -> Path:
    """Return the path below `root` of the file with a transcript's lines.

    Raises InvalidKeyError for a key that can't be a file's name, or would lead out of `root`: keys come from
    the database, where any text can be one.
    """
    names = [transcript.project_key, transcript.session_id]
    if not transcript.is_main:
        names += transcript.subpath.split("/")
    for name in names:
        if name in {"", ".", ".."} or _NOT_IN_NAMES.search(name) or ntpath.splitdrive(name)[0]:
            raise InvalidKeyError(f"{transcript} can't be a file's name")
    if names[-1].startswith("."):
        raise InvalidKeyError(f"{transcript} would be a hidden file, which an import leaves out")
    if names[0] == PROJECTS or SUBAGENTS in (names[0], "" if transcript.is_main else names[1]):
        raise InvalidKeyError(f"{transcript}: with a folder of its name an import would misread all others")
    path = root.joinpath(*names[:-1], names[-1] + LINES)
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise InvalidKeyError(f"{transcript}: a link leads out of {root}")
    return path


def metadata_path(lines: Path) -> Path:
    """Return the path of the `.meta.json` file beside a subagent's `.jsonl` file."""
    return lines.with_name(lines.name.removesuffix(LINES) + METADATA)


_NOT_IN_NAMES = re.compile(r"[/\\\x00-\x1f\x7f]")


def _place(path: str) -> tuple[int, int]:
    """Return what identifies a folder whatever name leads to it."""
    found = _stat(path)
    return (found.st_dev, found.st_ino) if found else (0, 0)


def _places_above(path: str) -> set[tuple[int, int]]:
    """Return the places of the folders that a folder lies in, links resolved."""
    return {_place(str(above)) for above in Path(path).parent.resolve().joinpath("x").parents}


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - a Path per file costs more than the call
    except OSError:
        return None


def _file_stat(path: str) -> os.stat_result | None:
    """Like `_stat`, but None unless it is a regular file: reading a pipe or a device might never end."""
    found = _stat(path)
    return found if found is not None and stat.S_ISREG(found.st_mode) else None
