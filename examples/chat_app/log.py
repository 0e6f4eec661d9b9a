"""The events of one chat, for every tab that shows it, from the first or from the last one that it saw."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple
from uuid import uuid4

import anyio

Event = dict[str, Any]


class Entry(NamedTuple):
    """An event, and the id by which a tab says later how far it has read."""

    id: str
    event: Event


class Log:
    """Begins with what the database has of the chat, and goes on with what its turns tell.

    A tab that comes back with an id of another log, from before a restart for example, begins anew.
    """

    def __init__(self, history: Iterable[Event]) -> None:
        self._name = uuid4().hex[:8]
        self.turns = 0
        """The number of the newest."""
        self._events: list[Event] = [{"kind": "Reset"}]
        self._grown = anyio.Event()
        self.users = 0
        """Tabs that follow it, and turns that write to it."""
        turn = 0
        for event in history:
            turn = self.begin_turn(event["text"]) if event["kind"] == "Prompt" else turn
            if event["kind"] != "Prompt":
                self.add(turn, event)

    def begin_turn(self, prompt: str) -> int:
        """Tell every tab of a prompt. Returns the turn's number."""
        self.turns += 1
        self.add(self.turns, {"kind": "Prompt", "text": prompt})
        return self.turns

    def add(self, turn: int, event: Event) -> None:
        """Tell every tab what has happened in a turn."""
        self._events.append({"turn": turn, **event})
        self._grown.set()
        self._grown = anyio.Event()

    async def follow(self, last_seen: str | None) -> AsyncIterator[Entry]:
        """What comes after the event that was seen last, and then what comes, without end."""
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
