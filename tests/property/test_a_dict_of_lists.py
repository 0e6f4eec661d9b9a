"""A store and a dict of lists stay equal, whoever writes: two of ours, a transaction, the seed's store."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from claude_agent_sdk import fold_session_summary
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, DamagedEntryError
from boocode_sessions._core.append import place, plan
from tests.fixtures.seed import delete_as_the_seed_does, insert_as_the_seed_does
from tests.reliability.verdicts import scaled

pytestmark = pytest.mark.usefixtures("small_pages")

SESSIONS = ("s", "s2")
SUBPATHS = (None, "subagents/agent-1")
_projects = itertools.count()


class Entry(NamedTuple):
    uuid: str | None
    title: str
    hard: bool

    @property
    def json(self) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "x", "customTitle": self.title}
        if self.uuid is not None:
            made["uuid"] = self.uuid
        if self.hard:
            made["hard"] = ["\0", -0.0]
        return made


ours = st.builds(Entry, st.sampled_from([None, "1", "2", "3", "\0"]), st.sampled_from("abc"), st.booleans())
theirs = st.builds(
    Entry, st.sampled_from([None, "1", "2", "3"]), st.sampled_from("abc"), st.sampled_from([False])
)
sessions = st.sampled_from(SESSIONS)
subpaths = st.sampled_from([None, None, "subagents/agent-1"])
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("append"), sessions, subpaths, st.lists(ours, max_size=4), st.sampled_from([0, 0, 1, 2])
        ),
        st.tuples(st.just("again"), sessions, subpaths, st.just([]), st.sampled_from([0, 1])),
        st.tuples(st.just("seed"), sessions, subpaths, st.lists(theirs, min_size=1, max_size=3), st.just(0)),
        st.tuples(st.just("delete"), sessions, subpaths, st.just([]), st.sampled_from([0, 1, 2])),
        st.tuples(st.just("seed-delete"), sessions, subpaths, st.just([]), st.just(0)),
    ),
    min_size=1,
    max_size=14,
)


@dataclass
class Model:
    """What the store has to hold: a list of entries per transcript."""

    lists: dict[tuple[str, str | None], list[dict[str, Any]]] = field(default_factory=dict)
    unplaced: set[str] = field(default_factory=set)
    """Sessions whose main transcript the seed's writer has touched since we wrote to the session."""

    def append(self, session: str, subpath: str | None, batch: list[dict[str, Any]]) -> None:
        rows = self.lists.get((session, subpath), [])
        for entry in batch:
            uuid = entry.get("uuid")
            bodies = [canonical(row) for row in rows if uuid and row.get("uuid") == uuid]
            if canonical(entry) not in bodies:
                rows.append(entry)
        if batch:
            self.lists[session, subpath] = rows
            self.unplaced.discard(session)  # whichever of its transcripts it is: all rows get their places

    def seed(self, session: str, subpath: str | None, batch: list[dict[str, Any]]) -> None:
        self.lists.setdefault((session, subpath), []).extend(batch)
        if subpath is None:
            self.unplaced.add(session)

    def delete(self, session: str, subpath: str | None) -> None:
        for path in [subpath] if subpath else SUBPATHS:
            self.lists.pop((session, path), None)
        if subpath is None:
            self.unplaced.discard(session)


class Writers:
    """Two processes' repositories, each with what it remembers, and one that joins a transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own = [ClaudeSessionRepository(engine), ClaudeSessionRepository(engine)]

    def append(self, writer: int, key: Any, batch: list[Any]) -> None:
        for repository in self._opened(writer):
            repository.append(key, batch)

    def delete(self, writer: int, key: Any) -> None:
        for repository in self._opened(writer):
            repository.delete(key)

    def _opened(self, writer: int) -> Iterator[ClaudeSessionRepository]:
        if writer < len(self._own):
            yield self._own[writer]
        else:
            with self._engine.begin() as connection:
                yield ClaudeSessionRepository(connection)


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def key_of(project: str, session: str, subpath: str | None) -> Any:
    key = {"project_key": project, "session_id": session}
    return key if subpath is None else {**key, "subpath": subpath}


@pytest.fixture(scope="module")
def small_pages() -> Iterator[None]:
    """Batches of more than two take several plans, and several passes over what is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "PAGE_ROWS", 2)
        patch.setattr(place, "PAGE_ROWS", 2)
        yield


