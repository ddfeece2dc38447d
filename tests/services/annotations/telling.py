"""Statuses as health publishes them, and the annotations service that reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from schemas.events import InstanceStatusChanged
from schemas.statuses import SENTENCES, InstanceStatus, Reason, Transition, remember
from services.annotations.app import wired
from services.annotations.settings import AnnotationsSettings
from services.chassis.clock import SYSTEM_CLOCK
from services.chassis.process import Process
from tests.builders import a_node
from tests.services.annotations.store import TOKEN, Store
from tests.services.chassis.processes import PARTITIONS, send

STATUSES = "cellnode.statuses"
WAIT_SECONDS = 20.0
PAUSE_SECONDS = 0.01
QUIET_SECONDS = 0.1
START = (
    (InstanceStatus.UNDEFINED, Reason.WANTED),
    (InstanceStatus.CREATED, Reason.VM_CREATED),
    (InstanceStatus.STARTED, Reason.CONTACT),
    (InstanceStatus.PREPARING, Reason.LOADING),
    (InstanceStatus.HEALTHY, Reason.READY),
)
TROUBLE = (
    (InstanceStatus.UNHEALTHY, Reason.PROBES_FAILED),
    (InstanceStatus.HEALTHY, Reason.PROBES_PASSED),
)


@dataclass
class Instance:
    """One instance whose statuses are published, each event with its history."""

    kafka: str
    n: int = 1
    node: str = "digits"
    term: int = 1
    history: tuple[Transition, ...] = ()
    at: datetime = field(default_factory=SYSTEM_CLOCK.now)
    seq: int = 0

    @property
    def name(self) -> str:
        return a_node(self.node).instance_id(self.n)

    def moves(self, status: InstanceStatus, reason: Reason) -> None:
        """Nothing is published of it yet."""
        self.at += timedelta(milliseconds=1)
        step = Transition(status=status.value, reason=reason, at=self.at)
        self.history = remember(self.history, step)

    def event(self, **changes: Any) -> InstanceStatusChanged:
        node, last = a_node(self.node), self.history[-1]
        self.seq += 1
        told: dict[str, Any] = {
            "id": SYSTEM_CLOCK.uuid(), "project": node.project, "node": node.node, "at": last.at,
            "since": last.at, "uid": node.uid, "generation": 1, "revision": node.revision,
            "instance": self.name, "status": last.status, "reason": last.reason,
            "sentence": SENTENCES[last.reason], "transitions": self.history, "term": self.term,
            "seq": self.seq,
        }  # fmt: skip
        return InstanceStatusChanged.model_validate(told | changes)

    async def publish(self, **changes: Any) -> None:
        event = self.event(**changes)
        value = event.model_dump_json().encode()
        await send(self.kafka, STATUSES, event.place, value, key=event.key.encode())

    async def goes(self, *steps: tuple[InstanceStatus, Reason]) -> None:
        for step in steps:
            self.moves(*step)
            await self.publish()


def a_process(kafka: str, store: Store, **changes: Any) -> Process[AnnotationsSettings]:
    told = {
        "kafka_bootstrap_servers": kafka, "kafka_fetch_max_wait_ms": 10,
        "kafka_session_timeout_ms": 3_000, "cellnode_create_topics": False,
        "cellnode_partitions": PARTITIONS, "grafana_url": store.url, "grafana_token": TOKEN,
        "timeout_seconds": 1.0, "retry_seconds_max": 0.2, "first_seconds": 3_600,
    }  # fmt: skip
    return Process("annotations", AnnotationsSettings.model_validate(told | changes))


@asynccontextmanager
async def annotating(
    kafka: str, store: Store, **changes: Any
) -> AsyncIterator[Process[AnnotationsSettings]]:
    process = a_process(kafka, store, **changes)
    async with wired(process):
        yield process


async def until_told(store: Store, texts: Sequence[str]) -> None:
    """Exactly these, once each, and nothing more for a moment."""
    for _ in range(int(WAIT_SECONDS / PAUSE_SECONDS)):
        if len(store.texts()) >= len(texts):
            break
        await asyncio.sleep(PAUSE_SECONDS)
    await asyncio.sleep(QUIET_SECONDS)
    assert sorted(store.texts()) == sorted(texts)


def texts(instance: str, *steps: tuple[InstanceStatus, Reason], before: str = "") -> list[str]:
    """What is to be read of them."""
    found = []
    for status, reason in steps:
        way = f"{before} → {status.value}" if before else status.value
        found.append(f"{instance}: {way} ({reason.value}). {SENTENCES[reason]}")
        before = status.value
    return found
