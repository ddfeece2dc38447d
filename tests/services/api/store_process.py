"""A real api process over a store in a directory, and a client that speaks plain HTTP to it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 20.0
RAW = "application/octet-stream"
JSON = "application/json"


@dataclass(frozen=True)
class Reply:
    """An answer, read whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(self.json["code"])


class StoreApi:
    """One api over one store; it may be killed and started again at the same address."""

    def __init__(self, store: Path, redis_url: str, **settings: object) -> None:
        self.store = store
        self.port = free_port()
        self._redis_url = redis_url
        self._settings = settings
        self.start()

    def start(self) -> None:
        named = {f"CELLNODE_API_{name.upper()}": str(v) for name, v in self._settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "services.api"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "REDIS_URL": self._redis_url,
                "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",  # The store needs no bus.
                "CELLNODE_STORE": str(self.store),
                "CELLNODE_API_LISTEN": f"127.0.0.1:{self.port}",
                "CELLNODE_API_LOG_LEVEL": "error",
                **named,
            },
            stderr=subprocess.DEVNULL,
        )
        until(self._is_live, START_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _is_live(self) -> bool:
        assert self.process.poll() is None, "the api has ended"
        with suppress(OSError):
            return self.request("GET", "/livez").status == 200
        return False

    # What is asked of it.

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def send_json(self, method: str, path: str, document: Any, **headers: str) -> Reply:
        named = {"Content-Type": JSON} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.request(method, path, json.dumps(document), named)

    def put_blob(self, data: bytes, sha256: str = "", **headers: str) -> Reply:
        named = {"Content-Type": RAW} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.request("PUT", f"/v1/blobs/{sha256 or digest(data)}", data, named)

    def put_piece(self, sha256: str, data: bytes, start: int, total: int) -> Reply:
        given = f"bytes {start}-{start + len(data) - 1}/{total}"
        return self.put_blob(data, sha256, Content_Range=given)

    def put_checkpoint(self, *blobs: bytes, **changes: Any) -> str:
        """Its blobs, then its manifest; tells the digest."""
        for blob in blobs:
            assert self.put_blob(blob).status in (200, 201)
        raw = manifest(*blobs, **changes)
        reply = self.request("PUT", f"/v1/checkpoints/{digest(raw)}", raw, {"Content-Type": JSON})
        assert reply.status in (200, 201), reply.body
        return digest(raw)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    # What lies in the store.

    def blob(self, sha256: str) -> Path:
        return self.store / "blobs" / sha256[:2] / sha256

    def partial(self, sha256: str) -> Path:
        return self.store / "uploads" / sha256

    def files(self) -> set[str]:
        """Of everything but the lock."""
        found = (path for path in self.store.rglob("*") if path.is_file())
        return {path.relative_to(self.store).as_posix() for path in found} - {"lock"}


@contextmanager
def running(redis_url: str = "redis://127.0.0.1:1/0", **settings: object) -> Iterator[StoreApi]:
    """An api over an empty store, killed afterwards."""
    with tempfile.TemporaryDirectory(prefix="cn-store-") as directory:
        api = StoreApi(Path(directory) / "store", redis_url, **settings)
        try:
            yield api
        finally:
            api.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def until(is_so: Any, seconds: float = 10.0) -> None:
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, f"not so within {seconds} s"
        time.sleep(0.01)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest(*blobs: bytes, **changes: Any) -> bytes:
    """Canonical JSON of a checkpoint with one variable a blob."""
    document = {
        "format": 1,
        "python": {"implementation": "CPython", "version": "3.11.7", "executable": "/usr/bin/py"},
        "platform": {"system": "Linux", "machine": "x86_64"},
        "cloudpickle": "3.1.0",
        "packages": {},
        "modules": [],
        "groups": [{"blob": {"sha256": digest(b), "bytes": len(b)}, "buffers": []} for b in blobs],
        "variables": [
            {"name": f"v{n}", "type": "int", "schema": {}, "bytes": len(b), "group": n}
            for n, b in enumerate(blobs)
        ],
        **changes,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
