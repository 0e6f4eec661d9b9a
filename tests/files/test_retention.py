"""Pruning: whole sessions that nobody has appended to for long, and nothing else."""

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text, update

from boocode_sessions import (
    ClaudeSession,
    ClaudeSessionEntry,
    ClaudeSessionRepository,
    SessionKey,
    SessionListSubkeysKey,
    retention,
)
from boocode_sessions.errors import InvalidKeyError
from boocode_sessions.retention import PrunedSession, hold, prune, release
from tests.files.sample import LATCH, message, rows, stored

MONTH = timedelta(days=30)


def key_of(session: str, project: str = "p", subpath: str | None = None) -> SessionKey:
    key: SessionKey = {"project_key": project, "session_id": session}
    if subpath:
        key["subpath"] = subpath
    return key


def session_of(session: str, project: str = "p") -> SessionListSubkeysKey:
    return {"project_key": project, "session_id": session}


def append(engine: Engine, *keys: SessionKey) -> None:
    repository = ClaudeSessionRepository(engine)
    for key in keys:
        repository.append(key, [message(1), LATCH])


def age(engine: Engine, days: float, *keys: SessionKey) -> None:
    """Let time pass for some transcripts: their rows, and with the main one the summary."""
    then = datetime.now(UTC) - timedelta(days=days)
    with engine.begin() as connection:
        for key in keys:
            connection.execute(
                update(ClaudeSessionEntry)
                .where(
                    ClaudeSessionEntry.project_key == key["project_key"],
                    ClaudeSessionEntry.session_id == key["session_id"],
                    ClaudeSessionEntry.subpath == key.get("subpath", ""),
                )
                .values(created_at=then)
            )
            if "subpath" not in key:
                connection.execute(
                    update(ClaudeSession)
                    .where(
                        ClaudeSession.project_key == key["project_key"],
                        ClaudeSession.session_id == key["session_id"],
                    )
                    .values(updated_at=then)
                )


def insert_as_another_program(engine: Engine, session: str, days: float, subpath: str = "") -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO claude_session_entries (project_key, session_id, subpath, entry) "
                "VALUES ('p', :session, :subpath, :entry)"
            ),
            {"session": session, "subpath": subpath, "entry": json.dumps(LATCH)},
        )
    age(engine, days, key_of(session, subpath=subpath))


def sessions_in(engine: Engine) -> set[str]:
    return {session for _, session, _ in stored(engine)}


@pytest.fixture
def old(engine: Engine) -> Engine:
    """Two projects with an old session each, one with subagents; and one session of today."""
    old = [key_of("old"), key_of("old", subpath="subagents/agent-1"), key_of("old2", "p2")]
    append(engine, *old, key_of("new"))
    age(engine, 31, *old)
    return engine


@pytest.mark.parametrize("long", [timedelta(days=1_000_000), timedelta.max])
def test_a_time_before_the_first_year_finds_nothing(old: Engine, long: timedelta) -> None:
    assert prune(old, inactive_for=long).sessions == []


def test_inactive_sessions_go_with_all_that_belongs_to_them(old: Engine) -> None:
    result = prune(old, inactive_for=MONTH)
    assert {(found.project_key, found.session_id, found.entries) for found in result.sessions} == {
        ("p", "old", 4),
        ("p2", "old2", 2),
    }
    assert result.entries == 6
    assert result.bytes == sum(found.bytes for found in result.sessions) > 6 * 20
    assert all(found.last_append for found in result.sessions)
    assert sessions_in(old) == {"new"}
    with old.connect() as connection:
        left = connection.execute(text("SELECT session_id FROM claude_sessions")).scalars().all()
    assert left == ["new"]


def test_a_dry_run_says_what_would_go_and_removes_nothing(old: Engine) -> None:
    before = rows(old)
    told: list[PrunedSession] = []
    promised = prune(old, inactive_for=MONTH, dry_run=True, progress=told.append)
    assert rows(old) == before
    assert told == []
    done = prune(old, inactive_for=MONTH, progress=told.append)
    assert promised.sessions == done.sessions == told
    assert (promised.dry_run, done.dry_run) == (True, False)


def test_an_active_subagent_keeps_its_session(engine: Engine) -> None:
    append(engine, key_of("s"), key_of("s", subpath="subagents/agent-1"))
    age(engine, 31, key_of("s"))
    assert not prune(engine, inactive_for=MONTH).sessions
    age(engine, 31, key_of("s", subpath="subagents/agent-1"))
    assert prune(engine, inactive_for=MONTH).entries == 4


def test_a_session_that_only_subagents_wrote_is_pruned(engine: Engine) -> None:
    append(engine, key_of("s", subpath="subagents/agent-1"), key_of("t", subpath="subagents/agent-1"))
    age(engine, 31, key_of("s", subpath="subagents/agent-1"))
    assert [found.session_id for found in prune(engine, inactive_for=MONTH).sessions] == ["s"]


