"""A provider whose VMs are simulated: it speaks to the fleet as others do to a cluster's API.

`python -m benchmarks.simulated_provider SOCKET` is a provisioner with it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from schemas.instances import Exit, Handle, Instance
from schemas.specs import NodeSpec
from services.chassis.endings import ended
from services.chassis.process import Process, run
from services.chassis.telemetry import logger
from services.provisioner.app import provisioner
from services.provisioner.providers import (
    Drain,
    Found,
    Lifetime,
    OnExit,
    Order,
    ProviderFailed,
    Vm,
)
from services.provisioner.settings import ProvisionerSettings

CALL_SECONDS_MAX = 20.0
TRY_AGAIN_SECONDS = 0.2
CODE_OF_A_CRASH = 137

log = logger("provisioner.simulated")


class SimulatedProvider:
    """Every replica sees the same fleet, so whoever owns a partition hears of its exits."""

    def __init__(self, socket: str) -> None:
        self.on_exit: OnExit = _unheard
        self._directory = Path(socket).parent
        self._session = aiohttp.ClientSession(
            "http://fleet",
            connector=aiohttp.UnixConnector(socket),
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS_MAX),
        )
        self._alive: set[str] = set()
        self._exits: dict[str, Exit] = {}
        self._hearing = asyncio.create_task(self._hear(), name="simulated.exits")

    async def warm_up(self) -> None:
        """Nothing to do ahead."""

    async def prepare(self, spec: NodeSpec) -> None:
        """Nothing to do ahead."""

    async def create(self, order: Order) -> Vm:
        made = await self._call("PUT", f"/vms/{order.instance}", place=order.place)
        self._alive.add(order.instance)
        handle = Handle(provider="kubernetes", installation="simulated", host="fleet", boot="1")
        return Vm(handle, f"unix:{self._directory / order.instance}", _moment(made["made_at"]))

    async def adopt(self, instance: Instance) -> Exit | None:
        name = instance.instance
        if name not in self._alive and name not in self._exits:
            found = await self._call("GET", f"/vms/{name}")
            if found is None:
                return Exit(code=CODE_OF_A_CRASH, at=datetime.now(timezone.utc))
            self._alive.add(name)
            if found["exited_at"] is not None:
                self._exits[name] = _exit(found)
        return self._exits.get(name)

    async def living(self, instances: Sequence[Instance]) -> frozenset[str]:
        there = await self._call("GET", "/vms")
        alive = {one["instance"] for one in there if one["exited_at"] is None}
        return frozenset(alive.intersection(one.instance for one in instances))

    async def stop(self, instance: str, handle: Handle | None, drain: Drain) -> Lifetime | None:
        life = await self._call("POST", f"/vms/{instance}/stop")
        return None if life is None else Lifetime(_moment(life["made_at"]), _exit(life))

    async def remove(self, instance: str, handle: Handle | None, drain: Drain) -> None:
        await self._call("DELETE", f"/vms/{instance}")
        self._alive.discard(instance)

    async def found(self) -> list[Found]:
        return [Found(one["instance"], one["place"]) for one in await self._call("GET", "/vms")]

    async def tidy(self) -> None:
        """It stores nothing."""

    async def close(self) -> None:
        await ended([self._hearing])
        await self._session.close()

    async def _hear(self) -> None:
        """Of all exits from the first on, for as long as this lives."""
        heard = 0
        while True:
            try:
                news = await self._call("GET", "/exits", after=str(heard))
            except ProviderFailed as error:
                log.warning("fleet does not answer", error=str(error))
                await asyncio.sleep(TRY_AGAIN_SECONDS)
                continue
            heard += len(news)
            for life in news:
                self._exits[life["instance"]] = _exit(life)
                if life["instance"] in self._alive:
                    self.on_exit(life["instance"], _exit(life))

    async def _call(self, method: str, path: str, **query: str) -> Any:
        try:
            async with self._session.request(method, path, params=query) as answer:
                return None if answer.status == 404 else await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ProviderFailed(f"{method} {path}: {error!r}") from error


def _exit(life: dict[str, Any]) -> Exit:
    return Exit(code=CODE_OF_A_CRASH, at=_moment(life["exited_at"]))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _unheard(instance: str, exit: Exit) -> None:
    """Until somebody listens: what was missed is found by adopting."""


def simulated(socket: str, process: Process[ProvisionerSettings]) -> SimulatedProvider:
    return SimulatedProvider(socket)


if __name__ == "__main__":
    provider_of = partial(simulated, sys.argv[1])
    run("provisioner", ProvisionerSettings, partial(provisioner, provider_of=provider_of))
