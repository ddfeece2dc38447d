"""The checkpoint store as the api sees it: all that it asks of the disk, in threads of its own.

An object store in its place would have these methods.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
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
from services.api import store_collect
from services.api.problems import ApiProblem
from services.api.store_blobs import Blobs
from services.api.store_checkpoints import Checkpoints, Listed, page_after, verified
from services.api.store_collect import Collected
from services.api.store_files import Lock, is_digest, told_as_problems
from services.api.store_pins import Pins
from services.api.uploads import Upload, Uploads
from services.chassis.clock import Clock

THREADS = 8
NAMED_MAX = 20  # Of those who use a checkpoint, in the refusal to remove it.
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
        self._clock = clock
        self._blobs = Blobs(directory / "blobs")
        self._uploads = Uploads(directory / "uploads")
        self._checkpoints = Checkpoints(directory / "checkpoints")
        self._pins = Pins(directory / "pins")
        self._books = Lock(directory)
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
            await asyncio.wait([future])
            raise

    # Blobs.

    async def missing(self, blobs: Sequence[Blob]) -> tuple[MissingBlob, ...]:
        """What lacks; what is there is kept for a while, as somebody is about to use it."""
        return await self.run(self._missing, blobs)

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
        if start is None:
            upload = await self.run(self._uploads.begin, sha256)
        else:
            upload = await self.run(self._uploads.resume, sha256, start)
        try:
            yield Arriving(self, upload)
        finally:
            await self.run(self._uploads.end, upload)

    def finish(self, upload: Upload) -> None:
        upload.finish(self._blobs.path(upload.sha256))

    # Checkpoints.

    async def put_checkpoint(self, digest: str, raw: bytes) -> tuple[CheckpointView, bool]:
        """The checkpoint, and whether it is new here."""
        return await self.run(self._put_checkpoint, digest, raw)

    async def manifest(self, digest: str) -> bytes | None:
        return await self.run(self._checkpoints.raw, digest)

    async def checkpoints(self, after: str, limit: int) -> CheckpointPage:
        return await self.run(self._page, after, limit)

    async def resolve(self, project: str, reference: str) -> str:
        """The digest of a checkpoint that is there; a pin's name becomes what it names now."""
        return await self.run(self._resolve, project, reference)

    async def remove_checkpoint(
        self, digest: str, nodes: Sequence[str], wanted_since: datetime
    ) -> CheckpointRemoved:
        """Unless these nodes or any pin refer to it; blobs that were wanted since are kept."""
        return await self.run(self._remove_checkpoint, digest, nodes, wanted_since.timestamp())

    # Pins.

    async def put_pin(self, project: str, name: str, body: PinBody) -> tuple[PinView, bool]:
        """The pin, and whether the name is new."""
        return await self.run(self._put_pin, project, name, body)

    async def pin(self, project: str, name: str) -> PinView | None:
        return await self.run(self._pins.get, project, name)

    async def pins(self, project: str, after: str, limit: int) -> PinPage:
        return await self.run(self._pin_page, project, after, limit)

    async def remove_pin(self, project: str, name: str) -> bool:
        return await self.run(self._remove_pin, project, name)

    # What is left behind.

    async def collect(self, uploads_since: datetime, wanted_since: datetime) -> Collected:
        """Remove what has waited longer than these."""
        since = (uploads_since.timestamp(), wanted_since.timestamp())
        return await self.run(self._collect, *since)

    # All of the following is run in threads.

    def _missing(self, blobs: Sequence[Blob]) -> tuple[MissingBlob, ...]:
        return tuple(
            MissingBlob(
                sha256=blob.sha256,
                bytes=blob.bytes,
                received_bytes=self._uploads.received_bytes(blob.sha256),
            )
            for blob in self._blobs.lacks(blobs)
        )

    def _free_bytes(self) -> int:
        there = next(path for path in (self._directory, *self._directory.parents) if path.exists())
        return disk_usage(there).free

    def _put_checkpoint(self, digest: str, raw: bytes) -> tuple[CheckpointView, bool]:
        blobs = verified(raw, digest, hashlib.sha256(raw).hexdigest())
        with self._books.held():
            if missing := self._missing(blobs):
                raise ApiProblem(
                    "blobs-missing",
                    f"{len(missing)} of {len(blobs)} blobs are not there in their size",
                    remedy="send them, then the manifest again",
                    missing=[each.model_dump() for each in missing],
                )
            is_new = self._checkpoints.put(digest, raw)
        listed = self._checkpoints.find(digest)
        if listed is None:
            raise ApiProblem("checkpoint-unknown", f"{digest} was removed meanwhile")
        return self._view(listed, self._pins.of_checkpoints()), is_new

    def _page(self, after: str, limit: int) -> CheckpointPage:
        following = page_after(self._checkpoints.listed(), after)
        page = following[:limit]
        pins = self._pins.of_checkpoints()
        last = page[-1].cursor if len(following) > limit else None
        return CheckpointPage(checkpoints=tuple(self._view(one, pins) for one in page), next=last)

    def _view(self, listed: Listed, pins: dict[str, list[str]]) -> CheckpointView:
        summary = self._checkpoints.summary(listed.digest)
        return CheckpointView(
            digest=listed.digest,
            at=listed.at,
            bytes=summary.bytes if summary else 0,
            variables=summary.variables if summary else (),
            python=summary.python if summary else "",
            pins=tuple(pins.get(listed.digest, ())),
        )

    def _remove_checkpoint(
        self, digest: str, nodes: Sequence[str], wanted_since: float
    ) -> CheckpointRemoved:
        with self._books.held():
            if self._checkpoints.find(digest) is None:
                raise checkpoint_unknown(digest)
            _refuse_if_used(nodes, self._pins.of_checkpoints().get(digest, ()))
            summary = self._checkpoints.summary(digest)
            self._checkpoints.remove(digest)
            blobs = summary.blobs if summary else frozenset()
            wanted = self._checkpoints.wanted_blobs()
            sizes = {blob: self._blobs.size(blob) or 0 for blob in blobs}
            unwanted = frozenset() if wanted is None else blobs - wanted
            freed, _ = self._blobs.free(unwanted, wanted_since)
        kept = sum(sizes.values()) - freed
        return CheckpointRemoved(digest=digest, freed_bytes=freed, kept_bytes=kept)

    def _resolve(self, project: str, reference: str) -> str:
        digest = reference
        if not is_digest(reference):
            pin = self._pins.get(project, reference)
            if pin is None:
                raise pin_unknown(project, reference)
            digest = pin.digest
        if self._checkpoints.find(digest) is None:
            raise checkpoint_unknown(digest)
        return digest

    def _put_pin(self, project: str, name: str, body: PinBody) -> tuple[PinView, bool]:
        with self._books.held():
            if self._checkpoints.find(body.digest) is None:
                raise checkpoint_unknown(body.digest)
            return self._pins.put(project, name, body, self._clock.now())

    def _pin_page(self, project: str, after: str, limit: int) -> PinPage:
        names = [name for name in self._pins.names(project) if name > after]
        found = (self._pins.get(project, name) for name in names[:limit])
        last = names[limit - 1] if len(names) > limit else None
        return PinPage(pins=tuple(pin for pin in found if pin is not None), next=last)

    def _remove_pin(self, project: str, name: str) -> bool:
        with self._books.held():
            return self._pins.remove(project, name)

    def _collect(self, uploads_since: float, wanted_since: float) -> Collected:
        uploads = store_collect.stale_uploads(self._uploads.directory, uploads_since)
        places = [self._checkpoints.directory, *self._blobs.folders(), *self._pins.folders()]
        left = store_collect.leftovers(places, uploads_since)
        with self._books.held():
            freed = store_collect.unnamed_blobs(self._blobs, self._checkpoints, wanted_since)
        return Collected(uploads, left, freed)


def checkpoint_unknown(digest: str) -> ApiProblem:
    return ApiProblem(
        "checkpoint-unknown",
        f"the store has no checkpoint {digest}",
        remedy="send its blobs, then PUT its manifest",
    )


def pin_unknown(project: str, name: str) -> ApiProblem:
    sentence = f"nobody has made a pin {name} in project {project}"
    return ApiProblem("pin-unknown", sentence, remedy="see GET /v1/pins for those there are")


def _refuse_if_used(nodes: Sequence[str], pins: Sequence[str]) -> None:
    if not nodes and not pins:
        return
    users = [*(f"node {node}" for node in nodes), *(f"pin {pin}" for pin in pins)]
    more = f" and {len(users) - NAMED_MAX} more" if len(users) > NAMED_MAX else ""
    raise ApiProblem(
        "checkpoint-in-use",
        f"{', '.join(users[:NAMED_MAX])}{more} refer to it",
        remedy="delete them first, or point them at another checkpoint",
        nodes=list(nodes[:NAMED_MAX]),
        pins=list(pins[:NAMED_MAX]),
    )
