"""A way to a server that can be cut after so many bytes."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 16 * 1024


class Way:
    """Passes bytes on, both ways; counts those towards the server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = ""
        self.sent_bytes = 0
        self.cut_after_bytes: int | None = None  # Once; then None again.
        self.cuts = 0

    def passes(self, count: int) -> bool:
        self.sent_bytes += count
        if self.cut_after_bytes is None or self.sent_bytes < self.cut_after_bytes:
            return True
        self.cut_after_bytes = None
        self.cuts += 1
        return False


class _Handler(socketserver.BaseRequestHandler):
    way: Way

    def handle(self) -> None:
        client: socket.socket = self.request
        with socket.create_connection(("127.0.0.1", self.way.port)) as server:
            back = threading.Thread(target=self._back, args=(server, client))
            back.start()
            with contextlib.suppress(OSError):
                self._forth(client, server)
            for side in (server, client):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
            back.join()

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(CHUNK_BYTES):
            server.sendall(data)
            if not self.way.passes(len(data)):
                return

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK_BYTES):
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def cuttable(port: int) -> Iterator[Way]:
    """A way to this port of this machine."""
    way = Way(port)
    handler = type("Handler", (_Handler,), {"way": way})
    with _Server(("127.0.0.1", 0), handler) as server:
        way.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield way
        finally:
            server.shutdown()
            thread.join()
