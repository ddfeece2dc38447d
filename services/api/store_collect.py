"""What nobody will come back for leaves the store: old pieces, leftovers, blobs without a name."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.api.store_blobs import Blobs
from services.api.store_checkpoints import Checkpoints
from services.api.store_files import NEW_PREFIX, files
from services.chassis.telemetry import logger

log = logger("api.store")


@dataclass(frozen=True)
class Collected:
    """What was removed."""

    uploads: int = 0
    leftovers: int = 0
    freed_bytes: int = 0


def stale_uploads(directory: Path, before: float) -> int:
    """Remove those that nobody has gone on with since; not one that is being written."""
    count = 0
    for file in files(directory):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mtime < before:
                count += _removed_if_idle(Path(file.path))
    return count


def _removed_if_idle(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def leftovers(folders: Iterable[Path], before: float) -> int:
    """Remove files whose writer was killed before it could name them."""
    count = 0
    for file in _new_files(folders):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mtime < before:
                os.unlink(file.path)
                count += 1
    return count


def _new_files(folders: Iterable[Path]) -> Iterator[os.DirEntry[str]]:
    for folder in folders:
        yield from (file for file in files(folder) if file.name.startswith(NEW_PREFIX))


def unnamed_blobs(blobs: Blobs, checkpoints: Checkpoints, before: float) -> int:
    """Free what no manifest names and nobody wanted since; the books must be locked."""
    unwanted = set(blobs.names())
    wanted = checkpoints.wanted_blobs() if unwanted else set()
    if wanted is None:
        log.warning("no blob is freed while a manifest cannot be read")
        return 0
    freed, _ = blobs.free(unwanted - wanted, before)
    return freed
