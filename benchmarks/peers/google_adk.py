"""google-adk: DatabaseSessionService."""

import json
from collections.abc import Sequence
from typing import ClassVar

from google.adk.events import Event
from google.adk.sessions import DatabaseSessionService, Session
from google.genai import types

from benchmarks.entries import Entry
from benchmarks.peers import NotSupported, Peer
from benchmarks.server import Address

_APP, _USER = "bench", "dev"


class GoogleADK(Peer):
    label: ClassVar[str] = "google-adk DatabaseSessionService"
    equivalent: ClassVar[str] = (
        "one `append_event` per entry, with its JSON as the event's text; `get_session`; `list_sessions`"
    )

    async def setup(self, address: Address) -> None:
        await self.open(address)
        await self._session("setup")

    async def open(self, address: Address) -> None:
        self._service = DatabaseSessionService(address.url("postgresql+asyncpg"))
        self._sessions: dict[str, Session] = {}

    async def close(self) -> None:
        await self._service.close()

    async def _session(self, session: str) -> Session:
        if session not in self._sessions:
            known = await self._service.get_session(app_name=_APP, user_id=_USER, session_id=session)
            self._sessions[session] = known or await self._service.create_session(
                app_name=_APP, user_id=_USER, session_id=session
            )
        return self._sessions[session]

    async def append(self, session: str, entries: Sequence[Entry], subpath: str | None = None) -> None:
        if subpath is not None or len(entries) > 1:
            raise NotSupported  # it appends one event at a time
        held = await self._session(session)
        text = types.Part(text=json.dumps(entries[0]))
        event = Event(author="user", content=types.Content(role="user", parts=[text]))
        await self._service.append_event(held, event)
        held.events.clear()  # it also keeps every event in memory, which we do not measure

    async def write_long(self, session: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            await self.append(session, [entry])

    async def load(self, session: str) -> None:
        found = await self._service.get_session(app_name=_APP, user_id=_USER, session_id=session)
        assert found is not None
        assert found.events

    async def list_sessions(self) -> None:
        assert (await self._service.list_sessions(app_name=_APP, user_id=_USER)).sessions
