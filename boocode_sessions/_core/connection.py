"""A connection wrapper that knows where our tables are."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVarTuple

from sqlalchemy import Connection, CursorResult, Executable, Result
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import TypedReturnsRows

from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.sql.compiled import CompiledText, compile_text

_Row = TypeVarTuple("_Row")


class StoreConnection(NamedTuple):
    """A connection, and where our tables are."""

    connection: Connection
    schema: str | None = None
    """The schema of our tables, unless the connection's search path or `schema_translate_map` leads there."""
    cipher: Cipher | None = None
    """Encrypts what is stored; None if nothing is encrypted."""
    tenant: str | None = None
    """The tenant that the work is done for; None without tenants."""

    @property
    def dialect(self) -> str:
        return self.connection.dialect.name

    @property
    def effective_schema(self) -> str | None:
        """The given schema, or else the one from the connection's `schema_translate_map`."""
        return self.schema or translated_schema(self.connection.get_execution_options())

    def select(
        self,
        statement: TypedReturnsRows[*_Row],
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> Result[*_Row]:
        """Run a statement that returns rows."""
        return self.connection.execute(statement, parameters, execution_options=self._options())

    def write(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> None:
        """Run a statement that returns no rows."""
        self.connection.execute(statement, parameters, execution_options=self._options())

    def run(self, statement: ClauseElement, parameters: Mapping[str, Any]) -> CursorResult[Any]:
        """Run a statement as text. Its parameters and rows have the driver's own values."""
        compiled = self._compile(statement)
        return self.connection.exec_driver_sql(compiled.text, compiled.arguments(parameters))

    @contextmanager
    def sending_large(self) -> Generator[None]:
        """Let psycopg block while it sends: libpq otherwise moves all that is left after each part it sends.

        For 280 MB that takes longer than all the other work. Over asyncio it would block the event loop too.
        """
        if self.connection.dialect.driver != "psycopg":
            yield
            return
        driver: Any = self.connection.connection.driver_connection
        driver.pgconn.nonblocking = 0
        try:
            yield
        finally:
            with suppress(Exception):  # the connection may be closed by now
                driver.pgconn.nonblocking = 1

    def write_rows(
        self, render: Callable[[Dialect, str | None], str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Run an INSERT as text, with values as they are stored. `render` returns the text."""
        self.connection.exec_driver_sql(render(self.connection.dialect, self.effective_schema), list(rows))

    @property
    def utf8(self) -> Callable[[bytes], object]:
        """A function that turns UTF-8 bytes into a parameter. psycopg takes them without decoding."""
        if self.connection.dialect.driver not in {"psycopg", "psycopg_async"}:
            return bytes.decode
        from boocode_sessions._core.psycopg_text import utf8_for  # noqa: PLC0415 - needs libpq

        return utf8_for(self.connection)

    def count_rows(self, statement: ClauseElement, parameters: Iterable[Mapping[str, Any]]) -> int:
        """Like `run`, for many parameter sets. Return how many rows all of them returned."""
        compiled = self._compile(statement)
        arguments = list(map(compiled.arguments, parameters))
        options = {"preserve_rowcount": True}
        return self.connection.exec_driver_sql(compiled.text, arguments, execution_options=options).rowcount

    def _compile(self, statement: ClauseElement) -> CompiledText:
        options: Mapping[str, Any] = self.connection.get_execution_options()
        schemas: dict[str | None, str | None] = options.get("schema_translate_map") or {}
        if self.schema:
            schemas = {**schemas, None: self.schema}
        return compile_text(statement, self.connection.dialect, frozenset(schemas.items()))

    def _options(self) -> dict[str, Any]:
        # Passed per statement: set on the connection, it would outlive our call in a host's transaction.
        return {"schema_translate_map": {None: self.schema}} if self.schema else {}


def translated_schema(execution_options: Mapping[str, Any]) -> str | None:
    """Return the schema that a host's `schema_translate_map` gives for our tables."""
    translated: dict[str | None, str] = execution_options.get("schema_translate_map") or {}
    return translated.get(None)
