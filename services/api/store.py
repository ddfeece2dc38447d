"""The checkpoint store as the api sees it: all that it asks of the disk, in threads of its own.

An object store in its place would have these methods.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from shutil import disk_usage
from typing import TypeVar

from schemas.checkpoints import Blob
from schemas.views import (
    CheckpointPage,
    CheckpointRemoved,
    CheckpointView,
    MissingBlob,
    PinBody,
    PinPage,
    PinView,
)
from services.api.store_blobs import Blobs
from services.api.store_books import Books
from services.api.store_collect import Collected
from services.api.store_files import told_as_problems
from services.api.uploads import Upload, Uploads
from services.chassis.clock import Clock

THREADS = 8
T = TypeVar("T")


class Arriving:
    """A blob that is being received; see `Store.upload`."""

    def __init__(self, store: Store, upload: Upload) -> None:
        self._store = store
        self._upload = upload

    @property
    def received(self) -> int:
        return self._upload.received

    async def write(self, data: bytes) -> None:
        await self._store.run(self._upload.write, data)

    async def back_to(self, received: int) -> None:
        """Forget what came after this."""
        await self._store.run(self._upload.back_to, received)

    async def finish(self) -> None:
        """Visible from now on, if it is what its name says."""
        await self._store.run(self._store.finish, self._upload)


class Store:
    """Blobs, checkpoints and pins in a directory that others may use at the same time."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._blobs = Blobs(directory / "blobs")
        self._uploads = Uploads(directory / "uploads")
        self._books = Books(directory, self._blobs, self._uploads, clock)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")

    def close(self) -> None:
        self._threads.shutdown()

    async def run(self, act: Callable[..., T], *arguments: object) -> T:
        """In a thread; who is cancelled waits all the same, so that no file is closed under it."""

        def acted() -> T:
            with told_as_problems(self._directory):
                return act(*arguments)

        future = asyncio.get_running_loop().run_in_executor(self._threads, acted)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():  # Some are cancelled again and again.
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            raise

    # Blobs.

    async def missing(self, blobs: Sequence[Blob]) -> tuple[MissingBlob, ...]:
        """What lacks; what is there is kept for a while, as somebody is about to use it."""
        return await self.run(self._books.missing, blobs)

    async def blob_bytes(self, sha256: str) -> int | None:
        return await self.run(self._blobs.size, sha256)

    async def received_bytes(self, sha256: str) -> int:
        return await self.run(self._uploads.received_bytes, sha256)

    async def read(self, sha256: str, start: int, count: int) -> bytes:
        return await self.run(self._blobs.read, sha256, start, count)

    async def touch(self, sha256: str) -> None:
        await self.run(self._blobs.touch, sha256)

    async def free_bytes(self) -> int:
        return await self.run(self._free_bytes)

    @asynccontextmanager
    async def upload(self, sha256: str, start: int | None) -> AsyncIterator[Arriving]:
        """Receive a blob, or a piece that starts there; what has arrived is kept for the next."""
        opened: list[Upload] = []  # Known here also when who waits for it is cancelled.
        try:
            await self.run(self._open, sha256, start, opened)
            yield Arriving(self, opened[0])
        finally:
            for upload in opened:
                await self.run(self._uploads.end, upload)

    def _open(self, sha256: str, start: int | None, opened: list[Upload]) -> None:
        uploads = self._uploads
        opened.append(uploads.begin(sha256) if start is None else uploads.resume(sha256, start))

    def finish(self, upload: Upload) -> None:
        upload.finish(self._blobs.path(upload.sha256))

    # Checkpoints.

    async def put_checkpoint(self, digest: str, raw: bytes) -> tuple[CheckpointView, bool]:
        """The checkpoint, and whether it is new here."""
        return await self.run(self._books.put_checkpoint, digest, raw)

    async def manifest(self, digest: str) -> bytes | None:
        return await self.run(self._books.checkpoints.raw, digest)

    async def checkpoints(self, after: str, limit: int) -> CheckpointPage:
        return await self.run(self._books.page, after, limit)

    async def resolve(self, project: str, reference: str) -> str:
        """The digest of a checkpoint that is there; a pin's name becomes what it names now."""
        return await self.run(self._books.resolve, project, reference)

    async def remove_checkpoint(
        self, digest: str, nodes: Sequence[str], wanted_since: datetime
    ) -> CheckpointRemoved:
        """Unless these nodes or any pin refer to it; blobs that were wanted since are kept."""
        return await self.run(
            self._books.remove_checkpoint, digest, nodes, wanted_since.timestamp()
        )

    # Pins.

    async def put_pin(self, project: str, name: str, body: PinBody) -> tuple[PinView, bool]:
        """The pin, and whether the name is new."""
        return await self.run(self._books.put_pin, project, name, body)

    async def pin(self, project: str, name: str) -> PinView | None:
        return await self.run(self._books.pins.get, project, name)

    async def pins(self, project: str, after: str, limit: int) -> PinPage:
        return await self.run(self._books.pin_page, project, after, limit)

    async def remove_pin(self, project: str, name: str) -> bool:
        return await self.run(self._books.remove_pin, project, name)

    # What is left behind.

    async def collect(self, uploads_since: datetime, wanted_since: datetime) -> Collected:
        """Remove what has waited longer than these."""
        since = (uploads_since.timestamp(), wanted_since.timestamp())
        return await self.run(self._books.collect, *since)

    def _free_bytes(self) -> int:
        there = next(path for path in (self._directory, *self._directory.parents) if path.exists())
        return disk_usage(there).free
