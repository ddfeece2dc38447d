"""Blobs through gateway and api: large, broken off and resumed, not what they are said to be."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rows import Row
from schemas.http import RECEIVED_BYTES_HEADER
from tests.e2e.system import System
from tests.e2e.waiting import until

MB, MIB = 10**6, 2**20
LARGE_BYTES, BROKEN_BYTES, WRONG_BYTES = 2048 * MIB, 256 * MIB, 64 * MIB
API_MEMORY_MB_MAX = 100.0
ANSWER_SECONDS_MAX = 60.0
SETTLED_SECONDS = 0.2
# Of the 134 MB that are sent: what was taken in is kept. What lies in two sockets on its way is
# not, and Linux may let each of them grow to more than 36 MB.
KEPT_MB_MIN = 50.0
RAW = "application/octet-stream"

Act = Callable[[], object]


@dataclass(frozen=True)
class Resumed:
    """An upload that was broken off and gone on with."""

    kept: int  # Bytes that needed not be sent again.
    is_right: bool


class Blob:
    """Bytes that can be made again from any place, so that nobody need hold them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._block = os.urandom(MIB)  # Another blob in every run; sizes are multiples of it.
        digest = hashlib.sha256()
        for part in self.parts(0, size):
            digest.update(part)
        self.sha256 = digest.hexdigest()

    def parts(self, start: int, end: int) -> Iterator[bytes]:
        place = start
        while place < end:
            within = place % MIB
            part = self._block[within : within + end - place]
            place += len(part)
            yield part


class Door:
    """The gateway of a system, asked about blobs."""

    def __init__(self, system: System) -> None:
        self.system = system

    def put(
        self, sha256: str, blob: Blob, start: int = 0, *, broken_by: Act | None = None
    ) -> tuple[int, Any]:
        """All of the blob, or the rest from `start`; or only half of it, when it is broken off."""
        connection = self.connection()
        try:
            connection.putrequest("PUT", f"/v1/blobs/{sha256}")
            connection.putheader("Content-Type", RAW)
            connection.putheader("Content-Length", str(blob.size - start))
            if start:
                place = f"bytes {start}-{blob.size - 1}/{blob.size}"
                connection.putheader("Content-Range", place)
            connection.endheaders()
            for part in blob.parts(start, blob.size // 2 if broken_by else blob.size):
                connection.send(part)
            if broken_by:
                broken_by()
                return 0, None
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def received(self, sha256: str) -> tuple[int, int]:
        """The status of HEAD, and how many bytes of the blob are there."""
        connection = self.connection()
        try:
            connection.request("HEAD", f"/v1/blobs/{sha256}")
            answer = connection.getresponse()
            is_whole = answer.status == 200
            header = "Content-Length" if is_whole else RECEIVED_BYTES_HEADER
            return answer.status, int(answer.headers.get(header, -1))
        finally:
            connection.close()

    def digest(self, sha256: str) -> str:
        """Of what the server gives back."""
        connection, digest = self.connection(), hashlib.sha256()
        try:
            connection.request("GET", f"/v1/blobs/{sha256}")
            answer = connection.getresponse()
            while part := answer.read(MIB):
                digest.update(part)
            return digest.hexdigest()
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.system.gateway, timeout=ANSWER_SECONDS_MAX)

    def memory_mb_max(self, service: str) -> float:
        """The most that the process has ever had in memory."""
        status = Path(f"/proc/{self.system.service_pid(service)}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / MB


def rows() -> list[Row]:
    system = System()
    try:
        system.start()
        door = Door(system)
        return [*large(door), *broken_off(door), *wrong(door)]
    finally:
        system.stop()
        system.remove()


def large(door: Door) -> list[Row]:
    """Up and down again, before anything else has been asked of these processes."""
    blob = Blob(LARGE_BYTES)
    begun = time.monotonic()
    status, view = door.put(blob.sha256, blob)
    up = time.monotonic()
    assert status == 201, (status, view)
    is_right = door.digest(blob.sha256) == blob.sha256
    down = time.monotonic()
    return [
        Row("upload_2_gib_api_memory_mb", door.memory_mb_max("api"), at_most=API_MEMORY_MB_MAX),
        Row("upload_2_gib_gateway_memory_mb", door.memory_mb_max("gateway")),
        Row("upload_2_gib_mb_per_second", blob.size / MB / (up - begun)),
        Row("download_2_gib_mb_per_second", blob.size / MB / (down - up)),
        Row("download_2_gib_wrong_count", 1 - is_right, at_most=0),
    ]


def broken_off(door: Door) -> list[Row]:
    """Once the client is gone, once the api is killed; both go on with what had arrived."""
    left = resumed(door, lambda: None)
    killed = resumed(door, lambda: door.system.restart("api", signal.SIGKILL))
    return [
        Row("upload_of_134_mb_client_gone_kept_mb", left.kept / MB, at_least=KEPT_MB_MIN),
        Row("upload_of_134_mb_api_killed_kept_mb", killed.kept / MB, at_least=KEPT_MB_MIN),
        Row("upload_resumed_count", left.is_right + killed.is_right, at_least=2),
    ]


def resumed(door: Door, broken_by: Act) -> Resumed:
    """Half of a blob, a break, then the rest and nothing but the rest."""
    blob = Blob(BROKEN_BYTES)
    door.put(blob.sha256, blob, broken_by=broken_by)

    def look() -> int | None:
        """What has arrived, once nobody writes it any more."""
        before = door.received(blob.sha256)
        time.sleep(SETTLED_SECONDS)
        status, size = door.received(blob.sha256)
        return size if (status, size) == before and status == 404 and size > 0 else None

    kept = until("what had arrived is told", look)
    status, _ = door.put(blob.sha256, blob, start=kept)
    return Resumed(kept, status == 201 and door.digest(blob.sha256) == blob.sha256)


def wrong(door: Door) -> list[Row]:
    """Bytes that are not what their name says: refused, and nothing of them is kept."""
    blob, sha256 = Blob(WRONG_BYTES), hashlib.sha256(b"something else").hexdigest()
    status, problem = door.put(sha256, blob)
    is_refused = (status, problem.get("code")) == (422, "digest-mismatch")
    kept = list(door.system.store.rglob(f"*{sha256}*"))
    return [
        Row("upload_wrong_digest_refused_count", is_refused, at_least=1),
        Row("upload_wrong_digest_files_left_count", len(kept), at_most=0),
        Row("upload_wrong_digest_visible_count", door.received(sha256) != (404, 0), at_most=0),
    ]
