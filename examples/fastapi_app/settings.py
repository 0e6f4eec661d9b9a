"""Settings that differ between deployments."""

import os
from pathlib import Path


def database_url() -> str:
    return os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///fastapi_app.db")


def workspace() -> Path:
    """Return the agents' working folder: one for all users, since the agents have no tools."""
    folder = Path(os.environ.get("WORKSPACE", "workspace")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def agent_files() -> Path:
    """Return the folder of the agents' own files, which has a subfolder for each user."""
    return Path(os.environ.get("AGENT_FILES", "agent_files")).resolve()


def tokens() -> dict[str, str]:
    """Return the users by token. Replace this with your own login."""
    pairs = os.environ.get("TOKENS", "ada-token=ada,bob-token=bob").split(",")
    return dict(pair.split("=") for pair in pairs)
