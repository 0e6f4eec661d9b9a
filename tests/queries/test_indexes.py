"""The indexes of messages are the ones that the queries' expressions find, and no entry breaks them."""

import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, event, text

from boocode_sessions import ClaudeSessionRepository, queries
from boocode_sessions.agents import models as _agents_models  # noqa: F401 - its table belongs to Base.metadata
from boocode_sessions.migrations.autogenerate import has_model
from boocode_sessions.models import VERSION_TABLE, Base
from tests.fixtures.seed import insert_as_the_seed_does
from tests.queries.lines import DAY, answer, entries, key, prompt, result, tool_use

INDEXES = {
    "claude_session_calls_quarter_idx",
    "claude_session_calls_shared_idx",
    "claude_session_digests_session_idx",
    "claude_session_tool_uses_tool_idx",
    "claude_session_tool_uses_shared_idx",
}


def test_the_models_and_the_migrations_have_the_same_indexes(engine: Engine) -> None:
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "include_object": has_model}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_an_index_has_the_expression_that_the_models_have(engine: Engine) -> None:
    definition = text("SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'claude_session_%'")
    with engine.connect() as connection:  # rolled back: the database may be another test's too
        migrated = {name: sql for name, sql in connection.execute(definition) if name in INDEXES}
        Base.metadata.drop_all(connection)
        Base.metadata.create_all(connection)
        created = {name: sql for name, sql in connection.execute(definition) if name in INDEXES}
    assert set(migrated) == INDEXES
    assert created == migrated


