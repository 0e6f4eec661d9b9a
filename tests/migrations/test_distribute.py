"""A plain server can't be distributed, and the error says what is missing: tests/citus has the rest."""

import pytest
from sqlalchemy import Engine

from boocode_sessions import UnsupportedBindError, migrations
from boocode_sessions.status import holdings
from tests.fixtures.databases import CITUS_URL_VARIABLE, Databases


@pytest.fixture
def plain(databases: Databases, dialect: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.delenv(CITUS_URL_VARIABLE, raising=False)
    return databases.migrated(dialect).engine()


def test_a_plain_server_is_refused_with_what_to_install(plain: Engine, dialect: str) -> None:
    told = "install it on each server" if dialect == "postgresql" else "only PostgreSQL"
    with pytest.raises(UnsupportedBindError, match=told):
        migrations.distribute(plain)
    assert holdings(plain).shards is None
    plain.dispose()
