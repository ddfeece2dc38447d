"""The books of the store: which checkpoints and pins there are, changed one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

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
from services.api.store_files import Lock, is_digest
from services.api.store_pins import Pins
from services.api.uploads import Uploads
from services.chassis.clock import Clock

RESOLVED_SECONDS = 5.0  # Whoever was given a digest is about to have a node made of it.
RESOLVED_MAX = 10_000
NAMED_MAX = 20  # Of those who use a checkpoint, in the refusal to remove it.


class Books:
    """Every method takes as long as the disk does: for threads."""

    def __init__(self, directory: Path, blobs: Blobs, uploads: Uploads, clock: Clock) -> None:
        self._clock = clock
        self._blobs = blobs
        self._uploads = uploads
        self.checkpoints = Checkpoints(directory / "checkpoints")
        self.pins = Pins(directory / "pins")
        self._lock = Lock(directory)
        self._resolved: dict[str, float] = {}  # When, by digest, the longest ago first.

    def missing(self, blobs: Sequence[Blob]) -> tuple[MissingBlob, ...]:
        return tuple(
            MissingBlob(
                sha256=blob.sha256,
                bytes=blob.bytes,
                received_bytes=self._uploads.received_bytes(blob.sha256),
            )
            for blob in self._blobs.lacks(blobs)
        )

    def put_checkpoint(self, digest: str, raw: bytes) -> tuple[CheckpointView, bool]:
        blobs = verified(raw, digest, hashlib.sha256(raw).hexdigest())
        with self._lock.held():
            if missing := self.missing(blobs):
                raise ApiProblem(
                    "blobs-missing",
                    f"{len(missing)} of {len(blobs)} blobs are not there in their size",
                    remedy="send them, then the manifest again",
                    missing=[each.model_dump() for each in missing],
                )
            is_new = self.checkpoints.put(digest, raw)
        listed = self.checkpoints.find(digest)
        if listed is None:
            raise ApiProblem("checkpoint-unknown", f"{digest} was removed meanwhile")
        return self._view(listed, self.pins.of_checkpoints()), is_new

    def page(self, after: str, limit: int) -> CheckpointPage:
        following = page_after(self.checkpoints.listed(), after)
        page = following[:limit]
        pins = self.pins.of_checkpoints()
        last = page[-1].cursor if len(following) > limit else None
        return CheckpointPage(checkpoints=tuple(self._view(one, pins) for one in page), next=last)

    def _view(self, listed: Listed, pins: dict[str, list[str]]) -> CheckpointView:
        summary = self.checkpoints.summary(listed.digest)
        return CheckpointView(
            digest=listed.digest,
            at=listed.at,
            bytes=summary.bytes if summary else 0,
            variables=summary.variables if summary else (),
            python=summary.python if summary else "",
            pins=tuple(pins.get(listed.digest, ())),
        )

    def remove_checkpoint(
        self, digest: str, nodes: Sequence[str], wanted_since: float
    ) -> CheckpointRemoved:
        with self._lock.held():
            if self.checkpoints.find(digest) is None:
                raise checkpoint_unknown(digest)
            pins = self.pins.of_checkpoints().get(digest, ())
            _refuse_if_used(nodes, pins, is_wanted=self._was_resolved_lately(digest))
            summary = self.checkpoints.summary(digest)
            self.checkpoints.remove(digest)
            blobs = summary.blobs if summary else frozenset()
            wanted = self.checkpoints.wanted_blobs()
            sizes = {blob: self._blobs.size(blob) or 0 for blob in blobs}
            unwanted = frozenset() if wanted is None else blobs - wanted
            freed, _ = self._blobs.free(unwanted, wanted_since)
        kept = sum(sizes.values()) - freed
        return CheckpointRemoved(digest=digest, freed_bytes=freed, kept_bytes=kept)

    def resolve(self, project: str, reference: str) -> str:
        digest = reference
        if not is_digest(reference):
            pin = self.pins.get(project, reference)
            if pin is None:
                raise pin_unknown(project, reference)
            digest = pin.digest
        self._note_resolved(digest)
        if self.checkpoints.find(digest) is None:
            raise checkpoint_unknown(digest)
        return digest

    def _note_resolved(self, digest: str) -> None:
        self._resolved.pop(digest, None)
        self._resolved[digest] = self._clock.monotonic()
        if len(self._resolved) > RESOLVED_MAX:
            del self._resolved[next(iter(self._resolved))]

    def _was_resolved_lately(self, digest: str) -> bool:
        at = self._resolved.get(digest)
        return at is not None and self._clock.monotonic() - at < RESOLVED_SECONDS

    def put_pin(self, project: str, name: str, body: PinBody) -> tuple[PinView, bool]:
        with self._lock.held():
            if self.checkpoints.find(body.digest) is None:
                raise checkpoint_unknown(body.digest)
            return self.pins.put(project, name, body, self._clock.now())

    def pin_page(self, project: str, after: str, limit: int) -> PinPage:
        names = [name for name in self.pins.names(project) if name > after]
        found = (self.pins.get(project, name) for name in names[:limit])
        last = names[limit - 1] if len(names) > limit else None
        return PinPage(pins=tuple(pin for pin in found if pin is not None), next=last)

    def remove_pin(self, project: str, name: str) -> bool:
        with self._lock.held():
            return self.pins.remove(project, name)

    def collect(self, uploads_since: float, wanted_since: float) -> Collected:
        uploads = store_collect.stale_uploads(self._uploads.directory, uploads_since)
        places = [self.checkpoints.directory, *self._blobs.folders(), *self.pins.folders()]
        left = store_collect.leftovers(places, uploads_since)
        with self._lock.held():
            freed = store_collect.unnamed_blobs(self._blobs, self.checkpoints, wanted_since)
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


def _refuse_if_used(nodes: Sequence[str], pins: Sequence[str], *, is_wanted: bool) -> None:
    users = [*(f"node {node}" for node in nodes), *(f"pin {pin}" for pin in pins)]
    if is_wanted and not nodes:
        users.append("a node that was deployed a moment ago")
    if not users:
        return
    more = f" and {len(users) - NAMED_MAX} more" if len(users) > NAMED_MAX else ""
    raise ApiProblem(
        "checkpoint-in-use",
        f"{', '.join(users[:NAMED_MAX])}{more} refer to it",
        remedy="delete them first, or point them at another checkpoint",
        nodes=list(nodes[:NAMED_MAX]),
        pins=list(pins[:NAMED_MAX]),
    )
