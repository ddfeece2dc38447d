"""Bring a checkpoint to the server: only what its store lacks, from the disk, resumed if cut."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cellnode.errors import Conflict, NotFound, StoreError
from cellnode.http_asking import Ask
from cellnode.models import MissingBlob, MissingBlobs, PinView
from cellnode.origin import Origin, path_of
from cellnode.store import Store

PIECE_BYTES = 8 * 1024 * 1024  # Larger blobs are sent in pieces, so that little is sent twice.
CHUNK_BYTES = 256 * 1024
BLOBS_ASKED_MAX = 5000  # In one question.
PIECE_SECONDS_MAX = 300.0
RESUMES_MAX, RESUME_PAUSE_SECONDS = 10, 0.2  # In a row, without one byte more.
ROUNDS_MAX = 3  # Somebody may remove a blob while the others are sent.

# Bytes sent, and bytes to send in all.
OnUpload = Callable[[int, int], None]


class Upload:
    """One checkpoint on its way from a local store."""

    def __init__(self, origin: Origin, store: Store, on_upload: OnUpload | None = None) -> None:
        self._origin = origin
        self._store = store
        self._on_upload = on_upload
        self._sent = self._total = 0

    def checkpoint(self, digest: str) -> int:
        """Send its blobs, then its manifest; the bytes that had to be moved."""
        manifest = self._store.manifest(digest)
        for round_number in range(1, ROUNDS_MAX + 1):
            self._blobs(manifest)
            try:
                self._manifest(digest)
                return self._sent
            except Conflict as error:
                if error.code != "blobs-missing" or round_number == ROUNDS_MAX:
                    raise
        raise AssertionError("the last round returns or raises")

    def pin(self, project: str, name: str, digest: str) -> None:
        """Let the name mean this checkpoint, if it does not yet."""
        path, headers = path_of("pins", name), {"Cellnode-Project": project}
        try:
            ask = Ask("GET", path, headers=headers, timeout_seconds=self._origin.timeout_seconds)
            if PinView.from_json(self._origin.answer(ask).json()).digest == digest:
                return
        except NotFound:
            pass  # It is new.
        record = self._store.pin(project, name) or {}
        told = record if record.get("digest") == digest else {}
        body = {"digest": digest, "by": told.get("by") or "", "notebook": told.get("notebook")}
        self._origin.send("PUT", path, body, headers=headers)

    # -- the parts of a checkpoint

    def _manifest(self, digest: str) -> None:
        raw = self._store.checkpoint_path(digest).read_bytes()
        ask = Ask(
            "PUT",
            path_of("checkpoints", digest),
            headers={"Content-Type": "application/json"},
            content=raw,
            timeout_seconds=PIECE_SECONDS_MAX,
            is_repeatable=True,
        )
        self._origin.answer(ask)

    def _blobs(self, manifest: dict[str, Any]) -> None:
        missing = list(self._missing(blobs_of(manifest)))
        self._total = self._sent + sum(each.bytes - each.received_bytes for each in missing)
        self._show(0)
        for blob in missing:
            path = self._file(blob)
            if blob.bytes <= PIECE_BYTES:
                self._whole(path, blob)
            else:
                self._in_pieces(path, blob)

    def _missing(self, blobs: list[dict[str, Any]]) -> Iterator[MissingBlob]:
        for first in range(0, len(blobs), BLOBS_ASKED_MAX):
            body = {"blobs": blobs[first : first + BLOBS_ASKED_MAX]}
            answer = self._origin.send("POST", path_of("blobs:missing"), body)
            yield from MissingBlobs.from_json(answer).missing

    def _file(self, blob: MissingBlob) -> Path:
        path = self._store.blob_path(blob.sha256)
        size = path.stat().st_size if path.is_file() else None
        if size != blob.bytes:
            found = "is not there" if size is None else f"has {size} bytes, not {blob.bytes}"
            raise StoreError(f"the blob {path} {found}; pin again")
        return path

    def _whole(self, path: Path, blob: MissingBlob) -> None:
        self._put(path, blob, 0, blob.bytes, is_piece=False)
        self._show(blob.bytes - blob.received_bytes)

    def _in_pieces(self, path: Path, blob: MissingBlob) -> None:
        """Each begins where the server says that the one before it ended."""
        received, in_vain = blob.received_bytes, 0
        while received < blob.bytes:
            before, end = received, min(received + PIECE_BYTES, blob.bytes)
            try:
                received = self._put(path, blob, received, end, is_piece=True)
            except Conflict as error:
                told = error.document.get("received_bytes")
                if error.code != "upload-conflict" or not isinstance(told, int):
                    raise
                received = told
            in_vain = 0 if received > before else in_vain + 1
            if in_vain > RESUMES_MAX:
                raise StoreError(
                    f"the server takes no more than {received} of {blob.bytes} bytes of the blob "
                    f"{blob.sha256}; is somebody else sending it too? Try again"
                )
            if in_vain:
                time.sleep(RESUME_PAUSE_SECONDS)
            self._show(received - before)

    def _put(self, path: Path, blob: MissingBlob, start: int, end: int, *, is_piece: bool) -> int:
        """Send these bytes of the file; how many of the blob the server has now."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - start),
        }
        if is_piece:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.bytes}"
        ask = Ask(
            "PUT",
            path_of("blobs", blob.sha256),
            headers=headers,
            content=lambda: chunks_of(path, start, end),
            timeout_seconds=PIECE_SECONDS_MAX,
            is_repeatable=True,
        )
        received = self._origin.answer(ask).json().get("received_bytes")
        return received if isinstance(received, int) else end

    def _show(self, more_bytes: int) -> None:
        self._sent += more_bytes
        if self._on_upload is not None:
            self._on_upload(self._sent, self._total)


def blobs_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The references of all its blobs, each once."""
    groups = manifest["groups"]
    found = [blob for group in groups for blob in (group["blob"], *group["buffers"])]
    return list({blob["sha256"]: blob for blob in found}.values())


def chunks_of(path: Path, start: int, end: int) -> Iterator[bytes]:
    """The bytes of a file from start to before end."""
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            chunk = file.read(min(CHUNK_BYTES, end - start))
            if not chunk:
                raise StoreError(f"the blob {path} became shorter while it was sent; pin again")
            start += len(chunk)
            yield chunk


def local_pin(store: Store, project: str, reference: str) -> tuple[str, str | None] | None:
    """Digest and name of a digest or a pin that this machine's store has; None if it has none."""
    if store.checkpoint_path(reference).is_file():
        return reference, None
    try:
        record = store.pin(project, reference)
    except StoreError:
        return None  # It is no name at all; the server says so.
    return (str(record["digest"]), reference) if record else None