def test_sessions_that_only_other_programs_wrote_are_pruned(engine: Engine) -> None:
    insert_as_another_program(engine, "old", 31)
    insert_as_another_program(engine, "old", 31, "subagents/agent-1")
    insert_as_another_program(engine, "revived", 31)
    insert_as_another_program(engine, "revived", 0, "subagents/agent-1")
    insert_as_another_program(engine, "new", 1)
    result = prune(engine, inactive_for=MONTH)
    assert [(found.session_id, found.entries) for found in result.sessions] == [("old", 2)]
    assert sessions_in(engine) == {"new", "revived"}


def test_another_programs_append_keeps_a_session_of_ours(old: Engine) -> None:
    insert_as_another_program(old, "old", 0, "subagents/agent-9")
    assert [found.session_id for found in prune(old, inactive_for=MONTH).sessions] == ["old2"]


def test_only_the_given_project_is_pruned(old: Engine) -> None:
    assert [found.session_id for found in prune(old, inactive_for=MONTH, project_key="p2").sessions] == [
        "old2"
    ]
    assert sessions_in(old) == {"old", "new"}


def test_the_newest_of_each_project_are_kept(engine: Engine) -> None:
    for number in range(5):
        for project in ("p", "q"):
            append(engine, key_of(f"s{number}", project))
            age(engine, 40 + number, key_of(f"s{number}", project))
    result = prune(engine, inactive_for=MONTH, keep=3)
    assert sorted((found.project_key, found.session_id) for found in result.sessions) == [
        ("p", "s3"),
        ("p", "s4"),
        ("q", "s3"),
        ("q", "s4"),
    ]


def test_a_session_on_hold_stays_until_it_is_released(old: Engine) -> None:
    hold(old, session_of("old"))
    hold(old, session_of("old"))
    assert [found.session_id for found in prune(old, inactive_for=MONTH).sessions] == ["old2"]
    release(old, session_of("old"))
    release(old, session_of("never held"))
    assert [found.session_id for found in prune(old, inactive_for=MONTH).sessions] == ["old"]


def test_another_programs_session_can_be_held(engine: Engine) -> None:
    insert_as_another_program(engine, "s", 31)
    hold(engine, session_of("s"))
    assert not prune(engine, inactive_for=MONTH).sessions
    assert ClaudeSessionRepository(engine).list_sessions("p")


def test_a_hold_changes_nothing_else(old: Engine) -> None:
    repository = ClaudeSessionRepository(old)
    before = repository.list_sessions("p"), repository.list_session_summaries("p")
    hold(old, session_of("old"))
    assert (repository.list_sessions("p"), repository.list_session_summaries("p")) == before
    assert repository.load(key_of("old")) == [message(1), LATCH]


def test_a_deletion_removes_what_is_on_hold(old: Engine) -> None:
    hold(old, session_of("old"))
    ClaudeSessionRepository(old).delete(key_of("old"))
    assert sessions_in(old) == {"old2", "new"}


def test_a_deletion_of_its_last_transcript_leaves_a_session_on_hold(engine: Engine) -> None:
    hold(engine, session_of("s"))
    append(engine, key_of("s", subpath="subagents/a"))
    ClaudeSessionRepository(engine).delete(key_of("s", subpath="subagents/a"))
    append(engine, key_of("s"))
    age(engine, 31, key_of("s"))
    assert not prune(engine, inactive_for=MONTH).sessions


def test_the_pause_comes_after_each_batch(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [key_of(f"s{number}") for number in range(5)]
    append(engine, *keys)
    age(engine, 31, *keys)
    slept: list[tuple[float, int]] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: slept.append((seconds, len(sessions_in(engine)))))
    prune(engine, inactive_for=MONTH, batch=2, pause=0.25)
    assert slept == [(0.25, 3), (0.25, 1)]


@pytest.mark.parametrize(
    "wrong", [{"inactive_for": -MONTH}, {"keep": -1}, {"batch": 0}, {"pause": -1.0}, {"project_key": ""}]
)
def test_nonsense_is_refused(engine: Engine, wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, InvalidKeyError)):
        prune(engine, **{"inactive_for": MONTH, **wrong})


def test_pruning_joins_the_callers_transaction(old: Engine) -> None:
    with old.connect() as connection:
        hold(connection, session_of("old2", "p2"))
        assert prune(connection, inactive_for=MONTH).entries == 4
        connection.rollback()
    assert sessions_in(old) == {"old", "old2", "new"}


def test_prunes_at_once_say_each_session_once(engine: Engine) -> None:
    keys = [key_of(f"s{number:02}") for number in range(60)]
    append(engine, *keys[:50])
    for number in range(50, 60):
        insert_as_another_program(engine, f"s{number}", days=1)

    def run(_: int) -> list[PrunedSession]:
        return list(prune(engine, inactive_for=timedelta(0), batch=10, pause=0).sessions)

    with ThreadPoolExecutor(4) as pool:
        removed = [session for sessions in pool.map(run, range(4)) for session in sessions]
    assert sorted(session.session_id for session in removed) == [key["session_id"] for key in keys]
    assert all(session.entries for session in removed)
    assert rows(engine) == []


