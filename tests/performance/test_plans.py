"""How PostgreSQL runs the contract's statements over a filled table: by which index, and what it reads.

Both as it plans for given values and as it plans once for all, which is what it does after some calls.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, event, make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from boocode_sessions import queries
from boocode_sessions._core.keys import Session, Transcript
from boocode_sessions._core.statements import contract as statements
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
FACTS = """CASE WHEN i % 2 = 0 THEN jsonb_build_array('2026-11-' || 10 + i || ' 10:00:00.000000',
    p || '.' || s || '.' || i / 4, 'model', 1, 2, 3, 4, 5, p || '.' || s || '.' || i, 'Bash') ELSE '[]' END"""
FILL = f"""
    CREATE TABLE said AS SELECT i, string_agg(md5(i || '.' || part), ' ') AS text
        FROM generate_series(1, {ENTRIES}) AS i, generate_series(1, 30) AS part GROUP BY i;
    INSERT INTO claude_session_entries (project_key, session_id, dedup_key, entry, facts)
    SELECT 'project-' || p, 'session-' || s, 'u' || i, {ENTRY}, {FACTS}
        FROM said, generate_series(1, {SESSIONS}) AS s, generate_series(1, {PROJECTS}) AS p;
    INSERT INTO claude_session_entries (project_key, session_id, subpath, dedup_key, entry, facts)
    SELECT '{PROJECT}', 'session-1', 'subagents/agent-' || a, 'u' || i, {ENTRY}, '[]'
        FROM said, generate_series(1, {SUBAGENTS}) AS a WHERE i <= {LINES};
    INSERT INTO claude_session_entries (project_key, session_id, subpath, dedup_key, entry, facts)
    SELECT '{PROJECT}', 'session-2', 'subagents/agent-' || a, 'u' || i, '{{}}', '[]'
        FROM generate_series(1, {LONG_LINES}) AS i, generate_series(1, {LONG_SUBAGENTS}) AS a;
    DROP TABLE said;
    INSERT INTO claude_session_summaries (project_key, session_id, turn, folded_id, data, updated_at)
    SELECT project_key, session_id, 1, max(id), repeat('{{}} ', 200), max(created_at)
        FROM claude_session_entries WHERE subpath = '' GROUP BY project_key, session_id;
    VACUUM (ANALYZE) claude_session_entries;
    VACUUM (ANALYZE) claude_session_summaries
