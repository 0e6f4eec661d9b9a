"""How PostgreSQL runs the contract's statements over a filled table: by which index, and what it reads.

Both as it plans for given values and as it plans once for all, which is what it does after some calls.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from boocode_sessions._core.keys import Session, Transcript
from boocode_sessions._core.statements import append, delete, place, read
from boocode_sessions._core.statements.parameters import (
    in_project,
    in_session,
    in_sessions,
    in_transcript,
)
from tests.fixtures.databases import Database, Databases

PROJECTS, SESSIONS, ENTRIES = 20, 100, 20
SUBAGENTS, LINES = 1000, 5

PROJECT = "project-7"
SESSION = Session(PROJECT, "session-42")
MAIN = Transcript(*SESSION, "")
CROWDED = Session(PROJECT, "session-1")
LENGTHY = Session(PROJECT, "session-2")
LONG_SUBAGENTS, LONG_LINES = 10, 3000

ENTRY = "jsonb_build_object('type', 'user', 'uuid', 'u' || i, 'message', said.text)"
KEY = "decode(md5('u' || i), 'hex')"
NAMES = "project_key, session_id, subpath, position, is_first, dedup_key, entry"
FIRST = "CASE WHEN i = 1 THEN true END"
FILL = f"""
    CREATE TABLE said AS SELECT i, string_agg(md5(i || '.' || part), ' ') AS text
        FROM generate_series(1, {ENTRIES}) AS i, generate_series(1, 30) AS part GROUP BY i;
    INSERT INTO claude_session_entries ({NAMES})
    SELECT 'project-' || p, 'session-' || s, '', i, {FIRST}, {KEY}, {ENTRY}
        FROM said, generate_series(1, {SESSIONS}) AS s, generate_series(1, {PROJECTS}) AS p;
    INSERT INTO claude_session_entries ({NAMES})
    SELECT '{PROJECT}', 'session-1', 'subagents/agent-' || a, i, {FIRST}, {KEY}, {ENTRY}
        FROM said, generate_series(1, {SUBAGENTS}) AS a WHERE i <= {LINES};
    INSERT INTO claude_session_entries ({NAMES})
    SELECT '{PROJECT}', 'session-2', 'subagents/agent-' || a, i, {FIRST}, {KEY}, '{{}}'
        FROM generate_series(1, {LONG_LINES}) AS i, generate_series(1, {LONG_SUBAGENTS}) AS a;
    DROP TABLE said;
    INSERT INTO claude_sessions (project_key, session_id, next_position, main_position, data, updated_at)
    SELECT project_key, session_id, max(position) + 1, max(position), repeat('{{}} ', 200), max(created_at)
        FROM claude_session_entries WHERE subpath = '' GROUP BY project_key, session_id;
    VACUUM (ANALYZE) claude_session_entries;
    VACUUM (ANALYZE) claude_sessions
