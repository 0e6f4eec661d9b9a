"""The indexes of messages are the ones that the queries' expressions find, and no entry breaks them."""

import random

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, migrations
from boocode_sessions._core.sql.entry_json import spell_is_message, spell_search_vector
from boocode_sessions.models import VERSION_TABLE, Base
from tests.queries.lines import answer, entries, key, prompt

INDEXES = {"claude_session_entries_facts_idx", "claude_session_entries_unread_idx"}


def test_the_models_and_the_migrations_have_the_same_indexes(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_an_index_has_the_expression_that_the_models_have(engine: Engine) -> None:
    definition = text(
        "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'claude_session_entries%'"
    )
    with engine.begin() as connection:
        migrated = {name: sql for name, sql in connection.execute(definition) if name in INDEXES}
        connection.execute(text("DROP TABLE claude_session_entries, claude_session_summaries"))
        Base.metadata.create_all(connection)
        created = {name: sql for name, sql in connection.execute(definition) if name in INDEXES}
    assert set(migrated) == INDEXES
    assert created == migrated


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_the_planner_finds_the_search_index_by_its_expression(engine: Engine) -> None:
    question = f"{spell_is_message('entry')} AND {spell_search_vector('entry')} @@ plainto_tsquery('hi')"
    migrations.create_search_index(engine)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.exec_driver_sql(f"EXPLAIN SELECT id FROM claude_session_entries WHERE {question}")
        assert "claude_session_entries_search_idx" in "\n".join(line for (line,) in plan)


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
    "escapes": '\\"\n\t\x01' * 50_000,
}


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_huge_message_can_be_appended_whatever_it_holds(engine: Engine) -> None:
    migrations.create_search_index(engine)
    repository = ClaudeSessionRepository(engine)
    for kind, said in HUGE.items():
        lines = entries(prompt("u", said), answer("a", *[said] * 3))
        repository.append(key(kind), lines)
        assert repository.load(key(kind)) == lines, kind


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_an_entry_with_a_long_timestamp_or_type_can_be_appended(engine: Engine) -> None:
    long = random_words(ASCII, "-", 30_000)
    lines = [{"type": "user", "uuid": "a", "timestamp": long}, {"type": long, "uuid": "b"}]
    repository = ClaudeSessionRepository(engine)
    repository.append(key("long"), lines)
    assert repository.load(key("long")) == lines


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_the_search_index_can_be_added_and_dropped_at_any_time(engine: Engine) -> None:
    def indexes() -> set[str]:
        with engine.connect() as connection:
            names = connection.execute(
                text("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'claude%'")
            )
            return set(names.scalars())

    before = indexes()
    migrations.create_search_index(engine)
    migrations.create_search_index(engine)
    assert indexes() - before == {"claude_session_entries_search_idx"}
    assert migrations.pending(engine) == []
    migrations.drop_search_index(engine)
    migrations.drop_search_index(engine)
    assert indexes() == before
