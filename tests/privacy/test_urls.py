"""A database that can't be reached: an error of ours that says what to do, and never the URL's password."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy
from sqlalchemy import URL
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    InvalidURLError,
    SessionStoreError,
    UnavailableError,
)
from boocode_sessions import engine as our_engines
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.canaries import PASSWORD, assert_private, canary_entries, listening, told_by
from tests.fixtures.stores import Awaited

KEY: Any = {"project_key": "p", "session_id": "s"}


class TellTale:
    """A server that asks for the password in clear and repeats it in its refusal."""

    def __init__(self, code: str) -> None:
        self._code = code.encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    self._refuse(client)

    def _refuse(self, client: socket.socket) -> None:
        client.settimeout(5)
        while True:
            (size, code) = struct.unpack("!II", client.recv(8, socket.MSG_WAITALL))
            client.recv(size - 8, socket.MSG_WAITALL)
            if code == 3 << 16:
                break
            client.sendall(b"N")  # no TLS, no GSSAPI
        client.sendall(b"R" + struct.pack("!II", 8, 3))
        password = client.recv(1000)[5:].rstrip(b"\0")
        fields = b"SFATAL\0VFATAL\0C" + self._code + b"\0Mrefused: " + password + b"\0D" + password + b"\0\0"
        client.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def tell_tale() -> Iterator[Callable[[str], TellTale]]:
    with contextlib.ExitStack() as stack:

        def start(code: str) -> TellTale:
            server = TellTale(code)
            stack.callback(server.close)
            return server

        yield start


def failures(url: str | URL) -> list[tuple[BaseException, list[str]]]:
    """What every form of the store, over our engines and a host's, raises and tells."""
    is_async = "+aiosqlite" if str(url).startswith("sqlite") else "+psycopg"
    async_url = sqlalchemy.make_url(url)
    async_url = async_url.set(drivername=async_url.get_backend_name() + is_async)
    found: list[tuple[BaseException, list[str]]] = []

    async def call(make: Callable[[], Any], store_of: Callable[[Any], Any]) -> None:
        for method in ("append", "load"):
            with listening() as told:
                engine = make()
                store = store_of(engine)
                arguments = (KEY, canary_entries()) if method == "append" else (KEY,)
                with pytest.raises(SessionStoreError) as refused:
                    await getattr(store, method)(*arguments)
                disposed = engine.dispose()
                if disposed is not None:
                    await disposed
            found.append((refused.value, told))

    async def main() -> None:
        for make in (our_engines.create_engine, sqlalchemy.create_engine):
            await call(partial(make, url), lambda engine: Awaited(ClaudeSessionRepository(engine)))
            await call(partial(make, url), SQLAlchemySessionStore)
        for make_async in (our_engines.create_async_engine, sqlalchemy_asyncio.create_async_engine):
            await call(partial(make_async, async_url), AsyncClaudeSessionRepository)
            await call(partial(make_async, async_url), SQLAlchemySessionStore)
        await anyio.sleep(0.2)  # aiosqlite's thread of a failed connection tells the loop once more

    anyio.run(main)
    return found


@pytest.mark.parametrize("code", ["28P01", "28000", "3D000", "53300", "57P03", "XX000"])
def test_a_server_that_repeats_the_password_is_not_repeated(
    tell_tale: Callable[[str], TellTale], code: str
) -> None:
    server = tell_tale(code)
    url = f"postgresql+psycopg://user:{PASSWORD}@127.0.0.1:{server.port}/sessions"
    for error, told in failures(url):
        assert_private(told_by(error))
        assert_private(told)
        assert isinstance(error, UnavailableError)
        assert "session 's' of project 'p'" in str(error)
        assert "check" in str(error)


def test_a_server_that_is_not_there_is_said_to_be_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for error, told in failures(f"postgresql+psycopg://user:{PASSWORD}@127.0.0.1:{port}/sessions"):
        assert_private([told_by(error), *told])
        assert isinstance(error, UnavailableError)
        assert "the database can't be reached" in str(error)


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("secret " * 1000)
    for error, _ in failures(f"sqlite:///{tmp_path / 'none'}"):
        assert isinstance(error, UnavailableError)
        assert "the file is no SQLite database; check the path" in str(error)


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    for error, _ in failures(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}"):
        assert isinstance(error, UnavailableError)
        assert "the file can't be opened; check the path and its folder" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{PASSWORD}@1:{PASSWORD}@host/db",
        f"postgresql://user:p@host:{PASSWORD}/db",
        f"{PASSWORD}",
        f"//{PASSWORD}@host",
        "",
    ],
)
def test_a_url_that_can_not_be_read_is_not_repeated(url: str) -> None:
    for make in (our_engines.create_engine, our_engines.create_async_engine):
        with listening() as told, pytest.raises(InvalidURLError, match="percent-encode") as refused:
            make(url)
        assert_private([told_by(refused.value), *told])


def test_an_engine_of_ours_does_not_show_its_password() -> None:
    engine = our_engines.create_engine(f"postgresql://user:{PASSWORD}@host/db")
    assert_private([repr(engine), str(engine), repr(engine.url), str(engine.url)])
