"""A TCP proxy that counts how often a client waits for the server."""

import contextlib
import socket
import threading

from sqlalchemy import URL

from tests.reliability.proxy import connector

_FLUSH = b"H\0\0\0\x04"
"""A message that psycopg sends after the end of a pipeline, without waiting for an answer."""


class WireCounter:
    """Counts round trips. Each begins when the client sends something after an answer from the server."""

    def __init__(self, server: URL) -> None:
        self._connect = connector(server)
        self._listener = socket.create_server(("127.0.0.1", 0))
        address = {"sslmode": "disable", "gssencmode": "disable"}
        url = server.set(host="127.0.0.1", port=self._listener.getsockname()[1], query=address)
        self.url = url.render_as_string(hide_password=False)
        self._count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def take(self) -> int:
        """Return the round trips since the last call."""
        taken, self._count = self._count, 0
        return taken

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                link = _Link(self, client, self._connect())
                threading.Thread(target=link.to_server, daemon=True).start()
                threading.Thread(target=link.to_client, daemon=True).start()

    def count(self) -> None:
        self._count += 1


class _Link:
    def __init__(self, counter: WireCounter, client: socket.socket, server: socket.socket) -> None:
        self._counter = counter
        self._client = client
        self._server = server
        self._answered = True

    def to_server(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.recv(1 << 18):
                if self._answered and data != _FLUSH:
                    self._answered = False
                    self._counter.count()
                self._server.sendall(data)
            self._server.shutdown(socket.SHUT_WR)

    def to_client(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(1 << 18):
                self._answered = True
                self._client.sendall(data)
        self._client.close()
        self._server.close()
