"""The journal: what the broker must know again after it has ended, written while it runs.

Whole cuts of the log are appended and synced at once; a cut holds every record that was
acknowledged before it, so nothing is ever kept without what it followed from.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.topics import Topic
from services.chassis.bus_records import RawRecord
from services.chassis.telemetry import logger
from services.embedded.journal_bus import JournalBus
from services.embedded.journal_file import JournalFile
from services.embedded.journal_records import decode, encode, ended
from services.embedded.journal_restore import Host, brought_back, nodes_in
from services.embedded.journal_state import JournalState
from services.embedded.journal_usage import size_of

COMPACT_BYTES_MIN = 8 * 1024 * 1024  # A smaller file is not worth writing anew.
COMPACT_SHARE = 4  # Nor is one that is not so many times as large as what it says.
BROKER_BYTES_MAX = 5 * 1024 * 1024  # Of one partition: older records it forgets.
SNAPSHOT_RECORDS = 500  # In one frame.
TRY_AGAIN_SECONDS = 1.0  # After the disk refused.

log = logger("embedded.journal")


@dataclass(frozen=True)
class Troubles:
    """Where the journal tells how it fares: a sentence for people, once it changes."""

    well: Callable[[str], None]
    ill: Callable[[str], None]


class Journal:
    """`bring_back` first, then `record` in a thread of its own until `stop`."""

    def __init__(self, file: JournalFile, bus: JournalBus, told: Troubles) -> None:
        self._file = file
        self._bus = bus
        self._told = told
        self._state = JournalState()
        self._stopping = threading.Event()
        self._is_behind = False  # The file lacks something that the state has.

    def bring_back(self, host: Host, partitions: int) -> None:
        """Publish what was known; from then on the file speaks of the new log."""
        found = self._file.read()
        before = JournalState()
        unknown = sum(_applied(before, frame) for frame in found.frames)
        records = list(brought_back(before, host, partitions))
        self._bus.publish(records)
        self._apply(one for one in records if one.topic != Topic.COMMANDS.value)
        self._apply(self._bus.cut().records)
        self._write_anew()
        damaged = found.damaged_bytes + unknown
        log.info("journal read", nodes=nodes_in(records), records=len(records), damaged=damaged)
        if not self._is_behind:
            said = [_back(nodes_in(records)), _damage(damaged, self._file.path)]
            self._told.well("; ".join(one for one in (*said, _too_much(records)) if one))

    def record(self) -> None:
        """Until `stop`, and then all that was acknowledged before it."""
        while not self._stopping.is_set():
            if self._is_behind:
                self._stopping.wait(TRY_AGAIN_SECONDS)
            if self._bus.has_news() or self._is_behind or self._state.has_undecided:
                self._keep_cut()
        self._keep_cut(ended())

    def stop(self) -> None:
        self._stopping.set()

    def _keep_cut(self, *more: RawRecord) -> None:
        cut = self._bus.cut()
        marks = [one for one in cut.decided if self._state.decides(one)]
        news = [*cut.records, *marks, *more]
        self._apply(news)
        if self._is_behind:
            self._write_anew()
        elif news:
            self._append(encode(news))
        if again := self._state.told_again():
            self._bus.publish(again)

    def _apply(
        self, records: Iterator[RawRecord] | tuple[RawRecord, ...] | list[RawRecord]
    ) -> None:
        for record in records:
            self._state.apply(record)

    def _append(self, payload: bytes) -> None:
        try:
            self._file.append(payload)
        except OSError as error:
            self._fall_behind(error)
            return
        useful = max(COMPACT_BYTES_MIN, COMPACT_SHARE * self._state.bytes)
        if self._file.bytes_written > useful:
            self._write_anew()

    def _write_anew(self) -> None:
        was_behind = self._is_behind
        try:
            self._file.replace(_frames(self._state))
        except OSError as error:
            self._fall_behind(error)
            return
        self._is_behind = False
        log.info("journal written anew", bytes=self._file.bytes_written)
        if was_behind:
            self._told.well("the journal is whole again: a restart brings everything back")

    def _fall_behind(self, error: OSError) -> None:
        if not self._is_behind:
            log.error("the journal cannot be written", error=str(error))
        self._is_behind = True
        self._told.ill(
            f"the journal {self._file.path} cannot be written ({error.strerror or error}): "
            "everything goes on, but a restart now would lose what came since. "
            "Make room on the disk; this is tried again every second"
        )


def _frames(state: JournalState) -> Iterator[bytes]:
    some: list[RawRecord] = []
    for record in state.snapshot():
        some.append(record)
        if len(some) >= SNAPSHOT_RECORDS:
            yield encode(some)
            some = []
    yield encode(some)


def _applied(state: JournalState, frame: bytes) -> int:
    """Bytes that could not be understood."""
    try:
        records = list(decode(frame))
    except ValueError:
        return len(frame)
    for record in records:
        state.apply(record)
    return 0


def _back(nodes: int) -> str:
    return f"{nodes} node{'s' * (nodes != 1)} brought back" if nodes else ""


def _damage(damaged_bytes: int, path: Path) -> str:
    if not damaged_bytes:
        return ""
    return (
        f"{damaged_bytes} bytes of the journal are damaged and were passed over; the latest "
        f"changes may be missing. The file as it was: {path.with_suffix('.damaged')}"
    )


def _too_much(records: Iterable[RawRecord]) -> str:
    """The file keeps it all the same; but who reads the bus now finds only the newest of it."""
    sizes: Counter[str] = Counter()
    for one in records:
        sizes[f"{one.topic}/{one.partition}"] += size_of(one)
    full = [place for place, size in sizes.items() if size > BROKER_BYTES_MAX]
    if not full:
        return ""
    return (
        f"{', '.join(sorted(full))} hold more than the {BROKER_BYTES_MAX >> 20} MiB that the "
        "embedded broker keeps of a partition, so nodes are missing; use cellnode up --kafka"
    )
