"""Searches the messages."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Literal, NamedTuple, TypeAlias

from boocode_sessions._core.arguments import check_at_least, checked
from boocode_sessions._core.attributes import string_at, time_of
from boocode_sessions._core.codec import extract
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.catching_up import is_readable
from boocode_sessions._core.derived.indexing import (
    check_plain,
    decode_searched,
    read_unsearched,
    try_to_index,
)
from boocode_sessions._core.derived.records import micros
from boocode_sessions._core.derived.words import message_of, tools_of
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.statements import search as statements
from boocode_sessions._core.statements.search import Kinds
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import DamagedEntryError
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.scope import Scope
from boocode_sessions.queries.wanted import Wanted

RANKED = 300
"""How many of the newest matches are ranked."""

WINDOW = 20_000
"""How many of the newest text ids are searched first, to estimate how frequent a word is."""

Place: TypeAlias = Literal["messages", "tools"]


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """One message that was found."""

    project_key: str
    session_id: str
    subpath: str
    """`''` for the main transcript."""
    id: int
    uuid: str | None
    type: str
    timestamp: datetime | None
    rank: float
    """Higher is better."""
    snippet: str
    """The part of the text that was found, on one line, with «» around the matches."""
    place: Place = "messages"
    """Where it was found: in the message's text, or in the inputs and outputs of its tools."""


@checked
def search(
    bind: Bind,
    words: str,
    *,
    places: Sequence[Place] | Place = ("messages",),
    project_key: str | None = None,
    session_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    limit: int = 20,
    tz: tzinfo = UTC,
    schema: str | None = None,
) -> Rows[Match]:
    """Return messages that contain all `words`, best first. Only the newest 300 matches are ranked.

    A word of three letters or more also finds longer words that begin with it (`deploy` finds `deployed`).
    Case does not matter. "A phrase" finds these whole words in sequence, whatever characters are between
    them. So does `src/app` (it finds `src app`), except that its last word finds longer words, as any word
    does. Any part of Japanese, Chinese or Korean text is found. `or` finds either side. -word leaves out
    messages with the word, only on its own side of an `or`; a side that has nothing else finds nothing. The
    first 50,000 characters of a message are searched.

    The search uses an index that lags behind the entries. It first adds what the index lacks. Over a
    Connection or a Session, and where it can't write, it reads those entries instead.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        words: The search text.
        places: `messages` for what people and agents wrote, including prompts sent while the agent was at
            work; `tools` for the inputs and outputs of tools; or both.
        project_key: Search only this project.
        session_id: Search only the session with this id.
        since: Only messages from this time on. A message without a time counts from when it was stored. A
            date means its beginning in `tz`.
        until: Only messages before this time.
        limit: Most messages to return.
        tz: The time zone of a date.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        EncryptionError: Entries are encrypted.
        ValueError: `since` or `until` has no time zone, or `places` is unknown.
        SessionStoreError: The database can't be read.
    """
    wanted, scope = Wanted.of(words), Scope.of(project_key, session_id, since, until, tz)
    chosen = {places} if isinstance(places, str) else set(places)
    check_at_least(0, limit=limit)
    if unknown := chosen - {"messages", "tools"}:
        raise ValueError(f"places are messages and tools, not {', '.join(sorted(unknown))}")
    if limit < 1 or not wanted.groups or not chosen:
        return Rows(Match)
    kinds = Kinds("messages" in chosen, "tools" in chosen)
    unit_of_work = UnitOfWork(bind, schema)
    unit_of_work.read("look whether entries can be searched", check_plain)
    indexed = try_to_index(unit_of_work, scope.named)
    is_in_range = scope.time_test()

    def operation(connection: StoreConnection) -> list[Match]:
        # Read this before the index: an entry that is indexed in between is found twice, and not missed.
        readable = indexed or is_readable(connection)
        unsearched = read_unsearched(connection, scope.named, indexed=indexed, readable=readable)
        rest = _newest(one for row in unsearched for one in _matches(wanted, kinds, row, is_in_range))
        found = {one.text_id: one for one in _indexed(connection, wanted, scope, kinds)} if readable else {}
        found |= {one.text_id: one for one in rest}
        best = sorted(_newest(found.values()), key=lambda one: (-one.rank, -one.text_id))
        return [one.match(wanted) for one in best[:limit]]

    # How long this takes depends on how many entries the index lacks.
    run = unit_of_work.read if indexed else unit_of_work.scan
    return Rows(Match, run("search the messages", operation))


