"""Repositories with the methods of the store contract, for synchronous and for asynchronous callers.

Both share one implementation: the asynchronous repository runs the synchronous one in a greenlet over the
bind's synchronous core. SQLAlchemy's own asyncio classes work the same way.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions._core import operations
from boocode_sessions._core.append.appender import Appender, append_locked
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.greenlets import AsyncBind, core_of, in_callers_scope, in_greenlet, with_replica
from boocode_sessions._core.keys import (
    KeyLike,
    SessionStoreListEntry,
    SessionSummaryEntry,
    project_of,
    session_of,
    transcript_of,
)
from boocode_sessions._core.observing import observed, observed_async
from boocode_sessions._core.tenants import check_tenant, stored_key, stored_project
from boocode_sessions._core.transactions import CurrentSession
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork


class ClaudeSessionRepository:
    """The six methods of the SDK's `SessionStore`, synchronous.

    Every method raises a SessionStoreError if it fails. The error's text never holds transcript content.

    Args:
        bind: Over an Engine or a sessionmaker, each call is its own transaction. Over a Connection or a
            Session, a call joins the caller's transaction, savepoints included, and never commits. The
            caller must then retry a COMMIT whose answer was lost, since only the caller sees the loss.
        schema: The schema of the tables, if they are not on the connection's search path.
        encryption: A `privacy.Encryption`, which encrypts every write. Reading plain text is an error, unless
            it has `reads_plain`.
        tenant: The repository can reach the sessions of this tenant only, whatever their keys are. Without
            a tenant it reaches all sessions by their stored project keys: docs/many-users.md.
        replica: An Engine over a streaming standby of the PostgreSQL server behind `bind`. Reads go to the
            standby, and still see everything acknowledged before they began: docs/past-one-machine.md.

    Raises:
        TypeError: An argument has the wrong type.
        InvalidKeyError: `tenant` can't be part of a key.
        UnsupportedBindError: The database is neither PostgreSQL nor SQLite.
    """

    @checked
    def __init__(
        self,
        bind: Bind | CurrentSession,
        *,
        schema: str | None = None,
        encryption: Cipher | None = None,
        tenant: str | None = None,
        replica: Engine | None = None,
    ) -> None:
        self._tenant = check_tenant(tenant)
        self._unit_of_work = UnitOfWork(with_replica(bind, replica), schema, encryption, tenant)
        self._appender = Appender(self._unit_of_work)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._unit_of_work}>"

    @observed
    def append(self, key: KeyLike, entries: Sequence[Mapping[str, Any]]) -> None:
        """Append a batch to a transcript: all of it or nothing, each entry once.

        An entry is skipped if the transcript already holds it, with the same `uuid` and the same content.
        An empty batch writes nothing.
        """
        if (request := self._appender.request(stored_key(self._tenant, key), entries)) is None:
            return
        if self._unit_of_work.own:
            self._appender.run(request)
        else:
            self._unit_of_work.write(request.label, lambda connection: append_locked(connection, request))

    @observed
    def load(self, key: KeyLike) -> list[dict[str, Any]] | None:
        """Return a transcript's entries in append order, or None if it was never written."""
        transcript = transcript_of(stored_key(self._tenant, key))
        return self._unit_of_work.read(
            f"load {transcript}", lambda connection: operations.load(connection, transcript)
        )

    @observed
    def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Return a project's sessions that have a main transcript, each with the time of its last append."""
        project = project_of(stored_project(self._tenant, project_key))
        return self._unit_of_work.read(
            f"list the sessions of project {project!r}",
            lambda connection: operations.list_sessions(connection, project),
        )

    @observed
    def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Return a project's session summaries that cover the whole main transcript.

        A summary is left out once another program's writes have made it stale: the SDK then reads the
        transcript, and the next append here folds the summary again.
        """
        project = project_of(stored_project(self._tenant, project_key))
        return self._unit_of_work.read(
            f"list the summaries of project {project!r}",
            lambda connection: operations.list_session_summaries(connection, project),
        )

    @observed
    def delete(self, key: KeyLike) -> None:
        """Delete a transcript, or the whole session if the key has no `subpath`.

        Deleting a key that was never written is not an error.
        """
        transcript = transcript_of(stored_key(self._tenant, key))
        self._unit_of_work.write(
            f"delete {transcript}", lambda connection: operations.delete(connection, transcript)
        )

    @observed
    def list_subkeys(self, key: KeyLike) -> list[str]:
        """Return the subpaths of a session's subagent transcripts."""
        session = session_of(stored_key(self._tenant, key))
        return self._unit_of_work.read(
            f"list the subkeys of {session}",
            lambda connection: operations.list_subkeys(connection, session),
        )


class AsyncClaudeSessionRepository:
    """The six methods of the SDK's `SessionStore`, for asyncio.

    A cancelled append may have landed. Sent again with the same list object, it lands once.

    Args:
        bind: An AsyncEngine or async_sessionmaker, or an AsyncConnection or AsyncSession whose transaction
            the calls join.
        schema: As for ClaudeSessionRepository.
        encryption: As for ClaudeSessionRepository.
        tenant: As for ClaudeSessionRepository.
        replica: An AsyncEngine over a streaming standby, used as by ClaudeSessionRepository.

    Raises:
        TypeError: An argument has the wrong type.
        InvalidKeyError: `tenant` can't be part of a key.
        UnsupportedBindError: The database is neither PostgreSQL nor SQLite.
    """

    @checked
    def __init__(
        self,
        bind: AsyncBind,
        *,
        schema: str | None = None,
        encryption: Cipher | None = None,
        tenant: str | None = None,
        replica: AsyncEngine | None = None,
    ) -> None:
        self._tenant = check_tenant(tenant)
        self._unit_of_work = UnitOfWork(with_replica(core_of(bind), replica), schema, encryption, tenant)
        self._over = partial(ClaudeSessionRepository, schema=schema, encryption=encryption, tenant=tenant)
        self._shared = self._over(self._unit_of_work.given)
        self._appender = Appender(self._unit_of_work)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._unit_of_work}>"

    @observed_async
    async def append(self, key: KeyLike, entries: Sequence[Mapping[str, Any]]) -> None:
        """Like ClaudeSessionRepository.append."""
        if not self._unit_of_work.own:
            await in_greenlet(self._sync.append, key, entries)
        elif (request := self._appender.request(stored_key(self._tenant, key), entries)) is not None:
            try:
                await in_greenlet(self._appender.run, request)
            except asyncio.CancelledError:
                self._appender.in_doubt.abandon(request)
                raise

    @observed_async
    async def load(self, key: KeyLike) -> list[dict[str, Any]] | None:
        """Like ClaudeSessionRepository.load."""
        return await in_greenlet(self._sync.load, key)

    @observed_async
    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Like ClaudeSessionRepository.list_sessions."""
        return await in_greenlet(self._sync.list_sessions, project_key)

    @observed_async
    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Like ClaudeSessionRepository.list_session_summaries."""
        return await in_greenlet(self._sync.list_session_summaries, project_key)

    @observed_async
    async def delete(self, key: KeyLike) -> None:
        """Like ClaudeSessionRepository.delete."""
        await in_greenlet(self._sync.delete, key)

    @observed_async
    async def list_subkeys(self, key: KeyLike) -> list[str]:
        """Like ClaudeSessionRepository.list_subkeys."""
        return await in_greenlet(self._sync.list_subkeys, key)

    @property
    def _sync(self) -> ClaudeSessionRepository:
        current = in_callers_scope(self._unit_of_work.given)
        return self._shared if current is self._unit_of_work.given else self._over(current)
