"""Instances as detached process trees of this host, each in a directory of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.checkpoints import Manifest
from schemas.errors import DomainError, TransientError
from schemas.ids import DEFAULT_PROJECT
from schemas.instance_types import INSTANCE_TYPES, InstanceType
from schemas.instances import Exit, Handle, Instance
from schemas.specs import NodeSpec
from schemas.statuses import Reason
from services.chassis.clock import Clock
from services.chassis.last_end import all_ended_at
from services.chassis.telemetry import logger
from services.provisioner.providers import (
    Drain,
    ForeignHost,
    Found,
    Lifetime,
    NoCapacity,
    OnExit,
    Order,
    ProviderFailed,
    Refused,
    Vm,
)
from services.provisioner.providers.descriptions import description, node_of
from services.provisioner.providers.directories import InstanceDirectory
from services.provisioner.providers.fitting import Fitting
from services.provisioner.providers.identity import Identity, identity
from services.provisioner.providers.processes import (
    Process,
    end_all,
    inside,
    reaped,
)
from services.provisioner.providers.starting import agent_of, exit_known, spawn, told_exit
from services.provisioner.providers.watching import Watching

KILL_SECONDS_MAX = 5.0
STARTS_AT_ONCE_MAX = 8
_OURS = ("CELLNODE_", "KAFKA_", "REDIS_")  # Instances reach no store, no bus, no Redis.

log = logger("provisioner.local")


@dataclass(frozen=True)
class LocalSettings:
    """Where things lie and what limits hold."""

    data: Path
    store: Path
    instances_max: int
    cache_bytes_max: int = 20 * 1024**3
    drain_seconds_min: float = 5.0
    drain_seconds_max: float = 30.0
    instance_types: Mapping[str, InstanceType] = field(default_factory=lambda: INSTANCE_TYPES)
    python: Path | None = None


class LocalProvider:
    """Makes, watches, adopts and removes the instances of one host."""

    def __init__(self, settings: LocalSettings, clock: Clock) -> None:
        data = settings.data.resolve()
        self._settings = settings
        self._clock = clock
        self._watching = Watching(clock)
        self._root = data / "instances"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.identity: Identity = identity(data, clock)
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_OURS)
        }
        self._fitting = Fitting(
            settings.store.resolve(),
            data / "cache",
            settings.cache_bytes_max,
            clock,
            python=settings.python,
        )
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE_MAX)
        self._reserved: set[str] = set()
        self._stopped: set[str] = set()  # Until they are removed.

    @property
    def on_exit(self) -> OnExit:
        return self._watching.on_exit

    @on_exit.setter
    def on_exit(self, told: OnExit) -> None:
        self._watching.on_exit = told

    async def warm_up(self) -> None:
        await self._fitting.warm_up()

    async def prepare(self, spec: NodeSpec) -> None:
        with suppress(DomainError, TransientError):
            await self._fitting.of(spec)

    async def create(self, order: Order) -> Vm:
        directory = InstanceDirectory(self._root / order.instance)
        if (agent := await self._present(directory)) is not None:
            return self._watched(directory, agent)
        kind = self._type_of(order.spec)
        self._reserve(order.instance)
        try:
            manifest = await self._fitting.of(order.spec)
            async with self._starting:
                agent = await self._start(directory, self._described(order, kind, manifest))
        finally:
            self._reserved.discard(order.instance)
        log.info("vm made", node=order.place, instance=order.instance, pid=agent.pid)
        return self._watched(directory, agent)

    async def adopt(self, instance: Instance) -> Exit | None:
        """Taken up only if it is this very process of this boot; else it has ended."""
        directory = InstanceDirectory(self._root / instance.instance)
        handle = instance.handle
        if handle is None:
            return None
        self._check_host(handle)
        if self._watching.has(instance.instance):
            return None
        agent = self._agent_of(handle, directory)
        if agent is None:
            await exit_known(directory, self._clock)
            return directory.exit(directory.last_seen_at(self._gone_at(instance)))
        with suppress(ProcessLookupError):
            self._watching.watch(directory, agent)
            return None
        return await told_exit(directory, agent, self._clock)

    async def living(self, instances: Sequence[Instance]) -> frozenset[str]:
        return await asyncio.to_thread(self._living, instances)

    async def stop(self, instance: str, handle: Handle | None, drain: Drain) -> Lifetime | None:
        if handle is not None:
            self._check_host(handle)
        directory = InstanceDirectory(self._root / instance)
        if (agent := directory.agent()) is not None:
            await self._watching.drained(instance, agent, drain)
            ended_at = self._clock.now()
        else:
            await exit_known(directory, self._clock)
            ended_at = directory.last_seen_at(self._clock.now())
        self._watching.forget(instance)
        if left := await end_all(directory.path, KILL_SECONDS_MAX):
            pids = ", ".join(str(process.pid) for process in left)
            raise ProviderFailed(f"processes {pids} of {instance} do not end")
        self._stopped.add(instance)
        return directory.lifetime(ended_at)

    async def remove(self, instance: str, handle: Handle | None, drain: Drain) -> None:
        if instance not in self._stopped:
            await self.stop(instance, handle, drain)
        directory = InstanceDirectory(self._root / instance)
        try:
            await asyncio.to_thread(directory.remove)
        except OSError as error:
            raise ProviderFailed(f"{directory.path} cannot be removed: {error}") from error
        self._stopped.discard(instance)

    async def found(self) -> list[Found]:
        return await asyncio.to_thread(self._found)

    async def tidy(self) -> None:
        await self._fitting.tidy(await asyncio.to_thread(self._in_use))

    async def close(self) -> None:
        """Stop watching; the instances live on."""
        await self._watching.close()
        self._fitting.close()

    def _agent_of(self, handle: Handle, directory: InstanceDirectory) -> Process | None:
        """The agent, if it is this very process of this boot."""
        agent = directory.agent() if handle.boot == self.identity.boot else None
        is_it = agent and (agent.pid, agent.start_time) == (handle.pid, handle.start_time)
        return agent if is_it else None

    def _gone_at(self, instance: Instance) -> datetime:
        """Of one that has left no trace: ended with all others, else when it was last told of."""
        now = self._clock.now()
        begun = instance.created_at or now
        together = all_ended_at(self._root.parent)
        if together is not None and begun <= together:
            return together
        return max(begun, instance.metered_until or begun)

    def _living(self, instances: Sequence[Instance]) -> frozenset[str]:
        ours, living = (self.identity.host, self.identity.installation), set()
        for one in instances:
            if one.handle is None or (one.handle.host, one.handle.installation) != ours:
                continue
            directory = InstanceDirectory(self._root / one.instance)
            if self._agent_of(one.handle, directory) is not None:
                directory.note_seen(self._clock.now())
                living.add(one.instance)
        return frozenset(living)

    def _in_use(self) -> set[str]:
        """The checkpoints of all instances: an interpreter may have to load its own again."""
        paths = (path for path in self._root.iterdir() if path.is_dir())
        return {str(InstanceDirectory(path).description().get("checkpoint")) for path in paths}

    def _found(self) -> list[Found]:
        """A directory without a readable description was never started, or is half removed."""
        found = []
        ours = self.identity.installation
        for path in sorted(path for path in self._root.iterdir() if path.is_dir()):
            written = InstanceDirectory(path).description()
            if written.get("installation", ours) == ours:
                place = str(written.get("place", f"{DEFAULT_PROJECT}/{node_of(path.name)}"))
                found.append(Found(path.name, place))
        return found

    def _reserve(self, instance: str) -> None:
        """A place among the most that may exist; those that are going still hold theirs."""
        taken = {path.name for path in self._root.iterdir()} | self._reserved
        if len(taken - {instance}) >= self._settings.instances_max:
            raise NoCapacity(f"there are {len(taken)} instances of {self._settings.instances_max}")
        self._reserved.add(instance)

    def _type_of(self, spec: NodeSpec) -> InstanceType:
        """The operator may have taken a type away that a node still names."""
        offered = self._settings.instance_types
        if (kind := offered.get(spec.instance_type)) is None:
            raise Refused(
                Reason.INSTANCE_TYPE_UNKNOWN,
                f"there is no instance type {spec.instance_type!r}; there are: "
                f"{', '.join(sorted(offered))}; deploy the node with one of them",
            )
        return kind

    def _described(self, order: Order, kind: InstanceType, manifest: Manifest) -> dict[str, Any]:
        return {
            **description(order, kind),
            "installation": self.identity.installation,
            "store": str(self._fitting.cache),
            "python": self._fitting.python_of(manifest),
            "drain_seconds_min": self._settings.drain_seconds_min,
            "drain_seconds_max": self._settings.drain_seconds_max,
        }

    async def _present(self, directory: InstanceDirectory) -> Process | None:
        """The agent of an earlier try; a half-made one is ended and cleared away."""
        if not directory.path.exists():
            return None
        if (agent := directory.agent()) is not None:
            return agent
        for process in await asyncio.to_thread(inside, directory.path):
            if (agent := await agent_of(directory, process.pid, self._clock)) is not None:
                return agent
        await end_all(directory.path, KILL_SECONDS_MAX)
        await asyncio.to_thread(directory.remove)
        return None

    async def _start(self, directory: InstanceDirectory, description: dict[str, Any]) -> Process:
        try:
            socket = directory.make()
            directory.describe({**description, "socket": str(socket)})
            keeper = spawn(directory, self._environment)
        except OSError as error:
            raise ProviderFailed(f"{directory.instance} cannot be started: {error}") from error
        self._watching.keep(reaped(keeper), f"reap:{directory.instance}")
        agent = await agent_of(directory, keeper, self._clock)
        if agent is None:
            lines = directory.exit(self._clock.now()).last_lines
            raise ProviderFailed(f"{directory.instance} did not start: {' | '.join(lines[-3:])}")
        return agent

    def _watched(self, directory: InstanceDirectory, agent: Process) -> Vm:
        self._watching.watch_or_tell(directory, agent)
        who = self.identity
        handle = Handle(
            provider="local",
            installation=who.installation,
            host=who.host,
            boot=who.boot,
            directory=str(directory.path),
            pid=agent.pid,
            start_time=agent.start_time,
        )
        endpoint = f"unix:{directory.description().get('socket', '')}"
        return Vm(handle, endpoint, directory.created_at() or self._clock.now())

    def _check_host(self, handle: Handle) -> None:
        ours = (self.identity.host, self.identity.installation)
        if (handle.host, handle.installation) != ours:
            raise ForeignHost(f"the instance lies on {handle.host}, this is {self.identity.host}")
