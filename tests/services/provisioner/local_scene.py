"""A local provider alone, with real process trees, and what it told of their exits."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from schemas.instances import Exit, Instance
from services.chassis.clock import SYSTEM_CLOCK
from services.provisioner.providers import Drain, Order, Vm
from services.provisioner.providers.local import LocalProvider, LocalSettings
from tests.builders import a_node, an_instance
from tests.services.provisioner.scenes import a_checkpoint

QUICK = Drain(signal.SIGINT, 2.0)


class Scene:
    """A provider, and what it told of exits."""

    def __init__(self, data: Path, **changes: Any) -> None:
        given = {"data": data, "store": data / "store", "instances_max": 8, **changes}
        self.data = data
        self.spec = a_node(checkpoint=a_checkpoint(data), cell="y = x * factor").spec
        self.provider = LocalProvider(LocalSettings(**given), SYSTEM_CLOCK)
        self.exits: dict[str, Exit] = {}
        self.provider.on_exit = self.exits.__setitem__

    async def made(self, n: int = 1) -> tuple[Instance, Vm]:
        node = a_node().model_copy(update={"spec": self.spec})
        instance = an_instance(node, n)
        vm = await self.provider.create(Order(instance.instance, node.place, node.spec))
        return instance.model_copy(update={"handle": vm.handle, "endpoint": vm.endpoint}), vm