"""
POSITION, UNPLACED = "claude_session_entries_position_idx", "claude_session_entries_unplaced_idx"


@pytest.fixture(scope="module")
def filled(databases: Databases) -> Database:
    """20 projects of 100 sessions of 20 entries; one session has 1,000 subagents of 5."""
    database = databases.migrated("postgresql")
    with _connect(database) as connection:
        for statement in FILL.split(";"):
            connection.execute(statement.encode())
    return database


@pytest.fixture(params=["auto", "force_generic_plan"])
def plans(request: pytest.FixtureRequest, filled: Database) -> Iterator["Plans"]:
    with _connect(filled) as connection:
        connection.execute(f"SET plan_cache_mode = {request.param}".encode())
        yield Plans(connection)


def test_a_listing_probes_indexes_once_a_session_and_reads_no_entry(plans: "Plans") -> None:
    plan = plans.of(read.select_sessions(), in_project(PROJECT))
    assert plan.indexes >= {POSITION, UNPLACED}
    assert plan.heap_fetches_of_entries == 0
    assert plan.whole_scans == set()
    assert plan.pages <= 5 * SESSIONS


def test_a_listing_of_summaries_probes_indexes_and_reads_no_entry(plans: "Plans") -> None:
    plan = plans.of(read.select_summaries(), in_project(PROJECT))
    assert plan.indexes >= {POSITION, UNPLACED}
    assert plan.heap_fetches_of_entries == 0
    assert plan.whole_scans == set()
    assert plan.pages <= 8 * SESSIONS


def test_a_load_reads_its_transcript_and_nothing_else(plans: "Plans") -> None:
    plan = plans.of(read.select_entries(), in_transcript(MAIN))
    assert plan.indexes == {POSITION}
    assert "Sort" not in plan.nodes
    assert plan.rows == ENTRIES
    assert plan.pages <= ENTRIES + 10


def test_a_page_of_a_transcript_begins_where_it_is_asked_to(plans: "Plans") -> None:
    page = {**in_transcript(Transcript(*CROWDED, "")), "after_position": 3, "after_id": 0, "most": 3}
    plan = plans.of(read.select_page(), page)
    assert plan.indexes <= {POSITION, "claude_session_entries_pkey"}  # the latter for a row without a place
    assert "Sort" not in plan.nodes
    assert plan.rows == 3
    assert plan.pages <= 3 + 5


@pytest.mark.parametrize(
    ("session", "transcripts"),
    [(CROWDED, SUBAGENTS), (LENGTHY, LONG_SUBAGENTS)],
    ids=["short transcripts", "long transcripts"],
)
def test_subkeys_are_found_without_reading_transcripts(
    plans: "Plans", session: Session, transcripts: int
) -> None:
    plan = plans.of(read.select_subkeys(), in_session(session))
    assert plan.indexes <= {"claude_session_entries_first_idx", UNPLACED}
    assert plan.heap_fetches_of_entries == 0
    assert plan.rows == transcripts
    assert plan.pages <= 10 + transcripts // 20


@pytest.mark.parametrize("subpath", ["", "subagents/agent-7"])
def test_a_deletion_finds_its_rows_by_the_index(plans: "Plans", subpath: str) -> None:
    if subpath:
        plan = plans.of(delete.delete_transcript(), in_transcript(Transcript(*CROWDED, subpath)))
    else:
        plan = plans.of(delete.delete_entries(), in_sessions([CROWDED]))
    assert plan.indexes == {POSITION}
    assert plan.whole_scans == set()


@pytest.mark.parametrize("entries", [1, 10])
@pytest.mark.parametrize("main", [True, False])
def test_an_append_probes_its_session_once_and_reads_no_other_entry(
    plans: "Plans", entries: int, main: bool
) -> None:
    transcript = MAIN if main else Transcript(*CROWDED, "subagents/agent-7")
    newest = ENTRIES if main else LINES
    rows = [[f"{n:032x}", {"type": "user"}, None, 16, "user", *[None] * 14] for n in range(entries)]
    parameters = {
        **in_transcript(transcript),
        "known_position": ENTRIES + 1,
        "next_position": ENTRIES + 1 + entries,
        "newest_position": newest,
        "added_entries": entries,
        "added_subagents": 0,
        "added_bytes": 16 * entries,
        "added_tokens": 0,
        "first_said": None,
        "last_said": None,
        "summary": "{}",
        "opens": False,
        "entries": json.dumps(rows),
    }
    plan = plans.of(append.append_in_one(append.PlanKind(main, guarded=True)), parameters)
    assert plan.rows == 1
    assert plan.indexes == {"claude_sessions_pkey", POSITION, UNPLACED}
    assert plan.whole_scans == set()
    assert plan.pages <= 60 + 30 * entries  # most of them to insert into the indexes


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (place.select_newest_positions(), POSITION),
        (place.select_last_call(), POSITION),
    ],
    ids=["newest positions", "last call"],
)
def test_what_a_lock_reads_is_found_by_the_index(plans: "Plans", statement: Any, index: str) -> None:
    plan = plans.of(statement, in_transcript(MAIN))
    assert index in plan.indexes
    assert plan.whole_scans == set()
    assert plan.pages <= ENTRIES + 40


class Plan:
    """What EXPLAIN ANALYZE says of one run."""

    def __init__(self, explained: Any) -> None:
        self._all = list(_walk(explained["Plan"]))
        self.rows = explained["Plan"]["Actual Rows"]
        self.pages = explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"]
        self.nodes = {node["Node Type"] for node in self._all}
        self.indexes = {node["Index Name"] for node in self._all if "Index Name" in node}

    @property
    def whole_scans(self) -> set[str]:
        """Tables that are read from end to end."""
        return {node["Relation Name"] for node in self._all if node["Node Type"] == "Seq Scan"}

    @property
    def heap_fetches_of_entries(self) -> int:
        """Entries that were looked at in the table, beside the index. A plain index scan looks at each."""
        scans = [n for n in self._all if n.get("Relation Name") == "claude_session_entries"]
        return sum(node.get("Heap Fetches", node["Actual Rows"]) for node in scans)


class Plans:
    """Runs statements under EXPLAIN ANALYZE, and takes back what they did."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection

    def of(self, statement: Any, parameters: Mapping[str, Any]) -> Plan:
        compiled = statement.compile(dialect=PGDialect_psycopg())  # type: ignore[no-untyped-call]
        values = {**compiled.params, **parameters}
        expanded = compiled.construct_expanded_state(values)
        values |= expanded.parameters
        names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", expanded.statement)))
        text = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", expanded.statement)
        execute = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({})")
        given = sql.SQL(", ").join(sql.Literal(values[name]) for name in names)
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(f"PREPARE asked AS {text}".encode())
            row = self._connection.execute(execute.format(given)).fetchone()
        self._connection.execute("DEALLOCATE asked")
        assert row is not None
        return Plan(row[0][0])


def _walk(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _walk(child)


def _connect(database: Database) -> "psycopg.Connection[Any]":
    url = make_url(database.url).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)
