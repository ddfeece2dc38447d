"""A server that answers each request with the next of its replies, byte for byte."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from schemas.http import PROBLEMS


@dataclass(frozen=True)
class Reply:
    """Bytes to send; then the connection is kept, or cut."""

    data: bytes = b""
    is_cut: bool = False
    after_seconds: float = 0.0


@dataclass(frozen=True)
class Request:
    """What arrived: header names in small letters."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def answer(document: Any, status: int = 200, headers: str = "") -> Reply:
    """A JSON answer."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}"
    return Reply(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def problem(code: str, headers: str = "", **members: Any) -> Reply:
    """An error answer as our services write it."""
    status, title = PROBLEMS[code]
    return answer({"code": code, "title": title, "status": status, **members}, status, headers)


def streamed(*parts: bytes, ends: bool = True) -> Reply:
    """A chunked text/event-stream, whole or cut before its end."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return Reply(head + chunks + (b"0\r\n\r\n" if ends else b""), is_cut=not ends)


@dataclass
class Site:
    """The replies that are left (the last one is repeated), and the requests that came."""

    replies: list[Reply]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Handler(socketserver.StreamRequestHandler):
    site: Site

    def handle(self) -> None:
        self.site.connections += 1
        while request := self._request():
            reply = self.site.next(request)
            time.sleep(reply.after_seconds)
            try:
                self.wfile.write(reply.data)
            except OSError:
                return  # The client has not waited.
            if reply.is_cut:
                return

    def _request(self) -> Request | None:
        line = self.rfile.readline().decode().split()
        if not line:
            return None
        headers = {}
        while header := self.rfile.readline().decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        return Request(line[0], line[1], headers, body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def serving(*replies: Reply) -> Iterator[Site]:
    """The site, on a free port of this machine."""
    site = Site(list(replies))
    handler = type("Handler", (_Handler,), {"site": site})
    with _Server(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