@given(steps=steps)
@settings(
    max_examples=scaled(90),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_store_is_a_dict_of_lists(engine: Engine, steps: list[Any]) -> None:
    project = f"p{next(_projects)}"
    model, writers = Model(), Writers(engine)
    reader = ClaudeSessionRepository(engine)
    sent: dict[tuple[str, str | None], list[list[Any]]] = {}
    mtimes: dict[str, int] = {}

    for what, session, subpath, batch, writer in steps:
        key = key_of(project, session, subpath)
        before = canonical(model.lists.get((session, None)))
        bodies = [entry.json for entry in batch]
        if what == "append":
            with_uuid = [body for body in bodies if "uuid" in body]
            sent.setdefault((session, subpath), []).append(with_uuid)
            model.append(session, subpath, bodies)
            writers.append(writer, key, bodies)
        elif what == "again":
            for old in sent.get((session, subpath), []):
                model.append(session, subpath, old)
                writers.append(writer, key, old)
        elif what == "seed":
            model.seed(session, subpath, bodies)
            insert_as_the_seed_does(engine, key, [json.dumps(body) for body in bodies])
        else:
            model.delete(session, subpath)
            if what == "delete":
                writers.delete(writer, key)
            else:
                delete_as_the_seed_does(engine, key)

        note(f"after {what} {session} {subpath} {bodies} by {writer}")
        check_transcripts(reader, project, model)
        mtimes = check_listing(reader, project, model, mtimes, session, before)
        check_summaries(reader, project, model, mtimes)


def check_transcripts(reader: ClaudeSessionRepository, project: str, model: Model) -> None:
    for session in SESSIONS:
        for subpath in SUBPATHS:
            loaded = reader.load(key_of(project, session, subpath))
            assert canonical(loaded) == canonical(model.lists.get((session, subpath)))
        found = reader.list_subkeys(key_of(project, session, None))
        assert found == [path for path in SUBPATHS if path and (session, path) in model.lists]


def check_listing(
    reader: ClaudeSessionRepository,
    project: str,
    model: Model,
    before: dict[str, int],
    touched: str,
    touched_before: str,
) -> dict[str, int]:
    listed = {entry["session_id"]: entry["mtime"] for entry in reader.list_sessions(project)}
    assert set(listed) == {session for session, subpath in model.lists if subpath is None}
    for session in set(listed) & set(before):
        changed = session == touched and canonical(model.lists[session, None]) != touched_before
        assert listed[session] >= before[session] if changed else listed[session] == before[session]
    return listed


def check_summaries(
    reader: ClaudeSessionRepository, project: str, model: Model, mtimes: dict[str, int]
) -> None:
    summaries = {entry["session_id"]: entry for entry in reader.list_session_summaries(project)}
    assert set(summaries) == set(mtimes) - model.unplaced
    for session, summary in summaries.items():
        entries: Any = model.lists[session, None]
        key: Any = key_of(project, session, None)
        assert summary["data"] == fold_session_summary(None, key, entries)["data"]
        assert summary["mtime"] == mtimes[session]


@pytest.mark.parametrize("uuid", ["1", None])
def test_a_row_that_is_no_entry_stops_no_append(engine: Engine, uuid: str | None) -> None:
    """A writer that encodes twice leaves JSON strings: what comes after them is kept."""
    repository = ClaudeSessionRepository(engine)
    key = key_of("p", "damaged", None)
    insert_as_the_seed_does(engine, key, ['"{}"', "[1]", "7", '{"type": "x"}', "9" * 5000])
    repository.append(key, [Entry(uuid, "a", hard=False).json])
    repository.append(key, [Entry("2", "b", hard=False).json])
    with pytest.raises(DamagedEntryError, match="'damaged' of project 'p', entry 0: a stored entry"):
        repository.load(key)
    assert [entry["session_id"] for entry in repository.list_sessions("p")] == ["damaged"]
    assert repository.list_session_summaries("p") == []


def test_a_summary_that_can_not_be_read_is_folded_again(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    key = key_of("p", "s", None)
    repository.append(key, [{"type": "x", "uuid": "1", "customTitle": "title"}])
    whole = repository.list_session_summaries("p")
    for damage in ("", "{", "[]", "7"):
        with engine.begin() as connection:
            connection.execute(text("UPDATE claude_sessions SET data = :data"), {"data": damage})
        assert repository.list_session_summaries("p") == []
        other = ClaudeSessionRepository(engine)
        other.append(key, [{"type": "x"}])
        assert other.list_session_summaries("p")[0]["data"] == whole[0]["data"]
