"""BooCode's own store goes on, unchanged, on the table that this package has migrated: both directions."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from claude_agent_sdk import fold_session_summary
from sqlalchemy import Engine, create_engine, event

from boocode_sessions import ClaudeSessionRepository, SessionKey, migrations
from boocode_sessions.adoption import backfill
from tests.fixtures.databases import Databases
from tests.migrations.other_stores import SeedStore

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
SUBPATH = "subagents/workflows/w/agent-x"
OLD: list[dict[str, Any]] = [
    {"type": "user", "uuid": "old", "message": {"content": "the old opening"}},
    {"type": "mode"},
]
THEIRS: list[dict[str, Any]] = [{"type": "assistant", "uuid": "theirs"}, {"type": "mode"}]
OURS: list[dict[str, Any]] = [{"type": "user", "uuid": "ours", "text": "second"}, {"type": "mode"}]


@pytest.fixture(params=["adopted", "adopted and backfilled", "made by us"])
def engine(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Engine]:
    made = create_engine(databases.empty("postgresql").url)
    if request.param != "made by us":
        SeedStore(made).create()
    else:
        migrations.upgrade(made)
    SeedStore(made).append("p", "s", OLD)
    migrations.upgrade(made)
    if request.param == "adopted and backfilled":
        backfill(made)
    yield made
    made.dispose()


@pytest.fixture
def theirs(engine: Engine) -> SeedStore:
    return SeedStore(engine)


@pytest.fixture
def ours(engine: Engine) -> ClaudeSessionRepository:
    return ClaudeSessionRepository(engine)


def test_each_reads_what_the_other_appended_in_order(
    theirs: SeedStore, ours: ClaudeSessionRepository
) -> None:
    ours.append(KEY, OURS)
    theirs.append("p", "s", THEIRS)
    ours.append(KEY, [{"type": "last", "uuid": "l"}])
    expected = [*OLD, *OURS, *THEIRS, {"type": "last", "uuid": "l"}]
    assert ours.load(KEY) == expected
    assert theirs.load("p", "s") == expected


def test_their_writes_move_our_listing_and_ours_move_theirs(
    theirs: SeedStore, ours: ClaudeSessionRepository
) -> None:
    for ours_writes in (False, True, False):
        before = ours.list_sessions("p")
        if ours_writes:
            ours.append(KEY, OURS)
        else:
            theirs.append("p", "s", THEIRS)
        [listed] = ours.list_sessions("p")
        assert listed["mtime"] >= before[0]["mtime"]
        assert 0 <= listed["mtime"] - int(theirs.list_sessions("p")["s"]) < 1000


def test_a_summary_is_the_true_fold_or_not_given_at_all(
    theirs: SeedStore, ours: ClaudeSessionRepository
) -> None:
    ours.append(KEY, OURS)
    assert _is_summary_current(ours)
    theirs.append("p", "s", THEIRS)
    assert ours.list_session_summaries("p") == []
    ours.append(KEY, [{"type": "last", "uuid": "l"}])
    assert _is_summary_current(ours)


def test_a_redelivery_of_what_they_appended_is_known(
    theirs: SeedStore, ours: ClaudeSessionRepository
) -> None:
    theirs.append("p", "s", THEIRS)
    ours.append(KEY, [THEIRS[0], OLD[0]])
    assert ours.load(KEY) == [*OLD, *THEIRS]


def test_the_same_uuid_twice_of_theirs_is_legal(theirs: SeedStore, ours: ClaudeSessionRepository) -> None:
    theirs.append("p", "s", [THEIRS[0], THEIRS[0]])
    theirs.append("p", "s", [THEIRS[0]])
    ours.append(KEY, OURS)
    theirs.append("p", "s", [OURS[0]])
    expected = [*OLD, *[THEIRS[0]] * 3, *OURS, OURS[0]]
    assert ours.load(KEY) == theirs.load("p", "s") == expected


def test_deleting_a_subagents_transcript_leaves_what_the_other_inserts_meanwhile(
    engine: Engine, theirs: SeedStore, ours: ClaudeSessionRepository
) -> None:
    subagent: SessionKey = {**KEY, "session_id": "meanwhile", "subpath": SUBPATH}
    ours.append(subagent, OURS)

    inserted: list[str] = []

    @event.listens_for(engine, "after_cursor_execute")
    def _insert(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if ".held" in statement and not inserted:  # it has just looked whether the session has other entries
            inserted.append(statement)
            theirs.append("p", "meanwhile", THEIRS)

    ours.delete(subagent)
    assert inserted
    assert ours.load({**KEY, "session_id": "meanwhile"}) == THEIRS
    assert "meanwhile" in {listed["session_id"] for listed in ours.list_sessions("p")}


@pytest.mark.parametrize("deleted_by", ["theirs", "ours"])
def test_each_deletes_what_the_other_wrote_and_nothing_comes_back(
    deleted_by: str, theirs: SeedStore, ours: ClaudeSessionRepository
) -> None:
    theirs.append("p", "s", [{"type": "user"}], SUBPATH)
    ours.append({**KEY, "subpath": "subagents/ours"}, [{"type": "user"}])
    ours.append(KEY, OURS)
    assert set(ours.list_subkeys(KEY)) == theirs.list_subkeys("p", "s") == {SUBPATH, "subagents/ours"}

    one_subpath: dict[str, Callable[[], None]] = {
        "theirs": lambda: theirs.delete("p", "s", "subagents/ours"),
        "ours": lambda: ours.delete({**KEY, "subpath": SUBPATH}),
    }
    one_subpath[deleted_by]()
    assert len(ours.list_subkeys(KEY)) == len(theirs.list_subkeys("p", "s")) == 1

    if deleted_by == "theirs":
        theirs.delete("p", "s")
    else:
        ours.delete(KEY)
    assert ours.load(KEY) is None
    assert theirs.load("p", "s") is None
    assert ours.list_sessions("p") == []
    assert ours.list_session_summaries("p") == []
    assert ours.list_subkeys(KEY) == []
    ours.append(KEY, [{"type": "user", "uuid": "again", "message": {"content": "anew"}}])
    assert _is_summary_current(ours)
    assert "the old opening" not in str(ours.list_session_summaries("p"))


def test_both_write_the_same_session_at_once_and_nothing_is_lost(
    engine: Engine, theirs: SeedStore, ours: ClaudeSessionRepository
) -> None:
    def write_theirs() -> None:
        for n in range(15):
            theirs.append("p", "s", [{"type": "user", "uuid": f"t{n}"}])

    thread = threading.Thread(target=write_theirs)
    thread.start()
    for n in range(15):
        ours.append(KEY, [{"type": "user", "uuid": f"o{n}"}])
    thread.join(30)
    backfill(engine)
    loaded = [entry.get("uuid", "") for entry in ours.load(KEY) or []]
    assert [uuid for uuid in loaded if uuid.startswith("t")] == [f"t{n}" for n in range(15)]
    assert [uuid for uuid in loaded if uuid.startswith("o") and uuid != "old"] == [f"o{n}" for n in range(15)]
    assert _is_summary_current(ours)


def _is_summary_current(ours: ClaudeSessionRepository) -> bool:
    [summary] = ours.list_session_summaries("p")
    [listed] = ours.list_sessions("p")
    folded = fold_session_summary(None, KEY, cast("Any", ours.load(KEY)))
    return summary["mtime"] >= listed["mtime"] and summary["data"] == folded["data"]
