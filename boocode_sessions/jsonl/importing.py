"""Reads a tree of transcript files into the database. It streams, and can be stopped and run again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from boocode_sessions._core import fold
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import Cipher, Line, LineReader
from boocode_sessions._core.keys import project_of
from boocode_sessions._core.tenants import stored_transcript
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import BrokenLineError, DatabaseError, InvalidEntryError
from boocode_sessions.jsonl.folders import LINE_TOO_LONG, read_document, whole_lines
from boocode_sessions.jsonl.intake import Intake, NumberedLine, can_copy, concerns_a_line
from boocode_sessions.jsonl.trees import TranscriptFile, find_transcripts
from boocode_sessions.jsonl.workers import Progress, StoppedError, in_parallel, thread_count

CHUNK_BYTES = 1 << 20
"""A transaction ends with the line that reaches this many bytes."""
CHUNK_LINES = 2000
"""Maximum lines that one transaction adds."""
MAX_BROKEN = 100
"""Maximum broken lines that a result names. The callback gets all of them."""


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that is not exactly one entry. Its whole records were imported, and the import went on."""

    path: Path
    line: int | None
    """The line's number, from 1; None if the problem is with the whole file."""
    problem: str
    """What is wrong, without any content of the line."""
    kept: int = 0
    """How many whole records the line had. Those were imported."""

    def __str__(self) -> str:
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.problem}"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did. `files` counts the transcripts read, `bytes` the size of all their files."""

    files: int
    bytes: int
    added: int
    """Entries that were new."""
    skipped: int
    """Entries that were stored already."""
    broken: int
    """Reports: lines that were left out or repaired, and files that were left out."""
    first_broken: Sequence[BrokenLine]
    """The first of these reports, at most 100."""


@checked
def import_tree(
    bind: Bind,
    path: str | os.PathLike[str],
    *,
    schema: str | None = None,
    encryption: Cipher | None = None,
    project_key: str | Callable[[str], str] | None = None,
    strict: bool = False,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    on_broken: Callable[[BrokenLine], None] | None = None,
) -> ImportResult:
    """Add the new lines of a tree of transcript files: main transcripts, subagents and their metadata files.

    Sessions are added in the order in which the agent last wrote to them, so that the newest in the tree is
    also the newest in the listing. Memory use does not depend on the size of the tree: it is about 200 bytes
    for each line of the files under way.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        path: A Claude configuration folder, its `projects` folder, or the folder of one project.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.
        project_key: The project key to store under, or a function that makes it from the name of a project's
            folder, as the store has it. The default is the folder's name.
        strict: Stop at the first broken line. What came before it stays stored.
        workers: Threads. The default is 3, or 1 on SQLite. A Connection, a Session or an async engine uses 1.
        progress: Called from the threads, one call at a time.
        on_broken: Called with each broken line, like `progress`.

    Raises:
        NotATranscriptTreeError: There is nothing to import at `path`.
        BrokenLineError: A line is broken, and `strict` is set.
        SessionStoreError: The database can't be read or written.
    """
    unit_of_work = UnitOfWork(bind, schema, encryption)
    fold.available()  # import the SDK now, or the first transaction keeps its session locked for a second
    dialect, copies = unit_of_work.scan("look at the database", lambda it: (it.dialect, can_copy(it)))
    files, unusable = find_transcripts(path)
    files = files if project_key is None else [_under(project_key, file) for file in files]
    if (tenant := unit_of_work.tenant) is not None:
        files = [file._replace(transcript=stored_transcript(tenant, file.transcript)) for file in files]
    running = _Import(
        unit_of_work, dialect, files, copies=copies, strict=strict, progress=progress, on_broken=on_broken
    )
    for file in unusable:
        running.report(BrokenLine(file.path, None, file.reason))
    in_parallel(running.run, running.jobs, thread_count(unit_of_work, dialect, workers, 3), running.stop)
    return running.result


def _under(project_key: str | Callable[[str], str], file: TranscriptFile) -> TranscriptFile:
    transcript = file.transcript
    own = project_key(transcript.project_key) if callable(project_key) else project_key
    return file._replace(transcript=transcript._replace(project_key=project_of(own)))


class _Job(NamedTuple):
    file: TranscriptFile
    previous: Future[float] | None
    """The `done` of the main transcript that comes before this one in its project's listing."""
    done: Future[float]
    """When this file's session, or one before it, last got an entry: monotonic clock, seconds."""


