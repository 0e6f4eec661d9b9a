"""As test_head_of_line, on a server that is told that it is a Citus cluster."""

import pytest
from sqlalchemy import Engine, select, true

from boocode_sessions._core import distributed
from tests.concurrency import test_head_of_line as head_of_line
from tests.concurrency.test_head_of_line import STORES, host
from tests.fixtures.databases import Database

__all__ = ["host"]


@pytest.fixture(autouse=True)
def _distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_HAS_CITUS", select(true()))


@pytest.mark.anyio
@pytest.mark.parametrize("kind", STORES)
async def test_a_locked_session_delays_nobody_elses_append(
    postgres_database: Database, host: Engine, kind: str
) -> None:
    await head_of_line.test_a_locked_session_delays_nobody_elses_append(
        postgres_database, host, kind, size=3, locked=2
    )
