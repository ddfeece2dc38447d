"""The one delivery policy: retry, forward or bury, and only then commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faststream import BaseMiddleware

from schemas.errors import DomainError, TransientError
from schemas.ids import DEFAULT_PROJECT, partition_of, place_of
from schemas.messages import Message
from services.chassis.bus_ownership import Gate
from services.chassis.bus_records import HOPS_MAX, RawRecord, messaging, raw_record
from services.chassis.loops import retry
from services.chassis.process import Process
from services.chassis.settings import Settings
from services.chassis.telemetry import bound, logger, span

COMMIT_TIMEOUT_SECONDS = 5.0
COMMITTED_TOGETHER_MAX = 10  # So many may be delivered again after a crash: they are known then.

Call = Callable[[Any], Awaitable[Any]]
Proof = Callable[[int], Awaitable[None]]  # Of what was written about a partition's records.

log = logger("chassis.bus")


class WrongPartition(DomainError):
    """A record was forwarded as often as is allowed and is still in a wrong partition."""


class Delivery:
    """Carries one record to its handler and decides what becomes of it."""

    def __init__(
        self,
        process: Process[Any],
        *,
        bury: Callable[[RawRecord, Exception, int], Awaitable[None]],
        forward: Callable[[RawRecord, str], Awaitable[None]],
    ) -> None:
        self._process = process
        self._settings: Settings = process.settings
        self._bury = bury
        self._forward = forward
        self._gates: dict[str, Gate] = {}
        self._proofs: dict[str, Proof] = {}
        self._uncommitted: dict[tuple[str, int], int] = {}
        self._measures = process.bus_measures
        self.has_failed = False
        self.waiting: dict[tuple[str, int], int] = {}  # Behind the last record, by partition.

    def add(self, topic: str, gate: Gate, proven: Proof | None = None) -> None:
        if topic in self._gates:
            raise ValueError(f"{topic} is consumed in this process already")
        self._gates[topic] = gate
        if proven is not None:
            self._proofs[topic] = proven

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self._gates)

    def middleware(self) -> type[BaseMiddleware]:
        """FastStream's hook around decoding, validation and handler alike."""
        delivery = self

        class Policy(BaseMiddleware):
            async def consume_scope(self, call_next: Call, msg: Any) -> None:
                await delivery.deliver(call_next, msg)

        return Policy

    async def deliver(self, call: Call, message: Any) -> None:
        """Whatever happens, nothing is raised: FastStream would swallow it and go on."""
        raw = raw_record(message.raw_message)
        gate = self._gates[raw.topic]
        if self.has_failed or not await gate.enter(raw.partition):
            return  # Not committed, so not lost: whoever is next begins here.
        try:
            end = message.consumer.highwater(TopicPartition(raw.topic, raw.partition))
            self.waiting[raw.topic, raw.partition] = max(0, (end or 0) - raw.offset - 1)
            place = {"topic": raw.topic, "partition": raw.partition, "offset": raw.offset}
            taken = self._measures.seconds.labels(raw.topic).time()
            told = messaging(raw.topic, "process")
            step = span(f"process {raw.topic}", raw.trace, told, kind="consumer")
            with step, bound(**place), taken:
                await self._settle(call, message, raw)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.has_failed = True
            self._process.stop(error)
        finally:
            gate.leave()

    async def _settle(self, call: Call, message: Any, raw: RawRecord) -> None:
        """Raises only what must end the process: the record can be neither handled nor buried."""
        attempts, fate = 0, "handled"

        async def attempt() -> None:
            nonlocal attempts, fate
            attempts += 1
            if await self._forwarded(raw, await message.decode()):
                fate = "forwarded"
            else:
                await call(message)

        try:
            await retry(attempt, self._settings.attempts_max, clock=self._process.clock)
        except TransientError:
            raise
        except Exception as error:  # Undecodable, or a bug: one record must not stop the others.
            await self._bury(raw, error, attempts)
            fate = "buried"
        self._measures.records.labels(raw.topic, fate).inc()
        if (proven := self._proofs.get(raw.topic)) is not None:
            if fate == "handled" and self._is_another_at_hand(raw):
                return  # They are committed together.
            clock = self._process.clock
            await retry(partial(proven, raw.partition), self._settings.attempts_max, clock=clock)
        await self._commit(message, raw)

    def _is_another_at_hand(self, raw: RawRecord) -> bool:
        """Whether the proof and the commit of this record may be those of a later one."""
        place = raw.topic, raw.partition
        count = self._uncommitted.get(place, 0) + 1
        is_last = not self.waiting.get(place) or count >= COMMITTED_TOGETHER_MAX
        self._uncommitted[place] = 0 if is_last else count
        return not is_last

    async def _forwarded(self, raw: RawRecord, body: Any) -> bool:
        """Whether the record went on to the partition where its place is decided about."""
        place = _place(body)
        if place is None:
            return False
        right = partition_of(place, self._settings.cellnode_partitions)
        if right == raw.partition:
            return False
        if raw.hops >= HOPS_MAX:
            raise WrongPartition(f"{place} is decided in partition {right}, not {raw.partition}")
        await self._forward(raw, place)
        return True

    async def _commit(self, message: Any, raw: RawRecord) -> None:
        """Only this record and what lies before it. A commit that fails repeats the record."""
        offsets = {TopicPartition(raw.topic, raw.partition): raw.offset + 1}
        try:
            await asyncio.wait_for(message.consumer.commit(offsets), COMMIT_TIMEOUT_SECONDS)
        except (KafkaError, asyncio.TimeoutError) as error:
            log.warning("not committed, may be delivered again", error=repr(error))


def _place(body: Any) -> str | None:
    """What the record is partitioned by, if it says so; the handler judges what does not."""
    if isinstance(body, Message):
        return body.place
    if not isinstance(body, Mapping):
        return None
    project, node = body.get("project", DEFAULT_PROJECT), body.get("node")
    if not isinstance(project, str) or not isinstance(node, str):
        return None
    return place_of(project, node)
