"""Series of nodes are at the one process that owns their partition, and nowhere else."""

from __future__ import annotations

import pytest

from services.health.app import Health
from tests.exposition import label_values, number, promtool_says
from tests.services.health.scenes import Agents, Until, a_healthy_node
from tests.services.health.world import PARTITIONS

ALL = frozenset(range(PARTITIONS))
CHANGES = "cellnode_health_status_changes_total"

pytestmark = pytest.mark.full


def text_of(service: Health) -> str:
    return service.process.metrics.text().decode()


async def test_a_partition_that_is_revoked_takes_its_series_along(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        service, ownership = scene.health, scene.health.ownership
        await until(lambda: number(text_of(service), "cellnode_health_node_status") == 1)
        held = text_of(service)
        assert promtool_says(held) == ""
        assert label_values(held, "node") == {scene.node.place}
        assert label_values(held, "instance_id") == {scene.fact.instance}
        assert number(held, "cellnode_health_partitions") == PARTITIONS
        assert 0 <= number(held, "cellnode_health_projection_age_seconds", partition="0") < 5

        await ownership.on_revoked(ALL)
        lost = text_of(service)
        assert label_values(lost, "node") == label_values(lost, "instance_id") == set()
        assert "projection_age_seconds{" not in lost
        assert number(lost, "cellnode_health_partitions") == 0

        await ownership.on_assigned(ALL)
        again = text_of(service)
        assert label_values(again, "node") == {scene.node.place}
        assert number(again, CHANGES) == number(held, CHANGES), "nothing is counted again"
        assert "node_status_changes_total{" not in again


async def test_probes_tell_how_late_and_how_long_they_were(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        scene.agent.tell(delay=0.06)

        def probes() -> float:
            return number(text_of(scene.health), "cellnode_health_probe_duration_seconds_count")

        await until(lambda: probes() >= 5)
        text = text_of(scene.health)
    late = number(text, "cellnode_health_probe_lateness_seconds_count")
    assert late == number(text, "cellnode_health_probes_total") >= 5
    assert number(text, "cellnode_health_probe_duration_seconds_sum") >= 3 * 0.06
