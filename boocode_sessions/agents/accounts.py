"""The bookkeeping of one chat: its lease, and what it spent, with each token and dollar written once."""

import uuid
from dataclasses import replace

import anyio
from sqlalchemy import Connection, select

from boocode_sessions._core.keys import MAIN, Transcript
from boocode_sessions._core.statements.parameters import in_transcript, of_transcript
from boocode_sessions.agents.errors import FencedError
from boocode_sessions.agents.events import Usage
from boocode_sessions.agents.lease import AgentSessions
from boocode_sessions.agents.services import Services
from boocode_sessions.agents.writer import Lease, Settlement
from boocode_sessions.errors import SessionStoreError
from boocode_sessions.models import ClaudeSessionEntry


class Accounts:
    """Acquires, renews and settles one chat. What can't be written now is written at the next settlement."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seconds = services.limits.lease_seconds
        # Our own writer runs one statement per method. A host's writer may run more.
        self._atomic = type(services.writer) is AgentSessions
        self._unwritten = Settlement()
        self._since_turn = Settlement()
        self._in_doubt: list[tuple[int, Settlement]] = []
        """Settlements with their numbers that may or may not be written."""
        self._renewed_at = 0.0
        self.state_is_stale = False
        """True if the next settlement must update the row's `incomplete`."""
        self.lease: Lease | None = None
        self.holds = False
        """True while this process holds the chat, as far as it knows."""

    @property
    def has_unwritten(self) -> bool:
        """True if something still has to be written."""
        return bool(self._in_doubt or self.state_is_stale or self._unwritten != Settlement())

    async def acquire(self, chat_id: str, agent: str, project_key: str) -> Lease:
        """Take the chat's lease. Raises ChatHeldError or SessionStoreError."""
        services = self._services
        session_id = str(uuid.uuid4())
        before = anyio.current_time()
        lease = await services.database.run(
            f"take chat {chat_id!r}",
            lambda connection: services.writer.acquire(
                connection,
                services.chat_key(chat_id),
                agent,
                holder=services.holder,
                project_key=project_key,
                session_id=session_id,
                seconds=self._seconds,
            ),
            atomic=self._atomic,
        )
        if self.lease is not None and self.lease.token != lease.token:
            self._in_doubt.clear()  # the row refuses them now, since they name the old token
        elif self.lease is not None:
            lease.settlements = max(lease.settlements, self.lease.settlements)
            lease.repairs = max(lease.repairs, self.lease.repairs)
        self._renewed_at, self.lease, self.holds = before, lease, True
        return lease

    async def is_stored(self, lease: Lease) -> bool:
        """Return True if the store has the session's main transcript."""
        return await self._services.database.run(
            f"look for session {lease.session_id}",
            lambda connection: _is_stored(connection, lease),
            atomic=True,
        )

    async def move(self, lease: Lease, session_id: str) -> None:
        """Continue the chat in another session. Raises FencedError."""
        await self._services.database.run(
            f"begin session {session_id}",
            lambda connection: self._services.writer.move(connection, lease, session_id),
            atomic=self._atomic,
        )
        lease.session_id = session_id

    async def renew(self, *, at_once: bool = False) -> bool | None:
        """Renew the lease if a third of it has passed, or if `at_once` is set.

        Returns False if another process has taken the chat, None if nothing was renewed.
        """
        lease, now = self.lease, anyio.current_time()
        is_due = self.holds and now - self._renewed_at >= self._seconds / 3
        if lease is None or not (is_due or at_once):
            return None
        try:
            is_ours = await self._services.database.run(
                f"hold chat {lease.chat_id!r}",
                lambda connection: self._services.writer.renew(connection, lease, self._seconds),
                atomic=self._atomic,
            )
        except SessionStoreError:  # nobody else can take the chat either while the database is out of reach
            return None
        self._renewed_at, self.holds = now, is_ours
        return is_ours

    def spend(self, usage: Usage, cost_usd: float = 0.0) -> None:
        """Add to what was spent."""
        spent = Settlement(usage, cost_usd)
        self._unwritten, self._since_turn = self._unwritten + spent, self._since_turn + spent

    def end_turn(self, error: str | None, *, is_answered: bool) -> None:
        """Note how a turn ended."""
        self._unwritten += Settlement(turns=int(is_answered), has_ended=True, error=error)

    def spent(self) -> Settlement:
        """Return what was spent since the last call."""
        spent, self._since_turn = self._since_turn, Settlement()
        return spent

    async def settle(self, *, release: bool, incomplete: bool) -> bool:
        """Write what is unwritten. Returns True if everything is written."""
        lease = self.lease
        if lease is None:
            return False
        if self.has_unwritten or (release and self.holds):
            settlement = replace(self._unwritten, release=release, incomplete=incomplete)
            self._in_doubt.append((lease.next_settlement(), settlement))
            self._unwritten, self.state_is_stale = Settlement(), False
        try:
            while self._in_doubt:
                await self._write(lease, *self._in_doubt[0])
                self._in_doubt.pop(0)
        except FencedError:
            self._in_doubt.clear()
            self.holds = False
            return False
        except SessionStoreError:
            return False
        self.holds = self.holds and not release
        return True

    async def _write(self, lease: Lease, number: int, settlement: Settlement) -> None:
        await self._services.database.run(
            f"settle chat {lease.chat_id!r}",
            lambda connection: self._services.writer.settle(connection, lease, number, settlement),
            atomic=self._atomic,
        )


def _is_stored(connection: Connection, lease: Lease) -> bool:
    main = Transcript(lease.project_key, lease.session_id, MAIN)
    statement = select(ClaudeSessionEntry.id).where(*of_transcript()).limit(1)
    return connection.execute(statement, in_transcript(main)).first() is not None
