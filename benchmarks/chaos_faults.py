"""Faults drawn from a seed, one after another while the services work."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.chaos_processes import ServiceProcess
from benchmarks.chaos_system import ChaosSystem

PAUSE_SECONDS = (1.0, 15.0)
AWAY_SECONDS = (2.0, 8.0)
CRASHES_PER_FAULT = 2
# The rest of the weight is on what moves partitions.
WEIGHTS = {"kill": 30, "pause": 30, "leave": 20, "redis_flush": 10, "redis_kill": 10}


@dataclass(frozen=True)
class Fault:
    """What happens to whom, for how long."""

    kind: str
    service: str  # Which group; empty where it is no service.
    member: int
    seconds: float


def drawn(seed: int, count: int, kafka_seconds: float, members: int) -> list[Fault]:
    """In the middle of them Kafka is killed, for so long."""
    dice = random.Random(seed)
    faults = []
    for _ in range(count - 1):
        kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        seconds = dice.uniform(*(PAUSE_SECONDS if kind == "pause" else AWAY_SECONDS))
        service = dice.choice(["provisioner", "provisioner", "health"])
        faults.append(Fault(kind, service, dice.randrange(members), seconds))
    faults.insert(count // 2, Fault("kafka_kill", "", 0, kafka_seconds))
    return faults[:count]


class Faults:
    """Carries faults out; what must end later ends by itself."""

    def __init__(self, system: ChaosSystem, seed: int) -> None:
        self._system = system
        self._dice = random.Random(seed)
        self._later: list[threading.Timer] = []
        self.count = 0

    def run(self, faults: list[Fault], seconds: float) -> None:
        """All of them, spread over so many seconds; then everybody is back."""
        begun = time.monotonic()
        try:
            for number, fault in enumerate(faults):
                wait = begun + seconds * (number + 0.5) / len(faults) - time.monotonic()
                time.sleep(max(0.0, wait))
                self._one(fault)
                self._crash_some()
                self.count += 1
        finally:
            self.heal()

    def heal(self) -> None:
        """Wait until everything that was paused or sent away is back."""
        for timer in self._later:
            timer.join()
        for member in self._system.members:
            member.send(signal.SIGCONT)
            member.start()

    def _one(self, fault: Fault) -> None:
        print(f"# fault {self.count + 1}: {fault}", file=sys.stderr, flush=True)
        if fault.kind == "kafka_kill":
            self._system.kafka.kill()
            time.sleep(fault.seconds)
            self._system.kafka.start()
        elif fault.kind == "redis_flush":
            self._system.redis.ask("FLUSHALL")
        elif fault.kind == "redis_kill":
            self._system.redis.restart_empty()
        else:
            self._to_member(fault, self._member(fault))

    def _member(self, fault: Fault) -> ServiceProcess:
        groups = {"provisioner": self._system.provisioners, "health": self._system.healths}
        return groups[fault.service][fault.member]

    def _to_member(self, fault: Fault, member: ServiceProcess) -> None:
        if fault.kind == "kill":
            member.send(signal.SIGKILL)  # Its supervisor starts it again.
        elif fault.kind == "pause":
            member.send(signal.SIGSTOP)
            self._after(fault.seconds, lambda: member.send(signal.SIGCONT))
        else:
            threading.Thread(target=member.stop, daemon=True).start()
            self._after(fault.seconds, member.start)  # Not before it has gone.

    def _after(self, seconds: float, act: Callable[[], object]) -> None:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        self._later.append(timer)

    def _crash_some(self) -> None:
        """Simulated VMs end of themselves, too."""
        alive = [one["instance"] for one in self._system.fleet.present()]
        for instance in self._dice.sample(alive, min(CRASHES_PER_FAULT, len(alive))):
            self._system.fleet.crash(instance)


@contextmanager
def running(act: Callable[[], None]) -> Iterator[None]:
    """Beside what is done inside; left when both are done."""
    thread = threading.Thread(target=act, name="faults", daemon=True)
    thread.start()
    yield
    thread.join()
