"""Checkpoints are verified byte by byte before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.statuses import Reason
from services.provisioner.providers import Refused
from services.provisioner.providers.checkpoints import Checkpoints
from tests.services.provisioner.scenes import a_checkpoint


def checkpoints(data: Path) -> Checkpoints:
    return Checkpoints(data / "store", data / "cache")


def blobs(data: Path) -> list[Path]:
    return sorted(path for path in (data / "store" / "blobs").rglob("*") if path.is_file())


def refusal(data: Path, digest: str) -> Refused:
    with pytest.raises(Refused) as caught:
        checkpoints(data).verified(digest)
    return caught.value


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_a_whole_checkpoint_lies_in_the_cache_in_the_layout_of_a_store(data: Path) -> None:
    digest = a_checkpoint(data)

    manifest = checkpoints(data).verified(digest)

    assert (data / "cache" / "checkpoints" / f"{digest}.json").is_file()
    for blob in manifest.blobs():
        assert (data / "cache" / "blobs" / blob.sha256[:2] / blob.sha256).is_file()


def test_a_checkpoint_that_is_not_there_is_named(data: Path) -> None:
    digest = "0" * 64

    caught = refusal(data, digest)

    assert caught.why is Reason.CHECKPOINT_MISSING
    assert digest in caught.difference[0]


def test_a_missing_blob_is_named(data: Path) -> None:
    digest = a_checkpoint(data)
    (blob,) = blobs(data)
    blob.unlink()

    caught = refusal(data, digest)

    assert caught.why is Reason.CHECKPOINT_MISSING
    assert caught.difference == (f"blob {blob.name} is not in the store",)


@pytest.mark.parametrize("damage", [flipped, lambda content: content[:-1], lambda _: b""])
def test_a_damaged_blob_is_named(data: Path, damage: object) -> None:
    digest = a_checkpoint(data)
    (blob,) = blobs(data)
    assert callable(damage)
    rewrite(blob, damage(blob.read_bytes()))

    caught = refusal(data, digest)

    assert caught.why is Reason.CHECKPOINT_DAMAGED
    assert blob.name in caught.difference[0]


def test_a_damaged_manifest_is_refused(data: Path) -> None:
    digest = a_checkpoint(data)
    manifest = data / "store" / "checkpoints" / f"{digest}.json"
    rewrite(manifest, flipped(manifest.read_bytes()))

    caught = refusal(data, digest)

    assert caught.why is Reason.CHECKPOINT_DAMAGED
    assert digest in caught.difference[0]


def test_damage_in_the_cache_is_mended_from_the_store(data: Path) -> None:
    digest = a_checkpoint(data)
    known = checkpoints(data)
    (blob,) = known.verified(digest).blobs()
    cached = data / "cache" / "blobs" / blob.sha256[:2] / blob.sha256
    whole = cached.read_bytes()
    rewrite(cached, flipped(whole))

    known.verified(digest)

    assert cached.read_bytes() == whole


def test_damage_to_the_store_does_not_reach_what_was_verified_before(data: Path) -> None:
    digest = a_checkpoint(data)
    checkpoints(data).verified(digest)
    (blob,) = blobs(data)
    rewrite(blob, b"")

    (known,) = checkpoints(data).verified(digest).blobs()

    assert known.sha256 == blob.name


def test_a_blob_that_comes_later_mends_the_refusal(data: Path) -> None:
    digest = a_checkpoint(data)
    (blob,) = blobs(data)
    away = blob.rename(data / "away")
    refusal(data, digest)
    away.rename(blob)

    checkpoints(data).verified(digest)


def test_nothing_half_written_stays_in_the_cache(data: Path) -> None:
    digest = a_checkpoint(data)
    (blob,) = blobs(data)
    rewrite(blob, flipped(blob.read_bytes()))

    refusal(data, digest)

    assert [path for path in (data / "cache").rglob("*") if blob.name in path.name] == []
