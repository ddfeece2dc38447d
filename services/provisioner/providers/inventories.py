"""What a Python has installed, asked once, and how it differs from what a checkpoint needs."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from schemas.checkpoints import Inventory, Manifest, mismatches
from schemas.statuses import Reason
from services.chassis.clock import Clock
from services.provisioner.providers import ProviderFailed, Refused

ASK_SECONDS_MAX = 30.0
KEPT_SECONDS = 300.0  # For packages outside the folders whose changes are noticed.
KEPT_MAX = 64


@dataclass
class _Known:
    folders: Mapping[str, int]
    asked_at: float
    answer: asyncio.Future[Inventory] = field(default_factory=asyncio.Future)

    def is_usable(self) -> bool:
        return not self.answer.done() or (
            not self.answer.cancelled() and self.answer.exception() is None
        )


class Inventories:
    """Of every interpreter that was asked for; asked again when its packages change."""

    def __init__(self, program: Path, environment: Mapping[str, str], clock: Clock) -> None:
        self._program = program
        self._environment = dict(environment)
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def of(self, executable: str) -> Inventory:
        """Raises Refused where there is no such Python, ProviderFailed if it does not answer."""
        folders = _changes(executable)
        known = self._known.get(executable)
        now = self._clock.monotonic()
        fresh = known and known.folders == folders and now - known.asked_at < KEPT_SECONDS
        if known is None or not fresh or not known.is_usable():
            known = _Known(folders, now)
            self._remember(executable, known)
            asking = asyncio.create_task(self._ask(executable), name=f"inventory:{executable}")
            asking.add_done_callback(lambda done: _settle(known.answer, done))
        return await asyncio.shield(known.answer)

    def _remember(self, executable: str, known: _Known) -> None:
        if len(self._known) >= KEPT_MAX:
            self._known.pop(next(iter(self._known)))
        self._known[executable] = known

    async def _ask(self, executable: str) -> Inventory:
        if not (os.path.isabs(executable) and os.access(executable, os.X_OK)):
            raise Refused(Reason.PYTHON_MISMATCH, f"there is no Python at {executable!r}")
        process = await asyncio.create_subprocess_exec(
            executable,
            str(self._program),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            cwd="/",
        )
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                answer, complaint = await process.communicate()
            return Inventory.model_validate(json.loads(answer))
        except TimeoutError:
            raise ProviderFailed(f"{executable} did not say what it has installed") from None
        except (ValueError, ValidationError):
            said = complaint.decode(errors="replace")[-500:].strip()
            raise ProviderFailed(f"{executable} cannot tell what it has: {said}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def compare(manifest: Manifest, inventory: Inventory) -> None:
    """Refuse another Python, machine or package than the pin was made with, saying exactly what."""
    found = mismatches(manifest, inventory)
    for gravest in (Reason.PYTHON_MISMATCH, Reason.PACKAGE_MISSING, Reason.PACKAGE_MISMATCH):
        if any(reason is gravest for reason, _ in found):
            raise Refused(gravest, *(difference for _, difference in found))


def _settle(answer: asyncio.Future[Inventory], done: asyncio.Task[Inventory]) -> None:
    if answer.done():
        return
    if done.cancelled():
        answer.cancel()
    elif (error := done.exception()) is not None:
        answer.set_exception(error)
        answer.exception()  # Whoever asked has it; if nobody waits any more, that is no fault.
    else:
        answer.set_result(done.result())


def _changes(executable: str) -> dict[str, int]:
    """When each folder of packages last changed: installing and removing shows there."""
    found = {}
    roots = {Path(executable).parent.parent, Path(os.path.realpath(executable)).parent.parent}
    for root in sorted(roots):
        for pattern in ("lib/python3*/site-packages", "lib/python3*/dist-packages", "pyvenv.cfg"):
            for path in root.glob(pattern):
                found[str(path)] = path.stat().st_mtime_ns
    return found
