"""Any JSON value comes back exactly, on every path that an append can take."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from claude_agent_sdk import import_session_to_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event

from boocode_sessions import ClaudeSessionRepository, InvalidEntryError
from boocode_sessions._core.append import plan
from boocode_sessions._core.codec import encode_batch
from boocode_sessions._core.keys import Transcript
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database, Databases
from tests.fixtures.json_values import (
    HARD_NUMBERS,
    HARD_TEXTS,
    exactly,
    nested,
    texts,
    told_apart,
    values,
)
from tests.fixtures.seed import insert_as_the_seed_does
from tests.reliability.counts import COUNTS
from tests.reliability.verdicts import scaled

entries = st.dictionaries(
    st.one_of(st.sampled_from(["uuid", "type", "message", "customTitle"]), st.text()), values
)

MANY = settings(
    max_examples=scaled(45),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

HARD_ENTRIES: list[Any] = [
    *({"type": "x", "text": text, text: [text]} for text in HARD_TEXTS),
    *({"type": "x", "number": number} for number in HARD_NUMBERS),
    {},
    {"": {}, "a": [], "b": [[], {}, [{}]]},
    {"type": "x", "deep": nested(400, -0.0)},
    {"type": "x", "deep": nested(400, "\0")},
    {"type": "x", "text": "x" * 3_000_000},
    {"type": "x", "text": "\0\ud800\\" * 100_000},
    {"type": "x", "true": True, "one": 1, "float": 1.0, "text": "1"},
]


def refuse(_text: str) -> Any:
    raise AssertionError("the host's json_deserializer was asked")


def host_serializer(_value: Any) -> str:
    raise AssertionError("the host's json_serializer was asked")


@pytest.fixture
def host_engine(database: Database) -> Any:
    """A host's engine, whose own JSON functions must have no say."""
    engine = create_engine(database.url, json_deserializer=refuse, json_serializer=host_serializer)
    yield engine
    engine.dispose()


class Numbers:
    """Session names that no test has used."""

    count = 0

    def __call__(self) -> Any:
        Numbers.count += 1
        return {"project_key": "p", "session_id": f"s{Numbers.count}"}


new_key = Numbers()


def assert_comes_back(loaded: Any, expected: list[Any]) -> None:
    assert loaded is not None
    assert told_apart(loaded) == [exactly(entry) for entry in expected]
    COUNTS["entries of any JSON values that came back exactly"] += len(expected)


def append_first(engine: Engine, batch: list[Any]) -> Any:
    """The first append to a session locks it."""
    key = new_key()
    ClaudeSessionRepository(engine).append(key, batch)
    return key


def append_in_steady_state(engine: Engine, batch: list[Any]) -> Any:
    """Later ones are one statement, on PostgreSQL over an Engine."""
    key = new_key()
    repository = ClaudeSessionRepository(engine)
    repository.append(key, [{"type": "x", "uuid": "first of them"}])
    repository.append(key, batch)
    return key


def append_in_pages(engine: Engine, batch: list[Any]) -> Any:
    """As a large append, each entry in a page by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "PAGE_ROWS", 1)
        return append_in_steady_state(engine, batch)


def append_in_steps(engine: Engine, batch: list[Any]) -> Any:
    """As an append of more than one JSON document can carry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "MAX_BYTES_IN_ONE", 0)
        return append_in_steady_state(engine, batch)


def append_in_the_callers_transaction(engine: Engine, batch: list[Any]) -> Any:
    key = new_key()
    with engine.begin() as connection:
        ClaudeSessionRepository(connection).append(key, batch)
    return key


def append_together(engine: Engine, batch: list[Any]) -> Any:
    """Appends of several sessions at once reach the database together."""
    store = SQLAlchemySessionStore(engine)
    keys = [new_key() for _ in range(4)]

    async def main() -> None:
        for part in ([{"type": "x", "uuid": "first of them"}], batch):
            async with anyio.create_task_group() as tasks:
                for key in keys:
                    tasks.start_soon(store.append, key, part)

    anyio.run(main)
    for key in keys[1:]:
        loaded = ClaudeSessionRepository(engine).load(key)
        assert loaded is not None
        assert_comes_back(loaded[1:], batch)
    return keys[0]


WAYS = (
    append_first,
    append_in_steady_state,
    append_in_pages,
    append_in_steps,
    append_in_the_callers_transaction,
    append_together,
)


@pytest.mark.parametrize("append", WAYS)
@given(batch=st.lists(entries, min_size=1, max_size=3))
@MANY
def test_any_entry_comes_back_exactly(
    host_engine: Engine, append: Callable[[Engine, list[Any]], Any], batch: list[Any]
) -> None:
    batch = [{key: value for key, value in entry.items() if key != "uuid"} for entry in batch]
    loaded = ClaudeSessionRepository(host_engine).load(append(host_engine, batch))
    assert loaded is not None
    assert_comes_back(loaded[-len(batch) :], batch)


