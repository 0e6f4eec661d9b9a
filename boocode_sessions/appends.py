"""Appends over an Engine or a sessionmaker, each its own transaction: exactly once, and in one round trip.

Two things are remembered between calls, both bounded, neither trusted without the database's word:

- the turn that each session was left at. While it is still the row's, nobody else has written, and one
  statement appends: `statements.append_in_turn`. Otherwise `operations.append` takes the turn first.
- the nonce of each call that ended in doubt, because the answer to its COMMIT was lost. The SDK sends such
  a call's list again; under the same nonce the unique index decides what has landed.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from boocode_sessions import operations, statements
from boocode_sessions.codec import EncodedEntry, encode_batch, encode_rows, new_nonce
from boocode_sessions.contract import Session, SessionKey, Transcript, transcript_of
from boocode_sessions.errors import DatabaseError, SessionStoreError, TimedOutError, UnavailableError
from boocode_sessions.operations import Tables, Turn
from boocode_sessions.summaries import fold
from boocode_sessions.transactions import Transactions

MOST_DOUBT_CHARS = 64 << 20
"""Of calls in doubt that are remembered, the newest of them whatever its size. One lost connection may leave
a whole statement's calls in doubt, of up to operations.PAGE_CHARS."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def appending(entries: int, transcript: Transcript) -> str:
    """What an error says was being done."""
    return f"append {entries} {'entry' if entries == 1 else 'entries'} to {transcript}"


@dataclass(slots=True, eq=False)
class Append:
    """One append call on its way."""

    transcript: Transcript
    entries: Sequence[Mapping[str, Any]]
    encoded: Sequence[EncodedEntry]
    nonce: str
    size: int
    """Characters of JSON."""
    error: SessionStoreError | None = None
    abandoned: bool = False
    """Its caller was told that it may not have landed, and may send it again, whatever becomes of it."""

    @property
    def doing(self) -> str:
        return appending(len(self.encoded), self.transcript)


class Appender:
    """Appends over one bind, from any thread."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._turns = _Remembered[Session, Turn](most=4096)
        self._doubts = _Remembered[tuple[int, Transcript], _Doubt](MOST_DOUBT_CHARS, lambda doubt: doubt.size)

    def prepare(self, key: SessionKey, entries: Sequence[Mapping[str, Any]]) -> Append | None:
        """Check and encode one call; None when there is nothing to write.

        Raises InvalidKeyError, InvalidEntryError.
        """
        transcript = transcript_of(key)
        doubt = self._doubts.get((id(entries), transcript))
        nonce = doubt.nonce if doubt else new_nonce()
        encoded = encode_batch(transcript, entries, nonce)
        if doubt and doubt.fingerprint != _fingerprint(encoded):
            nonce = new_nonce()  # the list holds something else now: this is another call
            encoded = encode_batch(transcript, entries, nonce)
        if not encoded:
            return None
        size = sum(len(item.text) for item in encoded)
        return Append(transcript, entries, encoded, nonce, size)

    def run(self, append: Append) -> None:
        """Append in the quickest way that holds. Raises SessionStoreError."""
        if self.run_in_turn([append]):
            self.run_alone(append)
        elif append.error is not None:
            raise append.error

    def run_together(self, appends: Sequence[Append]) -> list[Append]:
        """Append to many sessions, each at most once. Returns those left to `run_alone`.

        What failed carries it in `error`. SQLite has one writer at a time, so there they follow each other.
        """
        if self._transactions.dialect != "sqlite":
            return self.run_in_turn(appends)
        for append in appends:
            try:
                self.run_alone(append)
            except SessionStoreError as error:
                append.error = error
        return []

    def run_alone(self, append: Append) -> None:
        """Append in a transaction that waits for the session's turn. Raises SessionStoreError."""
        session = append.transcript.session
        self._turns.forget(session)

        def operation(tables: Tables) -> Turn:
            return operations.append(tables, append.transcript, append.entries, append.encoded)

        turn = self._transactions.write(append.doing, operation, lambda: self.in_doubt(append))
        self._landed(append, turn)

    def run_in_turn(self, appends: Sequence[Append]) -> list[Append]:
        """Append to many sessions, each at most once, in one statement. Returns those left to `run_alone`.

        A batch that the database refuses leaves them all over, so that it fails nobody else's. Where the
        database can't be reached each carries the error in `error`.
        """
        steps = [step for append in appends if (step := self._step(append)) is not None]
        if not steps:
            return list(appends)
        done = self._run_steps(steps)
        return [append for append in appends if append not in done and append.error is None]

    def in_doubt(self, append: Append) -> None:
        """Remember that nobody knows whether this call has landed.

        Of an abandoned call that was noted already: its retry may have settled it by now.
        """
        if not append.abandoned:
            doubt = _Doubt(append.entries, append.nonce, _fingerprint(append.encoded), append.size + 1000)
            self._doubts.remember((id(append.entries), append.transcript), doubt)

    def abandon(self, append: Append) -> None:
        """Note that a call was given up before its end: it may land yet, or may have landed."""
        self.in_doubt(append)
        append.abandoned = True

    def _landed(self, append: Append, turn: Turn) -> None:
        self._turns.remember(append.transcript.session, turn)
        if not append.abandoned:
            self._doubts.forget((id(append.entries), append.transcript))

    def _run_steps(self, steps: Sequence["_Step"]) -> set[Append]:
        for step in steps:
            self._turns.forget(step.append.transcript.session)

        if len(steps) == 1 and len(steps[0].append.encoded) == 1:
            statement, parameters = statements.append_one_in_turn(), _one_parameters(steps[0])
        else:
            statement, parameters = statements.append_in_turn(), _parameters(steps)

        def in_doubt() -> None:
            for step in steps:
                self.in_doubt(step.append)

        doing = steps[0].append.doing if len(steps) == 1 else f"append to {len(steps)} sessions"
        done: set[int] = set()
        try:
            done = set(self._transactions.write_statement(doing, statement, parameters, in_doubt))
        except SessionStoreError as error:
            if not _concerns_one(error):
                for step in steps:
                    step.append.error = error
        for number in done:
            self._landed(steps[number].append, steps[number].next_turn)
        return {steps[number].append for number in done}

    def _step(self, append: Append) -> "_Step | None":
        if not self._transactions.single_statements:
            return None
        if len(append.encoded) > operations.PAGE_ROWS or append.size > operations.PAGE_CHARS:
            return None
        turn = self._turns.get(append.transcript.session)
        if turn is None or not append.transcript.is_main:
            return turn and _Step(append, turn, Turn(operations.new_turn(), turn.data))
        data = fold(turn.data, append.transcript, append.entries)
        return None if data is None else _Step(append, turn, Turn(operations.new_turn(), data))


