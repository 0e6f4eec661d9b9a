"""Ends agents whose host has died: nothing in a process that was killed can do it.

An agent in the middle of a turn does not notice that nobody reads it any more, and goes on. So a backend
starts this file as a program beside itself. It hears of each agent's process on its stdin; if that is closed
before it was told to stop, the host has died. It needs nothing but the standard library, and some 10 MB.

It also removes the folders that the SDK has made for resumes: each holds a transcript in plain text, often
with a copy of the login.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

_GRACE_SECONDS = 5
"""The agent ends its own tools when it is terminated. After this time all of them are killed."""


class Guard:
    """The program beside a backend, seen from the backend."""

    def __init__(self) -> None:
        self._program: subprocess.Popen[str] | None = None

    def watch(self, pid: int, folder: str = "") -> None:
        """End this process if the host dies, and remove this folder. The newest call for a process holds."""
        if self._program is None:
            self._program = subprocess.Popen(  # noqa: S603 - this file, with this interpreter
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                errors="surrogateescape",  # a folder's name may be any bytes
                start_new_session=True,  # what ends the host's group, Ctrl-C for one, must not end it first
            )
        self._tell(f"+{pid} {folder}")

    def unwatch(self, pid: int) -> None:
        """This process has ended."""
        self._tell(f"-{pid}")

    def close(self) -> None:
        """All of them have ended, and so does the guard."""
        self._tell("stop")
        program, self._program = self._program, None
        if program is not None and program.stdin is not None:
            with contextlib.suppress(OSError):
                program.stdin.close()
            program.wait(_GRACE_SECONDS)

    def _tell(self, line: str) -> None:
        if self._program is not None and self._program.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # somebody has killed it
                self._program.stdin.write(line + "\n")
                self._program.stdin.flush()


def descendants(pids: set[int]) -> set[int]:
    """The processes below these, where /proc tells."""
    parents: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow to import
            if name.isdigit() and (parent := _parent(name)) is not None:
                parents[int(name)] = parent
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in pids | found} - found:
        found |= more
    return found


def end_marked(mark: str) -> None:
    """Kill the processes that have this text in their environment, where /proc tells.

    An agent's tools inherit it. Once the agent itself was killed they are nobody's descendants any more.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow to import
            if name.isdigit() and mark.encode() in _environment(name):
                _send(int(name), signal.SIGKILL)


def _environment(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:  # noqa: PTH123 - as above
            return environ.read()
    except OSError:  # it has ended, or is another user's
        return b""


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:  # noqa: PTH123 - as above
            return int(stat.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):  # it has ended
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
    """Whether the process was there to get the signal."""
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    _main()
