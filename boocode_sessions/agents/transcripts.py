"""The agent's own files of one session, which hold lines that the database may lack."""

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
"""Types of lines that the agent writes to its own file only. A repair does not import them."""


def copy_transcript(projects: Path, folder: str, session_id: str, destination: Path) -> Path:
    """Copy a session's files to another `projects` folder. Returns the main transcript's path there.

    `folder` is the project's folder, named after the SDK's own project key.

    Raises OSError.
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
    """Return the name of the folder with the session's files, or None unless exactly one folder fits.

    The folder is named after the SDK's project key. With a tenant or a `project_key`, the stored key has a
    prefix or is something else altogether. The session's id then finds the folder.
    """
    for name in (project_key, project_key.rpartition("/")[2]):
        if name not in {"", ".", ".."} and "/" not in name and (projects / name).is_dir():
            return name
    if project_key.startswith("-"):  # the key is the SDK's own, and its folder is not here
        return None
    found = [path.parent.name for path in projects.glob(f"*/{glob.escape(session_id)}.jsonl")]
    return found[0] if len(found) == 1 else None


@contextmanager
def lines_to_import(projects: Path, folder: str, session_id: str) -> Generator[Path | None]:
    """Yield a temporary tree with one session's files, without the lines in NOT_MIRRORED.

    Yields None if the agent has no file of the session. Raises SessionStoreError.
    """
    with tempfile.TemporaryDirectory(prefix="boocode-repair-") as name:
        tree: Path | None = Path(name)
        try:
            main = copy_transcript(projects, folder, session_id, Path(name))
            lines = main.read_bytes().splitlines(keepends=True)
            main.write_bytes(b"".join(line for line in lines if _is_mirrored(line)))
        except FileNotFoundError:
            tree = None
        except OSError as error:
            raise SessionStoreError(
                f"the agent's files of session {session_id} can't be copied: {error.strerror}; "
                f"check {projects}"
            ) from None
        yield tree


def _is_mirrored(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return True  # the import reports what is wrong with the line
    return get(entry, "type") not in NOT_MIRRORED
