"""What differs from one deployment to the next."""

import os
from pathlib import Path


def database_url() -> str:
    return os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///fastapi_app.db")


def workspace() -> Path:
    """Where the agents work: one folder for all users, since they have no tools."""
    folder = Path(os.environ.get("WORKSPACE", "workspace")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def agent_files() -> Path:
    """Where the agents keep files of their own, a folder for each user."""
    return Path(os.environ.get("AGENT_FILES", "agent_files")).resolve()


def tokens() -> dict[str, str]:
    """Who may come in: token -> user. Put your own login in its place."""
    pairs = os.environ.get("TOKENS", "ada-token=ada,bob-token=bob").split(",")
    return dict(pair.split("=") for pair in pairs)
