"""A process that folds `nodes` and `outcomes` and, where asked, owns them; and zombies' writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from schemas.ids import partition_of
from schemas.nodes import Node
from schemas.topics import Topic
from services.chassis.bus import Bus
from services.chassis.process import Process
from services.chassis.settings import Settings
from services.chassis.tables import Batch, Tables, TableSpec
from services.chassis.tables_owner import OwnedTables
from tests.builders import a_node
from tests.services.chassis.processes import PARTITIONS, a_process, send

ALL = frozenset(range(PARTITIONS))
NODES = Topic.NODES
PLACE = "default/digits"
HOME = partition_of(PLACE, PARTITIONS)
SPECS = (
    TableSpec(Topic.OUTCOMES, Node.model_validate_json),
    TableSpec(NODES, Node.model_validate_json),
)
WAIT_SECONDS = 10.0


@dataclass
class Folding:
    """What a test looks at."""

    process: Process[Settings]
    bus: Bus
    tables: Tables
    owned: OwnedTables
    batches: list[Batch]

    def generation(self, name: str = "digits") -> int | None:
        node = self.tables.get(NODES, f"default/{name}")
        return node.generation if isinstance(node, Node) else None


@asynccontextmanager
async def folding(kafka: str, **settings: Any) -> AsyncIterator[Folding]:
    """A process with tables; it reads nothing until partitions are assigned or taken over."""
    process = a_process(kafka, **settings)
    batches: list[Batch] = []
    async with Bus(process) as bus, Tables(process, SPECS, bury=bus.bury) as tables:
        owned = OwnedTables(process, bus, tables, [Topic.OUTCOMES, NODES])
        tables.listen(batches.append)
        yield Folding(process, bus, tables, owned, batches)
        await owned.close()


@asynccontextmanager
async def owning(kafka: str, **settings: Any) -> AsyncIterator[Folding]:
    """A process that has taken over all partitions."""
    async with folding(kafka, **settings) as one:
        await one.owned.take_over(ALL)
        yield one


@asynccontextmanager
async def reading(kafka: str, **settings: Any) -> AsyncIterator[Folding]:
    """A process that has read all that was there."""
    async with folding(kafka, **settings) as one:
        await one.tables.assign(ALL)
        await one.tables.caught_up(ALL, WAIT_SECONDS)
        yield one


def node(generation: int, name: str = "digits", **spec: Any) -> Node:
    return a_node(name, **spec).model_copy(update={"generation": generation})


async def write(kafka: str, record: Node | None, term: int, seq: int) -> None:
    """A write that knows nothing of owners, as a zombie's does; None is a tombstone."""
    headers = [("cellnode-term", str(term).encode()), ("cellnode-seq", str(seq).encode())]
    value = None
    if record is not None:
        stamped = record.model_copy(update={"term": term, "seq": seq})
        value = stamped.model_dump_json(by_alias=True).encode()
    await send(kafka, NODES.value, PLACE, value, headers=headers)
