"""The checkpoint store: a directory of content-addressed files, written once and atomically."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cellnode.errors import StoreError

NAME_PATTERN = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?\Z")
READ_ONLY = 0o444


def default_directory() -> Path:
    """`$CELLNODE_STORE`, else `$CELLNODE_DATA/store`, else `~/.cellnode/store`."""
    if store := os.environ.get("CELLNODE_STORE"):
        return Path(store)
    if data := os.environ.get("CELLNODE_DATA"):
        return Path(data) / "store"
    return Path.home() / ".cellnode" / "store"


def canonical_json(document: Any) -> bytes:
    """RFC 8785 bytes of a document without floats."""
    _refuse_floats(document)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise ValueError(f"{value!r}: floats have no canonical form here")
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list | tuple) else ():
        _refuse_floats(child)


class Store:
    """Blobs and checkpoints by digest, pins by name."""

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.directory = default_directory() if directory is None else Path(directory)

    def blob_path(self, sha256: str) -> Path:
        return self.directory / "blobs" / sha256[:2] / sha256

    def checkpoint_path(self, digest: str) -> Path:
        return self.directory / "checkpoints" / f"{digest}.json"

    def pin_path(self, project: str, name: str) -> Path:
        for kind, value in (("project", project), ("name", name)):
            if not NAME_PATTERN.match(value):
                raise StoreError(
                    f"{kind}: {value!r} must start with a small letter and hold only small "
                    "letters, digits and dashes, at most 63"
                )
        return self.directory / "pins" / project / f"{name}.json"

    def put_blob(self, data: bytes | memoryview) -> tuple[dict[str, Any], bool]:
        """Its reference, and whether it had to be written."""
        view = memoryview(data).cast("B")
        sha256 = hashlib.sha256(view).hexdigest()
        path = self.blob_path(sha256)
        is_new = not path.is_file() or path.stat().st_size != view.nbytes
        if is_new:
            self._write(path, view)
        else:
            _touch(path)
        return {"sha256": sha256, "bytes": view.nbytes}, is_new

    def put_checkpoint(self, manifest: dict[str, Any]) -> str:
        """The digest: the SHA-256 of exactly the bytes that the file holds."""
        raw = canonical_json(manifest)
        digest = hashlib.sha256(raw).hexdigest()
        path = self.checkpoint_path(digest)
        if not path.is_file() or path.read_bytes() != raw:
            self._write(path, raw)
        return digest

    def manifest(self, digest: str) -> dict[str, Any]:
        try:
            raw = self.checkpoint_path(digest).read_bytes()
        except FileNotFoundError:
            raise StoreError(f"the store has no checkpoint {digest}") from None
        if hashlib.sha256(raw).hexdigest() != digest:
            raise StoreError(f"the manifest of checkpoint {digest} is damaged")
        manifest: dict[str, Any] = json.loads(raw)
        return manifest

    def put_pin(self, project: str, name: str, record: dict[str, Any]) -> None:
        self._write(self.pin_path(project, name), json.dumps(record, indent=1).encode(), 0o644)

    def pin(self, project: str, name: str) -> dict[str, Any] | None:
        """The record of a pin; None if nobody made one of this name."""
        path = self.pin_path(project, name)
        try:
            record: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            raise StoreError(f"the pin {path} is damaged; remove the file and pin again") from None
        return record

    def _write(self, path: Path, data: bytes | memoryview, mode: int = READ_ONLY) -> None:
        """Whole or not at all, also when the machine stops in between."""
        try:
            self._write_whole(path, data, mode)
        except OSError as error:
            raise StoreError(
                f"cannot write to the store {self.directory} ({error}); "
                "free or allow it, or name another directory as the store"
            ) from error

    def _write_whole(self, path: Path, data: bytes | memoryview, mode: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path.parent) as (fd, temporary):
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), mode)
            os.replace(temporary, path)
        _sync_directory(path.parent)


def _touch(path: Path) -> None:
    """An api on the same directory frees blobs that no manifest names and nobody wanted lately."""
    with contextlib.suppress(OSError):  # Where we may not, it is another's, who keeps it.
        os.utime(path)


@contextlib.contextmanager
def _temporary(directory: Path) -> Iterator[tuple[int, str]]:
    fd, path = tempfile.mkstemp(dir=directory, prefix=".new-")
    try:
        yield fd, path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
