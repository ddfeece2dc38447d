"""Watches the agents of a host until they end, and tells how they did."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from schemas.instances import Exit
from services.chassis.clock import Clock
from services.chassis.telemetry import logger
from services.provisioner.providers import Drain, OnExit
from services.provisioner.providers.directories import InstanceDirectory
from services.provisioner.providers.processes import Ending, Process
from services.provisioner.providers.starting import told_exit

log = logger("provisioner.local")


class Watching:
    """One task an agent; leaving off leaves the agents alone."""

    def __init__(self, clock: Clock) -> None:
        self.on_exit: OnExit = _unheard
        self._clock = clock
        self._endings: dict[str, Ending] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def has(self, instance: str) -> bool:
        return instance in self._endings

    def watch(self, directory: InstanceDirectory, agent: Process) -> None:
        """Raises ProcessLookupError if it has ended already."""
        if directory.instance not in self._endings:
            ending = self._endings[directory.instance] = Ending(agent)
            watching = self._until_exit(directory, agent, ending)
            self.keep(watching, f"watch:{directory.instance}")

    def watch_or_tell(self, directory: InstanceDirectory, agent: Process) -> None:
        try:
            self.watch(directory, agent)
        except ProcessLookupError:
            self.keep(self._tell_exit(directory, agent), f"exit:{directory.instance}")

    async def drained(self, instance: str, agent: Process, drain: Drain) -> None:
        """Ask the agent to go, and give it its time."""
        ending = self._endings.pop(instance, None)
        try:
            ending = ending or Ending(agent)
        except ProcessLookupError:
            return
        try:
            agent.send(drain.signal)
            async with asyncio.timeout(drain.seconds_max):
                await ending.ended.wait()
        except TimeoutError:
            log.warning("agent did not go in time", instance=instance, pid=agent.pid)
        finally:
            ending.close()

    def forget(self, instance: str) -> None:
        if (ending := self._endings.pop(instance, None)) is not None:
            ending.close()

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """A task that ends with this at the latest."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for ending in self._endings.values():
            ending.close()
        self._endings.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _until_exit(
        self, directory: InstanceDirectory, agent: Process, ending: Ending
    ) -> None:
        """It counts as watched until its exit is told, so that nobody tells less of it before."""
        await ending.ended.wait()
        if self._endings.get(directory.instance) is ending:
            exit = await told_exit(directory, agent, self._clock)
            if self._endings.get(directory.instance) is ending:
                del self._endings[directory.instance]
                self.on_exit(directory.instance, exit)

    async def _tell_exit(self, directory: InstanceDirectory, agent: Process) -> None:
        self.on_exit(directory.instance, await told_exit(directory, agent, self._clock))


def _unheard(instance: str, exit: Exit) -> None:
    """Until somebody listens: an exit that was missed is found by adopting."""
