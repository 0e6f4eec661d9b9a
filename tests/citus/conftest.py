"""A Citus cluster: CITUS_URL_VARIABLE in tests/fixtures/databases.py. Without one these tests are skipped."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, make_url, text

from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database, Databases


@pytest.fixture
def cluster(databases: Databases) -> Database:
    """The distributed database, empty, over the coordinator."""
    return databases.distributed()


@pytest.fixture
def coordinator(cluster: Database) -> Iterator[Engine]:
    made = create_engine(cluster.url)
    yield made
    made.dispose()


@pytest.fixture
def a_worker(cluster: Database, coordinator: Engine) -> str:
    """The URL of the same database over one of the workers."""
    with coordinator.connect() as connection:
        host, port = connection.execute(
            text("SELECT node_name, node_port FROM citus_get_active_worker_nodes() ORDER BY 2 LIMIT 1")
        ).one()
    return make_url(cluster.url).set(host=host, port=port).render_as_string(hide_password=False)
