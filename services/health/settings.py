"""What health can be told, as CELLNODE_HEALTH_<FIELD>; every limit has a ceiling."""

from __future__ import annotations

from pydantic import Field

from services.chassis.settings import Settings


class HealthSettings(Settings):
    """Frozen, complete; probes themselves are told by each node's spec."""

    redis_timeout_seconds: float = Field(default=2.0, gt=0, le=60)  # For one round trip.
    connecting_max: int = Field(default=256, ge=1, le=10_000)  # Connections opened at one moment.
    late_seconds_max: float = Field(default=0.25, gt=0, le=10)  # Later than this, we say nothing.
    tend_seconds: float = Field(default=5.0, gt=0, le=600)  # Between looks for what is amiss.
    drain_seconds: float = Field(default=1.0, ge=0, le=60)  # For statuses not yet sent, at a stop.
