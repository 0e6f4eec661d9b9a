"""A TCP proxy to a unix socket that holds packets back: `python -m benchmarks.proxy SOCKET MILLISECONDS`.

Prints its port. A thread per direction sleeps until just before a packet is due and spins for the rest,
because a timer alone is late by as much as the intended delay.
"""

import socket
import sys
import threading
import time
from queue import SimpleQueue

_SPIN = 150e-6
_CHUNK = 1 << 18


def serve(path: str, delay: float) -> None:
    """Serve forever. `delay` is in seconds, each way."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(path)
        for source, sink in ((client, upstream), (upstream, client)):
            held: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
            threading.Thread(target=_receive, args=(source, held, delay), daemon=True).start()
            threading.Thread(target=_deliver, args=(sink, held), daemon=True).start()


def _receive(source: socket.socket, held: "SimpleQueue[tuple[float, bytes]]", delay: float) -> None:
    data = b"-"
    while data:
        try:
            data = source.recv(_CHUNK)
        except OSError:
            data = b""
        held.put((time.perf_counter() + delay, data))


def _deliver(sink: socket.socket, held: "SimpleQueue[tuple[float, bytes]]") -> None:
    while True:
        due, data = held.get()
        if (left := due - time.perf_counter() - _SPIN) > 0:
            time.sleep(left)
        while time.perf_counter() < due:
            pass
        try:
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(data)
        except OSError:
            return


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]) / 1000)
