"""What differs from one deployment to the next."""

import os
from pathlib import Path


def database_url() -> str:
    return os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///fastapi_app.db")


def workspaces() -> Path:
    """Where the users' agents work: a folder for each user."""
    return Path(os.environ.get("WORKSPACES", "workspaces")).resolve()


def tokens() -> dict[str, str]:
    """Who may come in: token -> user. Put your own login in its place."""
    pairs = os.environ.get("TOKENS", "ada-token=ada,bob-token=bob").split(",")
    return dict(pair.split("=") for pair in pairs)
