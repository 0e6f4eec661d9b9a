"""What the contract's statements hold to, so that a database spread over several servers can run them.

Each rule costs nothing on one server. It is held over what SQLAlchemy compiles, since it is the text that a
distributed database routes by.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Select, true
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

import boocode_sessions
from boocode_sessions._core.statements import (
    append,
    delete,
    derived,
    derived_writes,
    maintenance,
    place,
    read,
    search,
    standby,
)
from boocode_sessions._core.statements.append import Condition, PlanKind

PACKAGE = Path(boocode_sessions.__file__).parent

KINDS = [PlanKind(main, guarded) for main in (True, False) for guarded in (True, False)]
GIVEN: dict[str, list[dict[str, Any]]] = {
    "append_in_one": [{"kind": kind} for kind in KINDS],
    "advance": [{"kind": kind} for kind in KINDS],
    "advance_alone": [{"kind": kind} for kind in KINDS],
    "select_allowed": [{"condition": Condition(true())}],
    "lock_session": [{"dialect": "postgresql"}],
    "recount_session": [{"keep_summary": keep} for keep in (True, False)],
    "select_written_sessions": [
        {"of_project": project, "of_session": session}
        for project in (True, False)
        for session in (True, False)
    ],
    "select_prunable": [{"of_project": project} for project in (True, False)],
    "select_content": [{"dialect": "postgresql"}],
    "insert_few_entries": [{"many": many, "main": main} for many in (1, 3) for main in (True, False)],
    "insert_many_entries": [{"main": main} for main in (True, False)],
}
"""The parameters of the builders that have some."""

ASK_EVERY_PROJECT = {
    "select_prunable",  # finds idle sessions, of every project or of one
    "select_written_sessions",  # what prune and export look through
}
NEED_NO_PROJECT = {"select_allowed", "select_clock", "select_position", "select_replayed", "select_versions"}
"""They read no table of ours that has projects."""
SELECT_THEIR_SESSION = {"insert_many_entries"}
"""They insert ids that are drawn already, and a time that is the session's."""
ORDER_BY_ID = {"select_unplaced"}
"""Rows of other programs have no position."""


@cache
def builders() -> dict[str, Any]:
    """Every statement that the modules build, by the name of its function."""
    found: dict[str, Any] = {}
    for module in (append, delete, maintenance, place, read, standby):
        found |= dict(_cached(module))
    return found