"""


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
    plan = plans.of(statements.select_sessions(), statements.in_project(PROJECT))
    assert plan.indexes >= {"claude_session_entries_transcript_idx", "claude_session_entries_unclaimed_idx"}
    assert plan.heap_fetches_of_entries == 0
    assert plan.whole_scans == set()
    assert plan.pages <= 5 * SESSIONS


def test_a_listing_of_summaries_probes_indexes_and_reads_no_entry(plans: "Plans") -> None:
    plan = plans.of(statements.select_summaries(), statements.in_project(PROJECT))
    assert plan.indexes >= {"claude_session_entries_transcript_idx", "claude_session_entries_unclaimed_idx"}
    assert plan.heap_fetches_of_entries == 0
    assert plan.whole_scans == set()
    assert plan.pages <= 8 * SESSIONS


def test_a_load_reads_its_transcript_and_nothing_else(plans: "Plans") -> None:
    plan = plans.of(statements.select_entries(), statements.in_transcript(MAIN))
    assert plan.indexes == {"claude_session_entries_transcript_idx"}
    assert plan.rows == ENTRIES
    assert plan.pages <= ENTRIES + 10


def test_a_page_of_a_transcript_begins_where_it_is_asked_to(plans: "Plans") -> None:
    page = {**statements.in_transcript(Transcript(*CROWDED, "")), "after": 0, "most": 3}
    plan = plans.of(statements.select_page(), page)
    assert plan.indexes == {"claude_session_entries_transcript_idx"}
    assert "Sort" not in plan.nodes
    assert plan.rows == 3
    assert plan.pages <= 3 + 5


@pytest.mark.parametrize(
    ("session", "transcripts", "pages"),
    [(CROWDED, SUBAGENTS, SUBAGENTS), (LENGTHY, LONG_SUBAGENTS, 15 * LONG_SUBAGENTS)],
    ids=["short transcripts", "long transcripts"],
)
def test_subkeys_are_found_without_reading_long_transcripts(
    plans: "Plans", session: Session, transcripts: int, pages: int
) -> None:
    plan = plans.of(statements.select_subkeys("postgresql"), statements.in_session(session))
    assert plan.indexes == {"claude_session_entries_transcript_idx"}
    assert plan.heap_fetches_of_entries == 0
    assert plan.rows == transcripts
    assert plan.pages <= pages


@pytest.mark.parametrize("subpath", ["", "subagents/agent-7"])
def test_a_deletion_finds_its_rows_by_the_index(plans: "Plans", subpath: str) -> None:
    if subpath:
        where = statements.in_transcript(Transcript(*CROWDED, subpath))
        plan = plans.of(statements.delete_transcript(), where)
    else:
        plan = plans.of(statements.delete_session(), statements.in_session(CROWDED))
    assert plan.indexes == {"claude_session_entries_transcript_idx"}
    assert plan.whole_scans == set()


def test_an_append_in_parts_looks_for_other_writers_once(plans: "Plans") -> None:
    where = {**statements.in_transcript(MAIN), "next_turn": 2}
    entries = json.dumps([[0, f"new-{n}", None, None, {"type": "user"}] for n in range(10)])
    retake = plans.of(statements.retake_turn(), {**where, "turn": 1})
    assert retake.rows == 1
    assert retake.indexes == {
        "claude_session_summaries_pkey",
        "claude_session_entries_transcript_idx",
        "claude_session_entries_unclaimed_idx",
    }
    insert = plans.of(statements.insert_in_turn(), {**where, "next_turn": 1, "entries": entries})
    assert insert.indexes == {"claude_session_summaries_pkey"}
    finish = plans.of(statements.finish_retaken_turn(), {**where, "next_turn": 1, "folded_data": "{}"})
    assert finish.indexes == {"claude_session_summaries_pkey", "claude_session_entries_transcript_idx"}
    assert {*retake.whole_scans, *insert.whole_scans, *finish.whole_scans} == set()
    assert retake.pages + finish.pages <= 60
    assert insert.pages <= 20 * 10  # five indexes for each


@pytest.mark.parametrize("size", ["one entry", "several sessions"])
def test_an_append_in_turn_reads_of_its_transcript_only_the_newest_id(plans: "Plans", size: str) -> None:
    if size == "one entry":
        statement: Any = statements.append_one_in_turn()
        after = {"turn": 1, "next_turn": 2, "next_data": "{}"}
        entry = {"dedup_key": "new", "text": '{"type": "user"}', "verbatim": None, "facts": "[]"}
        parameters: Mapping[str, Any] = {**statements.in_transcript(MAIN), **after, **entry}
        sessions = 1
    else:
        statement = statements.append_in_turn()
        sessions = 10
        jobs = [
            {
                "n": n,
                **Transcript(PROJECT, f"session-{n + 50}", "")._asdict(),
                "turn": 1,
                "next_turn": 2,
                "data": "{}",
            }
            for n in range(sessions)
        ]
        entries = [[n, "new", None, None, {"type": "user"}] for n in range(sessions)]
        parameters = {"jobs": json.dumps(jobs), "entries": json.dumps(entries)}
    plan = plans.of(statement, parameters)
    assert plan.rows == sessions
    assert plan.indexes == {
        "claude_session_summaries_pkey",
        "claude_session_entries_transcript_idx",
        "claude_session_entries_unclaimed_idx",
    }
    assert plan.whole_scans == set()
    assert plan.pages <= 80 * sessions  # most of them to insert into five indexes, and to update one row


@pytest.mark.parametrize("since", [None, datetime(2026, 11, 24, tzinfo=UTC)])
@pytest.mark.parametrize("question", [queries.usage, queries.tools])
def test_a_question_to_all_lines_reads_their_facts_in_the_index_alone(
    filled: Database, question: Callable[..., Sequence[Any]], since: datetime | None
) -> None:
    engine = filled.engine()
    found: list[Plan] = []

    def explain(connection: Connection, _: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith("SELECT") and "claude_session_entries" in statement:
            asked = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
            found.append(Plan(connection.exec_driver_sql(asked, parameters).scalar_one()[0]))

    event.listen(engine, "before_cursor_execute", explain)
    assert question(engine, since=since)
    engine.dispose()
    (plan,) = found
    assert plan.whole_scans == set()
    assert plan.indexes >= {"claude_session_entries_facts_idx", "claude_session_entries_unread_idx"}
    assert plan.heap_fetches_of_entries < 100  # of pages that a test above wrote to, and took back


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
        names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", str(compiled))))
        text = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", str(compiled))
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