@pytest.mark.parametrize("append", WAYS)
def test_the_hard_entries_come_back_exactly(
    host_engine: Engine, append: Callable[[Engine, list[Any]], Any]
) -> None:
    loaded = ClaudeSessionRepository(host_engine).load(append(host_engine, HARD_ENTRIES))
    assert loaded is not None
    assert_comes_back(loaded[-len(HARD_ENTRIES) :], HARD_ENTRIES)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_the_ways_above_are_the_ways_they_say(host_engine: Engine) -> None:
    written: list[str] = []

    @event.listens_for(host_engine, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, statement: str, given: Any, _context: Any, many: bool) -> None:
        verb, _, rest = statement.partition(" ")
        if verb == "WITH" or rest.startswith(("claude_session", "INTO claude_session")):
            written.extend([verb] * (len(given) if many and isinstance(given, list) else 1))

    @event.listens_for(host_engine, "commit")
    def _note_commit(_c: Any) -> None:
        written.append("COMMIT")

    def last_append(append: Callable[[Engine, list[Any]], Any], entries: int) -> list[str]:
        written.clear()
        append(host_engine, [{"type": "x"}] * entries)
        return written[written.index("COMMIT") + 1 :] if "COMMIT" in written[:-1] else written

    assert last_append(append_in_steady_state, 3) == ["WITH"]
    assert last_append(append_in_pages, 3) == ["WITH", "WITH", "WITH", "COMMIT"]
    assert last_append(append_in_steps, 3) == ["UPDATE", "INSERT", "COMMIT"]
    assert last_append(append_together, 3).count("WITH") > last_append(append_together, 3).count("COMMIT")


@given(old=entries, new=entries)
@MANY
def test_a_new_body_for_a_known_uuid_comes_back_exactly(host_engine: Engine, old: Any, new: Any) -> None:
    key = new_key()
    repository = ClaudeSessionRepository(host_engine)
    repository.append(key, [{**old, "uuid": "u"}, {"type": "x"}])
    older, newer = {**old, "uuid": "u"}, {**new, "uuid": "u"}
    for _ in range(2):
        repository.append(key, [newer])
    kept = [] if exactly(older) == exactly(newer) else [newer]
    assert_comes_back(repository.load(key), [older, {"type": "x"}, *kept])


@given(uuid=texts.filter(bool))
@MANY
def test_any_text_is_a_uuid(host_engine: Engine, uuid: str) -> None:
    key = new_key()
    repository = ClaudeSessionRepository(host_engine)
    repository.append(key, [{"type": "x", "uuid": uuid}])
    repository.append(key, [{"type": "x", "uuid": uuid}])
    (loaded,) = repository.load(key) or []
    repository.append(key, [loaded])  # as it came back: a pair of surrogates is one character by then
    assert_comes_back(repository.load(key), [{"type": "x", "uuid": uuid}])


@given(batch=st.lists(entries, min_size=1, max_size=3))
@MANY
def test_rows_of_the_seeds_writer_come_back_exactly(host_engine: Engine, batch: list[Any]) -> None:
    """On PostgreSQL, what JSONB itself would refuse or change is not what that writer can have written."""
    if host_engine.dialect.name == "postgresql":
        nowhere = Transcript("p", "s", "")
        batch = [entry for entry in batch if encode_batch(nowhere, [entry], b"n")[0].verbatim is None]
    batch = [*batch, {"type": "x"}]
    key = new_key()
    repository = ClaudeSessionRepository(host_engine)
    insert_as_the_seed_does(host_engine, key, [json.dumps(entry) for entry in batch])
    assert_comes_back(repository.load(key), batch)
    ours = {"type": "ours", "text": "\0"}
    repository.append(key, [ours])
    assert_comes_back(repository.load(key), [*batch, ours])


def test_an_imported_transcript_comes_back_exactly(
    databases: Databases, dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = databases.migrated(dialect).engine()
    session = "0b0e7c3e-8a0f-4e0f-9d61-0a1a70ff0001"
    lines = [json.dumps(entry) for entry in HARD_ENTRIES]
    for path in ("p/{}.jsonl", "p/{}/subagents/agent-1.jsonl"):
        file = tmp_path / "projects" / path.format(session)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    store = SQLAlchemySessionStore(engine)
    anyio.run(import_session_to_store, session, store)
    repository = ClaudeSessionRepository(engine)
    key: Any = {"project_key": "p", "session_id": session}
    assert_comes_back(repository.load(key), HARD_ENTRIES)
    key["subpath"] = "subagents/agent-1"
    assert_comes_back(repository.load(key), HARD_ENTRIES)
    engine.dispose()


def test_an_entry_that_was_taken_can_be_read_from_a_deeper_stack(host_engine: Engine) -> None:
    """Python's json gives up by the depth of the stack: what append took must not depend on it."""
    repository = ClaudeSessionRepository(host_engine)
    key = new_key()
    taken = 0
    for depth in range(300, 1000, 20):
        try:
            repository.append(key, [{"type": "x", "depth": depth, "deep": nested(depth, "\0")}])
        except InvalidEntryError as error:
            assert "nested more than" in str(error)  # noqa: PT017
            break
        taken += 1
    assert taken

    def read(frames: int) -> Any:
        return repository.load(key) if not frames else read(frames - 1)

    loaded = read(500)
    assert [entry["depth"] for entry in loaded] == [300 + 20 * n for n in range(taken)]
    repository.append(key, [{"type": "x", "depth": 300, "deep": nested(300, "\0")}])
