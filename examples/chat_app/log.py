"""The events of one chat. Each tab follows them from the first event, or from the last one that it saw."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple
from uuid import uuid4

import anyio

Event = dict[str, Any]


class Entry(NamedTuple):
    """An event, and the id with which a reconnecting tab says how far it has read."""

    id: str
    event: Event


class Log:
    """Starts with the chat's history from the database and continues with the events of its turns.

    A tab that reconnects with another log's id, for example from before a restart, starts from the beginning.
    """

    def __init__(self, history: Iterable[Event]) -> None:
        self._name = uuid4().hex[:8]
        self.turns = 0
        """The number of the latest turn."""
        self._events: list[Event] = [{"kind": "Reset"}]
        self._grown = anyio.Event()
        self.users = 0
        """The number of tabs that follow the log, plus the turns that write to it."""
        turn = 0
        for event in history:
            turn = self.begin_turn(event["text"]) if event["kind"] == "Prompt" else turn
            if event["kind"] != "Prompt":
                self.add(turn, event)

    def begin_turn(self, prompt: str) -> int:
        """Show every tab a prompt. Returns the turn's number."""
        self.turns += 1
        self.add(self.turns, {"kind": "Prompt", "text": prompt})
        return self.turns

    def add(self, turn: int, event: Event) -> None:
        """Show every tab an event of a turn."""
        self._events.append({"turn": turn, **event})
        self._grown.set()
        self._grown = anyio.Event()

    async def follow(self, last_seen: str | None) -> AsyncIterator[Entry]:
        """Yield the events after the last one seen, and then new ones without end."""
        place = self._place_after(last_seen or "")
        while True:
            while place < len(self._events):
                yield Entry(f"{self._name}-{place}", self._events[place])
                place += 1
            await self._grown.wait()

    def _place_after(self, last_seen: str) -> int:
        name, _, number = last_seen.partition("-")
        if name == self._name and number.isdecimal() and int(number) < len(self._events):
            return int(number) + 1
        return 0