def _concerns_one(error: SessionStoreError) -> bool:
    """Whether the database refused some append of a statement, and not all alike."""
    return isinstance(error, DatabaseError) and not isinstance(error, UnavailableError | TimedOutError)


class _Step(NamedTuple):
    """One append of a statement: the turn it needs to find, and the turn that it leaves."""

    append: Append
    turn: Turn
    next_turn: Turn


class _Doubt(NamedTuple):
    """A call whose COMMIT may have landed. Holds the list itself, so that no other list gets its id."""

    entries: Sequence[Mapping[str, Any]]
    nonce: str
    fingerprint: bytes
    size: int
    """Characters of JSON, and an allowance for the rest."""


class _Remembered(Generic[_Key, _Value]):
    """The most recent values by key, from any thread."""

    def __init__(self, most: int, weigh: Callable[[_Value], int] = lambda _: 1) -> None:
        self._most = most
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[_Key, _Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _Key) -> _Value | None:
        with self._lock:
            return self._values.get(key)

    def remember(self, key: _Key, value: _Value) -> None:
        with self._lock:
            self._drop(key)
            self._values[key] = value
            self._weight += self._weigh(value)
            while self._weight > self._most and len(self._values) > 1:
                self._drop(next(iter(self._values)))

    def forget(self, key: _Key) -> None:
        with self._lock:
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        if (value := self._values.pop(key, None)) is not None:
            self._weight -= self._weigh(value)


def _one_parameters(step: _Step) -> dict[str, Any]:
    (entry,) = step.append.encoded
    return {
        **statements.in_transcript(step.append.transcript),
        "turn": step.turn.turn,
        "next_turn": step.next_turn.turn,
        "next_data": operations.encoded_summary(step.next_turn.data),
        **entry._asdict(),
    }


def _parameters(steps: Sequence[_Step]) -> dict[str, str]:
    jobs = [
        {
            "n": number,
            **step.append.transcript._asdict(),
            "turn": step.turn.turn,
            "next_turn": step.next_turn.turn,
            "data": operations.encoded_summary(step.next_turn.data),
        }
        for number, step in enumerate(steps)
    ]
    entries = ",".join(encode_rows(number, step.append.encoded) for number, step in enumerate(steps))
    return {"jobs": json.dumps(jobs), "entries": f"[{entries}]"}


def _fingerprint(encoded: Sequence[EncodedEntry]) -> bytes:
    digest = hashlib.sha256()
    for item in encoded:
        digest.update(item.exact.encode())
        digest.update(b"\n")
    return digest.digest()
