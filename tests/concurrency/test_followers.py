"""A follower's cursor stays good: through a deletion, a new beginning, and writers of every size."""

import threading
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, InvalidKeyError, SessionKey
from boocode_sessions._core.keys import session_of
from boocode_sessions.adoption import backfill
from boocode_sessions.following import START, cursor_before, entries_after, follow
from boocode_sessions.models import UNPLACED
from tests.fixtures.databases import Database
from tests.fixtures.seed import delete_as_the_seed_does, insert_as_the_seed_does
from tests.reliability.verdicts import examine, marked

SIZES = (1, 40, 3, 600, 1)


@pytest.fixture
def key() -> SessionKey:
    return {"project_key": "followed", "session_id": str(uuid4())}


class Follower:
    """Reads on from the last entry that it saw, and keeps nothing but that entry's cursor."""

    def __init__(self, engine: Engine, key: SessionKey) -> None:
        self._engine = engine
        self._session = session_of({"project_key": key["project_key"], "session_id": key["session_id"]})
        self.after = START
        self._shown: set[int] = set()

    def read(self) -> list[Any]:
        """What is new. A row that has no position yet is shown, and the cursor stays before it."""
        found: list[Any] = []
        at = self.after
        while page := entries_after(self._engine, self._session, at):
            cursors = [followed.cursor for followed in page]
            assert cursors == sorted(set(cursors)), "a cursor comes twice, or goes back"
            assert cursors[0] > at
            at = cursors[-1]
            self.after = max([self.after, *(cursor for cursor in cursors if cursor.position != UNPLACED)])
            found += [followed.entry for followed in page if followed.id not in self._shown]
            self._shown |= {followed.id for followed in page if followed.position == UNPLACED}
        return found


@pytest.fixture
def other(database: Database) -> Any:
    """Another process' repository: it remembers what the first one deletes."""
    engine = database.engine()
    yield ClaudeSessionRepository(engine)
    engine.dispose()


def test_every_entry_comes_once_in_order(
    engine: Engine, other: ClaudeSessionRepository, key: SessionKey
) -> None:
    repository, follower, subagent = ClaudeSessionRepository(engine), Follower(engine, key), dict(key)
    subagent["subpath"] = "subagents/agent-1"
    for number, size in enumerate(SIZES):
        main, sub = marked("main", number, size), marked("sub", number, size)
        (other if number % 2 else repository).append(key, main)
        (repository if number % 2 else other).append(subagent, sub)  # type: ignore[arg-type]
        assert follower.read() == [*main, *sub]
    assert follower.read() == []


@pytest.mark.parametrize("size", SIZES[:4])
def test_it_survives_a_deletion_and_a_new_beginning(
    engine: Engine, other: ClaudeSessionRepository, key: SessionKey, size: int
) -> None:
    """A number that is given out again hides new entries from who saw it on an old one."""
    repository, follower = ClaudeSessionRepository(engine), Follower(engine, key)
    for round_ in range(2):
        for number in range(3):
            (other if number % 2 else repository).append(key, marked("before", number, 60))
        assert len(follower.read()) == 180
        (other if round_ % 2 else repository).delete(key)
        assert follower.read() == []
        for number in range(2):
            batch = marked("after", number, size)
            (repository if (round_ + number) % 2 else other).append(key, batch)
            assert follower.read() == batch
        repository.delete(key)


def test_it_survives_a_deletion_and_a_clock_that_was_set_back(engine: Engine, key: SessionKey) -> None:
    repository = ClaudeSessionRepository(engine)
    repository.append(key, marked("old", 3))
    (*_, last) = entries_after(engine, key)
    repository.delete(key)
    new = marked("new", 2)
    repository.append(key, new)
    with engine.begin() as connection:  # as if the new session had begun an hour earlier
        for statement in (
            "UPDATE claude_session_entries SET position = position - 3600000000",
            "UPDATE claude_sessions SET next_position = next_position - 3600000000",
            "UPDATE claude_sessions SET main_position = main_position - 3600000000",
        ):
            connection.execute(text(statement))
    page = entries_after(engine, key, last.cursor)
    assert [followed.entry for followed in page] == new
    assert entries_after(engine, key, page[-1].cursor) == []
    repository.append(key, later := marked("later", 1))
    assert [followed.entry for followed in entries_after(engine, key, page[-1].cursor)] == later


def test_a_standby_that_lags_behind_the_cursor_repeats_nothing(engine: Engine, key: SessionKey) -> None:
    ClaudeSessionRepository(engine).append(key, marked("main", 3))
    (*_, last) = entries_after(engine, key)
    ahead = last.cursor._replace(
        position=last.position + 1000, id=last.id + 1000
    )  # what the primary has by now
    assert entries_after(engine, key, ahead) == []


def test_it_survives_a_deletion_of_one_transcript(engine: Engine, key: SessionKey) -> None:
    repository, follower = ClaudeSessionRepository(engine), Follower(engine, key)
    subagent: SessionKey = {**key, "subpath": "subagents/agent-1"}
    for number in range(3):
        repository.append(key, marked("main", number, 2))
        repository.append(subagent, marked("sub", number, 40))
        follower.read()
        repository.delete(subagent)
        again = marked("sub", 100 + number, 1)
        repository.append(subagent, again)
        assert follower.read() == again


