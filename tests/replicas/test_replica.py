"""Reads from a real standby: as if they were from the primary, whatever becomes of the standby."""

import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session, sessionmaker

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    Replicated,
    SessionKey,
    UnavailableError,
    migrations,
    queries,
)
from boocode_sessions._core import replica as settings
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.unit_of_work import UnitOfWork
from boocode_sessions.engine import create_async_engine, create_engine
from boocode_sessions.jsonl import export_tree
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.streaming import iterate
from tests.fixtures.servers import EmbeddedPostgres, execute, query
from tests.reliability.subjects import KINDS, InThreads, Subject
from tests.replicas.conftest import Pair


class Asked:
    """How many statements about our tables went to each server."""

    def __init__(self, primary: Engine, standby: Engine) -> None:
        self.statements: Counter[str] = Counter()
        for name, engine in (("primary", primary), ("standby", standby)):
            event.listen(engine, "before_cursor_execute", self._counting(name))

    def _counting(self, name: str) -> Callable[..., None]:
        def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            self.statements[name] += "claude_session" in statement

        return count

    def since(self) -> dict[str, int]:
        """The counts since it was asked last."""
        counts, self.statements = dict(self.statements), Counter()
        return {name: count for name, count in counts.items() if count}


@pytest.fixture
def engines(pair: Pair) -> Iterator[tuple[Engine, Engine]]:
    primary, standby = create_engine(pair.primary.url), create_engine(pair.standby.url)
    yield primary, standby
    primary.dispose()
    standby.dispose()


@pytest.fixture(autouse=True)
def _waits_long_asks_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's standby is no standby that is behind."""
    monkeypatch.setattr(settings, "WAIT_SECONDS", 20)
    monkeypatch.setattr(settings, "BEHIND_SECONDS", 0)
    monkeypatch.setattr(settings, "DOWN_SECONDS", 0)


@asynccontextmanager
async def opened(kind: str, pair: Pair) -> AsyncIterator[tuple[Subject, Asked]]:
    if kind in {"repository", "store over Engine"}:
        primary, standby = create_engine(pair.primary.url), create_engine(pair.standby.url)
        repository = InThreads(ClaudeSessionRepository(primary, replica=standby))
        store = SQLAlchemySessionStore(primary, replica=standby)
        yield repository if kind == "repository" else store, Asked(primary, standby)
        primary.dispose()
        standby.dispose()
    else:
        one, other = create_async_engine(pair.primary.url), create_async_engine(pair.standby.url)
        async_repository = AsyncClaudeSessionRepository(one, replica=other)
        store = SQLAlchemySessionStore(one, replica=other)
        subject = async_repository if kind == "async repository" else store
        yield subject, Asked(one.sync_engine, other.sync_engine)
        await one.dispose()
        await other.dispose()


def a_key(name: str) -> SessionKey:
    return {"project_key": f"{name}-{uuid4()}", "session_id": "s"}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_reads_go_to_the_standby_and_find_what_was_just_written(pair: Pair, kind: str) -> None:
    key = a_key("own")
    sub: SessionKey = {**key, "subpath": "subagents/agent-1"}
    async with opened(kind, pair) as (subject, asked):
        for number in range(20):
            entry: Any = {"type": "user", "number": number, "message": {"content": "hello"}}
            await subject.append(key, [entry])
            await subject.append(sub, [entry])
            assert set(asked.since()) == {"primary"}
            assert (await subject.load(key) or [])[number:] == [entry]
            assert (await subject.load(sub) or [])[number:] == [entry]
            assert await subject.list_subkeys({"project_key": key["project_key"], "session_id": "s"}) == [
                "subagents/agent-1"
            ]
            listed = await subject.list_sessions(key["project_key"])
            (summary,) = await subject.list_session_summaries(key["project_key"])
            assert [one["mtime"] for one in listed] == [summary["mtime"]]
            assert set(asked.since()) == {"standby"}
        await subject.delete(key)
        assert set(asked.since()) == {"primary"}
        assert await subject.load(key) is None
        assert await subject.list_sessions(key["project_key"]) == []
        assert set(asked.since()) == {"standby"}


