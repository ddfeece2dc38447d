"""A small `make chaos`: hundreds of commands, some faults, and books that balance."""

from __future__ import annotations

import pytest

from benchmarks.chaos_commands import Size, rows
from tests.servers import apache_kafka, redis_server

SMALL = Size(commands=500, faults=6, nodes=40, kafka_seconds=5.0)

pytestmark = [pytest.mark.full, pytest.mark.kafka, pytest.mark.timeout(360)]


def test_no_command_is_lost_and_no_instance_doubled_on_a_bad_day() -> None:
    if reason := apache_kafka.missing() or redis_server.missing():
        pytest.skip(reason)

    found = rows(SMALL, seed=5)

    assert [str(row) for row in found if row.verdict == "short"] == []
    assert len(found) > 10