class _Import:
    def __init__(
        self,
        unit_of_work: UnitOfWork,
        dialect: str,
        files: Sequence[TranscriptFile],
        *,
        copies: bool,
        strict: bool,
        progress: Callable[[Progress], None] | None,
        on_broken: Callable[[BrokenLine], None] | None,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._copies = copies
        self._as_is = dialect == "postgresql"
        self._strict = strict
        self._on_progress = progress
        self._on_broken = on_broken
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._total = sum(file.size for file in files)
        self._progress = Progress(0, self._total, 0, len(files), 0, 0, 0)
        self._first_broken: list[BrokenLine] = []
        self.jobs = _in_order(files)

    @property
    def result(self) -> ImportResult:
        at, first = self._progress, self._first_broken
        return ImportResult(at.parts_done, at.bytes_done, at.entries, at.skipped, at.broken, first)

    def run(self, job: _Job) -> None:
        added_at = 0.0
        try:
            added_at = self._import_file(job)
        finally:
            job.done.set_result(added_at)

    def report(self, broken: BrokenLine) -> None:
        """Count and report a broken line. Raises BrokenLineError if the import is strict."""
        if self._strict:
            raise BrokenLineError(str(broken))
        with self._lock:
            self._progress = replace(self._progress, broken=self._progress.broken + 1)
            if len(self._first_broken) < MAX_BROKEN:
                self._first_broken.append(broken)
            if self._on_broken is not None:
                self._on_broken(broken)

    def _import_file(self, job: _Job) -> float:
        file, added = job.file, 0
        intake = Intake(self._unit_of_work, file.transcript, copies=self._copies)
        chunk: list[NumberedLine] = []
        done = size = 0
        for line, length in self._lines(file, intake):
            if size >= CHUNK_BYTES or len(chunk) >= CHUNK_LINES:
                added += self._add(file, intake, chunk, size)
                done += size
                chunk, size = [], 0
            size += length
            if line is not None:
                chunk.append(line)
        added_at = job.previous.result() if job.previous else 0.0
        # The listing counts in milliseconds: two sessions with the same one would have no order.
        time.sleep(max(0.0, added_at + 0.001 - time.monotonic()))
        added += self._add(file, intake, chunk, file.size - done, parts=1)
        return time.monotonic() if added else added_at

    def _lines(self, file: TranscriptFile, intake: Intake) -> Iterator[tuple[NumberedLine | None, int]]:
        """Yield the lines of a file and their lengths, None for a broken line, and then its metadata."""
        reader = LineReader(as_is=self._as_is)
        if file.has_lines:
            yield from self._lines_of(file, intake, reader)
        if file.has_metadata:
            try:
                yield intake.number(0, reader.read_metadata(read_document(file.metadata))), 0
            except InvalidEntryError as error:
                self.report(BrokenLine(file.metadata, None, str(error)))

    def _lines_of(
        self, file: TranscriptFile, intake: Intake, reader: LineReader
    ) -> Iterator[tuple[NumberedLine | None, int]]:
        number = 0
        try:
            with file.lines.open("rb", buffering=1 << 18) as stream:
                for number, raw in enumerate(whole_lines(stream, file.size), 1):
                    if raw is None:
                        self.report(BrokenLine(file.lines, number, LINE_TOO_LONG))
                        continue
                    if number == 1 and raw.startswith(_UTF_16):
                        self.report(BrokenLine(file.lines, None, "it is UTF-16; a transcript is UTF-8"))
                        return
                    length = len(raw)
                    if not raw.isspace():
                        for line in self._records(file, number, raw, reader):
                            yield intake.number(number, line), length
                            length = 0
                    if length:
                        yield None, length
        except OSError as error:
            self.report(BrokenLine(file.lines, number or None, f"it can't be read: {error.strerror}"))

    def _records(self, file: TranscriptFile, number: int, raw: bytes, reader: LineReader) -> list[Line]:
        """Return the records on one line. It reports the line if that is not exactly one."""
        try:
            records, problem = reader.read_all(raw)
        except InvalidEntryError as error:
            records, problem = [], str(error) if raw.strip(b"\0\r\n ") else "it holds only NUL bytes"
        if problem is None and len(records) > 1:
            problem = f"it holds {len(records)} records, as where the end of a line was lost"
        elif problem is None and b"\0" in raw:
            problem = "it holds NUL bytes beside its record, as a crash leaves them"
        if problem is not None:
            if not raw.endswith(b"\n") and not raw.endswith(b"\0"):
                problem += "; it is the file's last line and has no end: import again when it is whole"
            self.report(BrokenLine(file.lines, number, problem, len(records)))
        return records

    def _add(
        self, file: TranscriptFile, intake: Intake, chunk: Sequence[NumberedLine], size: int, parts: int = 0
    ) -> int:
        if self.stop.is_set():
            raise StoppedError
        added, refused = self._store(file, intake, chunk) if chunk else (0, 0)
        with self._lock:
            done = self._progress
            self._progress = replace(
                done,
                bytes_done=done.bytes_done + size,
                parts_done=done.parts_done + parts,
                entries=done.entries + added,
                skipped=done.skipped + len(chunk) - added - refused,
            )
            if self._on_progress is not None:
                self._on_progress(self._progress)
        return added

    def _store(
        self, file: TranscriptFile, intake: Intake, lines: Sequence[NumberedLine], *, use_copy: bool = True
    ) -> tuple[int, int]:
        """Add lines, and return how many were added and how many the database refused."""
        try:
            return intake.add(lines, use_copy=use_copy), 0
        except DatabaseError as error:
            if not self._unit_of_work.own or not concerns_a_line(error):
                raise
            code = error.sqlstate
        if len(lines) == 1:
            path = file.lines if lines[0].number else file.metadata
            problem = f"the database refuses it (SQLSTATE {code})" if code else "the database refuses it"
            self.report(BrokenLine(path, lines[0].number or None, problem))
            return 0, 1
        halves = lines[: len(lines) // 2], lines[len(lines) // 2 :]
        one, other = (self._store(file, intake, each, use_copy=False) for each in halves)
        return one[0] + other[0], one[1] + other[1]


_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how such a file begins; else each of its lines would be reported


def _in_order(files: Sequence[TranscriptFile]) -> list[_Job]:
    """Return a job per file, such that the main transcripts of a project finish one after the other."""
    last: dict[str, Future[float]] = {}
    jobs: list[_Job] = []
    for file in files:
        project, done = file.transcript.project_key, Future[float]()
        jobs.append(_Job(file, last.get(project) if file.transcript.is_main else None, done))
        if file.transcript.is_main:
            last[project] = done
    return jobs
