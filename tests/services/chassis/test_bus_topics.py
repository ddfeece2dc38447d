"""Topics as they are declared; what Kafka has otherwise is found."""

from __future__ import annotations

import pytest

from schemas.errors import BusUnavailable
from schemas.topics import DECLARATIONS, Topic
from services.chassis.bus_topics import drift, make_topics
from services.embedded.broker import EmbeddedBroker
from tests.services.chassis.processes import a_process


def test_only_options_that_differ_from_the_declaration_are_drift() -> None:
    wanted = DECLARATIONS[Topic.OUTCOMES].config()
    assert drift(wanted, {**wanted, "segment.ms": "1"}) == {}
    assert drift(wanted, {**wanted, "retention.ms": "1"}) == {"retention.ms": "1209600000"}
    assert drift(wanted, {"cleanup.policy": "delete"}) == {"retention.ms": "1209600000"}


async def test_a_broker_that_makes_no_topics_is_said_in_time(broker: EmbeddedBroker) -> None:
    """The embedded one cannot be asked to; CELLNODE_CREATE_TOPICS is off there."""
    with pytest.raises(BusUnavailable, match="topics cannot be made"):
        await make_topics(a_process(broker.address).settings)
