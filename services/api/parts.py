"""What the operations stand on, made once by the wiring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from services.api.projection import Projection
from services.api.settings import ApiSettings
from services.api.store import Store
from services.chassis.bus import Bus
from services.chassis.clock import Clock
from services.chassis.process import Process
from services.chassis.redis import Redis


class Checkpoints(Protocol):
    """What the routes of nodes need of the store."""

    async def resolve(self, project: str, reference: str) -> str:
        """A digest that is in the store; a pin's name becomes what it names now.

        Raises ApiProblem: pin-unknown, checkpoint-unknown, store-unavailable.
        """


@dataclass(frozen=True)
class Parts:
    """Given to each noun's `operations(parts)`."""

    process: Process[ApiSettings]
    bus: Bus
    redis: Redis
    store: Store
    projection: Projection

    @property
    def settings(self) -> ApiSettings:
        return self.process.settings

    @property
    def clock(self) -> Clock:
        return self.process.clock
