"""Keeps the cache of verified checkpoints below its size: the longest unused go first."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path

from services.chassis.telemetry import logger

log = logger("provisioner.cache")


def touch(manifest: Path, now: datetime) -> None:
    """Note the use of a checkpoint; its time of change stays, by which it counts as verified."""
    now_ns = int(now.timestamp() * 1e9)
    os.utime(manifest, ns=(now_ns, manifest.stat().st_mtime_ns))


def prune(cache: Path, bytes_max: int, kept: Collection[str]) -> list[str]:
    """Forget checkpoints that nobody uses until the rest fits; returns their digests."""
    forgotten: list[str] = []
    manifests = sorted((cache / "checkpoints").glob("*.json"), key=_last_used)
    for manifest in manifests:
        if _size(cache) <= bytes_max:
            break
        if manifest.stem not in kept:
            manifest.unlink()
            _remove_unreferenced(cache)
            forgotten.append(manifest.stem)
    if forgotten:
        log.info("cache pruned", checkpoints=len(forgotten), bytes_max=bytes_max)
    return forgotten


def _last_used(manifest: Path) -> int:
    return manifest.stat().st_atime_ns


def _size(cache: Path) -> int:
    return sum(path.stat().st_size for path in _files(cache))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _remove_unreferenced(cache: Path) -> None:
    wanted = {
        blob["sha256"]
        for manifest in (cache / "checkpoints").glob("*.json")
        for group in json.loads(manifest.read_bytes())["groups"]
        for blob in (group["blob"], *group["buffers"])
    }
    for blob in _files(cache / "blobs"):
        name, _, writer = blob.name.partition(".")
        is_being_written = bool(writer) and Path("/proc", writer.partition(".")[0]).exists()
        if name not in wanted and not is_being_written:
            blob.unlink(missing_ok=True)