def plans_of(
    engine: Engine, question: Callable[[Any], object], options: str = "COSTS OFF", of: str = ""
) -> list[str]:
    """How the database runs each statement of a question: the lines of its plans that name a table.

    `of`: of the statements that have this in them.
    """
    explain = f"EXPLAIN ({options}) " if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    plans: list[str] = []

    def explained(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asks = "FROM claude_session" in statement and of in statement
        if asks and not statement.startswith("EXPLAIN"):
            rows = connection.exec_driver_sql(explain + statement, parameters)
            plans.extend(str(row[-1]) for row in rows if "claude_session" in str(row[-1]))

    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":  # a few rows it would rather read as they lie
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        event.listen(connection, "before_cursor_execute", explained)
        question(connection)
    return plans


@pytest.fixture
def answered(engine: Engine) -> Engine:
    """A store of placed rows, as it is after some time."""
    repository = ClaudeSessionRepository(engine)
    for session_id in "abcdefgh":
        lines = entries(
            prompt("u", "hi"),
            *(answer(f"a{n}", tool_use(f"t{n}"), call=f"m{n}", requestId=f"r{n}") for n in range(20)),
            *(result(f"r{n}", f"t{n}") for n in range(20)),
        )
        repository.append(key(session_id), lines)
    queries.usage(engine)  # takes the calls and tool uses from the entries
    analyze(engine)
    return engine


def analyze(engine: Engine) -> None:
    """As autovacuum does. SQLite does nothing like it by itself."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


WITHOUT_A_ROW = ("Index Only Scan using", "USING COVERING INDEX")


def of_placed_entries(plans: list[str]) -> list[str]:
    """The lines that read entries, but for those of other writers and the first ones of transcripts."""
    of_entries = [line for line in plans if re.search(r"(?i)(scan|search) .*claude_session_entries", line)]
    few = ("claude_session_entries_unplaced_idx", "claude_session_entries_first_idx")
    return [line for line in of_entries if not any(index in line for index in few)]


@pytest.mark.parametrize("since", [None, DAY])
@pytest.mark.parametrize("tz", [UTC, ZoneInfo("Asia/Tokyo")])
def test_usage_reads_calls_from_an_index_alone(answered: Engine, since: datetime | None, tz: tzinfo) -> None:
    plans = plans_of(answered, lambda bind: queries.usage(bind, since=since, tz=tz))
    of_calls = [line for line in plans if "claude_session_calls_quarter_idx" in line]
    assert any(way in line for line in of_calls for way in WITHOUT_A_ROW), plans
    assert of_placed_entries(plans) == []


@pytest.mark.parametrize("since", [None, DAY])
def test_tools_reads_an_index_alone(answered: Engine, since: datetime | None) -> None:
    plans = plans_of(answered, lambda bind: queries.tools(bind, since=since))
    of_uses = [line for line in plans if "claude_session_tool_uses_tool_idx" in line]
    assert any(way in line for line in of_uses for way in WITHOUT_A_ROW), plans
    assert of_placed_entries(plans) == []


@pytest.mark.parametrize("limit", [50, None])
def test_sessions_reads_no_entry(answered: Engine, limit: int | None) -> None:
    plans = plans_of(answered, lambda bind: queries.sessions(bind, limit=limit))
    of_entries = [line for line in plans if re.search(r"(?i)(scan|search) .*claude_session_entries", line)]
    of_placed = [line for line in of_entries if "claude_session_entries_unplaced_idx" not in line]
    assert of_placed
    assert all(any(way in line for way in WITHOUT_A_ROW) for line in of_placed), plans


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_page_of_sessions_looks_for_the_entries_of_no_others(answered: Engine) -> None:
    plans = plans_of(answered, lambda bind: queries.sessions(bind, limit=2), "ANALYZE, COSTS OFF, TIMING OFF")
    times = [int(loops[1]) for line in plans if (loops := re.search(r"position_idx .*loops=(\d+)", line))]
    assert times
    assert max(times) == 2, plans


def test_what_rows_of_other_programs_say_is_read_of_the_pages_sessions_alone(engine: Engine) -> None:
    rows = (
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 20000) SELECT 'p', 's' || n"
    )
    line = json.dumps(prompt("u", "hi"))
    columns = "claude_session_entries (project_key, session_id, entry)"
    cast = "::jsonb" if engine.dialect.name == "postgresql" else ""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO {columns} {rows}, '{line}'{cast} FROM t")
    analyze(engine)
    options = "ANALYZE, COSTS OFF, TIMING OFF"
    plans = plans_of(engine, lambda bind: queries.sessions(bind, limit=2), options, of="anon_1.value")
    read = [line for line in plans if re.search(r"(?i)(scan|search) .*claude_session_entries", line)]
    assert len(read) == 3, plans  # counted, their tokens, and folded
    if engine.dialect.name == "sqlite":
        assert all("(project_key=? AND session_id=?" in line for line in read), plans
    else:
        assert all("loops=2)" in line for line in read), plans


@pytest.mark.parametrize("question", [queries.sessions, queries.usage, queries.tools])
def test_a_question_takes_as_many_statements_for_many_sessions_as_for_one(
    engine: Engine, question: Callable[[Any], object]
) -> None:
    def statements() -> int:
        sent: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            sent.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        question(engine)
        event.remove(engine, "before_cursor_execute", note)
        return sum("FROM claude_session" in statement for statement in sent)

    counts: list[int] = []
    for sessions in (range(1), range(1, 6)):
        for number in sessions:
            lines = [json.dumps(line) for line in (prompt("u", "hi"), answer("a", tool_use("t")))]
            insert_as_the_seed_does(engine, key(f"s{number}"), lines)
            ClaudeSessionRepository(engine).append(key(f"t{number}"), entries(prompt("u", "hi")))
        question(engine)
        counts.append(statements())
    assert counts[0] == counts[1] > 0


def random_words(alphabet: str, separators: str, characters: int) -> str:
    rng = random.Random(7)
    words = ["".join(rng.choices(alphabet, k=rng.randint(1, 4))) for _ in range(characters // 3)]
    return "".join(word + rng.choice(separators) for word in words)[:characters]


ASCII = "abcdefghijklmnopqrstuvwxyz0123456789"
HUGE = {
    "one word": "x" * 1_000_000,
    "distinct words": " ".join(f"{n:x}" for n in range(50_000)),
    "hyphens": random_words(ASCII, "-", 300_000),
    "hyphened pairs": random_words(ASCII, "- ", 300_000),
    "links": " ".join(f"http://{n:x}.com/{n:x}?{n:x}" for n in range(10_000)),
    "at signs": "a@" * 50_000,
    "four-byte characters": random_words("".join(map(chr, range(0x20000, 0x20400))), " -/", 100_000),
    "four-byte pairs": random_words("".join(map(chr, range(0x20000, 0x20400))), " -", 100_000),
    "markup": "<!--" * 12_250,
    "marks": "e" + "\u0301" * 100_000,
    "not characters": "a\0b\ud800c " * 20_000,
    "Japanese": "日本語" * 30_000,
    "escapes": '\\"\n\t\x01' * 50_000,
}


def test_a_huge_message_can_be_appended_and_searched_whatever_it_holds(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    for kind, said in HUGE.items():
        lines = entries(prompt("u", "needle " + said), answer("a", *[said] * 3))
        repository.append(key(kind), lines)
        assert repository.load(key(kind)) == lines, kind
    found = {match.session_id for match in queries.search(engine, "needle")}
    assert found == set(HUGE)


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_an_entry_with_a_long_timestamp_or_type_can_be_appended(engine: Engine) -> None:
    long = random_words(ASCII, "-", 30_000)
    lines = [{"type": "user", "uuid": "a", "timestamp": long}, {"type": long, "uuid": "b"}]
    repository = ClaudeSessionRepository(engine)
    repository.append(key("long"), lines)
    assert repository.load(key("long")) == lines


@pytest.mark.parametrize("characters", [128, 256, 3000])
def test_an_entry_with_long_ids_and_names_can_be_appended(engine: Engine, characters: int) -> None:
    rng = random.Random(7)

    def name() -> str:
        return "".join(chr(rng.randrange(0x20000, 0x2A000)) for _ in range(characters))

    line = answer("a", tool_use(name(), name()), call=name(), model=name(), requestId=name())
    lines = entries(line | {"forkedFrom": {"sessionId": name()}}, result("r", name()))
    long = key("s" * 1000, "p" * 1000)
    repository = ClaudeSessionRepository(engine)
    repository.append(long, lines)
    assert repository.load(long) == lines
    assert [row.calls for row in queries.usage(engine)] == [1]
