"""The `~/.claude/projects` layout: which file holds which transcript. Reads names, never contents.

<project key>/<session id>.jsonl                    the main transcript
<project key>/<session id>/<subpath>.jsonl          a subagent's, or what else the agent keeps beside it
<project key>/<session id>/<subpath>.meta.json      what the agent knows about that subagent
"""

import ntpath
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from boocode_sessions._core.keys import MAIN, Transcript, transcript_of
from boocode_sessions.errors import InvalidKeyError, NotATranscriptTreeError

LINES = ".jsonl"
METADATA = ".meta.json"

_NO_TRANSCRIPTS = {"tool-results"}
"""Folders in a session's folder whose files are outputs of tools, whatever they are called."""


class TranscriptFile(NamedTuple):
    """Where one transcript lies."""

    transcript: Transcript
    stem: str
    """The path, but for the ending."""
    has_lines: bool
    has_metadata: bool
    size: int
    """Bytes of both files."""
    modified: float
    """When the agent last wrote to the main transcript: Unix time, seconds."""

    @property
    def lines(self) -> Path:
        return Path(self.stem + LINES)

    @property
    def metadata(self) -> Path:
        return Path(self.stem + METADATA)


class Unusable(NamedTuple):
    """A file whose name is no transcript's, and why."""

    path: Path
    reason: str


def find_transcripts(path: str | os.PathLike[str]) -> tuple[list[TranscriptFile], list[Unusable]]:
    """Every transcript below `path`, the session that was written last at the end, its main transcript first.

    `path`: a Claude configuration folder, its `projects` folder, or the folder of one project.
    Raises NotATranscriptTreeError.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise NotATranscriptTreeError(f"{path} {what}: {_ADVICE}")
    if (root / "projects").is_dir():
        root /= "projects"
    sessions: list[list[TranscriptFile]] = []
    unusable: list[Unusable] = []
    try:
        # The name as it was given: a link's own, not that of the folder which it leads to.
        root = Path(os.path.abspath(root))  # noqa: PTH100
        for project in [root] if _stems(root, LINES) else [Path(entry.path) for entry in _folders(root)]:
            session_ids = sorted(_stems(project, LINES) | {entry.name for entry in _folders(project)})
            found = (list(_session(project, session_id, unusable)) for session_id in session_ids)
            sessions.extend(files for files in found if files)
    except OSError as error:
        raise NotATranscriptTreeError(f"{error.filename} can't be read: {error.strerror}") from None
    if not sessions and not unusable:
        raise NotATranscriptTreeError(f"{path} holds no transcripts: {_ADVICE}")
    sessions.sort(key=lambda files: files[0].modified)
    return [file for files in sessions for file in files], unusable


_ADVICE = "give ~/.claude/projects, or one project's folder in it"


def path_of(transcript: Transcript, root: Path) -> Path:
    """The file below `root` that holds a transcript's lines.

    Raises InvalidKeyError for a key that can't be a file's name, or would lead elsewhere: a key comes from
    the database, where any text is one.
    """
    names = [transcript.project_key, transcript.session_id]
    if not transcript.is_main:
        names += transcript.subpath.split("/")
    for name in names:
        if name in {"", ".", ".."} or _NOT_IN_NAMES.search(name) or ntpath.splitdrive(name)[0]:
            raise InvalidKeyError(f"{transcript} can't be a file's name")
    path = root.joinpath(*names[:-1], names[-1] + LINES)
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise InvalidKeyError(f"{transcript}: a link leads out of {root}")
    return path


def metadata_path(lines: Path) -> Path:
    """The `.meta.json` file beside a subagent's `.jsonl` file."""
    return lines.with_name(lines.name.removesuffix(LINES) + METADATA)


_NOT_IN_NAMES = re.compile(r"[/\\\x00-\x1f\x7f]")


def _session(project: Path, session_id: str, unusable: list[Unusable]) -> Iterator[TranscriptFile]:
    folder = project / session_id
    stems = {str(folder): MAIN} if (project / (session_id + LINES)).is_file() else {}
    for stem in sorted(_stems_below(folder)):
        stems[str(folder / stem)] = stem
    modified = 0.0
    for stem, subpath in stems.items():
        key = Transcript(project.name, session_id, subpath).key
        try:
            transcript = transcript_of(key)
        except InvalidKeyError as error:
            unusable.append(Unusable(Path(stem + LINES), str(error)))
            continue
        lines = _stat(stem + LINES)
        metadata = None if transcript.is_main else _stat(stem + METADATA)
        modified = modified or max(s.st_mtime for s in (lines, metadata) if s is not None)
        size = sum(s.st_size for s in (lines, metadata) if s is not None)
        yield TranscriptFile(transcript, stem, lines is not None, metadata is not None, size, modified)


def _stems_below(folder: Path) -> set[str]:
    stems: set[str] = set()
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NO_TRANSCRIPTS]
        within = Path(path).relative_to(folder)
        for file in files:
            for ending in (LINES, METADATA):
                if file.endswith(ending) and file != ending:
                    stems.add((within / file.removesuffix(ending)).as_posix())
    return stems


def _stems(folder: Path, ending: str) -> set[str]:
    with os.scandir(folder) as entries:
        return {
            entry.name.removesuffix(ending)
            for entry in entries
            if entry.name.endswith(ending) and entry.name != ending and entry.is_file()
        }


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if entry.is_dir()]


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - a Path per file costs more than the call
    except OSError:
        return None
