"""The store of an agent process: it refuses late writers, and repairs the session after failed appends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import anyio
from sqlalchemy import Connection

from boocode_sessions._core.append.request import Fence
from boocode_sessions._core.keys import (
    SessionKey,
    SessionListSubkeysKey,
    SessionStoreEntry,
    SessionStoreListEntry,
    SessionSummaryEntry,
)
from boocode_sessions._core.statements.append import Condition
from boocode_sessions._core.tenants import given_project
from boocode_sessions.agents.database import Database
from boocode_sessions.agents.errors import FencedError
from boocode_sessions.agents.events import Usage
from boocode_sessions.agents.mapping import cost_of, usage_of_models
from boocode_sessions.agents.transcripts import lines_to_import
from boocode_sessions.agents.writer import AgentSessionWriter, Lease
from boocode_sessions.errors import SessionStoreError
from boocode_sessions.jsonl import import_tree
from boocode_sessions.sdk import SQLAlchemySessionStore


@dataclass(frozen=True, slots=True)
class Totals:
    """What an agent process has spent, as it reports."""

    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0


class _Refusal(NamedTuple):
    """A batch that the database refused and that the SDK may send again."""

    entries: object
    error: SessionStoreError


class FencedStore:
    """The SDK's `SessionStore` for one process of an agent.

    Each append checks the fencing token in its own statement. The SDK gives up on a batch after three tries.
    Later batches must not overtake it, so from then on the lines come from the agent's own file, which has
    all of them in order. `jsonl.import_tree` imports them and adds each line once.
    """

    def __init__(
        self,
        inner: SQLAlchemySessionStore,
        database: Database,
        writer: AgentSessionWriter,
        fence: Condition,
        lease: Lease,
        *,
        folder: str | None = None,
        project_key: Callable[[str], str] = str,
        schema: str | None = None,
    ) -> None:
        """`folder` is the SDK's project key, by default the stored one. `project_key` maps the SDK's key to
        the chat's, within its tenant."""
        self._inner = inner
        self._database = database
        self._writer = writer
        self._schema = schema
        self._fence = fence
        self._project_key = project_key
        self._refusal: _Refusal | None = None
        self._lock = anyio.Lock()
        self.lease = lease
        self.projects: Path | None = None
        """The `projects` folder that the agent process writes to, once it is known."""
        self.folder = folder or lease.project_key
        """The session's folder in `projects`."""
        self.restored = Totals()
        """The totals in the transcript's latest `cost-state`. A resumed process includes them in its own."""
        self.is_fenced = False
        """True if another process has taken over the chat."""
        self.reads_from_file = False
        """True once lines come from the agent's file."""
        self.on_behind: Callable[[bool], None] = lambda _: None
        """Called with the new value when `is_behind` changes."""
        self._is_behind = False

    @property
    def is_behind(self) -> bool:
        """True if the database may lack lines."""
        return self._is_behind

    @is_behind.setter
    def is_behind(self, is_behind: bool) -> None:
        if is_behind != self._is_behind:
            self._is_behind = is_behind
            self.on_behind(is_behind)

    async def append(self, key: SessionKey, entries: Sequence[Mapping[str, Any]]) -> None:
        """Append a batch if this process still holds the chat. Raises SessionStoreError."""
        async with self._lock:
            refusal = self._refusal
            if refusal is not None and refusal.entries is not entries:
                # The SDK dropped the refused batch, and this one must not overtake it.
                self.reads_from_file = True
            if self.reads_from_file:
                self.is_behind = True
                if refusal is not None and refusal.entries is entries:
                    # A repair failed between two tries: the SDK has to give up on the batch and report it.
                    raise refusal.error
                return
            try:
                fence = Fence(self._fence, self.fence_parameters, self.lease.fenced())
                await self._database.append(self._stored(key), entries, fence)
            except FencedError:
                self.is_fenced = True
                raise
            except SessionStoreError as error:
                self._refusal, self.is_behind = _Refusal(entries, error), True
                raise
            self._refusal, self.is_behind = None, False

    @property
    def fence_parameters(self) -> dict[str, Any]:
        """The parameters of AgentSessionWriter.fence, which an append compares with the chat's row."""
        lease = self.lease
        return {
            "fence_chat_id": lease.chat_id,
            "fence_agent": lease.agent,
            "fence_holder": lease.holder.id,
            "fence_token": lease.token,
            "fence_repairs": lease.repairs,
        }

    async def catch_up(self) -> int:
        """Store the lines that the database lacks from the agent's own file. Returns their number.

        A line that the agent has not written to the file yet waits for the next call.

        Raises SessionStoreError.
        """
        async with self._lock:
            self.reads_from_file = True
            if self.projects is None:
                raise SessionStoreError("the folder that the agent writes to is not known")
            number, lease = self.lease.next_repair(), self.lease
            try:
                with lines_to_import(self.projects, self.folder, lease.session_id) as tree:
                    added = await self._database.run(
                        f"repair session {lease.session_id}",
                        lambda connection: self._import(connection, number, tree),
                    )
            except FencedError:
                self.is_fenced = True
                raise
            self._refusal, self.is_behind = None, False
            return added

    def _import(self, connection: Connection, number: int, tree: Path | None) -> int:
        self._writer.repair(connection, self.lease, number)
        if tree is None:
            return 0
        done = import_tree(
            connection,
            tree,
            schema=self._schema,
            encryption=self._database.encryption,
            project_key=given_project(self._database.tenant, self.lease.project_key),
        )
        return done.added

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Like SQLAlchemySessionStore.load. Also sets `restored`."""
        entries = await self._inner.load(self._scoped(key))
        if entries and not key.get("subpath"):
            self.restored = _restored(entries)
        return entries

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Like SQLAlchemySessionStore.list_sessions."""
        return await self._inner.list_sessions(self._project_key(project_key))

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Like SQLAlchemySessionStore.list_session_summaries."""
        return await self._inner.list_session_summaries(self._project_key(project_key))

    async def delete(self, key: SessionKey) -> None:
        """Like SQLAlchemySessionStore.delete."""
        await self._inner.delete(self._scoped(key))

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Like SQLAlchemySessionStore.list_subkeys."""
        return await self._inner.list_subkeys(self._scoped(key))

    def _scoped(self, key: SessionKey | SessionListSubkeysKey) -> SessionKey:
        """Map the SDK's key to the chat's key, within its tenant."""
        return cast("SessionKey", {**key, "project_key": self._project_key(key["project_key"])})

    def _stored(self, key: SessionKey) -> SessionKey:
        """Map the SDK's key to the key in the database."""
        scoped = self._scoped(key)
        return {**scoped, "project_key": self._inner.project_key(scoped["project_key"])}


def _restored(entries: Sequence[Mapping[str, Any]]) -> Totals:
    for entry in reversed(entries):
        if entry.get("type") == "cost-state":
            return Totals(usage_of_models(entry.get("modelUsage")), cost_of(entry.get("totalCostUSD")))
    return Totals()
