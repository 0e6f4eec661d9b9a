"""When a host dies, the program beside it ends its agents and removes what their resumes left on the disk."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOST = """
import json, sys
from boocode_sessions.agents.guard import Guard

guard = Guard()
for line in sys.stdin:
    order, pid, *folder = json.loads(line)
    getattr(guard, order)(pid, *folder)
    print(guard._program.pid, flush=True)
"""


class Host:
    """A process with a guard, to be killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.guard = 0

    def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        self.guard = int(self.process.stdout.readline())

    def kill(self) -> int:
        """Returns a file descriptor that can be read when its guard has ended."""
        guard = os.pidfd_open(self.guard)
        self.process.kill()
        self.process.communicate()
        return guard


@pytest.fixture
def agents() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Stand for agents: what they are makes no difference to the guard."""
    made = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    yield made
    for process in made:
        process.kill()
        process.wait()


def test_the_agents_of_a_host_that_was_killed_end_and_their_folders_go(
    agents: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("made for a resum\udce9", "behind", "of one that has ended")]
    for folder in folders:
        (folder / "projects").mkdir(parents=True)
        (folder / "projects" / "session.jsonl").write_text("a secret")
    host = Host()
    for agent, folder in zip(agents, folders, strict=True):
        host.tell("watch", agent.pid, str(folder))
    host.tell("watch", agents[1].pid)
    host.tell("unwatch", agents[2].pid)
    guard = host.kill()
    assert [agent.wait(20) for agent in agents[:2]] == [-signal.SIGTERM] * 2
    assert select.select([guard], [], [], 20)[0], "the guard does not end"
    os.close(guard)
    assert agents[2].poll() is None
    assert [folder.exists() for folder in folders] == [False, True, True]
