"""What the api can be told, as CELLNODE_API_<FIELD>; every limit has a ceiling."""

from __future__ import annotations

from pydantic import Field

from services.chassis.instance_types import InstanceTypesSettings


class ApiSettings(InstanceTypesSettings):
    """Frozen, complete."""

    listen: str = Field(default="127.0.0.1:8081", pattern=r"^[^:\s]+:\d{1,5}$")
    hosts: str = Field(default="", max_length=4096)  # Names it goes by, by comma; * is any.
    redis_timeout_seconds: float = Field(default=2.0, gt=0, le=60)  # For one round trip.
    body_seconds_max: float = Field(default=30.0, gt=0, le=600)  # For a JSON body to arrive.
    drain_seconds_max: float = Field(default=5.0, ge=0, le=600)  # For requests in flight at a stop.
    send_timeout_seconds: float = Field(default=5.0, gt=0, le=120)  # For a command's ack.
    outcomes_kept_max: int = Field(default=20_000, ge=100, le=10**6)  # Of all partitions.
    events_kept_max: int = Field(default=20_000, ge=100, le=10**6)  # For those who resume.
    events_bytes_max: int = Field(default=2**25, ge=2**20, le=2**34)  # Of all of them.
    streams_max: int = Field(default=256, ge=1, le=10_000)  # Of events, at once.
    stream_write_seconds_max: float = Field(default=10.0, gt=0, le=600)  # A reader that is stuck.
    keep_alive_seconds: float = Field(default=15.0, ge=0.1, le=600)  # Between comments.
    chunk_seconds_max: float = Field(default=30.0, gt=0, le=600)  # For 512 KiB of an upload.
    uploads_max: int = Field(default=16, ge=1, le=1_000)  # At once.
    uploads_kept_seconds: float = Field(default=86_400.0, ge=1, le=10**8)  # Unfinished ones.
    blobs_kept_seconds: float = Field(default=86_400.0, ge=0, le=10**8)  # After their last use.
    collect_seconds: float = Field(default=600.0, ge=0.1, le=86_400)  # What nobody needs.
    log_streams_max: int = Field(default=64, ge=1, le=1_000)  # Logs that are read at once.
