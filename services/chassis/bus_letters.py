"""Dead letters: a record as it was, with where it lay and why; cut where it would be too large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.chassis.bus_records import HeaderPairs, RawRecord, encoded, without

ERROR_CHARACTERS_MAX = 500
KEY_BYTES_KEPT = 500
# Of a value that is not taken whole: others may send more than we do, and the topic of dead
# letters may take less. The last is nothing at all, so that a record can always be put aside.
VALUE_BYTES_KEPT = (100_000, 10_000, 0)


@dataclass(frozen=True)
class Letter:
    """What is sent to the topic of dead letters."""

    key: bytes | None
    value: bytes | None  # None is a tombstone, as the original was.
    headers: HeaderPairs


def letters(raw: RawRecord, error: Exception, attempts: int) -> Iterator[Letter]:
    """The whole record first; then, for a topic that does not take it, less and less of it."""
    told = {
        "x-topic": raw.topic,
        "x-partition": str(raw.partition),
        "x-offset": str(raw.offset),
        "x-error": reason_of(error),
        "x-attempts": str(attempts),
    }
    key = raw.key if raw.key is not None or raw.value is not None else b""
    yield Letter(key, raw.value, without(raw.headers, told) + encoded(told))
    told["x-value-bytes"] = str(len(raw.value or b""))
    for kept in VALUE_BYTES_KEPT:
        value = None if raw.value is None else raw.value[:kept]
        yield Letter(key and key[:KEY_BYTES_KEPT], value, encoded(told))


def reason_of(error: Exception) -> str:
    """What went wrong, in one line of bounded length."""
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]
