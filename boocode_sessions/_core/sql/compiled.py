"""Compiles a statement to the text that a driver takes.

At each execution SQLAlchemy looks up a statement by all that it is made of, and handles each parameter's
type. For an append of one entry, that is a third of SQLAlchemy's time (benchmarks: `append`). Executing the
text skips that work, and event listeners still see each execution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

_MAX_TEXTS = 256
"""Maximum texts that are kept. Each engine has a dialect of its own."""


class CompiledText(NamedTuple):
    """The text of a statement, for one dialect and schema."""

    text: str
    places: Sequence[str] | None
    """The parameters' names in order, if the driver takes parameters by position; else None."""

    def arguments(self, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a driver's: by name or by place
        """Return the parameters as the driver takes them. The driver must know their types by itself."""
        return parameters if self.places is None else tuple(map(parameters.__getitem__, self.places))


@lru_cache(_MAX_TEXTS)
def compile_text(
    statement: ClauseElement, dialect: Dialect, schemas: frozenset[tuple[str | None, str | None]]
) -> CompiledText:
    """Return a statement's text. `schemas` has the items of a `schema_translate_map`."""
    compiled = statement.compile(
        dialect=dialect, schema_translate_map=dict(schemas) or None, render_schema_translate=bool(schemas)
    )
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - true for a statement
    return CompiledText(compiled.string, compiled.positiontup)
