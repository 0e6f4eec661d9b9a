"""A helper process that ends agents whose host has died, since a killed process can't do it itself.

An agent in the middle of a turn does not notice that nobody reads its output any more, and continues. So a
backend starts this file as a program beside itself. The program reads on its stdin which agent processes
there are. If stdin closes before a line says "stop", the host has died. The program uses only the standard
library, and some 10 MB of memory.

It also removes the folders that the SDK makes for resumes: each holds a transcript in plain text, and often
a copy of the login.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

_GRACE_SECONDS = 5
"""An agent that is terminated ends its own tools. After this time the guard kills them all."""


class Guard:
    """The backend's handle on the helper process."""

    def __init__(self) -> None:
        self._program: subprocess.Popen[str] | None = None

    def watch(self, pid: int, folder: str = "") -> None:
        """End the process and remove the folder if the host dies. A later call replaces the folder."""
        if self._program is None:
            self._program = subprocess.Popen(  # noqa: S603 - this file, with this interpreter
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                errors="surrogateescape",  # a folder's name may be any bytes
                start_new_session=True,  # a signal to the host's group, such as Ctrl-C, must not end it first
            )
        self._write_line(f"+{pid} {folder}")

    def unwatch(self, pid: int) -> None:
        """Forget a process that has ended."""
        self._write_line(f"-{pid}")

    def close(self) -> None:
        """End the helper process, after all agents have ended."""
        self._write_line("stop")
        program, self._program = self._program, None
        if program is not None and program.stdin is not None:
            with contextlib.suppress(OSError):
                program.stdin.close()
            program.wait(_GRACE_SECONDS)

    def _write_line(self, line: str) -> None:
        if self._program is not None and self._program.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # somebody killed the helper process
                self._program.stdin.write(line + "\n")
                self._program.stdin.flush()


def descendants(pids: set[int]) -> set[int]:
    """Return all descendants of these processes. Without /proc it finds none."""
    parents: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow to import
            if name.isdigit() and (parent := _parent(name)) is not None:
                parents[int(name)] = parent
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in pids | found} - found:
        found |= more
    return found


def kill_marked(mark: str) -> None:
    """Kill the processes that have this text in their environment. Without /proc it finds none.

    An agent's tools inherit the mark. Once the agent itself has been killed, the mark is the only link left.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow to import
            if name.isdigit() and mark.encode() in _environment(name):
                _send(int(name), signal.SIGKILL)


def _environment(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:  # noqa: PTH123 - as above
            return environ.read()
    except OSError:  # the process has ended, or belongs to another user
        return b""


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:  # noqa: PTH123 - as above
            return int(stat.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):  # the process has ended
        return None


def _main() -> None:
    folders: dict[int, str] = {}
    sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    for line in sys.stdin:
        if line == "stop\n":
            return
        pid, _, folder = line[1:-1].partition(" ")
        if line[0] == "+":
            folders[int(pid)] = folder
        else:
            folders.pop(int(pid), None)
    everything = {*folders, *descendants({*folders})}
    for pid in folders:
        _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and any(_send(pid, 0) for pid in everything):
        time.sleep(0.05)
    for pid in everything:
        _send(pid, signal.SIGKILL)
    for folder in filter(None, folders.values()):
        shutil.rmtree(folder, ignore_errors=True)


def _send(pid: int, number: int) -> bool:
    """Send a signal. Returns True if the process got it."""
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    _main()