class _Found(NamedTuple):
    text_id: int
    """The id of a SessionText. Newer ones are larger."""
    rank: float
    transcript: Transcript
    entry: Mapping[str, Any]
    text: str

    def match(self, wanted: Wanted) -> Match:
        entry = self.entry
        return Match(
            *self.transcript,
            self.text_id // 2,
            string_at(entry, "uuid"),
            string_at(entry, "type") or "",
            time_of(entry),
            self.rank,
            wanted.snippet(self.text),
            "tools" if self.text_id % 2 else "messages",
        )


def _newest(found: Any) -> list[_Found]:  # noqa: ANN401 - an iterable of them
    return heapq.nlargest(RANKED, found, key=lambda one: one.text_id)


def _indexed(connection: StoreConnection, wanted: Wanted, scope: Scope, kinds: Kinds) -> Iterator[_Found]:
    """Yield the newest matches of the index. Entries are read again: others may have deleted some."""
    texts = _texts(connection, wanted, scope, kinds)
    ids = sorted({text_id // 2 for text_id in texts})
    rows = connection.select(statements.select_matched(), {"ids": ids}) if ids else ()
    entries = {row[0]: row for row in rows}
    for text_id in texts:
        if (row := entries.get(text_id // 2)) is not None:
            yield from _matches(wanted, Kinds(not text_id % 2, bool(text_id % 2)), row)


def _texts(connection: StoreConnection, wanted: Wanted, scope: Scope, kinds: Kinds) -> list[int]:
    """Return the ids of the newest texts that the index finds.

    PostgreSQL's index has no order: it would visit every match of a frequent word, and every text with the
    words of a phrase. So the first statement searches only the newest texts, and the next about as many as
    are needed.
    """
    query = scope.derived_query(connection)
    on_sqlite = connection.dialect == "sqlite"
    said = wanted.for_sqlite() if on_sqlite else wanted.for_postgresql()
    parameters: dict[str, Any] = {**scope.parameters, "wanted": said, "most": RANKED}
    statement = statements.select_matching(connection.dialect, query, kinds)

    def found_from(from_id: int) -> list[int]:
        return list(connection.select(statement, {**parameters, "from_id": from_id}).scalars())

    if not on_sqlite:
        last = connection.select(statements.select_newest_text()).scalar_one() or 0
        window = WINDOW
        for _ in range(2):
            if window >= last:
                break
            found = found_from(last - window)
            if len(found) == RANKED:
                return found
            if not found:
                break
            window = WINDOW * RANKED * 2 // len(found)
    return found_from(0)


def _matches(
    wanted: Wanted, kinds: Kinds, row: Sequence[Any], is_in_range: Callable[[int], bool] | None = None
) -> Iterator[_Found]:
    """Yield the texts of an entry that match. `is_in_range` is True for a time in the time range."""
    row_id, project_key, session_id, subpath, _, stored_at, text = row
    try:
        entry = decode_searched(text)
    except DamagedEntryError:
        return
    if is_in_range is not None:
        said_at = extract(entry).said_at
        if not is_in_range(micros(stored_at if said_at is None else datetime.fromisoformat(said_at))):
            return
    transcript = Transcript(project_key, session_id, subpath)
    for number, (asked, said) in enumerate(((kinds.messages, message_of), (kinds.tools, tools_of))):
        text = said(entry) if asked else ""
        if text and (rank := wanted.rank(text)) is not None:
            yield _Found(2 * row_id + number, rank, transcript, entry, text)
