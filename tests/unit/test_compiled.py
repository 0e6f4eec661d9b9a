"""Statements that are run as their text: what SQLAlchemy would do to their parameters it must not need to."""

from typing import Any

import pytest
from sqlalchemy import Boolean, Column, MetaData, Table, Text, select
from sqlalchemy.engine import Dialect, make_url

from boocode_sessions._core.sql.compiled import compile_text
from boocode_sessions._core.statements.append import (
    Condition,
    PlanKind,
    advance,
    advance_alone,
    append_in_one,
    insert_few_entries,
    insert_many_entries,
)
from boocode_sessions.agents.lease import AgentSessions

DIALECTS = {
    url: make_url(url).get_dialect()()
    for url in (
        "postgresql+psycopg://",
        "postgresql+psycopg2://",
        "postgresql+asyncpg://",
        "postgresql+pg8000://",
        "sqlite://",
        "sqlite+aiosqlite://",
    )
}
FENCE = Condition(AgentSessions().fence)
KINDS = [
    PlanKind(main, guarded, fence)
    for main in (True, False)
    for guarded in (True, False)
    for fence in (None, FENCE)
]


@pytest.fixture(params=DIALECTS.values(), ids=list(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


def _statements(dialect: Dialect) -> list[Any]:
    if dialect.name == "sqlite":
        return [advance(kind) for kind in KINDS]
    insertions = [insert_few_entries(3, main=True), insert_many_entries(main=False)]
    return [*(builder(kind) for builder in (append_in_one, advance_alone) for kind in KINDS), *insertions]


def test_drivers_take_the_values_of_an_append_as_they_are(dialect: Dialect) -> None:
    for statement in _statements(dialect):
        for bind in statement.compile(dialect=dialect).binds.values():
            only_checked = isinstance(bind.type, Boolean) and dialect.supports_native_boolean
            assert only_checked or bind.type.dialect_impl(dialect).bind_processor(dialect) is None, bind.key


def test_no_value_stands_in_the_text(dialect: Dialect) -> None:
    """One that a caller could not give again would be missing."""
    for statement in _statements(dialect):
        compiled = statement.compile(dialect=dialect)
        assert {name for name, value in compiled.params.items() if value is not None} == set()


def test_arguments_go_by_name_or_by_place(dialect: Dialect) -> None:
    statement = advance(PlanKind(main=True, guarded=True))
    compiled = compile_text(statement, dialect, frozenset())
    names = set(statement.compile(dialect=dialect).params)
    given = compiled.arguments({name: name for name in names})
    by_name = dialect.driver in {"psycopg", "psycopg2"}
    assert given == ({name: name for name in names} if by_name else tuple(compiled.places or ()))
    assert set(given) == names


@pytest.mark.parametrize("schema", [None, "transcripts", 'odd "one"', "per%cent"])
def test_the_tables_are_in_the_schema(schema: str | None) -> None:
    dialect = DIALECTS["postgresql+asyncpg://"]
    quoted = dialect.identifier_preparer.quote_schema(schema) + "." if schema else ""
    schemas = frozenset({(None, schema)} if schema else ())
    text = compile_text(append_in_one(PlanKind(main=True, guarded=True)), dialect, schemas).text
    assert f"UPDATE {quoted}claude_sessions SET" in text
    assert f"INSERT INTO {quoted}claude_session_entries " in text


def test_a_condition_on_a_table_of_the_hosts_is_in_the_hosts_schema() -> None:
    chats = Table("chats", MetaData(), Column("id", Text), schema="tenant")
    kind = PlanKind(main=True, guarded=True, condition=Condition(select(chats.c.id).exists()))
    schemas = frozenset({("tenant", "acme"), (None, "transcripts")})
    text = compile_text(append_in_one(kind), DIALECTS["postgresql+psycopg://"], schemas).text
    assert "FROM acme.chats" in text
    assert "UPDATE transcripts.claude_sessions SET" in text
