"""Appends over an Engine or a sessionmaker, each its own transaction: exactly once, and in one round trip.

Two things are remembered between calls, both bounded, neither trusted without the database's word:

- the turn that each session was left at. While it is still the row's, nobody else has written, and one
  statement appends, `statements.append_in_turn`, or a pipeline of them, which begins with
  `statements.retake_turn`. Otherwise `operations.append` takes the turn first.
- the nonce of each call that ended in doubt, because the answer to its COMMIT was lost. The SDK sends such
  a call's list again; under the same nonce the unique index decides what has landed.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy.sql.dml import ReturningUpdate, UpdateBase

from boocode_sessions._core import operations
from boocode_sessions._core.codec import EncodedEntry, check_batch, encode_each, encode_rows, new_nonce
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import Session, SessionKey, Transcript, transcript_of
from boocode_sessions._core.operations import Tables, Turn
from boocode_sessions._core.statements import contract as statements
from boocode_sessions._core.unit_of_work import Transactions
from boocode_sessions.errors import (
    DatabaseError,
    InvalidEntryError,
    SessionStoreError,
    TimedOutError,
    UnavailableError,
)

MOST_DOUBT_CHARS = 64 << 20
"""Of calls in doubt that are remembered, the newest of them whatever its size. One lost connection may leave
a whole statement's calls in doubt, of up to operations.PAGE_CHARS."""

PART_ROWS = 16
PART_CHARS = 50_000
"""Of a large append, what goes to the server at a time. It inserts one part while the next is encoded here,
and keeps little in memory: 100 or 500 entries take a third less time (benchmarks: `append`)."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def appending(entries: int, transcript: Transcript) -> str:
    """What an error says was being done."""
    return f"append {entries} {'entry' if entries == 1 else 'entries'} to {transcript}"


class Append:
    """One append call on its way.

    A large one is encoded in parts when they are sent, while the server is at work on those before.
    """

    def __init__(self, transcript: Transcript, entries: Sequence[Mapping[str, Any]], nonce: str) -> None:
        self.transcript = transcript
        self.session = transcript.session
        self.given = entries
        """The caller's own list."""
        self.entries = tuple(entries)
        self.nonce = nonce
        self.error: SessionStoreError | None = None
        self.abandoned = False
        """Its caller was told that it may not have landed, and may send it again, whatever becomes of it."""
        self.is_large = len(entries) > PART_ROWS
        self._encoded: list[EncodedEntry] = []
        self._rest = encode_each(transcript, self.entries, nonce)

    @property
    def doing(self) -> str:
        return appending(len(self.entries), self.transcript)

    def encode(self) -> Sequence[EncodedEntry]:
        """All of it. Raises InvalidEntryError."""
        self._encoded += self._rest
        return self._encoded

    @property
    def size(self) -> int:
        """Characters of JSON, so far."""
        return sum(len(item.text) for item in self._encoded)

    def parts(self) -> Iterator[Sequence[EncodedEntry]]:
        """All of it in parts, each encoded when it is asked for. Raises InvalidEntryError."""
        start = size = 0
        for end in range(1, len(self.entries) + 1):
            if end > len(self._encoded):
                self._encoded.append(next(self._rest))
            size += len(self._encoded[end - 1].text)
            if size > PART_CHARS or end - start == PART_ROWS or end == len(self.entries):
                yield self._encoded[start:end]
                start, size = end, 0

    def fingerprint(self) -> "Fingerprint":
        """Raises InvalidEntryError."""
        # Another thread may be encoding it just now.
        is_encoded = len(self._encoded) == len(self.entries)
        encoded = self._encoded if is_encoded else encode_each(self.transcript, self.entries, self.nonce)
        digest = hashlib.sha256()
        size = 0
        for item in encoded:
            digest.update(item.exact.encode())
            digest.update(b"\n")
            size += len(item.text)
        return Fingerprint(digest.digest(), size)


