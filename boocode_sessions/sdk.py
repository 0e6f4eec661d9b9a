"""The store for the SDK's options: `ClaudeAgentOptions(session_store=SQLAlchemySessionStore(engine))`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions._core import fold
from boocode_sessions._core.append.appender import Appender
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.greenlets import in_greenlet, with_replica
from boocode_sessions._core.keys import (
    KeyLike,
    SessionStoreListEntry,
    SessionSummaryEntry,
    check_parts,
    text_part,
)
from boocode_sessions._core.observing import observed_async
from boocode_sessions._core.tenants import TENANT_OPTION, check_tenant, stored_key, stored_project
from boocode_sessions._core.unit_of_work import UnitOfWork
from boocode_sessions.errors import MissingExtraError
from boocode_sessions.repository import ClaudeSessionRepository

try:
    from boocode_sessions._core.append.batcher import Batcher, Run
    from boocode_sessions._core.background import in_abandoned_thread, in_thread
except ModuleNotFoundError as error:
    raise MissingExtraError("the SDK's store", "boocode-sessions[sdk]", error.name) from None

ProjectKey: TypeAlias = str | Callable[[str], str]
"""A fixed project key, or a function that maps the SDK's project key to yours."""


class SQLAlchemySessionStore:
    """The SDK's `SessionStore` over your own engine.

    Make one per process and keep it, since it remembers where it left each session. If `project_key` names
    the user, make one per user. Tasks can share a store; over an Engine, event loops can share it too.

    Every method raises a SessionStoreError if it fails. The error's text never holds transcript content.

    Args:
        bind: An Engine, which runs in worker threads under asyncio and trio; or an AsyncEngine, which needs
            asyncio because SQLAlchemy does. The engine is used as it is and never disposed of.
        schema: The schema of the tables, if they are not on the connection's search path.
        project_key: The project key of everything that goes through this store, or a function that derives
            it from the SDK's, such as `lambda key: f"user-42/{key}"`. The SDK derives its own key from the
            agent's folder, so users who share a folder share their sessions unless you set this.
        encryption: A `privacy.Encryption`, which encrypts every write. Reading plain text is an error, unless
            it has `reads_plain`.
        tenant: The store can reach the sessions of this tenant only, whatever their keys are.
        replica: An engine of the same kind over a streaming standby of `bind`'s PostgreSQL server. Reads go
            there, and still see everything acknowledged before they began: docs/past-one-machine.md.

    Raises:
        TypeError: An argument has the wrong type.
        InvalidKeyError: `project_key` or `tenant` can't be part of a key.
        UnsupportedBindError: The database is neither PostgreSQL nor SQLite.
    """

    @checked
    def __init__(
        self,
        bind: Engine | AsyncEngine,
        *,
        schema: str | None = None,
        project_key: ProjectKey | None = None,
        encryption: Cipher | None = None,
        tenant: str | None = None,
        replica: Engine | AsyncEngine | None = None,
    ) -> None:
        self._read: Run
        self._write: Run
        if isinstance(bind, AsyncEngine):
            engine = bind.sync_engine
            self._read = self._write = in_greenlet
        elif isinstance(bind, Engine):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            engine = bind
            self._read, self._write = in_abandoned_thread, in_thread
        else:
            raise TypeError(f"bind is an Engine or an AsyncEngine, not {type(bind).__name__}")
        if replica is not None and isinstance(replica, AsyncEngine) != isinstance(bind, AsyncEngine):
            raise TypeError(f"replica is an engine of bind's kind, {type(bind).__name__}")
        fold.available()  # import the SDK now, or the first append spends a second on it
        if not callable(project_key):
            check_parts(project_key=project_key)
        self._project_key = project_key
        self._tenant = check_tenant(tenant)
        if tenant is not None:
            engine = engine.execution_options(**{TENANT_OPTION: tenant})
        self._unit_of_work = UnitOfWork(engine, schema, encryption)
        replicated = with_replica(engine, replica)
        self._repository = ClaudeSessionRepository(replicated, schema=schema, encryption=encryption)
        self._appender = Appender(self._unit_of_work)
        self._batcher = Batcher(self._appender, self._write, one_writer=engine.dialect.name == "sqlite")

    def __repr__(self) -> str:
        key = self._project_key
        named = "" if key is None else f", project_key {'of a function' if callable(key) else repr(key)}"
        return f"<{type(self).__name__} over {self._unit_of_work}{named}>"

    def project_key(self, given: str) -> str:
        """Return the project key that this store writes for the SDK's key `given`.

        `queries` and the command line take this key.

        Raises InvalidKeyError if the store has a `project_key` and `given` can't be a key.
        """
        if self._project_key is not None:
            given = text_part("project_key", given)
            given = self._project_key(given) if callable(self._project_key) else self._project_key
        return stored_project(self._tenant, given)

    @observed_async
    async def append(self, key: KeyLike, entries: Sequence[Mapping[str, Any]]) -> None:
        """Like ClaudeSessionRepository.append.

        A call that is cancelled in flight continues in the background and may land. Sent again with the same
        list object, it lands once.
        """
        if (request := self._appender.request(self._stored(key), entries)) is not None:
            await self._batcher.append(request)

    @observed_async
    async def load(self, key: KeyLike) -> list[Any] | None:
        """Like ClaudeSessionRepository.load.

        The element type is `Any` because the SDK's protocol declares its own entry type.
        """
        return await self._read(self._repository.load, self._stored(key))

    @observed_async
    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Like ClaudeSessionRepository.list_sessions."""
        return await self._read(self._repository.list_sessions, self.project_key(project_key))

    @observed_async
    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Like ClaudeSessionRepository.list_session_summaries."""
        return await self._read(self._repository.list_session_summaries, self.project_key(project_key))

    @observed_async
    async def delete(self, key: KeyLike) -> None:
        """Like ClaudeSessionRepository.delete."""
        await self._write(self._repository.delete, self._stored(key))

    @observed_async
    async def list_subkeys(self, key: KeyLike) -> list[str]:
        """Like ClaudeSessionRepository.list_subkeys."""
        return await self._read(self._repository.list_subkeys, self._stored(key))

    def _stored(self, key: KeyLike) -> KeyLike:
        """Return a key of the SDK's in its stored form."""
        if self._project_key is None or not isinstance(key, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            return stored_key(self._tenant, key)
        given = cast("Mapping[str, Any]", key)
        return {**given, "project_key": self.project_key(cast("str", given.get("project_key")))}