def test_it_survives_a_deletion_by_the_seed(engine: Engine, key: SessionKey) -> None:
    """The seed's `delete` knows our entries' table only, and takes every entry of it."""
    repository, follower = ClaudeSessionRepository(engine), Follower(engine, key)
    for number in range(3):
        repository.append(key, marked("before", number, 40))
        follower.read()
        delete_as_the_seed_does(engine, key)
        batch = marked("after", number, 1)
        repository.append(key, batch)
        assert follower.read() == batch


def test_rows_of_the_seed_are_seen_before_or_after_they_are_placed(engine: Engine, key: SessionKey) -> None:
    """Each once it has a place, at the latest with our next append."""
    repository, follower = ClaudeSessionRepository(engine), Follower(engine, key)
    seen: list[Any] = []
    sent: list[Any] = []
    for number in range(4):
        ours = marked("ours", number, 2)
        repository.append(key, ours)
        insert_as_the_seed_does(engine, key, [f'{{"type": "user", "seed": {number}}}'])
        sent += [*ours, {"type": "user", "seed": number}]
        if number % 2:
            seen += follower.read()
    last = marked("ours", 4, 1)
    repository.append(key, last)
    seen += follower.read()
    assert seen == [*sent, *last] == repository.load(key)


@pytest.mark.parametrize("size", [1, 16, 600, 1100])
@pytest.mark.parametrize("then", ["nothing", "insert", "append", "backfill", "delete"])
def test_it_goes_on_behind_a_row_that_had_no_position(
    engine: Engine, key: SessionKey, size: int, then: str
) -> None:
    """Whatever became of that row since, and however many there are."""
    repository = ClaudeSessionRepository(engine)
    repository.append(key, marked("ours", 0, 2))
    insert_as_the_seed_does(engine, key, [f'{{"type": "user", "seed": {n}}}' for n in range(size)])
    before = cursor_before(engine, key, 0)
    assert before.position == UNPLACED
    last: list[Any] = [{"type": "user", "seed": "last"}]
    if then == "delete":
        repository.delete(key)
    elif then != "nothing":
        insert_as_the_seed_does(engine, key, ['{"type": "user", "seed": "new"}'])
        last.insert(0, {"type": "user", "seed": "new"})
    if then == "append":
        repository.append(key, [{"type": "user", "n": 1}])
        last.insert(1, {"type": "user", "n": 1})
    elif then == "backfill":
        backfill(engine)
    following = follow(engine, key, before, poll_seconds=0.01)
    insert_as_the_seed_does(engine, key, ['{"type": "user", "seed": "last"}'])
    assert [next(following).entry for _ in last] == last


def test_a_page_goes_on_behind_a_row_that_has_its_position_by_now(engine: Engine, key: SessionKey) -> None:
    repository, at, seen = ClaudeSessionRepository(engine), START, list[Any]()
    insert_as_the_seed_does(engine, key, [f'{{"type": "user", "n": {n}}}' for n in range(1100)])
    while page := entries_after(engine, key, at):
        at = page[-1].cursor
        seen += [followed.entry for followed in page]
        if len(seen) == len(page):
            repository.append(key, [{"type": "user", "n": 1100}])
    assert seen == repository.load(key)


def test_a_follower_of_two_busy_writers_misses_nothing(
    engine: Engine, other: ClaudeSessionRepository, key: SessionKey
) -> None:
    repository, seen = ClaudeSessionRepository(engine), list[Any]()
    sizes = (1, 60, 2) * 10
    repository.append(key, marked("first", 0))

    def write(writer: str, its: ClaudeSessionRepository) -> None:
        for number, size in enumerate(sizes):
            its.append(key, marked(writer, number, size))

    threads = [threading.Thread(target=write, args=pair) for pair in (("a", repository), ("b", other))]
    for thread in threads:
        thread.start()
    expected = 3 + 2 * sum(sizes)
    session = session_of({"project_key": key["project_key"], "session_id": key["session_id"]})
    for followed in follow(engine, session, poll_seconds=0.01):
        seen.append(followed.entry)
        if len(seen) == expected:
            break
    for thread in threads:
        thread.join(60)
    batches = [("first", 0, 3), *((w, number, size) for w in "ab" for number, size in enumerate(sizes))]
    assert examine(seen, batches).wrong == 0
    assert seen == repository.load(key)


def test_a_session_is_followed_by_its_key(engine: Engine, key: SessionKey) -> None:
    lines: list[dict[str, Any]] = [{"type": "user", "n": 1}, {"type": "user", "n": 2}]
    ClaudeSessionRepository(engine).append(key, lines)
    assert [one.entry for one in entries_after(engine, key)] == lines
    assert next(follow(engine, key, cursor_before(engine, key, 1))).entry == lines[1]
    with pytest.raises(InvalidKeyError, match="session_id is missing"):
        entries_after(engine, {"project_key": "p"})
