"""What the api can be told, as CELLNODE_API_<FIELD>; every limit has a ceiling."""

from __future__ import annotations

from pydantic import Field

from services.chassis.settings import Settings


class ApiSettings(Settings):
    """Frozen, complete."""

    listen: str = Field(default="127.0.0.1:8081", pattern=r"^[^:\s]+:\d{1,5}$")
    hosts: str = Field(default="", max_length=4096)  # Names it goes by, by comma; * is any.
    redis_timeout_seconds: float = Field(default=2.0, gt=0, le=60)  # For one round trip.
    body_seconds_max: float = Field(default=30.0, gt=0, le=600)  # For a JSON body to arrive.
    drain_seconds_max: float = Field(default=5.0, ge=0, le=600)  # For requests in flight at a stop.
    chunk_seconds_max: float = Field(default=30.0, gt=0, le=600)  # For 512 KiB of an upload.
    uploads_max: int = Field(default=16, ge=1, le=1_000)  # At once.
    uploads_kept_seconds: float = Field(default=86_400.0, ge=1, le=10**8)  # Unfinished ones.
    blobs_kept_seconds: float = Field(default=86_400.0, ge=0, le=10**8)  # After their last use.
    collect_seconds: float = Field(default=600.0, ge=0.1, le=86_400)  # What nobody needs.
    log_streams_max: int = Field(default=64, ge=1, le=1_000)  # Logs that are read at once.
