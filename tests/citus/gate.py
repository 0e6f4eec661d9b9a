"""A TCP gate on loopback in front of one server of a cluster. It can be shut, or block all traffic."""

import contextlib
import socket
import threading


class Gate:
    """Passes every byte on until it is shut or blocked."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._shut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """The port on which it listens, even while shut."""
        return int(self._listener.getsockname()[1])

    def shut(self) -> None:
        """Cut all connections, and new ones at once, like a server that has died."""
        with self._lock:
            self._shut = True
            ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def block(self) -> None:
        """Keep all connections but pass nothing on, like a server that hangs."""
        self._flows.clear()

    def open(self) -> None:
        """Let everything through again."""
        self._shut = False
        self._flows.set()

    def close(self) -> None:
        """Close the gate for good."""
        self._flows.set()
        self.shut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._behind)
            except OSError:
                client.close()
                continue
            with self._lock:
                if self._shut:
                    client.close()
                    server.close()
                    continue
                self._ends += [client, server]
            for one, other in ((client, server), (server, client)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._flows.wait()
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        one.close()
