"""A host partitions the table of entries, as docs/past-one-machine.md says."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from boocode_sessions import ClaudeSessionRepository, SessionKey, migrations, status
from tests.fixtures.databases import Databases

PAGE = (Path(__file__).parents[2] / "docs" / "past-one-machine.md").read_text()
RECIPE = re.findall(r"^    ((?:ALTER|CREATE|DROP)[^;]*);$", PAGE.split("**Partitions.**")[1], re.MULTILINE)
INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename = 'claude_session_entries'"


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_the_recipe_makes_a_table_that_works_and_counts(databases: Databases, dialect: str) -> None:
    database = databases.empty(dialect)
    migrations.upgrade(database.url)
    engine = database.engine()
    assert INDEXES in PAGE
    with engine.begin() as connection:
        indexes = connection.execute(text(INDEXES)).scalars().all()
        for statement in RECIPE:
            connection.exec_driver_sql(statement)
            if statement.startswith("CREATE TABLE"):
                for number in range(2):
                    of = (
                        f"PARTITION OF claude_session_entries FOR VALUES WITH (MODULUS 2, REMAINDER {number})"
                    )
                    connection.exec_driver_sql(f"CREATE TABLE entries_{number} {of}")
        for index in indexes:
            if "_pkey" not in index:
                connection.exec_driver_sql(index)
    repository = ClaudeSessionRepository(engine)
    empty = status.holdings(engine).bytes
    for number in range(20):
        key: SessionKey = {"project_key": f"p{number}", "session_id": "s"}
        line = {"type": "user", "uuid": "u", "text": "".join(map(str, range(3000)))}
        for _ in range(2):
            repository.append(key, [line, {"type": "user"}])
        assert repository.load(key) == [line, {"type": "user"}, {"type": "user"}]
    assert status.holdings(engine).bytes > empty + 100_000
    engine.dispose()
    databases.drop(database)
