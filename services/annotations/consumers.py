"""What is read of Kafka: statuses, as a group whose offset is where it goes on."""

from __future__ import annotations

from typing import Any

from schemas.topics import Topic
from services.annotations.teller import Teller
from services.chassis.bus_following import Following
from services.chassis.process import Process

GROUP = "cellnode-annotations"


def following(process: Process[Any], teller: Teller) -> Following:
    """Every record is told before its offset is committed."""
    return Following(process, Topic.STATUSES, GROUP, act=teller.heard, begun=teller.begin_anew)
