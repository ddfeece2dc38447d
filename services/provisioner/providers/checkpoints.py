"""Checkpoints on this host: every byte verified by digest, then kept in a cache of their own."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from schemas.checkpoints import Manifest, parse_manifest
from schemas.errors import CheckpointFault
from schemas.statuses import Reason
from services.provisioner.providers import Refused

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class _Seen:
    """A file as it was when its digest was right; another inode, size or time asks anew."""

    inode: int
    size: int
    changed_ns: int


class Checkpoints:
    """A store to read from and a cache to verify into. Its methods run in threads."""

    def __init__(self, store: Path, cache: Path) -> None:
        self._store = store
        self.cache = cache
        self._verified: dict[Path, _Seen] = {}

    def verified(self, digest: str) -> Manifest:
        """The manifest, with every byte of the checkpoint verified in the cache; or Refused."""
        place = Path("checkpoints", f"{digest}.json")
        self._bring(place, digest, None, f"the manifest of checkpoint {digest}")
        manifest = _parse((self.cache / place).read_bytes(), digest)
        for blob in manifest.blobs():
            where = Path("blobs", blob.sha256[:2], blob.sha256)
            self._bring(where, blob.sha256, blob.bytes, f"blob {blob.sha256}")
        return manifest

    def _bring(self, place: Path, digest: str, size: int | None, what: str) -> None:
        """Have the file in the cache, verified; what is damaged there is fetched anew."""
        cached = self.cache / place
        if not self._is_verified(cached, digest):
            _copy(self._store / place, cached, digest, what)
            self._verified[cached] = _seen(cached)
        found = self._verified[cached].size
        if size is not None and found != size:
            raise Refused(
                Reason.CHECKPOINT_DAMAGED, f"{what} has {found} bytes, the manifest says {size}"
            )

    def _is_verified(self, cached: Path, digest: str) -> bool:
        try:
            seen = _seen(cached)
            if self._verified.get(cached) == seen:
                return True
            if _digest(cached) != digest:
                cached.unlink(missing_ok=True)
                return False
        except OSError:
            return False
        self._verified[cached] = seen
        return True


def _seen(path: Path) -> _Seen:
    found = path.stat()
    return _Seen(found.st_ino, found.st_size, found.st_mtime_ns)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, target: Path, digest: str, what: str) -> None:
    """Copied, not linked: damage done to the store later must not reach running instances."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        found = _copy_and_digest(source, fresh)
        if found != digest:
            raise Refused(Reason.CHECKPOINT_DAMAGED, f"{what} is damaged: its digest is {found}")
        fresh.chmod(0o400)
        fresh.rename(target)
    except FileNotFoundError:
        raise Refused(Reason.CHECKPOINT_MISSING, f"{what} is not in the store") from None
    except OSError as error:
        raise Refused(Reason.CHECKPOINT_MISSING, f"{what} cannot be read: {error}") from None
    finally:
        fresh.unlink(missing_ok=True)


def _copy_and_digest(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    with open(fd, "rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(_CHUNK_BYTES):
            digest.update(chunk)
            writing.write(chunk)
    return digest.hexdigest()


def _parse(raw: bytes, digest: str) -> Manifest:
    try:
        return parse_manifest(raw, digest)
    except CheckpointFault as fault:
        raise Refused(Reason.CHECKPOINT_DAMAGED, fault.sentence) from None
