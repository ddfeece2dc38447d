"""All processes of one `up` by name: started, kept running, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cellnode.launcher.child import Child, Program, keep_running

LOG_LOOK_SECONDS = 5.0


class Children(Mapping[str, Child]):
    """The one that was started last under each name."""

    def __init__(self, logs: Path, tell: Callable[[str], None]) -> None:
        self._logs = logs
        self._tell = tell
        self._children: dict[str, Child] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._hopeless: asyncio.Future[None] | None = None

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __len__(self) -> int:
        return len(self._children)

    async def start(self, program: Program) -> Child:
        """In place of a former one of this name, whose log goes on."""
        log = self._logs / f"{program.name}.log"
        if program.name not in self._children:
            log.write_bytes(b"")
        child = self._children[program.name] = Child(program, log)
        await child.start()
        return child

    async def keep(self, program: Program) -> Child:
        """Start it, and start it again whenever it ends."""
        child = await self.start(program)
        keeper = asyncio.ensure_future(keep_running(child, self._tell))
        keeper.add_done_callback(self._gave_up)
        self._keepers[program.name] = keeper
        return child

    async def end(self, *names: str, grace_seconds: float) -> None:
        """Stop those that there are, side by side, and keep them running no more."""
        keepers = [self._keepers.pop(name) for name in names if name in self._keepers]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        children = [self._children[name] for name in names if name in self._children]
        await asyncio.gather(*(child.stop(grace_seconds) for child in children))

    async def first_of(self, *awaited: asyncio.Future[Any]) -> None:
        """One of these is over, or something cannot be kept running: then UpFailed."""
        hopeless = self._giving_up()
        await asyncio.wait({*awaited, hopeless}, return_when="FIRST_COMPLETED")
        for over in (hopeless, *awaited):
            if over.done():
                over.result()

    async def keep_logs_small(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOG_LOOK_SECONDS)
            for child in self._children.values():
                child.keep_log_small()

    def _giving_up(self) -> asyncio.Future[None]:
        if self._hopeless is None:
            self._hopeless = asyncio.get_running_loop().create_future()
        return self._hopeless

    def _gave_up(self, keeper: asyncio.Task[None]) -> None:
        if keeper.cancelled() or (error := keeper.exception()) is None:
            return
        hopeless = self._giving_up()
        if not hopeless.done():
            hopeless.set_exception(error)
            hopeless.exception()  # Perhaps nobody waits any more.
