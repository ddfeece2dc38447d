"""What the api can be told, as CELLNODE_API_<FIELD>; every limit has a ceiling."""

from __future__ import annotations

from pydantic import Field

from services.chassis.settings import Settings


class ApiSettings(Settings):
    """Frozen, complete."""

    listen: str = Field(default="127.0.0.1:8081", pattern=r"^[^:\s]+:\d{1,5}$")
    redis_timeout_seconds: float = Field(default=2.0, gt=0, le=60)  # For one round trip.
    body_seconds_max: float = Field(default=30.0, gt=0, le=600)  # For a JSON body to arrive.
    drain_seconds_max: float = Field(default=5.0, ge=0, le=600)  # For requests in flight at a stop.
