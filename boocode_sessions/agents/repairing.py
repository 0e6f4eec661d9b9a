"""Retries to store lines that the database lacks, and keeps the agent's file if all attempts fail."""

from contextlib import suppress

import anyio

from boocode_sessions.agents.process import AgentProcess, own_projects
from boocode_sessions.agents.store import FencedStore
from boocode_sessions.agents.transcripts import copy_transcript
from boocode_sessions.errors import SessionStoreError


class Repair:
    """The repair attempts of one chat."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = 0.0

    async def catch_up(self, store: FencedStore, *, at_once: bool = False) -> int | None:
        """Store the missing lines from the agent's file. Returns their number, or None without an attempt."""
        now = anyio.current_time()
        if not store.is_behind or store.is_fenced or not (at_once or now >= self._due_at):
            return None
        self._due_at = now + self._seconds
        try:
            return await store.catch_up()
        except SessionStoreError:
            return None

    async def save(self, process: AgentProcess) -> None:
        """Try once more before a process ends. If that fails, copy the agent's file to a lasting folder."""
        store = process.store
        if not store.is_behind:
            return
        try:
            await store.catch_up()
        except SessionStoreError:
            if store.projects is not None:  # the SDK removes this folder if it made it
                kept = own_projects(process.options)
                with suppress(OSError):
                    copy_transcript(store.projects, store.folder, store.lease.session_id, kept)
