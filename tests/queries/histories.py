"""Histories of a store, step by step, with steps by us and by other programs."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.models import Base
from tests.fixtures.seed import delete_as_the_seed_does, insert_as_the_seed_does
from tests.queries.lines import Line, key


class Said(Protocol):
    """A line to append."""

    def line(self) -> Line: ...


def live_through(
    engine: Engine, steps: Sequence[tuple[str, Any, Sequence[Said]]], ask: Callable[[], object]
) -> None:
    """Empty the store and take the steps; `ask` is one of them."""
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            connection.execute(table.delete())
    repository = ClaudeSessionRepository(engine)
    for what, (project, session, subpath), lines in steps:
        where = key(session, project, subpath)
        if what == "append":
            repository.append(where, [one.line() for one in lines])
        elif what == "seed":
            insert_as_the_seed_does(engine, where, [json.dumps(one.line()) for one in lines])
        elif what == "delete":
            repository.delete(where)
        elif what == "seed-delete":
            delete_as_the_seed_does(engine, where)
        else:
            ask()
