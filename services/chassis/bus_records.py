"""A record as it lies on the bus, and the parser that no header can break."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

HeaderPairs = tuple[tuple[str, bytes | None], ...]

HOPS_HEADER = "cellnode-hops"
HOPS_MAX = 2
DIGITS_MAX = 18


@dataclass(frozen=True)
class RawRecord:
    """Bytes and where they lie; nothing of it has been understood yet."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None  # None is a tombstone.
    headers: HeaderPairs = ()
    timestamp_ms: int | None = None

    def header(self, name: str) -> str | None:
        """The last header of this name, if it is readable."""
        for key, value in reversed(self.headers):
            if key == name and value is not None:
                return value.decode(errors="replace")
        return None

    def count(self, name: str) -> int | None:
        """A header that is a plain decimal number, else nothing."""
        text = self.header(name) or ""
        is_number = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
        return int(text) if is_number else None

    @property
    def trace(self) -> dict[str, str] | None:
        """W3C context of the step that wrote it, if it was one of a trace."""
        parent = self.header("traceparent")
        if parent is None:
            return None
        state = self.header("tracestate")
        return {"traceparent": parent} | ({"tracestate": state} if state else {})

    @property
    def hops(self) -> int:
        """How often the record was forwarded already; an unreadable count is too often."""
        if self.header(HOPS_HEADER) is None:
            return 0
        counted = self.count(HOPS_HEADER)
        return HOPS_MAX if counted is None else counted


def raw_record(record: Any) -> RawRecord:
    """Of aiokafka's ConsumerRecord."""
    return RawRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp_ms=record.timestamp,
    )


async def lenient(record: Any, parse: Callable[[Any], Awaitable[Any]]) -> Any:
    """FastStream's parser without the headers that are null or not UTF-8, which it cannot read."""
    readable = replace(record, headers=tuple(_readable(record.headers)))
    message = await parse(readable)
    message.raw_message = record
    message.reply_to = ""  # Answers to addresses that a sender chose are not sent.
    message.content_type = None  # What the bytes are is known from the topic, not from the sender.
    return message


def encoded(headers: Mapping[str, str]) -> HeaderPairs:
    return tuple((name, value.encode()) for name, value in headers.items())


def without(headers: HeaderPairs, names: Iterable[str]) -> HeaderPairs:
    dropped = frozenset(names)
    return tuple(pair for pair in headers if pair[0] not in dropped)


def messaging(topic: str, operation: str) -> dict[str, str]:
    """What a span about a record says, in the words of OpenTelemetry."""
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.operation.type": operation,
    }


def _readable(headers: Iterable[tuple[str, bytes | None]]) -> Iterable[tuple[str, bytes]]:
    for name, value in headers:
        if value is None:
            continue
        try:
            value.decode()
        except UnicodeDecodeError:
            continue
        yield name, value
