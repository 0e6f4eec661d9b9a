"""A statement as the text that a driver takes.

SQLAlchemy looks a statement up by all that it is made of, at each execution: for an append of one entry that
and the handling of each parameter's type take a third of SQLAlchemy's time (benchmarks: `append`). Of a text
it is spared, and listeners are told of the execution as of any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

_MOST = 256
"""Texts that are kept: each engine has a dialect of its own."""


class Spelled(NamedTuple):
    """A statement's text, for one dialect and schema."""

    text: str
    places: Sequence[str] | None
    """The names of the parameters in their order, where the driver takes them by place."""

    def arguments(self, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a driver's: by name or by place
        """Parameters as the driver takes them. Their values have to be ones that it knows by itself."""
        return parameters if self.places is None else tuple(map(parameters.__getitem__, self.places))


def spelled(statement: ClauseElement, dialect: Dialect, schemas: Mapping[str | None, str | None]) -> Spelled:
    """A statement's text. `schemas`: a `schema_translate_map`."""
    return _spelled(statement, dialect, frozenset(schemas.items()))


@lru_cache(_MOST)
def _spelled(
    statement: ClauseElement, dialect: Dialect, schemas: frozenset[tuple[str | None, str | None]]
) -> Spelled:
    compiled = statement.compile(
        dialect=dialect, schema_translate_map=dict(schemas) or None, render_schema_translate=bool(schemas)
    )
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - of a statement
    return Spelled(compiled.string, compiled.positiontup)
