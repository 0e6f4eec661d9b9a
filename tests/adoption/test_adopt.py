"""The table of the Python SDK's reference adapter is copied: in order, with its times, nothing twice."""

from collections.abc import Iterator
from typing import Any

import pytest
from claude_agent_sdk import fold_session_summary
from sqlalchemy import Engine, create_engine, event, text

from boocode_sessions import ClaudeSessionRepository, SchemaError, SessionKey, migrations
from boocode_sessions._core.keys import Transcript
from boocode_sessions.adoption import Adopted, Progress, adopt, backfill
from boocode_sessions.errors import DamagedEntryError, EncryptionError
from boocode_sessions.privacy import Encryption, generate_key
from tests.fixtures.databases import Databases
from tests.migrations.other_stores import PythonReference, insert_unplaced

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
MAIN: list[dict[str, Any]] = [
    {"type": "user", "uuid": "a", "message": {"content": "the first prompt"}},
    {"type": "mode", "mode": "plan"},
    {"type": "mode", "mode": "plan"},
    {"type": "assistant", "uuid": "b", "n": 1},
    {"type": "assistant", "uuid": "b", "n": 2},
    {"type": "assistant", "uuid": 7},
    {"type": "assistant", "uuid": "x" * 3000},
]
SUBAGENT: list[dict[str, Any]] = [{"type": "user", "uuid": "a", "isSidechain": True}]
MTIME_MS = 1_700_000_000_123


@pytest.fixture
def dialect() -> str:
    return "postgresql"


@pytest.fixture
def old(engine: Engine) -> PythonReference:
    store = PythonReference(engine)
    store.create()
    store.append("p", "s", MAIN[:3], mtime_ms=MTIME_MS - 1)
    store.append("p", "other", MAIN[:1])
    store.append("p", "s", SUBAGENT, "subagents/a", mtime_ms=MTIME_MS + 99_000)
    store.append("p", "s", MAIN[3:], mtime_ms=MTIME_MS)
    return store


@pytest.mark.usefixtures("old")
def test_everything_is_copied_in_order_and_summed_up(engine: Engine) -> None:
    seen: list[Progress] = []
    assert adopt(engine, batch_rows=2, progress=seen.append) == Adopted(copied=9, known=0, left=[])
    assert seen[-1] == Progress(9, 9)
    repository = ClaudeSessionRepository(engine)
    assert repository.load(KEY) == MAIN
    assert repository.load({**KEY, "subpath": "subagents/a"}) == SUBAGENT
    assert repository.list_subkeys(KEY) == ["subagents/a"]
    sessions = {listed["session_id"]: listed["mtime"] for listed in repository.list_sessions("p")}
    assert sessions["s"] == MTIME_MS
    summaries = {summary["session_id"]: summary for summary in repository.list_session_summaries("p")}
    assert summaries.keys() == sessions.keys() == {"s", "other"}
    assert summaries["s"]["mtime"] == MTIME_MS
    assert summaries["s"]["data"] == fold_session_summary(None, KEY, MAIN)["data"]  # type: ignore[arg-type]
    assert backfill(engine).placed == 0


@pytest.mark.parametrize("others", [None, "new", "another"], ids=["no key", "same id", "another id"])
@pytest.mark.parametrize("late", ["", "subagents/late"], ids=["main", "subagent"])
def test_a_copy_with_another_key_adds_nothing(
    engine: Engine, old: PythonReference, others: str | None, late: str
) -> None:
    encryption = Encryption([generate_key("new")])
    assert adopt(engine, encryption=encryption).copied == 9
    old.append("p", "other", [{"type": "user", "uuid": "late"}], late)
    with pytest.raises(EncryptionError if others != "new" else DamagedEntryError):
        adopt(engine, encryption=Encryption([generate_key(others)]) if others else None)
    repository = ClaudeSessionRepository(engine, encryption=encryption)
    assert repository.load({**KEY, "session_id": "other"}) == MAIN[:1]
    assert adopt(engine, encryption=encryption) == Adopted(1, 9, [])


def test_a_second_run_fetches_only_what_is_new(engine: Engine, old: PythonReference) -> None:
    adopt(engine, batch_rows=2)
    assert adopt(engine, batch_rows=3) == Adopted(0, 9, [])
    late: dict[str, Any] = {"type": "user", "uuid": "late"}
    old.append("p", "s", [late], mtime_ms=MTIME_MS + 5)
    assert adopt(engine, batch_rows=2) == Adopted(1, 9, [])
    repository = ClaudeSessionRepository(engine)
    assert repository.load(KEY) == [*MAIN, late]
    assert {s["mtime"] for s in repository.list_sessions("p") if s["session_id"] == "s"} == {MTIME_MS + 5}


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize("after_rows", [2, 4, 6])
def test_an_interrupted_run_is_taken_up_again(engine: Engine, after_rows: int) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done >= after_rows:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adopt(engine, batch_rows=2, progress=interrupt)
    again = adopt(engine, batch_rows=3)
    assert again.copied + again.known == 9
    assert again.known >= after_rows - 1
    repository = ClaudeSessionRepository(engine)
    assert repository.load(KEY) == MAIN
    # A run that was interrupted between its last batch and the fold leaves that to backfill, or an append.
    backfill(engine)
    assert {s["session_id"] for s in repository.list_session_summaries("p")} == {"s", "other"}


