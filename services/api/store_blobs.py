"""Whole blobs of the store: which are there, their bytes, and when somebody last wanted them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from schemas.checkpoints import Blob
from services.api.store_files import files, is_digest, size_of


class Blobs:
    """`<store>/blobs/<first 2 hex digits>/<sha256>`; a blob's time says when it was last wanted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, sha256: str) -> Path:
        return self.directory / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        return size_of(self.path(sha256))

    def lacks(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those that are not there in their size; the others are touched."""
        return [blob for blob in blobs if not self._has(blob)]

    def read(self, sha256: str, start: int, count: int) -> bytes:
        with self.path(sha256).open("rb", buffering=0) as file:
            return os.pread(file.fileno(), count, start)

    def touch(self, sha256: str) -> None:
        """Somebody is about to use it: it is not freed for a while."""
        with contextlib.suppress(OSError):  # A store that is read-only frees nothing either.
            os.utime(self.path(sha256))

    def folders(self) -> list[Path]:
        try:
            return [path for path in self.directory.iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []

    def free(self, unwanted: Iterable[str], before: float) -> tuple[int, int]:
        """Remove those untouched since; bytes that were freed, bytes that were kept."""
        freed = kept = 0
        for sha256 in unwanted:
            path = self.path(sha256)
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                if found.st_mtime < before:
                    path.unlink()
                    freed += found.st_size
                else:
                    kept += found.st_size
        return freed, kept

    def names(self) -> Iterator[str]:
        """Of all blobs; what else may lie there is not ours to judge."""
        for folder in self.folders():
            found = (file.name for file in files(folder))
            yield from (name for name in found if is_digest(name) and name[:2] == folder.name)

    def _has(self, blob: Blob) -> bool:
        if self.size(blob.sha256) != blob.bytes:
            return False
        self.touch(blob.sha256)
        return True
