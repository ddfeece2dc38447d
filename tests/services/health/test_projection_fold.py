"""The projection is a pure fold: order between topics and repeats never matter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.aliases import Alias
from schemas.messages import TableRecord
from schemas.projection import ProjectedTable
from schemas.topics import Topic
from services.chassis.bus_records import RawRecord
from services.chassis.tables import Batch, Position
from services.health.nodes import observe_node
from services.health.projection_fold import (
    TABLES,
    Folded,
    apply,
    changes_of,
    fold_of,
    position_text,
)
from tests.builders import NOON, a_node, an_id
from tests.services.health.projecting import PARTITION, FedTables, raw_put, raw_tombstone
from tests.services.health.test_nodes import S, an_event

NODES = [a_node(name) for name in ("a", "b", "c")]
NODE_STATUSES = [
    event for node in NODES if (event := observe_node(node, {}, None, NOON)) is not None
]
ALIASES = [Alias(id=an_id(1), node=name, at=NOON, shares={"a": 100}, generation=1) for name in "xy"]
INSTANCES = [an_event(node, n, S.HEALTHY) for node in NODES for n in (1, 2)]
BY_TOPIC: dict[Topic, list[TableRecord]] = {
    Topic.NODES: [*NODES],
    Topic.ALIASES: [*ALIASES],
    Topic.STATUSES: [*NODE_STATUSES, *INSTANCES],
}


@st.composite
def logs(draw: st.DrawFn) -> dict[Topic, list[RawRecord]]:
    """Of each topic some records and tombstones, each under a larger order, some told again."""
    made: dict[Topic, list[RawRecord]] = {}
    for topic, records in BY_TOPIC.items():
        told = draw(st.lists(st.tuples(st.sampled_from(records), st.booleans()), max_size=8))
        raws = [
            (raw_put if lives else raw_tombstone)(record, seq + 1, 1, seq)
            for seq, (record, lives) in enumerate(told)
        ]
        again = draw(st.lists(st.sampled_from(raws), max_size=3)) if raws else []
        made[topic] = raws + again
    return made


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[RawRecord], list[RawRecord]]:
    """The same logs in two orders; each topic's own order stays."""
    by_topic = draw(logs())
    in_order = [raw for raws in by_topic.values() for raw in raws]
    left = {topic: list(raws) for topic, raws in by_topic.items() if raws}
    mixed = []
    while left:
        topic = draw(st.sampled_from(sorted(left)))
        mixed.append(left[topic].pop(0))
        left = {one: raws for one, raws in left.items() if raws}
    return in_order, mixed


def fed(raws: list[RawRecord]) -> tuple[FedTables, Folded]:
    """The folds after all records, and what following them step by step has led to."""
    tables, followed = FedTables(), {table: dict[str, bytes]() for table in TABLES}

    def follow(batch: Batch) -> None:
        apply(followed, changes_of(batch.topic, batch.changes))

    tables.listeners.append(follow)
    for raw in raws:
        tables.feed(Topic(raw.topic), raw)
    return tables, followed


@given(interleaved())
def test_any_order_of_topics_and_any_repeats_give_the_same_projection(
    orders: tuple[list[RawRecord], list[RawRecord]],
) -> None:
    one, one_followed = fed(orders[0])
    other, other_followed = fed(orders[1])

    assert fold_of(one, PARTITION) == fold_of(other, PARTITION)
    assert one_followed == other_followed == fold_of(one, PARTITION)


def test_every_record_lies_in_its_table_as_on_the_topic() -> None:
    raws = [
        raw_put(record, n + 1, 1, n)
        for records in BY_TOPIC.values()
        for n, record in enumerate(records)
    ]
    folded = fold_of(fed(raws)[0], PARTITION)

    assert {table: len(values) for table, values in folded.items()} == {
        ProjectedTable.NODES: 3,
        ProjectedTable.NODE_STATUSES: 3,
        ProjectedTable.INSTANCE_STATUSES: 6,
        ProjectedTable.ALIASES: 2,
    }
    assert {value for values in folded.values() for value in values.values()} == {
        raw.value for raw in raws
    }


def test_a_position_names_every_topic_in_one_way() -> None:
    positions = {Topic.STATUSES: Position("l", 3), Topic.NODES: Position("m", 1)}

    assert position_text(positions) == '{"cellnode.nodes":["m",1],"cellnode.statuses":["l",3]}'
    assert position_text(dict(reversed(positions.items()))) == position_text(positions)
