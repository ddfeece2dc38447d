"""A fleet of simulated VMs: one process that outlives every service and keeps the truth.

`python -m benchmarks.simulated_fleet DIRECTORY SEED` listens on `DIRECTORY/fleet`. Making and
removing are idempotent by the instance's id, as with every provider.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks.simulated_agents import Agent

MAKING_SECONDS_MAX = 0.03
POLL_SECONDS_MAX = 10.0
SOCKET = "fleet"


@dataclass
class Life:
    """One VM, from its making to its end; two of one instance are one too many."""

    instance: str
    place: str
    made_at: float
    exited_at: float | None = None  # Of itself, or stopped.
    stopped_at: float | None = None  # By a provisioner, if it lived until then.
    removed_at: float | None = None


@dataclass
class Fleet:
    """All VMs that ever were."""

    directory: Path
    dice: random.Random
    lives: list[Life] = field(default_factory=list)
    _present: dict[str, Life] = field(default_factory=dict)
    _agents: dict[str, Agent] = field(default_factory=dict)
    _making: dict[str, asyncio.Lock] = field(default_factory=dict)
    _exits: list[Life] = field(default_factory=list)
    _exited: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def make(self, request: web.Request) -> web.Response:
        instance, place = request.match_info["instance"], request.query["place"]
        async with self._making.setdefault(instance, asyncio.Lock()):
            if instance not in self._present:
                await asyncio.sleep(self.dice.uniform(0, MAKING_SECONDS_MAX))
                agent = Agent(instance, self.directory / instance)
                await agent.start()
                life = Life(instance, place, time.time())
                self.lives.append(life)
                self._present[instance], self._agents[instance] = life, agent
        return web.json_response(asdict(self._present[instance]))

    async def look(self, request: web.Request) -> web.Response:
        life = self._present.get(request.match_info["instance"])
        if life is None:
            raise web.HTTPNotFound
        return web.json_response(asdict(life))

    async def stop(self, request: web.Request) -> web.Response:
        """End it; it stays, as one that has ended, until it is removed."""
        instance = request.match_info["instance"]
        async with self._making.setdefault(instance, asyncio.Lock()):
            self._end(instance)
        return await self.look(request)

    async def remove(self, request: web.Request) -> web.Response:
        instance = request.match_info["instance"]
        async with self._making.setdefault(instance, asyncio.Lock()):
            self._end(instance)
            life = self._present.pop(instance, None)
            if life is not None:
                life.removed_at = time.time()
        return web.json_response({})

    def _end(self, instance: str) -> None:
        agent, life = self._agents.pop(instance, None), self._present.get(instance)
        if agent is not None and life is not None:
            agent.end()
            life.exited_at = life.stopped_at = time.time()

    async def crash(self, request: web.Request) -> web.Response:
        """End it as if its host had killed it; it stays until somebody removes it."""
        instance = request.match_info["instance"]
        life, agent = self._present.get(instance), self._agents.pop(instance, None)
        if life is not None and agent is not None:
            life.exited_at = time.time()
            agent.end()
            async with self._exited:
                self._exits.append(life)
                self._exited.notify_all()
        return web.json_response({})

    async def exits(self, request: web.Request) -> web.Response:
        """Those after the first `after`, as soon as there is one."""
        after = int(request.query["after"])
        try:
            async with asyncio.timeout(POLL_SECONDS_MAX), self._exited:
                await self._exited.wait_for(lambda: len(self._exits) > after)
        except TimeoutError:
            return web.json_response([])
        return web.json_response([asdict(life) for life in self._exits[after:]])

    async def all_present(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(life) for life in self._present.values()])

    async def truth(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(life) for life in self.lives])

    def end(self) -> None:
        for agent in self._agents.values():
            agent.end()


def application(fleet: Fleet) -> web.Application:
    routes: list[Any] = [
        web.put("/vms/{instance}", fleet.make),
        web.get("/vms/{instance}", fleet.look),
        web.delete("/vms/{instance}", fleet.remove),
        web.post("/vms/{instance}/stop", fleet.stop),
        web.post("/vms/{instance}/crash", fleet.crash),
        web.get("/vms", fleet.all_present),
        web.get("/exits", fleet.exits),
        web.get("/truth", fleet.truth),
    ]
    app = web.Application()
    app.add_routes(routes)
    return app


def main(directory: Path, seed: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    fleet = Fleet(directory, random.Random(seed))
    web.run_app(
        application(fleet),
        path=str(directory / SOCKET),
        print=None,
        access_log=None,
        shutdown_timeout=0.1,
    )
    fleet.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
