"""The judgement before a start: the checkpoint is whole, and Python and packages fit it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from schemas.checkpoints import Manifest
from schemas.errors import DomainError, TransientError
from schemas.specs import NodeSpec
from services.chassis.clock import Clock
from services.provisioner.providers.cache import prune, touch
from services.provisioner.providers.checkpoints import Checkpoints
from services.provisioner.providers.inventories import Inventories, compare
from services.provisioner.providers.starting import PACKAGES

VERIFICATIONS_AT_ONCE_MAX = 2
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")  # As the agent does.


class Fitting:
    """Asked before every start; what was verified or asked once is answered from memory."""

    def __init__(
        self, store: Path, cache: Path, bytes_max: int, clock: Clock, *, python: Path | None = None
    ) -> None:
        self._checkpoints = Checkpoints(store, cache)
        self._bytes_max = bytes_max
        self._clock = clock
        self._python = None if python is None else str(python)
        program = PACKAGES / "runtime" / "interpreter" / "inventory.py"
        self._inventories = Inventories(program, _seen_by_interpreters(), clock)
        self._threads = ThreadPoolExecutor(VERIFICATIONS_AT_ONCE_MAX, "checkpoints")
        self._verifying: dict[str, asyncio.Future[Manifest]] = {}
        self.cache = cache

    async def warm_up(self) -> None:
        """Ask ahead what the Python has that instances will likely run: often it is our own."""
        with suppress(DomainError, TransientError):
            await self._inventories.of(self._python or sys.executable)

    async def of(self, spec: NodeSpec) -> Manifest:
        """The manifest, once checkpoint, Python and packages are known to fit; or Refused."""
        manifest = await self._verified(spec.checkpoint)
        compare(manifest, await self._inventories.of(self.python_of(manifest)))
        return manifest

    def python_of(self, manifest: Manifest) -> str:
        """What runs an instance: the one Python of this host's image, else the pin's own."""
        return self._python or manifest.python.executable

    async def tidy(self, in_use: Collection[str]) -> None:
        """Forget the longest unused checkpoints, if they are too large together."""
        if not self._verifying:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, prune, self.cache, self._bytes_max, in_use)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _verified(self, digest: str) -> Manifest:
        """Once at a time of each checkpoint, in threads of its own: large ones take a while."""
        verifying = self._verifying.get(digest)
        if verifying is None:
            loop = asyncio.get_running_loop()
            verifying = loop.run_in_executor(self._threads, self._verify, digest)
            self._verifying[digest] = verifying
            verifying.add_done_callback(lambda _: self._verifying.pop(digest))
        return await asyncio.shield(verifying)

    def _verify(self, digest: str) -> Manifest:
        manifest = self._checkpoints.verified(digest)
        touch(self.cache / "checkpoints" / f"{digest}.json", self._clock.now())
        return manifest


def _seen_by_interpreters() -> dict[str, str]:
    """What the agent passes on, so that the inventory sees the packages that a cell will see."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed_on, "HOME": "/"}
