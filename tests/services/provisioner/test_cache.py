"""The cache of verified checkpoints stays within its size."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from services.provisioner.providers.cache import prune, touch
from services.provisioner.providers.checkpoints import Checkpoints
from tests.builders import NOON
from tests.services.provisioner.scenes import a_checkpoint

KILOBYTES = 1024
LARGE = 100 * KILOBYTES


def used(data: Path, *fillings: bytes) -> list[str]:
    """Checkpoints that were used one after another, each verified into the cache."""
    checkpoints = Checkpoints(data / "store", data / "cache")
    digests = [a_checkpoint(data, filling=filling * LARGE) for filling in fillings]
    for number, digest in enumerate(digests):
        checkpoints.verified(digest)
        at = NOON + timedelta(minutes=number)
        touch(data / "cache" / "checkpoints" / f"{digest}.json", at)
    return digests


def kept(data: Path) -> set[str]:
    return {path.stem for path in (data / "cache" / "checkpoints").iterdir()}


def test_the_longest_unused_goes_first_with_its_blobs(data: Path) -> None:
    first, second = used(data, b"a", b"b")

    assert prune(data / "cache", 150 * KILOBYTES, set()) == [first]

    assert kept(data) == {second}
    blobs = [path for path in (data / "cache" / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == 1


def test_what_an_instance_uses_stays_however_large(data: Path) -> None:
    first, second = used(data, b"a", b"b")

    assert prune(data / "cache", 1, {first}) == [second]
    assert kept(data) == {first}


def test_nothing_goes_while_all_fits(data: Path) -> None:
    digests = used(data, b"a", b"b")

    assert prune(data / "cache", 300 * KILOBYTES, set()) == []
    assert kept(data) == set(digests)


def test_a_noted_use_does_not_make_a_file_look_changed(data: Path) -> None:
    (digest,) = used(data, b"a")
    manifest = data / "cache" / "checkpoints" / f"{digest}.json"
    before = manifest.stat().st_mtime_ns

    touch(manifest, NOON + timedelta(hours=1))

    assert manifest.stat().st_mtime_ns == before


def test_a_file_that_is_being_written_stays_and_a_left_over_one_goes(data: Path) -> None:
    used(data, b"a", b"b")
    folder = next((data / "cache" / "blobs").iterdir())
    writing, left = folder / f"{'0' * 64}.{os.getpid()}.1", folder / f"{'0' * 64}.4194999.1"
    writing.touch()
    left.touch()

    prune(data / "cache", 1, set())

    assert writing.exists()
    assert not left.exists()
