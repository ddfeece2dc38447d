"""Carries out what is planned for single instances: one action each, many side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from signal import SIGINT, SIGTERM
from typing import Any

from schemas.errors import NotOwner, TransientError
from schemas.instances import Exit, Instance, Refusal
from schemas.statuses import InstanceStatus, Reason
from services.chassis.clock import Clock
from services.chassis.endings import ended
from services.chassis.loops import Backoff
from services.chassis.telemetry import logger, span, uncaused
from services.provisioner.book import Book
from services.provisioner.failures import START_FAULTS
from services.provisioner.measures import Measures
from services.provisioner.providers import (
    Drain,
    ForeignHost,
    Lifetime,
    NoCapacity,
    Order,
    Provider,
    ProviderFailed,
    Refused,
)
from services.provisioner.settings import ProvisionerSettings

REFUSED_BACKOFF_SECONDS_MAX = 60.0
NO_CAPACITY_SECONDS_MAX = 5.0  # Room may come any moment, and asking costs nothing.
DRAIN_MARGIN_SECONDS = 1.0  # For an agent that ends itself at its own maximum.
SHORT_DRAIN_SECONDS = 2.0  # Of one that has nothing to finish, or does not answer anyway.
NOTHING_TO_FINISH = START_FAULTS | {Reason.PROBES_FAILED, Reason.PROCESS_EXITED}

_EXIT = "~exit"  # An exit is recorded beside whatever else is being done.

Wake = Callable[[str, float], None]
Close = Callable[[Instance], Awaitable[None]]  # What it has cost is said for good.

log = logger("provisioner.actor")


class Actor:
    """Makes and removes instances in tasks of their own; every end of a task wakes its node."""

    def __init__(
        self,
        book: Book,
        provider: Provider,
        settings: ProvisionerSettings,
        *,
        close: Close,
        wake: Wake,
        clock: Clock,
        measures: Measures,
    ) -> None:
        self._book = book
        self._provider = provider
        self._settings = settings
        self._close = close
        self._wake = wake
        self._clock = clock
        self._creations = asyncio.Semaphore(settings.creations_in_flight_max)
        self._removals = asyncio.Semaphore(settings.removals_in_flight_max)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, tuple[int, float]] = {}  # In a row, and when to try again.
        self._backoff = Backoff(0.5, 60.0)
        self._going: dict[str, asyncio.Event] = {}  # Set when health has published DELETING.
        self._measures = measures
        book.listen(self._heard)

    def is_free(self, instance: str) -> bool:
        """Whether nothing is being done about it, and no delay after a failure runs."""
        _, not_before = self._failures.get(instance, (0, 0.0))
        return instance not in self._busy and self._clock.monotonic() >= not_before

    def create(self, instance: Instance) -> None:
        self._begin("create", instance, self._create(instance.place, instance.instance))

    def remove(self, instance: Instance) -> None:
        self._begin("remove", instance, self._remove(instance.place, instance.instance))

    def exited(self, instance: str, exit: Exit) -> None:
        """The provider noticed the end of an agent: whatever has once started it is not why."""
        place = self._book.place_of(instance)
        known = None if place is None else self._book.instance(place, instance)
        if place is None or known is None:
            return
        with uncaused():
            recording = self._record_exit(place, instance, exit)
            self._begin("exit", known, recording, _exit_key(instance))

    async def adopt(self, instance: Instance) -> None:
        """Take up the watch, or record how it ended while nobody watched."""
        key = instance.instance
        is_busy = key in self._busy or _exit_key(key) in self._busy
        if instance.handle is None or instance.exited or is_busy:
            return
        try:
            exit = await self._provider.adopt(instance)
        except ForeignHost as foreign:
            await self._refuse_foreign(instance, str(foreign))
            return
        if exit is not None:
            await self._record_exit(instance.place, instance.instance, exit)

    async def drop(self, is_owned: Callable[[str], bool]) -> None:
        """Stop what is being done about places that are owned no more; the VMs live on."""
        places = {key: self._book.place_of(key.partition(_EXIT)[0]) or "" for key in self._busy}
        await ended([task for key, task in self._busy.items() if not is_owned(places[key])])

    def _begin(
        self, kind: str, instance: Instance, work: Coroutine[Any, Any, None], key: str = ""
    ) -> None:
        key = key or instance.instance
        if key in self._busy:
            work.close()
            return
        task = asyncio.create_task(self._run(kind, instance, key, work), name=f"{kind}:{key}")
        self._busy[key] = task
        task.add_done_callback(lambda done: self._ended(key, done, work))

    def _ended(self, key: str, task: asyncio.Task[None], work: Coroutine[Any, Any, None]) -> None:
        """Also of a task that was cancelled before it ran; the next one may stand there already."""
        work.close()
        if self._busy.get(key) is task:
            del self._busy[key]

    async def _run(
        self, kind: str, instance: Instance, key: str, work: Coroutine[Any, Any, None]
    ) -> None:
        result, after_seconds = "done", 0.0
        facts = {"node": instance.place, "instance": instance.instance, "action": kind}
        told = {"cellnode.node": instance.place, "cellnode.instance": instance.instance}
        try:
            with (
                self._measures.action_seconds.labels(kind).time(),
                span(f"{kind} instance", told=told),
            ):
                await work
            self._failures.pop(key, None)
        except NotOwner as error:
            result = "not owner"
            log.warning("action given up", error=str(error), **facts)
        except (TransientError, OSError) as error:
            result, after_seconds = "failed", self._failed(key)
            log.warning("action failed", error=str(error), again_seconds=after_seconds, **facts)
        self._measures.actions.labels(kind, result).inc()
        self._busy.pop(key, None)
        self._wake(instance.place, after_seconds)

    def _failed(self, key: str) -> float:
        failures = self._failures.get(key, (0, 0.0))[0] + 1
        delay = self._backoff.delay_seconds(failures, self._clock)
        self._failures[key] = (failures, self._clock.monotonic() + delay)
        return delay

    async def _create(self, place: str, key: str) -> None:
        async with self._creations:
            await self._book.sure(place)
            node, instance = self._book.node(place), self._book.instance(place, key)
            if node is None or instance is None or instance.deleting or instance.handle:
                return
            if instance.revision != node.revision or not node.instances_wanted:
                return  # Meanwhile it would be made of something else, or not at all.
            try:
                vm = await self._provider.create(Order(key, place, node.spec))
            except Refused as refusal:
                await self._refuse(place, key, refusal.why, refusal.difference)
            except NoCapacity as full:
                await self._refuse(place, key, Reason.NO_CAPACITY, (str(full),))
            except ProviderFailed as failure:
                await self._refuse(place, key, Reason.PROVIDER_FAILED, (str(failure),))
            else:
                made = {"handle": vm.handle, "endpoint": vm.endpoint, "refused": None}
                await self._put(place, key, "InstanceCreated", created_at=vm.created_at, **made)

    async def _refuse(self, place: str, key: str, why: Reason, difference: tuple[str, ...]) -> None:
        instance = self._book.instance(place, key)
        before = instance.refused if instance else None
        times = before.times + 1 if before and before.reason is why else 1
        is_full = why is Reason.NO_CAPACITY
        longest = NO_CAPACITY_SECONDS_MAX if is_full else REFUSED_BACKOFF_SECONDS_MAX
        delay = min(2.0 ** min(times - 1, 16), longest)
        now = self._now()
        retry_at = now + timedelta(seconds=delay)
        refusal = Refusal(reason=why, difference=difference, at=now, retry_at=retry_at, times=times)
        log.warning("vm refused", node=place, instance=key, reason=why, difference=difference)
        await self._put(place, key, "InstanceRefused", refused=refusal)

    async def _refuse_foreign(self, instance: Instance, sentence: str) -> None:
        """Said once: it is neither looked at nor touched from here."""
        if instance.refused is None or instance.refused.reason is not Reason.FOREIGN_HOST:
            key = instance.instance
            await self._refuse(instance.place, key, Reason.FOREIGN_HOST, (sentence,))

    async def _record_exit(self, place: str, key: str, exit: Exit) -> None:
        instance = self._book.instance(place, key)
        if instance is None or instance.exited:
            return
        log.warning("instance exited", node=place, instance=key, code=exit.code, signal=exit.signal)
        await self._put(place, key, "InstanceExited", exited=exit)

    async def _record_end(self, place: str, key: str, lifetime: Lifetime | None) -> Instance | None:
        """Before anything that tells of it is removed: whoever goes on knows it from here."""
        instance = self._book.instance(place, key)
        if instance is None or lifetime is None or (instance.exited and instance.created_at):
            return instance
        known = {"exited": instance.exited or lifetime.exit}
        begun = instance.created_at or lifetime.created_at
        return await self._book.put_fact(instance, "InstanceDeleting", created_at=begun, **known)

    async def _put(self, place: str, key: str, kind: Any, **changes: Any) -> None:
        """Upon what is on record now, which may be more than when the action began."""
        if (instance := self._book.instance(place, key)) is not None:
            await self._book.put_fact(instance, kind, **changes)

    async def _remove(self, place: str, key: str) -> None:
        async with self._removals:
            await self._until_going(place, key)
            await self._book.sure(place)
            instance = self._book.instance(place, key)
            if instance is None:
                return
            drain = self._drain(instance)
            lifetime = await self._provider.stop(key, instance.handle, drain)
            if (known := await self._record_end(place, key, lifetime)) is not None:
                await self._close(known)
            await self._provider.remove(key, instance.handle, drain)
            await self._book.bury_instance(instance)
            log.info("instance gone", node=place, instance=key)

    async def _until_going(self, place: str, key: str) -> None:
        """Gateways stop sending when health has published DELETING; a short wait for that."""
        status = self._book.status(place, key)
        if status is None or status.status is not InstanceStatus.HEALTHY:
            return
        going = self._going.setdefault(key, asyncio.Event())
        try:
            async with asyncio.timeout(self._settings.deleting_seen_seconds):
                await going.wait()
        except TimeoutError:
            log.warning("health has not said DELETING in time", node=place, instance=key)
        finally:
            self._going.pop(key, None)

    def _heard(self, place: str, key: str) -> None:
        if (going := self._going.get(key)) is not None:
            status = self._book.status(place, key)
            if status is None or status.status is InstanceStatus.DELETING:
                going.set()

    def _drain(self, instance: Instance) -> Drain:
        """Who was in balancing refuses for a while, so that no late request is lost; who never
        served, or does not answer, has nothing to finish."""
        status = self._book.status(instance.place, instance.instance)
        steps = () if status is None else status.transitions
        before = [step for step in steps if step.status != InstanceStatus.DELETING.value]
        longest = self._settings.drain_seconds_max + DRAIN_MARGIN_SECONDS
        short = Drain(SIGINT, min(longest, SHORT_DRAIN_SECONDS))
        if not before:
            return short
        match before[-1].status, before[-1].reason:
            case InstanceStatus.HEALTHY.value, _:
                return Drain(SIGTERM, longest)
            case InstanceStatus.UNHEALTHY.value, reason if reason not in NOTHING_TO_FINISH:
                return Drain(SIGINT, longest)
        return short

    def _now(self) -> Any:
        return self._clock.now()


def _exit_key(instance: str) -> str:
    return instance + _EXIT
