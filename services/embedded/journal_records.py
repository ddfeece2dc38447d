"""Records of the bus as bytes of the journal, and back. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from services.chassis.bus_records import HeaderPairs, RawRecord

DECIDED = "~decided"  # Commands of this partition before this offset need no more attention.
ENDED = "~ended"  # Everything that was acknowledged is here: the broker ended in order.
_FIXED = struct.Struct(">iqqi")  # Partition, offset, timestamp, how many headers.
_LENGTH = struct.Struct(">i")
_NO_TIME = -1
_NOTHING = -1


def decided(partition: int, offset: int) -> RawRecord:
    return RawRecord(DECIDED, partition, offset, None, None)


def ended() -> RawRecord:
    return RawRecord(ENDED, 0, 0, None, None)


def encode(records: Iterable[RawRecord]) -> bytes:
    """One frame's payload."""
    return b"".join(part for record in records for part in _parts(record))


def decode(payload: bytes) -> Iterator[RawRecord]:
    """Every record of a frame; ValueError if it is none of ours."""
    place = 0
    try:
        while place < len(payload):
            partition, offset, time, count = _FIXED.unpack_from(payload, place)
            place += _FIXED.size
            blobs: list[bytes | None] = []
            for _ in range(3 + 2 * count):
                blob, place = _blob(payload, place)
                blobs.append(blob)
            topic, key, value, *rest = blobs
            headers = _pairs(rest)
            stamp = None if time == _NO_TIME else time
            name = (topic or b"").decode()
            yield RawRecord(name, partition, offset, key, value, headers, stamp)
    except struct.error as error:
        raise ValueError(f"no record of a journal: {error}") from None


def _parts(record: RawRecord) -> Iterator[bytes]:
    time = _NO_TIME if record.timestamp_ms is None else record.timestamp_ms
    yield _FIXED.pack(record.partition, record.offset, time, len(record.headers))
    yield from _written(record.topic.encode())
    yield from _written(record.key)
    yield from _written(record.value)
    for name, value in record.headers:
        yield from _written(name.encode())
        yield from _written(value)


def _written(blob: bytes | None) -> Iterator[bytes]:
    yield _LENGTH.pack(_NOTHING if blob is None else len(blob))
    yield blob or b""


def _blob(payload: bytes, place: int) -> tuple[bytes | None, int]:
    (length,) = _LENGTH.unpack_from(payload, place)
    begin = place + _LENGTH.size
    if length == _NOTHING:
        return None, begin
    if not 0 <= length <= len(payload) - begin:
        raise ValueError("no record of a journal: a length is wrong")
    return payload[begin : begin + length], begin + length


def _pairs(blobs: list[bytes | None]) -> HeaderPairs:
    names, values = blobs[::2], blobs[1::2]
    return tuple(((name or b"").decode(), value) for name, value in zip(names, values, strict=True))
