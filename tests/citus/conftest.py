"""A Citus cluster: CITUS_URL_VARIABLE in tests/fixtures/databases.py. Without one these tests are skipped."""

import itertools
import os
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import URL, Engine, make_url, text

from boocode_sessions import migrations
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database, Databases

_numbers = itertools.count()


@pytest.fixture
def cluster(databases: Databases) -> Database:
    """The empty distributed database, through the coordinator."""
    return databases.distributed()


@pytest.fixture
def coordinator(cluster: Database) -> Iterator[Engine]:
    made = create_engine(cluster.url)
    yield made
    made.dispose()


@pytest.fixture
def a_worker(cluster: Database, coordinator: Engine) -> str:
    """The URL of the same database through one of the workers."""
    with coordinator.connect() as connection:
        host, port = connection.execute(
            text("SELECT node_name, node_port FROM citus_get_active_worker_nodes() ORDER BY 2 LIMIT 1")
        ).one()
    return make_url(cluster.url).set(host=host, port=port).render_as_string(hide_password=False)


@pytest.fixture
def new_on_cluster(cluster: Database, coordinator: Engine) -> Iterator[str]:
    """A new database on every node, with the extension. Our tables are still on one server."""
    with coordinator.connect() as connection:
        nodes = connection.execute(text("SELECT nodename, nodeport, groupid FROM pg_dist_node")).all()
    name = f"boocode_citus_{os.getpid()}_{next(_numbers)}"
    made = make_url(cluster.url)
    for host, port, _ in nodes:
        with psycopg.connect(_conninfo(made, host, port), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        with psycopg.connect(_conninfo(made, host, port, name), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION citus")
    url = made.set(database=name)
    with psycopg.connect(_conninfo(url), autocommit=True) as connection:
        for host, port, group in nodes:
            call = "citus_set_coordinator_host" if group == 0 else "citus_add_node"
            connection.execute(f"SELECT {call}(%s, %s)".encode(), (host, port))
    migrations.upgrade(url)
    yield url.render_as_string(hide_password=False)
    for host, port, _ in nodes:
        with psycopg.connect(_conninfo(made, host, port), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _conninfo(url: URL, host: str | None = None, port: int | None = None, name: str | None = None) -> str:
    changed = url.set(drivername="postgresql", host=host, port=port, database=name)
    return changed.render_as_string(hide_password=False)
