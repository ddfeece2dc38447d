"""What makes and removes instances: the one way in which the provisioner speaks to a provider."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from schemas.errors import CheckpointFault, ProviderBusy, TransientError
from schemas.evolution import readable
from schemas.instances import Exit, Handle, Instance
from schemas.specs import NodeSpec
from schemas.statuses import Reason

DIFFERENCES_MAX = 64
DIFFERENCE_CHARACTERS_MAX = 1000


@dataclass(frozen=True)
class Order:
    """All that a provider must know to make one instance."""

    instance: str
    place: str
    spec: NodeSpec


@dataclass(frozen=True)
class Vm:
    """A VM that exists: how it is found again, where its agent listens, since when it runs."""

    handle: Handle
    endpoint: str
    created_at: datetime  # The VM's own, also where it was made by an earlier try.


@dataclass(frozen=True)
class Lifetime:
    """A VM that has ended: from when to when it is metered."""

    created_at: datetime
    exit: Exit


@dataclass(frozen=True)
class Found:
    """A VM that the provider has, whether anybody knows of it or not."""

    instance: str
    place: str


@dataclass(frozen=True)
class Drain:
    """How an agent is asked to go, and how long it may take before it is killed."""

    signal: signal.Signals
    seconds_max: float


class Refused(CheckpointFault):
    """The checkpoint or its environment forbids a start; asking again may help after a repair.

    What does not fit comes from who made the checkpoint: it is cut to what a record can carry.
    """

    def __init__(self, why: Reason, *difference: str) -> None:
        told = [readable(line[:DIFFERENCE_CHARACTERS_MAX]) for line in difference[:DIFFERENCES_MAX]]
        if len(difference) > DIFFERENCES_MAX:
            told.append(f"and {len(difference) - DIFFERENCES_MAX} more")
        super().__init__("; ".join(told))
        self.why = why
        self.difference = tuple(told)


class NoCapacity(ProviderBusy):
    """There is no room for another instance now."""


class ProviderFailed(TransientError):
    """The provider itself could not do it."""


class ForeignHost(TransientError):
    """The VM lies on another host: it can be neither looked at nor removed from here."""


OnExit = Callable[[str, Exit], None]


class Provider(Protocol):
    """Every call is idempotent by the instance's id, so a repeat after a crash does no harm."""

    on_exit: OnExit  # Called in the event loop when the agent of a watched VM has ended.

    async def warm_up(self) -> None:
        """Do ahead what the first start would wait for; never fails."""

    async def prepare(self, spec: NodeSpec) -> None:
        """Do what every start of this spec needs, ahead; never fails."""

    async def create(self, order: Order) -> Vm:
        """Make the VM, or find the one of this id. Raises Refused, NoCapacity, ProviderFailed."""

    async def adopt(self, instance: Instance) -> Exit | None:
        """Take up the watch over a VM that was recorded; how it ended, if it has."""

    async def living(self, instances: Sequence[Instance]) -> frozenset[str]:
        """Those of these whose VM lives, as the provider finds it after being asked."""

    async def stop(self, instance: str, handle: Handle | None, drain: Drain) -> Lifetime | None:
        """Return when the whole process tree is gone; told alike until it is removed.

        None if there never was a VM, or nothing is known of it any more.
        """

    async def remove(self, instance: str, handle: Handle | None, drain: Drain) -> None:
        """Return when the whole process tree and all it had are gone."""

    async def found(self) -> list[Found]:
        """All VMs of this installation on this host."""

    async def tidy(self) -> None:
        """Keep what it stores for itself within its size."""

    async def close(self) -> None:
        """Stop watching; the VMs live on."""
