"""A gateway in this process with its instances, and the few things that tests do with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.nodes import Node
from services.chassis.process import Process
from services.gateway.gateway import Gateway
from services.gateway.settings import GatewaySettings
from tests.builders import a_node
from tests.services.gateway.agents import Agent, Asked
from tests.services.gateway.projecting import Projecting
from tests.services.gateway.waiting import until
from tests.services.gateway.wire import Reply, Wire

Behaviour = Callable[[Agent, Asked], Awaitable[bytes]]


@dataclass
class World:
    """A gateway with its instances."""

    projecting: Projecting
    folder: Path
    stack: AsyncExitStack
    redis_url: str
    site: Gateway
    process: Process[GatewaySettings]
    wires: list[Wire] = field(default_factory=list)

    async def wire(self) -> Wire:
        wire = await Wire.to(self.process.address)
        self.stack.push_async_callback(wire.close)
        return wire

    async def agents(self, name: str, *behaviours: Behaviour, **spec: Any) -> list[Agent]:
        """A node whose instances behave so, routed already."""
        node = a_node(name, **spec)
        agents = [
            Agent(node.instance_id(n), self.folder / f"{name}{n}", behave)
            for n, behave in enumerate(behaviours, start=1)
        ]
        for agent in agents:
            await agent.listen()
            self.stack.push_async_callback(agent.vanish)
        self.projecting.serve(name, [agent.url for agent in agents], **spec)
        await self.routed(node, len(agents))
        return agents

    async def routed(self, node: Node, endpoints: int, seconds: float = 10.0) -> None:
        """Until the gateway routes to this many instances."""
        await until(lambda: self.endpoints(node.place) == endpoints, seconds)

    def endpoints(self, place: str) -> int | None:
        node = self.site._copy.nodes.get(place)
        return None if node is None else len(node.endpoints)

    async def call(self, node: str, body: bytes = b"{}", **headers: str) -> Reply:
        wire = await self.wire()
        return await wire.call(node, body, **headers)

    @property
    def gauges(self) -> dict[str, float]:
        return self.site.gauges()
