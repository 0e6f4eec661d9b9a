"""Where something was said."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Literal, NamedTuple, TypeAlias

from boocode_sessions._core.arguments import at_least, checked
from boocode_sessions._core.attributes import string_at, time_of
from boocode_sessions._core.codec import decode, extract
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.catching_up import is_readable
from boocode_sessions._core.derived.facts import micros
from boocode_sessions._core.derived.indexing import check_plain, read_unsearched, searchable
from boocode_sessions._core.derived.words import message_of, tools_of
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.statements import search as statements
from boocode_sessions._core.statements.derived import Within
from boocode_sessions._core.statements.search import Kinds
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import DamagedEntryError
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.scope import Scope
from boocode_sessions.queries.wanted import Wanted

RANKED = 300
"""How many matches, the newest, are compared for the best."""

WINDOW = 20_000
"""Of how many of the newest texts' ids a word's frequency is told."""

Place: TypeAlias = Literal["messages", "tools"]


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """One message that says what was searched for."""

    project_key: str
    session_id: str
    subpath: str
    """`''` for the main transcript."""
    id: int
    uuid: str | None
    type: str
    timestamp: datetime | None
    rank: float
    """The higher the better."""
    snippet: str
    """The place, on one line, with «» around what was found."""
    place: Place = "messages"
    """Where it was found: in what the message says, or in what its tools were given and gave back."""


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
    """Messages that say all `words`: of the newest 300 the best first.

    A word of three letters or more finds longer ones that begin so (`deploy` finds `deployed`), upper or
    lower case. What has other characters in it, such as `main.py` or `2.1.100`, is found as it stands there,
    and so is "a phrase", whatever stands between its words. Any part of Japanese, Chinese or Korean text is
    found. `or` and -without mean what they say. Of a message the first 50,000 characters are searched.

    Args:
        places: `messages`, what people and agents wrote, prompts sent while the agent was at
            work included; `tools`, what tools were given and gave back; or both.
        project_key, session_id: Only messages of this project or session.
        since, until: Only messages that were said from then on, and before then. A line that does not say it
            counts from when it was stored. A date is its beginning in `tz`.
        limit: At most so many.
        tz: The time zone that a date is meant in.
        schema: Where the tables are, when the connection's search path does not lead there.

    Answered from an index that follows behind the entries. What it lacks is taken first; over a Connection or
    a Session, and where nothing may be written, those entries are read instead.

    Raises EncryptionError where the newest entry is encrypted.
    """
    wanted, scope = Wanted.of(words), Scope.of(project_key, session_id, since, until, tz)
    chosen = {places} if isinstance(places, str) else set(places)
    at_least(0, limit=limit)
    if unknown := chosen - {"messages", "tools"}:
        raise ValueError(f"places are messages and tools, not {', '.join(sorted(unknown))}")
    if limit < 1 or not wanted.groups or not chosen:
        return Rows(Match)
    kinds = Kinds("messages" in chosen, "tools" in chosen)
    unit_of_work = UnitOfWork(bind, schema)
    within = Within.named(scope.named)
    unit_of_work.read("look whether entries can be searched", check_plain)
    indexed = searchable(unit_of_work, within, scope.named)

    def operation(connection: StoreConnection) -> list[Match]:
        # Read before the index is asked: what is indexed meanwhile is found twice, and not missed.
        readable = indexed or is_readable(connection)
        rest = _newest(_unindexed(connection, wanted, scope, kinds, indexed=indexed, readable=readable))
        found = {one.text_id: one for one in _indexed(connection, wanted, scope, kinds)} if readable else {}
        found |= {one.text_id: one for one in rest}
        best = sorted(_newest(found.values()), key=lambda one: (-one.rank, -one.text_id))
        return [one.match(wanted) for one in best[:limit]]

    # Entries take as long as there are such.
    run = unit_of_work.read if indexed else unit_of_work.scan
    return Rows(Match, run("search the messages", operation))


class _Found(NamedTuple):
    text_id: int
    """As that of a SessionText: newer ones are larger."""
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
    """The newest matches of the index. Its texts are read again: another program may have deleted some."""
    texts = _texts(connection, wanted, scope, kinds)
    ids = sorted({text_id // 2 for text_id in texts})
    rows = connection.select(statements.select_matched(), {"ids": ids}) if ids else ()
    entries = {row[0]: row for row in rows}
    for text_id in texts:
        if (row := entries.get(text_id // 2)) is not None:
            yield from _matches(wanted, Kinds(not text_id % 2, bool(text_id % 2)), row)


def _texts(connection: StoreConnection, wanted: Wanted, scope: Scope, kinds: Kinds) -> list[int]:
    """The newest texts that the index finds.

    PostgreSQL's knows no order: of a frequent word it would visit every match, and of a phrase every text
    that has its words. So it is asked for the newest texts first, and then for about as many as suffice.
    """
    asked = scope.asked(connection)
    on_sqlite = connection.dialect == "sqlite"
    said = wanted.for_sqlite() if on_sqlite else wanted.for_postgresql()
    parameters: dict[str, Any] = {**scope.parameters, "wanted": said, "most": RANKED}
    statement = statements.select_matching(connection.dialect, asked, kinds)

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


def _unindexed(
    connection: StoreConnection, wanted: Wanted, scope: Scope, kinds: Kinds, *, indexed: bool, readable: bool
) -> Iterator[_Found]:
    """The matches among rows that nobody has placed, and among entries that the index lacks."""
    within = Within.named(scope.named)
    for row in read_unsearched(connection, within, scope.named, indexed=indexed, readable=readable):
        yield from _matches(wanted, kinds, row, scope.holding())


def _matches(
    wanted: Wanted, kinds: Kinds, row: Sequence[Any], holds: Callable[[int], bool] | None = None
) -> Iterator[_Found]:
    """What of an entry was searched for. `holds`: whether a time is one that was asked for."""
    row_id, project_key, session_id, subpath, _, stored_at, text = row
    try:
        entry = decode(text)
    except DamagedEntryError:
        return
    if holds is not None:
        said_at = extract(entry).said_at
        if not holds(micros(stored_at if said_at is None else datetime.fromisoformat(said_at))):
            return
    transcript = Transcript(project_key, session_id, subpath)
    for number, (asked, said) in enumerate(((kinds.messages, message_of), (kinds.tools, tools_of))):
        text = said(entry) if asked else ""
        if text and (rank := wanted.rank(text)) is not None:
            yield _Found(2 * row_id + number, rank, transcript, entry, text)
