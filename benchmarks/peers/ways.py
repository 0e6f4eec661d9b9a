"""Ways in which an append's one statement could reach the driver: docs/decisions/statements-as-text.md.

Each encodes and plans like the store, but runs without its queue, deadline and retries.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import psycopg
from sqlalchemy import Connection
from sqlalchemy.util import await_only, greenlet_spawn

from benchmarks.entries import Entry
from benchmarks.peers import PROJECT
from benchmarks.peers.ours import OursAsync
from benchmarks.server import Address
from boocode_sessions._core.append.plan import Plan, in_one_parameters
from boocode_sessions._core.codec import encode_rows
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.sql.compiled import compile_text
from boocode_sessions._core.statements.append import append_in_one


class _Way(OursAsync):
    """Runs in one greenlet, over a connection from the engine's pool."""

    async def append(self, session: str, entries: Sequence[Entry], subpath: str | None = None) -> None:
        appender = self._store._appender  # noqa: SLF001 - encodes as the store does
        request = appender.request({"project_key": PROJECT, "session_id": session}, entries)
        plans = appender._plans(request)  # noqa: SLF001
        if not plans:  # the session's first append
            return await super().append(session, entries, subpath)
        (plan,) = plans
        await self._send(plan)
        appender._landed(request, plan.then)  # noqa: SLF001
        return None

    async def _send(self, plan: Plan) -> None:
        await greenlet_spawn(self._run, plan)

    def _run(self, plan: Plan) -> None:
        with self._engine.sync_engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            assert self._row(connection, plan, in_one_parameters(StoreConnection(connection), plan))

    def _row(self, connection: Connection, plan: Plan, parameters: dict[str, Any]) -> object:
        raise NotImplementedError

    def _text(self, plan: Plan) -> str:
        return compile_text(append_in_one(plan.kind), self._engine.sync_engine.dialect, frozenset()).text


class ByCore(_Way):
    label: ClassVar[str] = "the statement, through `Connection.execute`"

    def _row(self, connection: Connection, plan: Plan, parameters: dict[str, Any]) -> object:
        return connection.execute(append_in_one(plan.kind), parameters).first()


class ByText(_Way):
    label: ClassVar[str] = "its text, through `Connection.exec_driver_sql`: as we do"

    def _row(self, connection: Connection, plan: Plan, parameters: dict[str, Any]) -> object:
        return connection.exec_driver_sql(self._text(plan), parameters).first()


class ByDriver(_Way):
    label: ClassVar[str] = "its text, through the driver's own connection: listeners miss it"

    def _row(self, connection: Connection, plan: Plan, parameters: dict[str, Any]) -> object:
        driver: Any = connection.connection.driver_connection
        return await_only(_row_of(driver, self._text(plan), parameters))


class WithoutSQLAlchemy(_Way):
    label: ClassVar[str] = "its text, through a psycopg connection kept open"

    async def open(self, address: Address) -> None:
        await super().open(address)
        self._connection = await psycopg.AsyncConnection.connect(address.dsn, autocommit=True)

    async def close(self) -> None:
        await self._connection.close()
        await super().close()

    async def _send(self, plan: Plan) -> None:
        parameters = {**plan.parameters, "opens": plan.opens, "entries": encode_rows(plan.encoded).decode()}
        assert await _row_of(self._connection, self._text(plan), parameters)


WAYS = (ByCore, ByText, ByDriver, WithoutSQLAlchemy)


async def _row_of(driver: Any, text: str, parameters: dict[str, Any]) -> object:  # noqa: ANN401 - psycopg's
    cursor = await driver.execute(text, parameters)
    row: object = await cursor.fetchone()
    return row
