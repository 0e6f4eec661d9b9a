"""Processor time of this process, its children, and a server's processes, in nanoseconds.

Wall-clock time depends on other work on the machine; processor time hardly does.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple


class Used(NamedTuple):
    """Processor seconds so far."""

    client: float
    server: float


class Clock:
    """Reads the kernel's counts. Call `find_processes` first, and again after new connections."""

    def __init__(self, postmaster: int) -> None:
        self._postmaster = postmaster
        self._client: list[int] = []
        self._server: list[int] = []
        self._last: dict[int, float] = {}
        """The last count of each file. A process that has ended keeps it."""

    def find_processes(self) -> None:
        """Find the server's processes, and this process's children, such as a peer in another language."""
        for descriptor in (*self._client, *self._server):
            os.close(descriptor)
        self._last.clear()
        server = _descendants(self._postmaster)
        ours = _descendants(os.getpid()) - server
        self._server = [file for process in server if (file := _open(process, process)) is not None]
        self._client = [
            file
            for process in ours
            for thread in _threads(process)
            if (file := _open(process, thread)) is not None
        ]

    def read(self) -> Used:
        """Return the processor time used so far."""
        client = time.process_time() + sum(map(self._seconds, self._client))
        return Used(client, sum(map(self._seconds, self._server)))

    def _seconds(self, file: int) -> float:
        with contextlib.suppress(OSError):  # it has ended
            self._last[file] = int(os.pread(file, 64, 0).split()[0]) / 1e9
        return self._last.get(file, 0.0)


def _descendants(process: int) -> set[int]:
    found: set[int] = set()
    for thread in _threads(process):
        try:
            children = Path(f"/proc/{process}/task/{thread}/children").read_text()
        except OSError:
            continue
        for child in map(int, children.split()):
            found |= {child} | _descendants(child)
    return found


def _threads(process: int) -> list[int]:
    try:
        return [int(thread.name) for thread in Path(f"/proc/{process}/task").iterdir()]
    except OSError:
        return []


def _open(process: int, thread: int) -> int | None:
    try:
        return os.open(f"/proc/{process}/task/{thread}/schedstat", os.O_RDONLY)
    except OSError:
        return None
