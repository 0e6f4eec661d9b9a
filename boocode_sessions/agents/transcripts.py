"""The agent's own files of one session: where lines are that the database may lack."""

import json
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from boocode_sessions.agents.values import get
from boocode_sessions.errors import SessionStoreError

NOT_MIRRORED = frozenset({"api-request", "api-request-blob", "api-request-shape", "cost-state"})
"""Types of lines that the agent writes to its own file, for itself. A repair leaves them there."""


def keep_transcript(projects: Path, project_key: str, session_id: str, destination: Path) -> Path:
    """Copy a session's files to another `projects` folder. Returns the main transcript's. Raises OSError."""
    source, target = projects / project_key, destination / project_key
    target.mkdir(parents=True, exist_ok=True)
    main = target / f"{session_id}.jsonl"
    if source != target:
        shutil.copyfile(source / main.name, main)
        if (source / session_id).is_dir():
            shutil.copytree(source / session_id, target / session_id, dirs_exist_ok=True)
    return main


@contextmanager
def lines_to_import(projects: Path, project_key: str, session_id: str) -> Generator[Path | None]:
    """A tree with one session's files, less what no mirror sends; None if the agent has no file of it.

    Raises SessionStoreError.
    """
    with tempfile.TemporaryDirectory(prefix="boocode-repair-") as name:
        folder: Path | None = Path(name)
        failure: OSError | None = None
        try:
            main = keep_transcript(projects, project_key, session_id, Path(name))
            lines = main.read_bytes().splitlines(keepends=True)
            main.write_bytes(b"".join(line for line in lines if _is_mirrored(line)))
        except FileNotFoundError:
            folder = None
        except OSError as error:
            failure = error
        if failure is not None:
            raise SessionStoreError(
                f"the agent's files of session {session_id} can't be copied: {failure.strerror}; "
                f"check {projects}"
            )
        yield folder


def _is_mirrored(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return True  # the import says what is wrong with it
    return get(entry, "type") not in NOT_MIRRORED