class Fingerprint(NamedTuple):
    """Tells apart what two calls with the same list write."""

    digest: bytes
    size: int
    """Characters of JSON."""


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
        check_batch(transcript, entries)
        doubt = self._doubts.get((id(entries), transcript))
        append = Append(transcript, entries, doubt.nonce if doubt else new_nonce())
        if doubt and doubt.fingerprint != append.fingerprint():
            append = Append(transcript, entries, new_nonce())  # the list holds something else: another call
        if not (append.is_large and self._transactions.pipelines):
            append.encode()
        return append if entries else None

    def run(self, append: Append) -> None:
        """Append in the quickest way that holds. Raises SessionStoreError."""
        if self.run_in_turn([append]):
            self.run_alone(append)
        elif append.error is not None:
            raise append.error

    def run_together(self, appends: Sequence[Append]) -> list[Append]:
        """Append to many sessions, each at most once. Returns those left to `run_alone`.

        What failed carries it in `error`. A large one goes by itself. SQLite has one writer at a time, so
        there they follow each other.
        """
        if self._transactions.dialect != "sqlite":
            small = [append for append in appends if not append.is_large]
            large = [append for append in appends if append.is_large]
            left = self.run_in_turn(small)
            return left + [append for one in large for append in self.run_in_turn([one])]
        for append in appends:
            try:
                self.run_alone(append)
            except SessionStoreError as error:
                append.error = error
        return []

    def run_alone(self, append: Append) -> None:
        """Append in a transaction that waits for the session's turn. Raises SessionStoreError."""
        session = append.session
        self._turns.forget(session)
        encoded = append.encode()

        def operation(tables: Tables) -> Turn:
            return operations.append(tables, append.transcript, append.entries, encoded)

        turn = self._transactions.write(append.doing, operation, lambda: self.in_doubt(append))
        self._landed(append, turn)

    def run_in_turn(self, appends: Sequence[Append]) -> list[Append]:
        """Append to many sessions, each at most once, in one round trip. Returns those left to `run_alone`.

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
        if append.abandoned:
            return
        try:
            doubt = _Doubt(append.given, append.nonce, append.fingerprint())
        except InvalidEntryError:
            return  # it can't have landed
        self._doubts.remember((id(append.given), append.transcript), doubt)

    def abandon(self, append: Append) -> None:
        """Note that a call was given up before its end: it may land yet, or may have landed."""
        self.in_doubt(append)
        append.abandoned = True

    def _landed(self, append: Append, turn: Turn) -> None:
        self._turns.remember(append.session, turn)
        if not append.abandoned:
            self._doubts.forget((id(append.given), append.transcript))

    def _run_steps(self, steps: Sequence["_Step"]) -> set[Append]:
        for step in steps:
            self._turns.forget(step.append.session)

        def in_doubt() -> None:
            for step in steps:
                self.in_doubt(step.append)

        doing = steps[0].append.doing if len(steps) == 1 else f"append to {len(steps)} sessions"
        done: set[int] = set()
        try:
            if len(steps) == 1 and steps[0].append.is_large and self._transactions.pipelines:
                done = set(self._transactions.write_pipelined(doing, _in_parts(steps[0]), in_doubt))
            else:
                done = set(self._transactions.write_statement(doing, *_in_one(steps), in_doubt))
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
        if len(append.entries) > operations.PAGE_ROWS or append.size > operations.PAGE_CHARS:
            return None
        turn = self._turns.get(append.session)
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
    fingerprint: Fingerprint

    @property
    def size(self) -> int:
        """Characters of JSON, and an allowance for the rest."""
        return self.fingerprint.size + 1000


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


def _in_parts(step: _Step) -> Iterator[tuple[UpdateBase, Mapping[str, Any]]]:
    """The statements that append a large batch, the first of which says whether they did."""
    transcript = step.append.transcript
    where = {**statements.in_transcript(transcript), "next_turn": step.next_turn.turn}
    yield statements.retake_turn(), {**where, "turn": step.turn.turn}
    for part in step.append.parts():
        yield statements.insert_in_turn(), {**where, "entries": f"[{encode_rows(0, part)}]"}
    if transcript.is_main:
        data = operations.encoded_summary(step.next_turn.data)
        yield statements.finish_retaken_turn(), {**where, "folded_data": data}


def _in_one(steps: Sequence[_Step]) -> tuple[ReturningUpdate[int], Mapping[str, Any]]:
    """The statement that appends them all, and returns the numbers of those that it did."""
    if len(steps) == 1 and len(steps[0].append.entries) == 1:
        return statements.append_one_in_turn(), _one_parameters(steps[0])
    return statements.append_in_turn(), _parameters(steps)


def _one_parameters(step: _Step) -> dict[str, Any]:
    (entry,) = step.append.encode()
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
    entries = ",".join(encode_rows(number, step.append.encode()) for number, step in enumerate(steps))
    return {"jobs": json.dumps(jobs), "entries": f"[{entries}]"}
