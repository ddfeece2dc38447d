"""The store itself: cancelled, shared by several processes, asked by those who deploy."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.views import PinBody
from services.api import store_books, store_files
from services.api.problems import ApiProblem
from services.api.store import Store
from services.chassis.clock import SYSTEM_CLOCK
from tests.services.api.store_process import digest, manifest


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(tmp_path / "store", SYSTEM_CLOCK)) as made:
        yield made


async def put(store: Store, data: bytes) -> None:
    async with store.upload(digest(data), None) as arriving:
        await arriving.write(data)
        await arriving.finish()


async def refusal(store: Store, sha256: str, start: int) -> ApiProblem:
    with pytest.raises(ApiProblem) as refused:
        async with store.upload(sha256, start):
            pass
    return refused.value


async def put_checkpoint(store: Store, data: bytes) -> str:
    await put(store, data)
    raw = manifest(data)
    await store.put_checkpoint(digest(raw), raw)
    return digest(raw)


async def test_who_is_cancelled_holds_no_upload(store: Store) -> None:
    data = os.urandom(1024 * 1024)

    async def sending() -> None:
        async with store.upload(digest(data), None) as arriving:
            while True:
                await arriving.write(data)

    for steps in range(40):
        task = asyncio.create_task(sending())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    await put(store, data)
    assert await store.blob_bytes(digest(data)) == len(data)


async def test_a_checkpoint_that_is_just_being_deployed_is_not_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await put_checkpoint(store, b"about to be used")
    await store.put_pin("default", "mine", PinBody(digest=name))
    assert await store.resolve("default", "mine") == name
    await store.remove_pin("default", "mine")

    with pytest.raises(ApiProblem, match="deployed a moment ago"):
        await store.remove_checkpoint(name, [], SYSTEM_CLOCK.now())
    monkeypatch.setattr(store_books, "RESOLVED_SECONDS", 0.0)
    removed = await store.remove_checkpoint(name, [], SYSTEM_CLOCK.now() + timedelta(days=1))

    assert removed.freed_bytes == len(b"about to be used")
    with pytest.raises(ApiProblem, match="checkpoint-unknown"):
        await store.resolve("default", name)


async def test_what_is_no_pin_is_not_resolved(store: Store) -> None:
    with pytest.raises(ApiProblem, match="pin-unknown"):
        await store.resolve("default", "nobody")
    with pytest.raises(ApiProblem, match="checkpoint-unknown"):
        await store.resolve("default", "0" * 64)


async def test_another_process_that_changes_the_books_is_waited_for_but_not_for_ever(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_files, "LOCK_SECONDS_MAX", 0.3)
    name = await put_checkpoint(store, b"shared")
    body = PinBody(digest=name)
    with (tmp_path / "store" / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ApiProblem, match="store-unavailable"):
            await store.put_pin("default", "mine", body)
        putting = asyncio.create_task(store.put_pin("default", "mine", body))
        await asyncio.sleep(0.05)
        fcntl.flock(held, fcntl.LOCK_UN)

        pin, is_new = await putting

    assert (pin.digest, is_new) == (name, True)


async def test_two_stores_over_one_directory_do_not_write_one_blob_at_once(
    store: Store, tmp_path: Path
) -> None:
    data = b"both want it"
    with contextlib.closing(Store(tmp_path / "store", SYSTEM_CLOCK)) as other:
        async with store.upload(digest(data), None) as arriving:
            await arriving.write(data[:4])
            refused = await refusal(other, digest(data), 4)
        async with other.upload(digest(data), 4) as arriving:
            await arriving.write(data[4:])
            await arriving.finish()

    assert refused.code == "upload-conflict"
    assert refused.members == {"received_bytes": 4}
    assert await store.read(digest(data), 0, 100) == data