def test_a_transcript_that_has_gone_on_here_keeps_its_order_and_is_named(
    engine: Engine, old: PythonReference
) -> None:
    repository = ClaudeSessionRepository(engine)
    adopt(engine)
    ours: dict[str, Any] = {"type": "user", "uuid": "ours"}
    repository.append(KEY, [ours])
    assert adopt(engine) == Adopted(0, 9, [])  # all of it was here before: nothing is lost
    old.append("p", "s", [{"type": "user", "uuid": "late"}])
    assert adopt(engine, batch_rows=3) == Adopted(0, 9, [Transcript("p", "s", "")])
    assert repository.load(KEY) == [*MAIN, ours]


@pytest.mark.usefixtures("old")
def test_a_session_that_was_here_before_is_left_alone_and_named(engine: Engine) -> None:
    insert_unplaced(engine, KEY, [{"type": "user", "uuid": "z"}])
    adopted = adopt(engine)
    assert adopted.left == [Transcript("p", "s", "")]
    assert adopted.copied == 2
    assert ClaudeSessionRepository(engine).load(KEY) == [{"type": "user", "uuid": "z"}]


@pytest.mark.usefixtures("old")
def test_an_entry_that_was_copied_is_not_appended_again(engine: Engine) -> None:
    adopt(engine)
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [MAIN[0], MAIN[3], {"type": "user", "uuid": "new"}])
    assert repository.load(KEY) == [*MAIN, {"type": "user", "uuid": "new"}]


@pytest.mark.parametrize("body", [1, 2, 3])
@pytest.mark.parametrize("batch_rows", [2, 500])
def test_a_row_that_repeats_a_uuid_is_not_appended_again(engine: Engine, batch_rows: int, body: int) -> None:
    said = [{"type": "user", "uuid": "u", "n": number} for number in (1, 2, 2, 3, 2)]
    old = PythonReference(engine)
    old.create()
    old.append("p", "s", said)
    assert adopt(engine, batch_rows=batch_rows) == Adopted(5, 0, [])
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [{"type": "user", "uuid": "u", "n": body}])
    assert repository.load(KEY) == said
    assert adopt(engine, batch_rows=3) == Adopted(0, 5, [])


@pytest.mark.usefixtures("old")
def test_a_transaction_that_lost_against_another_is_run_again(engine: Engine) -> None:
    """As on a server that is serializable by default: the first INSERT fails once."""
    lost: list[str] = []

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _lose(_c: object, _u: object, statement: str, given: Any, *_: object) -> tuple[str, Any]:
        if statement.startswith("INSERT INTO claude_session_entries") and len(lost) < 2:
            lost.append(statement)
            raise_40001 = "DO $$BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END$$"
            return raise_40001, ()
        return statement, given

    assert adopt(engine, batch_rows=2) == Adopted(copied=9, known=0, left=[])
    assert len(lost) == 2
    assert ClaudeSessionRepository(engine).load(KEY) == MAIN


@pytest.mark.usefixtures("old")
def test_both_tables_may_be_in_schemas_of_their_own(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text('CREATE SCHEMA "old ones"'))
        connection.execute(text('ALTER TABLE claude_session_store SET SCHEMA "old ones"'))
        connection.execute(text('ALTER TABLE "old ones".claude_session_store RENAME TO "Store"'))
    migrations.upgrade(engine, schema="agents")
    assert adopt(engine, source="Store", source_schema="old ones", schema="agents").copied == 9
    assert ClaudeSessionRepository(engine, schema="agents").load(KEY) == MAIN
    assert ClaudeSessionRepository(engine).load(KEY) is None


@pytest.mark.usefixtures("old")
def test_a_host_may_copy_in_its_own_transaction(engine: Engine) -> None:
    with engine.connect() as connection:
        assert adopt(connection).copied == 9
        connection.rollback()
    assert ClaudeSessionRepository(engine).load(KEY) is None


def test_what_is_no_such_table_is_refused(engine: Engine) -> None:
    with pytest.raises(SchemaError, match="there is no table claude_session_store"):
        adopt(engine)
    with pytest.raises(SchemaError, match="its column seq is missing"):
        adopt(engine, source="claude_session_entries")


@pytest.fixture
def sqlite(databases: Databases) -> Iterator[Engine]:
    made = create_engine(databases.migrated("sqlite").url)
    yield made
    made.dispose()


def test_on_sqlite_there_is_nothing_to_copy(sqlite: Engine) -> None:
    with pytest.raises(SchemaError, match="PostgreSQL"):
        adopt(sqlite)