def _cached(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, function in vars(module).items():
        built_here = hasattr(function, "cache_info") and function.__module__ == module.__name__
        if built_here and function.__annotations__["return"] != "str":  # a text is SQLite's
            yield name, function


def statements() -> Iterator[Any]:
    for name, build in builders().items():
        for number, given in enumerate(GIVEN.get(name, [{}])):
            yield pytest.param(name, build(**given), id=f"{name}-{number}" if number else name)


def sql(statement: Any) -> str:
    compiled = statement.compile(dialect=PGDialect_psycopg())  # type: ignore[no-untyped-call]
    return " ".join(str(compiled).split())


every_statement = pytest.mark.parametrize(("name", "statement"), list(statements()))


@every_statement
def test_each_mention_of_a_table_names_the_project_by_its_parameter(name: str, statement: Any) -> None:
    """`e.project_key = s.project_key` is none: the router then asks every server."""
    text = sql(statement)
    mentions, unnamed = _mentions(text)
    inserts = re.findall(r"INSERT INTO claude_session\w* \((.*?)\) (?:VALUES \(|SELECT )(.*)", text)
    assert text.count("INSERT INTO") == len(inserts)
    for columns, values in inserts:
        of_project = columns.split(", ").index("project_key")
        one_each = re.sub(r"coalesce\(.*?\(\)\)", "coalesced", values)
        project = one_each.split(", ")[of_project].removeprefix("claude_sessions.project_key")
        assert project.startswith("%(in_project)s") or (not project and name in SELECT_THEIR_SESSION)
    if name in ASK_EVERY_PROJECT:
        return
    assert unnamed == []
    assert bool(mentions or inserts) == (name not in NEED_NO_PROJECT)


def _mentions(text: str) -> tuple[list[str], list[str]]:
    """The tables of ours that a statement mentions, and those whose project it does not name."""
    found = re.findall(
        r"(?:FROM|JOIN|UPDATE|,) (claude_session\w*)(?: AS (\w+))?(?![\w.])(?! \()", text.replace(" ONLY", "")
    )
    mentions = [alias or table for table, alias in found]
    unnamed = list(mentions)
    for alias in re.findall(r'"?(\w+)"?\.project_key = %\(in_project\)s', text):
        if alias in unnamed:
            unnamed.remove(alias)
    return mentions, unnamed


@pytest.mark.parametrize(
    "statement",
    [
        derived.set_digest(),
        derived.set_searched(),
        search.delete_texts(),
        *(derived.delete_of_digest(table) for table in (derived.DIGESTS, derived.CALLS, derived.TEXTS)),
        *(derived_writes.mark_shared(table) for table in (derived.CALLS, derived.USES)),
    ],
    ids=sql,
)
def test_what_is_written_of_a_session_that_questions_read_names_its_project(statement: Any) -> None:
    mentions, unnamed = _mentions(sql(statement))
    assert mentions
    assert unnamed == []


@pytest.mark.parametrize("of_session", [True, False])
def test_an_export_of_one_project_asks_for_that_project_alone(of_session: bool) -> None:
    text = sql(maintenance.select_written_sessions(of_project=True, of_session=of_session))
    assert len(re.findall(r"FROM claude_session", text)) == text.count("project_key = %(in_project)s")


@every_statement
def test_no_function_gives_each_server_another_answer(name: str, statement: Any) -> None:  # noqa: ARG001
    """A distributed database refuses a volatile function in an UPDATE, and draws nextval() anywhere."""
    assert re.findall(r"clock_timestamp|nextval|random|gen_random_uuid|timeofday", sql(statement)) == []


@every_statement
def test_an_insertion_selects_from_no_table_of_ours(name: str, statement: Any) -> None:
    """It would then draw ids and times on the server that has the rows."""
    text = sql(statement)
    for found in re.finditer("INSERT INTO", text):
        insertion = _up_to_its_end(text[found.start() :])
        selected = re.findall(r"(?:FROM|JOIN) (claude_session\w*)", insertion)
        assert selected == (["claude_sessions"] if name in SELECT_THEIR_SESSION else []), name


def _up_to_its_end(text: str) -> str:
    """A statement up to the parenthesis that closes the CTE that it is, if it is one."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return text[:at]
    return text


@every_statement
def test_ids_order_only_what_has_no_position(name: str, statement: Any) -> None:
    """Servers draw ids from ranges of their own."""
    orders = re.findall(r"ORDER BY (.*?)(?: LIMIT|\)|$)", sql(statement))
    by_id = [order for order in orders if re.search(r"\bid\b", order)]
    behind_position = [
        order for order in by_id if re.match(r"\S+\.position( DESC)?, \S+\.id( DESC)?$", order)
    ]
    assert by_id == behind_position or name in ORDER_BY_ID


def test_nobody_asks_how_many_rows_an_insertion_selected() -> None:
    """A distributed database tells the rows that were sent. The count of an append is of what it returns."""
    asking = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "rowcount"
    }
    counted = {
        ast.unparse(node.args[0])
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "connection.count_rows"
    }
    assert asking == {"_core/connection.py"}
    assert counted == {"append_in_one(kind)"}
    assert all(isinstance(append.append_in_one(kind), Select) for kind in KINDS)


def test_every_exception_is_a_statement_there_is() -> None:
    excepted = ASK_EVERY_PROJECT | NEED_NO_PROJECT | SELECT_THEIR_SESSION | ORDER_BY_ID
    assert GIVEN.keys() | excepted <= builders().keys()