def test_a_session_that_came_alive_after_the_first_look_stays(engine: Engine) -> None:
    keys = [key_of("a"), key_of("b"), key_of("c")]
    append(engine, *keys)
    age(engine, 31, *keys)

    def revive(found: PrunedSession) -> None:
        assert found.session_id == "a"
        append(engine, key_of("b", subpath="subagents/agent-1"))
        hold(engine, session_of("c"))

    prune(engine, inactive_for=MONTH, batch=1, progress=revive)
    assert {key: len(entries) for key, entries in stored(engine).items()} == {
        ("p", "b", ""): 2,
        ("p", "b", "subagents/agent-1"): 2,
        ("p", "c", ""): 2,
    }


def test_sessions_go_together_unless_they_are_of_two_projects_or_too_large(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_MAX_ENTRIES", 6)
    keys = [*(key_of(f"s{number}") for number in range(4)), key_of("t", "q"), key_of("u", "q")]
    append(engine, *keys)
    age(engine, 31, *keys)
    left: list[int] = []
    prune(engine, inactive_for=MONTH, progress=lambda _: left.append(len(stored(engine))))
    assert left == [3, 3, 3, 2, 0, 0]  # three of p with two entries each, the fourth, and those of q


def test_a_session_that_somebody_has_locked_keeps_no_other_ones_writers_waiting(databases: Any) -> None:
    engine = databases.migrated("postgresql").engine()
    append(engine, key_of("a"), key_of("b"), key_of("c"))
    age(engine, 31, key_of("a"), key_of("b"), key_of("c"))
    with ThreadPoolExecutor() as pool, engine.connect() as connection:
        ClaudeSessionRepository(connection).append(key_of("b"), [LATCH])
        pruning = pool.submit(prune, engine, inactive_for=MONTH)
        with pytest.raises(TimeoutError):
            pruning.result(0.5)
        assert sessions_in(engine) == {"b"}
        append(engine, key_of("a"))
        connection.commit()
        assert [found.session_id for found in pruning.result(20).sessions] == ["a", "c"]
    assert sessions_in(engine) == {"a", "b"}
    engine.dispose()


def test_pruning_waits_for_the_append_that_is_under_way(engine: Engine) -> None:
    append(engine, key_of("s"))
    age(engine, 31, key_of("s"))
    with ThreadPoolExecutor() as pool, engine.connect() as connection:
        ClaudeSessionRepository(connection).append(key_of("s", subpath="subagents/agent-1"), [LATCH])
        pruning = pool.submit(prune, engine, inactive_for=MONTH)
        with pytest.raises(TimeoutError):
            pruning.result(0.3)
        connection.commit()
        assert not pruning.result(20).sessions
    assert len(stored(engine)) == 2


BATCHES, BATCH = 12, 3


def write_numbers(engine: Engine, session: str) -> None:
    """Append numbered entries, with a rest now and then."""
    repository = ClaudeSessionRepository(engine)
    chance = random.Random(session)
    for first in range(0, BATCHES * BATCH, BATCH):
        batch = [message(1000 + number, str(number)) for number in range(first, first + BATCH)]
        repository.append(key_of(session), batch)
        if chance.random() < 0.4:
            time.sleep(0.06)


def test_beside_live_writers_no_session_loses_a_part(engine: Engine) -> None:
    """Whatever is gone is gone from the first entry on, as a whole, and was told."""
    sessions = [f"s{number}" for number in range(6)]
    removed: Counter[str] = Counter()
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write_numbers, engine, session) for session in sessions]
        while not all(writer.done() for writer in writers):
            for found in prune(engine, inactive_for=timedelta(milliseconds=30), pause=0).sessions:
                removed[found.session_id] += found.entries
        for writer in writers:
            writer.result()
    assert removed.total() > 0
    repository = ClaudeSessionRepository(engine)
    for session in sessions:
        gone = removed[session]
        assert gone % BATCH == 0
        left: list[Any] = [*(repository.load(key_of(session)) or [])]
        assert [int(entry["message"]["content"]) for entry in left] == list(range(gone, BATCHES * BATCH))


def test_a_row_of_a_program_without_turns_keeps_the_session(databases: Any) -> None:
    """It comes while the session is being removed: after the look under the turn, before the commit."""
    engine = databases.migrated("postgresql").engine()
    append(engine, key_of("s"), key_of("t"), key_of("u"))
    age(engine, 31, key_of("s"), key_of("t"), key_of("u"))
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION revive() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "INSERT INTO claude_session_entries (project_key, session_id, subpath, entry) "
                "SELECT 'p', 's', '', '{\"type\": \"late\"}' FROM gone WHERE session_id = 's' LIMIT 1; "
                "RETURN NULL; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER revive AFTER DELETE ON claude_session_entries "
                "REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION revive()"
            )
        )
    assert [found.session_id for found in prune(engine, inactive_for=MONTH).sessions] == ["t", "u"]
    assert sessions_in(engine) == {"s"}
    engine.dispose()
