"""Whatever the driver, a database that can't be reached is an error of ours that says so."""

import contextlib
import os
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import URL, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    SessionKey,
    UnavailableError,
    migrations,
    queries,
    run_sync,
)
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.status import holdings, schema_status
from tests.fixtures.canaries import PASSWORD, assert_private, told_by
from tests.fixtures.databases import over_driver
from tests.fixtures.servers import EmbeddedPostgres, execute

pytestmark = pytest.mark.anyio

SYNCHRONOUS, ASYNCHRONOUS = ("psycopg", "psycopg2", "pg8000"), ("psycopg_async", "asyncpg")
SUBJECTS = [
    *((driver, kind) for driver in SYNCHRONOUS for kind in ("repository", "store")),
    *((driver, kind) for driver in ASYNCHRONOUS for kind in ("repository", "store")),
]
KEY: SessionKey = {"project_key": "drivers", "session_id": "s"}
CALLS: list[Callable[[Any], Any]] = [
    lambda subject: subject.append(KEY, [{"type": "user", "uuid": "u"}]),
    lambda subject: subject.load(KEY),
    lambda subject: subject.list_sessions("drivers"),
    lambda subject: subject.list_session_summaries("drivers"),
    lambda subject: subject.list_subkeys(KEY),
    lambda subject: subject.delete(KEY),
]
every_subject = pytest.mark.parametrize(("driver", "kind"), SUBJECTS)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server whose user `locked` needs a password."""
    with tempfile.TemporaryDirectory(prefix="boocode-drivers-", ignore_cleanup_errors=True) as folder:
        made = EmbeddedPostgres(Path(folder) / "data", "-c fsync=off")
        made.start()
        migrations.upgrade(made.url)
        execute(made.url, f"CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'")
        execute(made.url, "CREATE ROLE barred NOLOGIN")
        rules = made.data / "pg_hba.conf"
        rules.write_text("local all locked scram-sha-256\n" + rules.read_text())
        execute(made.url, "SELECT pg_reload_conf()")
        yield made
        made.stop("immediate")


@asynccontextmanager
async def opened(url: URL, driver: str, kind: str, **connect_args: object) -> AsyncIterator[Any]:
    """A host's own engine, with the driver's defaults."""
    url = over_driver(url, driver)
    if driver in ASYNCHRONOUS:
        async_engine = create_async_engine(url, connect_args=connect_args)
        bound = SQLAlchemySessionStore if kind == "store" else AsyncClaudeSessionRepository
        yield bound(async_engine)
        await async_engine.dispose()
        return
    engine = create_engine(url, connect_args=connect_args)
    yield SQLAlchemySessionStore(engine) if kind == "store" else _InThread(ClaudeSessionRepository(engine))
    engine.dispose()


class _InThread:
    """The synchronous repository, awaited."""

    def __init__(self, repository: ClaudeSessionRepository) -> None:
        self._repository = repository

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._repository, name)
        return lambda *arguments: anyio.to_thread.run_sync(method, *arguments)


@every_subject
async def test_a_server_that_is_down(driver: str, kind: str, tmp_path: Path) -> None:
    url = URL.create("postgresql", "postgres", database="postgres", query={"host": str(tmp_path)})
    async with opened(url, driver, kind) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match="can't be reached"):
                await call(subject)


@every_subject
async def test_a_port_that_nobody_listens_at(driver: str, kind: str) -> None:
    url = URL.create("postgresql", "postgres", host="127.0.0.1", port=1, database="postgres")
    async with opened(url, driver, kind) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match="can't be reached"):
                await call(subject)


@every_subject
async def test_a_wrong_password(server: EmbeddedPostgres, driver: str, kind: str) -> None:
    url = server.url.set(username="locked", password="wr0ng")  # noqa: S106 - a wrong one
    async with opened(url, driver, kind) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match="refused the password") as refused:
                await call(subject)
            assert "wr0ng" not in told_by(refused.value)


@every_subject
async def test_no_password(
    server: EmbeddedPostgres, driver: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    async with opened(server.url.set(username="locked"), driver, kind) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match="password"):
                await call(subject)


@every_subject
async def test_an_unknown_role(server: EmbeddedPostgres, driver: str, kind: str) -> None:
    async with opened(server.url.set(username="nobody"), driver, kind) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match="has no such role"):
                await call(subject)


@every_subject
async def test_a_wrong_name_of_the_database(server: EmbeddedPostgres, driver: str, kind: str) -> None:
    async with opened(server.url.set(database="nowhere"), driver, kind) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match="no database of this name"):
                await call(subject)


@every_subject
async def test_a_role_that_may_not_log_in(server: EmbeddedPostgres, driver: str, kind: str) -> None:
    async with opened(server.url.set(username="barred"), driver, kind) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match="does not let this user in"):
                await call(subject)


@every_subject
async def test_a_host_that_has_no_address(driver: str, kind: str) -> None:
    url = URL.create("postgresql", "postgres", host="no-such-host.invalid", database="postgres")
    async with opened(url, driver, kind) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match=r"can't be reached; check .* the URL's host and port"):
                await call(subject)


class Impostor:
    """Answers a client's wish for TLS and nothing else: no, or with a certificate that nobody signed."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = URL.create(
            "postgresql", "u", host="127.0.0.1", port=self._listener.getsockname()[1], database="d"
        )
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.settimeout(5)
                while (code := struct.unpack("!II", client.recv(8, socket.MSG_WAITALL))[1]) == _GSSAPI:
                    client.sendall(b"N")
                assert code == _TLS
                client.sendall(b"N" if self._context is None else b"S")
                if self._context is not None:
                    self._context.wrap_socket(client, server_side=True).close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


