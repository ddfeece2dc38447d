"""Manifests of checkpoints in the store: written once, listed, and what they hold of blobs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from schemas.checkpoints import MANIFEST_BYTES_MAX, Blob, parse_manifest
from schemas.errors import CheckpointFault
from services.api.problems import ApiProblem
from services.api.store_files import READ_ONLY, files, is_digest, remove, write_whole
from services.chassis.telemetry import logger

SUFFIX = ".json"
SUMMARIES_MAX = 10_000  # In memory; manifests never change.

log = logger("api.store")


@dataclass(frozen=True)
class Summary:
    """What a list says of a checkpoint, and which blobs it holds."""

    bytes: int
    variables: tuple[str, ...]
    python: str
    blobs: frozenset[str]


@dataclass(frozen=True)
class Listed:
    """A manifest as a folder shows it, the newest first in order."""

    at_ns: int
    digest: str

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.at_ns / 1e9, timezone.utc)

    @property
    def cursor(self) -> str:
        return f"{self.at_ns}-{self.digest}"


class Checkpoints:
    """`<store>/checkpoints/<digest>.json`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._summaries: dict[str, Summary] = {}

    def path(self, digest: str) -> Path:
        return self.directory / f"{digest}{SUFFIX}"

    def raw(self, digest: str) -> bytes | None:
        """The exact bytes; None if there is none of this digest."""
        try:
            with self.path(digest).open("rb") as file:
                return file.read(MANIFEST_BYTES_MAX + 1)
        except FileNotFoundError:
            return None

    def put(self, digest: str, raw: bytes) -> bool:
        """Whether it had to be written; the books must be locked, `raw` verified."""
        if self.raw(digest) == raw:
            return False
        write_whole(self.path(digest), raw, READ_ONLY)
        return True

    def remove(self, digest: str) -> bool:
        self._summaries.pop(digest, None)
        return remove(self.path(digest))

    def find(self, digest: str) -> Listed | None:
        try:
            return Listed(self.path(digest).stat().st_mtime_ns, digest)
        except FileNotFoundError:
            return None

    def listed(self) -> list[Listed]:
        """The newest first."""
        found = []
        for file in files(self.directory):
            digest = file.name.removesuffix(SUFFIX)
            if file.name.endswith(SUFFIX) and is_digest(digest):
                found.append(Listed(file.stat().st_mtime_ns, digest))
        return sorted(found, key=lambda one: (-one.at_ns, one.digest))

    def summary(self, digest: str) -> Summary | None:
        """None if it is not there, or damaged."""
        if (known := self._summaries.get(digest)) is not None:
            return known
        raw = self.raw(digest)
        if raw is None:
            return None
        try:
            return self._remember(digest, summary_of(raw, digest))
        except CheckpointFault as fault:
            log.warning("a manifest is damaged; remove it", digest=digest, error=fault.sentence)
            return None

    def wanted_blobs(self) -> set[str] | None:
        """Of all manifests; None if one of them cannot be read, so that nobody knows."""
        wanted: set[str] = set()
        for one in self.listed():
            summary = self.summary(one.digest)
            if summary is None and self.find(one.digest) is not None:
                return None
            wanted |= summary.blobs if summary else frozenset()
        return wanted

    def _remember(self, digest: str, summary: Summary) -> Summary:
        while len(self._summaries) >= SUMMARIES_MAX:
            self._summaries.pop(next(iter(self._summaries)))
        self._summaries[digest] = summary
        return summary


def summary_of(raw: bytes, digest: str) -> Summary:
    """Or CheckpointFault."""
    manifest = parse_manifest(raw, digest)
    blobs = manifest.blobs()
    return Summary(
        bytes=sum(blob.bytes for blob in blobs),
        variables=tuple(variable.name for variable in manifest.variables),
        python=manifest.python.version,
        blobs=frozenset(blob.sha256 for blob in blobs),
    )


def page_after(listed: Iterable[Listed], cursor: str) -> list[Listed]:
    """What follows a cursor, whether or not what it points at is still there."""
    if not cursor:
        return list(listed)
    at_ns, dash, digest = cursor.partition("-")
    if not (dash and at_ns.isascii() and at_ns.isdecimal() and is_digest(digest)):
        raise ApiProblem(
            "invalid-field",
            "after: not the `next` of a page",
            field="after",
            remedy="take `next` of the page before, or leave it out",
        )
    place = (-int(at_ns[:19]), digest)
    return [one for one in listed if (-one.at_ns, one.digest) > place]


def verified(raw: bytes, digest: str, found: str) -> list[Blob]:
    """The blobs of a manifest whose bytes have the digest `found`; or the problem with it."""
    if found != digest:
        raise ApiProblem(
            "digest-mismatch",
            f"the {len(raw)} bytes of the manifest have the digest {found}",
            remedy="send the manifest's canonical JSON, byte for byte",
        )
    try:
        blobs = parse_manifest(raw, digest).blobs()
    except CheckpointFault as fault:
        raise _invalid(fault.sentence) from None
    if not is_canonical(raw):
        raise _invalid("the manifest is not canonical JSON (RFC 8785) without floats")
    return blobs


def is_canonical(raw: bytes) -> bool:
    """Whether it is what a writer of canonical JSON would write; floats have no such form here."""
    try:
        document = json.loads(raw, parse_float=_refuse, parse_constant=_refuse)
    except ValueError:
        return False
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="surrogatepass") == raw


def _refuse(number: str) -> float:
    raise ValueError(f"{number} is a float")


def _invalid(sentence: str) -> ApiProblem:
    return ApiProblem("invalid-field", sentence, field="body", remedy="pin again with this version")
