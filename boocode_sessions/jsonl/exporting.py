"""Writes sessions as the agent's own files. It streams, and each file appears whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from boocode_sessions._core import operations
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import AGENT_METADATA, Cipher, Opener, said_at, write_line, write_metadata
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import MAIN, Session, SessionKey, SessionStoreEntry, Transcript, check_parts
from boocode_sessions._core.statements import maintenance, read
from boocode_sessions._core.statements.parameters import in_transcript
from boocode_sessions._core.tenants import given_transcript, prefix_of, stored_project
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import InvalidKeyError
from boocode_sessions.jsonl.evidence import ENOUGH_LINES, TOOL_RESULTS, head_of, is_transcript
from boocode_sessions.jsonl.trees import metadata_path, path_of
from boocode_sessions.jsonl.workers import Progress, StoppedError, in_parallel, thread_count

Redact: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A transcript that was not exported."""

    key: SessionKey
    reason: str


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export did. `bytes` and `entries` count what is in the files that it wrote."""

    sessions: int
    """Sessions that were selected, including those whose transcripts were all refused."""
    files: int
    """Files that were written, including subagents' metadata files."""
    bytes: int
    entries: int
    refused: Sequence[RefusedFile]


@checked
def export_tree(
    bind: Bind,
    destination: str | os.PathLike[str],
    *,
    schema: str | None = None,
    encryption: Cipher | None = None,
    project_key: str | None = None,
    session_id: str | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    redact: Redact | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ExportResult:
    """Write sessions as the files from which the agent resumes them.

    Each file holds its transcript as it was at one moment, and appears whole or not at all. The agent orders
    sessions by their files' times. A file's time is when its latest line was said, as before an import. If no
    line has a time, it is when the last line was stored.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        destination: The `projects` folder to write. Nothing is written outside it.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.
        project_key: Export only this project.
        session_id: Export only sessions with this id.
        overwrite: Replace files that exist already. Otherwise they stay as they are.
        workers: Threads. The default is 2, or 1 on SQLite. A Connection, a Session or an async engine uses 1.
        redact: Makes what is written from each entry, such as `Redactor().entry`.
        progress: Called from the threads, one call at a time.

    Returns:
        What was written, and the transcripts that were not: their files exist already, or their keys can't be
        names of files.

    Raises:
        SessionStoreError: The database can't be read.
        OSError: The destination can't be written.
    """
    check_parts(project_key=project_key, session_id=session_id)
    unit_of_work = UnitOfWork(bind, schema, encryption)
    root = Path(destination).expanduser()
    tenant = unit_of_work.tenant

    wanted = None if project_key is None else stored_project(tenant, project_key)

    def find(connection: StoreConnection) -> tuple[str, list[Session]]:
        statement = maintenance.select_written_sessions(
            of_project=project_key is not None, of_session=session_id is not None
        )
        rows = connection.select(statement, {"in_project": wanted, "in_session": session_id})
        own = "" if tenant is None else prefix_of(tenant)
        found = [Session(project, session) for project, session, _ in rows if project.startswith(own)]
        return connection.dialect, found

    dialect, sessions = unit_of_work.scan("list the sessions", find)
    running = _Export(
        unit_of_work, root, len(sessions), overwrite=overwrite, redact=redact, progress=progress
    )
    in_parallel(running.run, sessions, thread_count(unit_of_work, dialect, workers, 2), running.stop)
    return running.result


class _Export:
    def __init__(
        self,
        unit_of_work: UnitOfWork,
        root: Path,
        sessions: int,
        *,
        overwrite: bool,
        redact: Redact | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._root = root
        self._overwrite = overwrite
        self._redact = redact
        self._on_progress = progress
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._progress = Progress(0, 0, 0, sessions, 0, 0, 0)
        self._files = 0
        self._refused: list[RefusedFile] = []
        root.mkdir(parents=True, exist_ok=True)

    @property
    def result(self) -> ExportResult:
        done = self._progress
        return ExportResult(done.parts_done, self._files, done.bytes_done, done.entries, self._refused)

    def run(self, session: Session) -> None:
        subkeys = self._unit_of_work.scan(
            f"list the subkeys of {session}", lambda connection: operations.list_subkeys(connection, session)
        )
        for subpath in [MAIN, *subkeys]:
            self._export_transcript(Transcript(*session, subpath))
        self._add_progress(parts=1)

    def _export_transcript(self, transcript: Transcript) -> None:
        if self.stop.is_set():
            raise StoppedError
        try:
            files, size, entries = self._unit_of_work.scan(
                f"export {transcript}",
                lambda connection: write_transcript(
                    connection, transcript, self._root, overwrite=self._overwrite, redact=self._redact
                ),
            )
        except InvalidKeyError as error:
            self._refuse(transcript, str(error))
        except FileExists as error:
            self._refuse(transcript, f"{error} exists already")
        except OSError as error:
            if error.errno not in _NAME_ERRORS:
                raise
            self._refuse(transcript, f"{transcript} can't be a file's name: {error.strerror}")
        else:
            self._add_progress(files, size, entries)

    def _refuse(self, transcript: Transcript, reason: str) -> None:
        with self._lock:
            self._refused.append(RefusedFile(transcript.key, reason))

    def _add_progress(self, files: int = 0, size: int = 0, entries: int = 0, parts: int = 0) -> None:
        with self._lock:
            done = self._progress
            self._files += files
            self._progress = replace(
                done,
                bytes_done=done.bytes_done + size,
                parts_done=done.parts_done + parts,
                entries=done.entries + entries,
            )
            if self._on_progress is not None:
                self._on_progress(self._progress)


_NAME_ERRORS = {errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR}
"""The codes of an OSError that blame the file's name and not the disk."""


class FileExists(Exception):  # noqa: N818 - an answer, not an error
    """The file exists already."""


def write_transcript(
    connection: StoreConnection,
    transcript: Transcript,
    root: Path,
    *,
    overwrite: bool,
    redact: Redact | None,
) -> tuple[int, int, int]:
    """Write one transcript below `root`, and return how many files, bytes and entries were written.

    A subagent's last `agent_metadata` entry becomes its metadata file, as when the SDK resumes a session.

    Raises:
        InvalidKeyError: The transcript's key can't be a file's name, or an import would misread the file.
        FileExists: A file of the transcript exists, and `overwrite` is False.
        OSError: The file can't be written.
    """
    written = connection.select(
        maintenance.select_last_write(), in_transcript(transcript)
    ).scalar_one_or_none()
    if written is None:
        return 0, 0, 0
    path = path_of(given_transcript(connection.tenant, transcript), root)
    sidecar = metadata_path(path)
    if not overwrite:
        for there in (path,) if transcript.is_main else (path, sidecar):
            if os.path.lexists(there):
                raise FileExists(there)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: SessionStoreEntry | None = None
    last_said: datetime | None = None
    beginning: list[SessionStoreEntry] = []
    size = entries = 0
    opener = None if connection.cipher is None else Opener(connection.cipher, transcript)
    statement = read.select_entries(encrypted=connection.cipher is not None).execution_options(
        yield_per=_ROWS
    )
    with (
        closing(connection.select(statement, in_transcript(transcript))) as rows,
        _whole_file(path, lambda: last_said or written) as file,
    ):
        for in_entry, verbatim, *at in rows:
            entry = _redacted(
                operations.decode_at(transcript, entries, verbatim or in_entry, opener, at), redact
            )
            entries += 1
            if not transcript.is_main and entry.get("type") == AGENT_METADATA:
                metadata = entry
                continue
            last_said = max((at for at in (last_said, said_at(entry)) if at is not None), default=None)
            size += file.write(write_line(entry))
            if entries <= ENOUGH_LINES:
                beginning.append(entry)
        if transcript.subpath.startswith(f"{TOOL_RESULTS}/") and not is_transcript(head_of(beginning)):
            raise InvalidKeyError(f"{transcript} would be taken for the output of a tool when it is imported")
    files = 1 if size else 0
    if metadata is not None:
        with _whole_file(sidecar, lambda: last_said or written) as file:
            size += file.write(write_metadata(metadata))
        files += 1
    return files, size, entries


def _redacted(entry: Mapping[str, Any], redact: Redact | None) -> SessionStoreEntry:
    return cast("SessionStoreEntry", entry if redact is None else redact(entry))


_ROWS = 32
"""Rows per fetch. It is small because each entry can have a megabyte."""


@contextmanager
def _whole_file(path: Path, modified: Callable[[], datetime]) -> Generator[BinaryIO]:
    """Open a file that takes its place at `path` once it is complete. An empty one leaves nothing behind.

    Only its owner can read it. `modified` is called when the file is complete, and gives its time.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 18) as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            empty = file.tell() == 0
        if empty:
            temporary.unlink()
        else:
            seconds = modified().timestamp()
            os.utime(temporary, (seconds, seconds))
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
