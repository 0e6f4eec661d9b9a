"""SQLite on a disk that is full: what was acknowledged stays, what was not leaves no part."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boocode_sessions import ClaudeSessionRepository, RefusedError, SessionKey, migrations
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import transcript_of
from boocode_sessions.engine import create_engine
from tests.reliability.verdicts import Verdict, examine, marked

MEGABYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a file system of a given size needs root and mount")
    size = f"size={4 * MEGABYTE}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mount is refused here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_refuses_whole_batches_and_keeps_the_others(
    small_disk: Path, publish: Callable[[Verdict], None]
) -> None:
    url = f"sqlite:///{small_disk / 'sessions.db'}"
    migrations.upgrade(url)
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * MEGABYTE)
    engine = create_engine(url)
    repository = ClaudeSessionRepository(engine)
    key: SessionKey = {"project_key": "full", "session_id": "s"}
    landed = []
    refused = 0
    for number in range(400):
        try:
            repository.append(key, marked("writer", number, 20))
            landed.append(("writer", number, 20))
        except RefusedError:
            refused += 1
            if refused == 5:
                filler.unlink()
            if refused == 10:
                break
    assert refused == 10, "the disk was never full"
    stored = repository.load(key) or []
    assert stored, "nothing was stored"
    (summary,) = repository.list_session_summaries("full")
    assert summary["data"] == fold(None, transcript_of(key), stored)
    engine.dispose()
    verdict = examine(stored, landed)
    verdict.faults = refused
    publish(verdict)
