"""The store contract, method for method, for synchronous and for asynchronous callers.

Both share one body: the asynchronous repository runs the synchronous one in a greenlet over the bind's
synchronous core, which is how SQLAlchemy's own asyncio classes work.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.util import greenlet_spawn

from boocode_sessions._core import operations
from boocode_sessions._core import psycopg_driver as direct
from boocode_sessions._core.append.appender import Appender, appending
from boocode_sessions._core.codec import encode_batch, new_nonce
from boocode_sessions._core.keys import (
    SessionKey,
    SessionListSubkeysKey,
    SessionStoreEntry,
    SessionStoreListEntry,
    SessionSummaryEntry,
    project_of,
    session_of,
    transcript_of,
)
from boocode_sessions._core.statements import contract as statements
from boocode_sessions._core.unit_of_work import Bind, Transactions

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

AsyncBind: TypeAlias = AsyncEngine | async_sessionmaker[Any] | AsyncConnection | AsyncSession


class ClaudeSessionRepository:
    """The six methods of the SDK's `SessionStore`, synchronous.

    `bind`: over an Engine or a sessionmaker each call is a transaction of its own. Over a Connection or a
    Session it joins the caller's transaction, savepoints included, and never commits; the caller then owns
    the retry of a COMMIT whose answer was lost, since only the caller sees it.

    `schema`: where the tables are, when the connection's search path does not lead there.

    Every method raises a SessionStoreError, whose text never holds transcript content.
    """

    def __init__(self, bind: Bind, *, schema: str | None = None) -> None:
        self._transactions = Transactions(bind, schema)
        self._appender = Appender(self._transactions)

    def append(self, key: SessionKey, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch to the end of a transcript: all of it or nothing, each entry once.

        An entry whose `uuid` the transcript holds already is not added again. An empty batch writes nothing.
        """
        if self._transactions.own:
            if (append := self._appender.prepare(key, entries)) is not None:
                self._appender.run(append)
            return
        transcript = transcript_of(key)
        encoded = encode_batch(transcript, entries, new_nonce())
        if encoded:
            self._transactions.write(
                appending(len(encoded), transcript),
                lambda tables: operations.append(tables, transcript, entries, encoded),
            )

    def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """A transcript's entries in the order of their appends; None when it was never written."""
        transcript = transcript_of(key)
        loading = operations.Loading(transcript, self._transactions.dialect)
        self._transactions.read_each(
            loading.doing, statements.select_entries(), statements.in_transcript(transcript), loading.begin
        )
        return loading.end()

    def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """The sessions of a project that have a main transcript, with the time of its last append."""
        project = project_of(project_key)
        return self._transactions.read(
            f"list the sessions of project {project!r}",
            lambda tables: operations.list_sessions(tables, project),
        )

    def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """The summaries of a project that hold all of their transcript.

        One that another program's writes have overtaken is left out: the SDK then reads the transcript, and
        the next append here folds it again.
        """
        project = project_of(project_key)
        return self._transactions.read(
            f"list the summaries of project {project!r}",
            lambda tables: operations.list_session_summaries(tables, project),
        )

    def delete(self, key: SessionKey) -> None:
        """Remove a transcript; without `subpath` the whole session. A key never written is no error."""
        transcript = transcript_of(key)
        doing = f"delete {transcript}"
        if self._transactions.pipelines:
            self._transactions.write_pipelined(doing, operations.deletion("postgresql", transcript))
        else:
            self._transactions.write(doing, lambda tables: operations.delete(tables, transcript))

    def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """The subpaths of a session's subagent transcripts."""
        session = session_of(key)
        return self._transactions.read(
            f"list the subkeys of {session}", lambda tables: operations.list_subkeys(tables, session)
        )


class AsyncClaudeSessionRepository:
    """The six methods of the SDK's `SessionStore`, for asyncio.

    `bind`: an AsyncEngine or async_sessionmaker, or an AsyncConnection or AsyncSession whose transaction is
    joined. In all else a ClaudeSessionRepository.

    A call that was cancelled may have landed; sent again with the same list, it lands once.
    """

    def __init__(self, bind: AsyncBind, *, schema: str | None = None) -> None:
        core = core_of(bind)
        self._sync = ClaudeSessionRepository(core, schema=schema)
        self._transactions = Transactions(core, schema)
        self._appender = Appender(self._transactions)

    async def append(self, key: SessionKey, entries: Sequence[Mapping[str, Any]]) -> None:
        """As ClaudeSessionRepository.append."""
        if not self._transactions.own:
            await self._run(self._sync.append, key, entries)
        elif (append := self._appender.prepare(key, entries)) is not None:
            try:
                await self._run(self._appender.run, append)
            except asyncio.CancelledError:
                self._appender.abandon(append)
                raise

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """As ClaudeSessionRepository.load."""
        return await self._run(self._sync.load, key)

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """As ClaudeSessionRepository.list_sessions."""
        return await self._run(self._sync.list_sessions, project_key)

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """As ClaudeSessionRepository.list_session_summaries."""
        return await self._run(self._sync.list_session_summaries, project_key)

    async def delete(self, key: SessionKey) -> None:
        """As ClaudeSessionRepository.delete."""
        await self._run(self._sync.delete, key)

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """As ClaudeSessionRepository.list_subkeys."""
        return await self._run(self._sync.list_subkeys, key)

    async def _run(self, work: Callable[[*_Args], _T], *args: *_Args) -> _T:
        return await in_greenlet(self._transactions.dialect, work, *args)


async def in_greenlet(dialect: str | None, work: Callable[[*_Args], _T], *args: *_Args) -> _T:
    """Run synchronous work over an async engine. Cancelled, it leaves no transaction open.

    psycopg cancels the statement at the server and cleans up. aiosqlite would leave its thread with the
    write lock; there, and where the driver isn't known, a cancellation is honoured once the work has ended.
    """
    if dialect == "postgresql":
        return await greenlet_spawn(work, *args)
    task = asyncio.ensure_future(greenlet_spawn(work, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await direct.until_done(task)
        raise


def core_of(bind: AsyncBind) -> Bind:
    """The synchronous bind inside an asynchronous one; to be used in a greenlet only."""
    if isinstance(bind, AsyncEngine):
        return bind.sync_engine
    if isinstance(bind, AsyncSession):
        return bind.sync_session
    if isinstance(bind, async_sessionmaker):
        return lambda: bind().sync_session
    if isinstance(bind, AsyncConnection):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        if bind.sync_connection is None:
            raise TypeError("the AsyncConnection is not open yet: use it inside `async with`")
        return bind.sync_connection
    raise TypeError(
        "bind is an AsyncEngine, async_sessionmaker, AsyncConnection or AsyncSession, "
        f"not {type(bind).__name__}"
    )