_TLS, _GSSAPI = 80877103, 80877104
"""PostgreSQL's requests before a connection's start."""


@pytest.fixture(params=["no TLS", "a certificate that nobody signed"])
def impostor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Impostor]:
    context = None
    if request.param != "no TLS":
        _sign_for_nobody(tmp_path / "server.pem")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tmp_path / "server.pem")
    made = Impostor(context)
    yield made
    made.close()


def _sign_for_nobody(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1)
        )
    ).sign(key, hashes.SHA256())
    encoding = serialization.Encoding.PEM
    clear = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, clear)
        + certificate.public_bytes(encoding)
    )


@every_subject
async def test_a_server_without_the_tls_that_is_asked_for(
    impostor: Impostor, tmp_path: Path, driver: str, kind: str
) -> None:
    """Or whose certificate the client does not know."""
    _sign_for_nobody(tmp_path / "other.pem")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "other.pem"))
    options: dict[str, object] = (
        {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "other.pem")}
        if driver.startswith("psycopg")
        else {"ssl": trusting}
        if driver == "asyncpg"
        else {"ssl_context": trusting}
    )
    async with opened(impostor.url, driver, kind, **options) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match="do not agree on TLS, or on a certificate"):
                await call(subject)


@every_subject
@pytest.mark.parametrize("option", ["no_such_option", "the other drivers' name for TLS", "sslmode"])
async def test_an_option_that_the_driver_does_not_take(
    server: EmbeddedPostgres, driver: str, kind: str, option: str
) -> None:
    """Nothing was sent: it is not told as an append that may have landed."""
    libpq = driver.startswith("psycopg")
    name = {"no_such_option": option, "sslmode": "sslmode" if libpq else "ssl"}.get(
        option, "ssl" if libpq else "sslmode"
    )
    async with opened(server.url, driver, kind, **{name: "nonsense"}) as subject:
        for call in CALLS:
            with pytest.raises(UnavailableError, match="the driver does not take an option") as refused:
                await call(subject)
            assert "nonsense" not in told_by(refused.value)


@pytest.mark.parametrize("driver", ASYNCHRONOUS)
async def test_functions_over_a_server_that_is_down(driver: str, tmp_path: Path) -> None:
    url = URL.create("postgresql", "postgres", database="postgres", query={"host": str(tmp_path)})
    engine = create_async_engine(over_driver(url, driver))
    functions: list[Callable[[Any], Any]] = [
        queries.sessions,
        queries.tools,
        migrations.upgrade,
        migrations.pending,
        schema_status,
        holdings,
    ]
    for function in functions:
        with pytest.raises(UnavailableError, match="can't be reached"):
            await run_sync(function, engine)
    await engine.dispose()


KILL_OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"""


@every_subject
async def test_a_backend_that_is_killed_between_calls(
    server: EmbeddedPostgres, driver: str, kind: str
) -> None:
    """An append says so, and lands once when it is sent again; a read finds a new connection by itself."""
    batch = [{"type": "user", "text": "no uuid"}]
    key: SessionKey = {"project_key": driver, "session_id": f"killed between {kind}"}
    async with opened(server.url, driver, kind) as subject:
        await subject.append(key, batch)
        execute(server.url, KILL_OTHERS)
        with pytest.raises(UnavailableError) as lost:
            await subject.append(key, batch)
        assert_private(told_by(lost.value))
        await subject.append(key, batch)
        assert await subject.load(key) == batch * 2
        execute(server.url, KILL_OTHERS)
        assert await subject.load(key) == batch * 2


@every_subject
async def test_a_backend_that_is_killed_during_a_call(
    server: EmbeddedPostgres, driver: str, kind: str
) -> None:
    batch = [{"type": "user", "text": "no uuid"}]
    key: SessionKey = {"project_key": driver, "session_id": f"killed during {kind}"}
    host = create_engine(server.url)
    async with opened(server.url, driver, kind) as subject:
        await subject.append(key, batch)
        with host.connect() as locking:
            locking.exec_driver_sql("LOCK TABLE claude_session_entries IN ACCESS EXCLUSIVE MODE")
            caught: list[UnavailableError] = []

            async def append() -> None:
                try:
                    await subject.append(key, batch)
                except UnavailableError as error:
                    caught.append(error)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(append)
                with anyio.fail_after(20):
                    while not _kill_who_waits(server):  # noqa: ASYNC110 - the server has no event
                        await anyio.sleep(0.02)
            assert len(caught) == 1
        await subject.append(key, batch)
        assert await subject.load(key) == batch * 2
    host.dispose()


def _kill_who_waits(server: EmbeddedPostgres) -> bool:
    engine = create_engine(server.url)
    with engine.connect() as connection:
        killed = connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        ).all()
    engine.dispose()
    return bool(killed)
