"""Exit 0 if the service of this container says that it is ready: the image's health check."""

from __future__ import annotations

import socket
import sys

TIMEOUT_SECONDS = 4.0
QUESTION = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def is_ready(host: str, port: int) -> bool:
    """Whether it answers 200; a connection that fails is an answer too."""
    try:
        with socket.create_connection((host, port), TIMEOUT_SECONDS) as asked:
            asked.sendall(QUESTION)
            return asked.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_ready("127.0.0.1", 8080) else 1)
