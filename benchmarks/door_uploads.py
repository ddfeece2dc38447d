"""Blobs through gateway and api: large, broken off and resumed, not what they are said to be."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
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
RAW = "application/octet-stream"


class Blob:
    """Bytes that can be made again from any place, so that nobody need hold them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._block = os.urandom(MIB)  # Another blob in every run; sizes are multiples of it.
        digest = hashlib.sha256()
        for part in self.parts():
            digest.update(part)
        self.sha256 = digest.hexdigest()

    def parts(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        place, end = start, self.size if end is None else end
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
        self, sha256: str, blob: Blob, start: int = 0, end: int | None = None
    ) -> tuple[int, Any]:
        """All of the blob, or the rest from `start`; with `end` we are gone by then."""
        connection = self.connection()
        try:
            connection.putrequest("PUT", f"/v1/blobs/{sha256}")
            connection.putheader("Content-Type", RAW)
            connection.putheader("Content-Length", str(blob.size - start))
            if start:
                place = f"bytes {start}-{blob.size - 1}/{blob.size}"
                connection.putheader("Content-Range", place)
            connection.endheaders()
            for part in blob.parts(start, end):
                connection.send(part)
            if end is not None:
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
    blob, half = Blob(BROKEN_BYTES), BROKEN_BYTES // 2
    door.put(blob.sha256, blob, end=half)
    left = resumed(door, blob)
    other = Blob(BROKEN_BYTES)
    door.put(other.sha256, other, end=half)
    door.system.restart("api", signal.SIGKILL)
    killed = resumed(door, other)
    return [
        Row("upload_broken_kept_mb", left / MB, at_least=(half - MIB) / MB),
        Row("upload_broken_api_killed_kept_mb", killed / MB, at_least=MIB / MB),
        Row("upload_resumed_count", 2, at_least=2),
    ]


def resumed(door: Door, blob: Blob) -> int:
    """The rest, and nothing but the rest; how many bytes needed not be sent again."""

    def look() -> int | None:
        """What has arrived, once nobody writes it any more."""
        before = door.received(blob.sha256)
        time.sleep(0.2)
        status, size = door.received(blob.sha256)
        return size if (status, size) == before and status == 404 and size > 0 else None

    kept = until("what had arrived is told", look)
    status, view = door.put(blob.sha256, blob, start=kept)
    assert status == 201, (status, view)
    assert door.digest(blob.sha256) == blob.sha256, "the blob is another one now"
    return kept


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