def test_a_load_finds_what_others_were_told_had_landed_before_it_began(
    engines: tuple[Engine, Engine], pair: Pair
) -> None:
    elsewhere = create_engine(pair.primary.url)
    writer, reader = (
        ClaudeSessionRepository(elsewhere),
        ClaudeSessionRepository(engines[0], replica=engines[1]),
    )
    asked = Asked(*engines)
    key = a_key("others")
    for number in range(100):
        writer.append(key, [{"type": "user"}])
        assert len(reader.load(key) or []) == number + 1
    assert set(asked.since()) == {"standby"}
    elsewhere.dispose()


def test_questions_exports_and_streams_read_there_too(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    key = a_key("questions")
    primary, standby = engines
    repository = ClaudeSessionRepository(sessionmaker(primary), replica=standby)
    message = {"role": "user", "content": "hello replica"}
    repository.append(key, [{"type": "user", "uuid": str(uuid4()), "message": message}])
    bind = Replicated(primary, standby)
    asked = Asked(primary, standby)
    project = key["project_key"]
    assert [row.session_id for row in queries.sessions(bind, project_key=project)] == ["s"]
    assert list(iterate(bind, key)) == repository.load(key)
    assert export_tree(bind, tmp_path, project_key=project).entries == 1
    assert set(asked.since()) == {"standby"}
    # It takes new entries first, which is a write, and then answers from the standby.
    assert len(queries.search(bind, "replica", project_key=project)) == 1
    assert set(asked.since()) == {"primary", "standby"}


def test_a_standby_that_is_behind_is_not_read(
    engines: tuple[Engine, Engine],
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(settings, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(settings, "BEHIND_SECONDS", 60)
    key = a_key("behind")
    repository = ClaudeSessionRepository(engines[0], replica=engines[1])
    repository.append(key, [{"type": "user"}])
    asked = Asked(*engines)
    pair.replays(paused=True)
    try:
        for number in range(3):
            repository.append(key, [{"type": "user", "secret": "canary"}])
            assert len(repository.load(key) or []) == number + 2
        assert asked.since()["primary"] > 0
        (said,) = [record.getMessage() for record in caplog.records]  # one wait, and then it is left alone
        assert "behind" in said
        assert "canary" not in said
    finally:
        pair.replays(paused=False)
    monkeypatch.setattr(settings, "WAIT_SECONDS", 20)
    again = ClaudeSessionRepository(engines[0], replica=engines[1])
    assert len(again.load(key) or []) == 4
    assert asked.since() == {"standby": 1}


def test_a_standby_that_is_down_is_found_again(engines: tuple[Engine, Engine], pair: Pair) -> None:
    key = a_key("down")
    repository = ClaudeSessionRepository(engines[0], replica=engines[1])
    repository.append(key, [{"type": "user"}])
    assert len(repository.load(key) or []) == 1
    asked = Asked(*engines)
    pair.standby.stop("immediate")
    try:
        repository.append(key, [{"type": "user"}])
        assert len(repository.load(key) or []) == 2
        assert asked.since()["primary"] > 0
    finally:
        pair.standby.start()
    assert len(repository.load(key) or []) == 2
    assert asked.since() == {"standby": 1}


def test_a_query_that_the_standby_cancels_for_its_recovery_is_run_on_the_primary(
    engines: tuple[Engine, Engine], pair: Pair
) -> None:
    key = a_key("cancelled")
    ClaudeSessionRepository(engines[0]).append(key, [{"type": "user"}])
    pair.standby.set("max_standby_streaming_delay", "0")
    servers: list[str] = []

    def clean_up() -> None:
        ClaudeSessionRepository(engines[0]).delete(key)
        execute(pair.primary.url, "VACUUM claude_session_entries, claude_sessions")

    def work(connection: StoreConnection) -> None:
        (standby,) = connection.connection.execute(text("SELECT pg_is_in_recovery()")).one()
        servers.append("standby" if standby else "primary")
        if standby:
            cleaning.start()
            # Until it is cancelled, since what its snapshot sees has gone.
            connection.connection.execute(text("SELECT pg_sleep(30) FROM claude_sessions"))

    cleaning = threading.Thread(target=clean_up)
    UnitOfWork(Replicated(*engines)).read("wait", work)
    cleaning.join()
    assert servers == ["standby", "primary"]


def test_a_standby_that_was_promoted_is_not_read(pair: Pair) -> None:
    other = pair.add("promoted")
    primary, standby = create_engine(pair.primary.url), create_engine(other.url)
    key = a_key("promoted")
    repository = ClaudeSessionRepository(primary, replica=standby)
    repository.append(key, [{"type": "user"}])
    asked = Asked(primary, standby)
    assert len(repository.load(key) or []) == 1
    assert asked.since() == {"standby": 1}
    _promote(other)
    for number in range(3):
        repository.append(key, [{"type": "user"}])
        assert len(repository.load(key) or []) == number + 2
    assert "standby" not in asked.since()
    primary.dispose()
    standby.dispose()
    other.stop("immediate")


def _promote(server: EmbeddedPostgres) -> None:
    server.promote()
    execute(server.url, "CREATE TABLE it_writes_for_itself ()")


def test_without_the_primary_nothing_is_said_to_be_all_there_is(pair: Pair) -> None:
    nowhere = create_engine(pair.primary.url.set(query={"host": "/nowhere"}))
    standby = create_engine(pair.standby.url)
    with pytest.raises(UnavailableError):
        ClaudeSessionRepository(nowhere, replica=standby).load(a_key("gone"))
    standby.dispose()


@pytest.fixture(scope="module")
def elsewhere(pair: Pair) -> Iterator[Pair]:
    """A pair of its own, and its log is longer."""
    folder = pair.folder / "elsewhere"
    folder.mkdir()
    other = Pair(folder)
    execute(other.primary.url, f"SELECT pg_logical_emit_message(false, '', repeat('x', {100 << 20}))")
    yield other
    other.standby.stop("immediate")
    other.primary.stop("immediate")


OTHER = "other_tables"


def _translated_from_the_first(primary: Engine) -> Engine:
    return primary.execution_options(schema_translate_map={None: OTHER})


def _translated_later(primary: Engine) -> Engine:
    ClaudeSessionRepository(primary).list_sessions("p")
    primary.update_execution_options(schema_translate_map={None: OTHER})
    return primary


def _with_another_search_path(primary: Engine) -> Engine:
    return create_engine(primary.url.update_query_dict({"options": f"-csearch_path={OTHER}"}))


def _of_another_database(primary: Engine) -> Engine:
    return create_engine(primary.url.set(database=OTHER))


@pytest.mark.parametrize(
    "given",
    [_translated_from_the_first, _translated_later, _with_another_search_path, _of_another_database],
)
def test_a_standby_whose_tables_are_not_the_primarys_is_not_read(
    engines: tuple[Engine, Engine], given: Callable[[Engine], Engine]
) -> None:
    primary, standby = engines
    migrations.upgrade(primary, schema=OTHER)
    if not query(primary.url, f"SELECT 1 FROM pg_database WHERE datname = '{OTHER}'"):
        execute(primary.url, f"CREATE DATABASE {OTHER}")
    migrations.upgrade(primary.url.set(database=OTHER).render_as_string(hide_password=False))
    key = a_key("tables")
    ClaudeSessionRepository(primary).append(key, [{"type": "user", "n": 1}])
    primary = given(primary)
    repository = ClaudeSessionRepository(primary, replica=standby)
    asked = Asked(primary, standby)
    assert repository.load(key) is None
    repository.append(key, [{"type": "user", "n": 2}])
    assert repository.load(key) == [{"type": "user", "n": 2}]
    assert "standby" not in asked.since()
    primary.dispose()


def test_a_standby_of_another_primary_is_not_read(engines: tuple[Engine, Engine], elsewhere: Pair) -> None:
    primary, _ = engines
    standby = create_engine(elsewhere.standby.url)
    key = a_key("servers")
    repository = ClaudeSessionRepository(primary, replica=standby)
    repository.append(key, [{"type": "user"}])
    assert repository.load(key) == [{"type": "user"}]
    standby.dispose()


def test_what_can_not_have_a_replica_is_refused(engines: tuple[Engine, Engine]) -> None:
    primary, standby = engines
    lite = create_engine("sqlite://")
    with pytest.raises(TypeError, match="sqlite"):
        ClaudeSessionRepository(lite, replica=lite)
    with Session(primary) as db, pytest.raises(TypeError, match="own transaction"):
        ClaudeSessionRepository(db, replica=standby)
    with pytest.raises(TypeError, match="replica is an Engine"):
        Replicated(primary, sessionmaker(standby))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="bind's kind"):
        SQLAlchemySessionStore(primary, replica=create_async_engine(standby.url))
    lite.dispose()
