"""The agent's own files of one session: where lines are that the database may lack."""

import glob
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


def keep_transcript(projects: Path, folder: str, session_id: str, destination: Path) -> Path:
    """Copy a session's files to another `projects` folder. Returns the main transcript's. Raises OSError.

    `folder`: the project's, which has the SDK's own project key as its name.
    """
    source, target = projects / folder, destination / folder
    target.mkdir(parents=True, exist_ok=True)
    main = target / f"{session_id}.jsonl"
    if source != target:
        shutil.copyfile(source / main.name, main)
        if (source / session_id).is_dir():
            shutil.copytree(source / session_id, target / session_id, dirs_exist_ok=True)
    return main


def folder_of(projects: Path, project_key: str, session_id: str) -> str | None:
    """The folder with the session's files; None if there is none, or more than one could be meant.

    It has the SDK's project key as its name. What is stored begins with more where the store has a tenant or
    a `project_key` of its own, or is something else: a session's id says enough then.
    """
    for name in (project_key, project_key.rpartition("/")[2]):
        if name not in {"", ".", ".."} and "/" not in name and (projects / name).is_dir():
            return name
    if project_key.startswith("-"):  # a folder's, which is not here
        return None
    found = [path.parent.name for path in projects.glob(f"*/{glob.escape(session_id)}.jsonl")]
    return found[0] if len(found) == 1 else None


@contextmanager
def lines_to_import(projects: Path, folder: str, session_id: str) -> Generator[Path | None]:
    """A tree with one session's files, less what no mirror sends; None if the agent has no file of it.

    Raises SessionStoreError.
    """
    with tempfile.TemporaryDirectory(prefix="boocode-repair-") as name:
        tree: Path | None = Path(name)
        failure: OSError | None = None
        try:
            main = keep_transcript(projects, folder, session_id, Path(name))
            lines = main.read_bytes().splitlines(keepends=True)
            main.write_bytes(b"".join(line for line in lines if _is_mirrored(line)))
        except FileNotFoundError:
            tree = None
        except OSError as error:
            failure = error
        if failure is not None:
            raise SessionStoreError(
                f"the agent's files of session {session_id} can't be copied: {failure.strerror}; "
                f"check {projects}"
            )
        yield tree


def _is_mirrored(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return True  # the import says what is wrong with it
    return get(entry, "type") not in NOT_MIRRORED
