"""A tenth of the projection's measurement: lost in every way, it equals the fold of the topics."""

from __future__ import annotations

import pytest

from benchmarks.chaos_projection import measured
from tests.servers import apache_kafka, redis_server

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

if reason := apache_kafka.missing() or redis_server.missing():
    pytest.skip(reason, allow_module_level=True)


def test_ten_thousand_events_are_projected_anew_however_redis_is_lost() -> None:
    rows = {row.name: row for row in measured(100, 10, 10_000)}

    assert rows["projection_events_count"].verdict == "ok"
    differing = [row for name, row in rows.items() if name.endswith("_differences")]
    assert len(differing) == 9
    assert [row for row in differing if row.verdict != "ok"] == []
