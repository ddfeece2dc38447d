"""What the gateway can be told, as CELLNODE_GATEWAY_<FIELD>; every limit has a ceiling."""

from __future__ import annotations

from pydantic import Field

from services.chassis.settings import Settings

API_URL_PATTERN = r"^(|http://([^\s/:\[\]]+|\[[0-9a-fA-F:]+\]):\d{1,5}/?|unix:/.+)$"


class GatewaySettings(Settings):
    """Frozen, complete; the defaults suit a laptop and a rack alike."""

    listen: str = Field(default="127.0.0.1:8080", pattern=r"^[^:\s]+:\d{1,5}$")
    socket_fd: int | None = Field(default=None, ge=3)  # A listening socket handed down; wins.
    held_bytes_max: int = Field(default=2**30, ge=2**25)  # Of all request bodies in memory.
    backlog: int = Field(default=1024, ge=1, le=65_535)
    connections_max: int = Field(default=10_000, ge=1, le=1_000_000)
    drain_idle_seconds: float = Field(default=1.0, ge=0, le=60)  # For idle keep-alive clients.
    drain_seconds_max: float = Field(default=30.0, ge=0, le=3_600)  # Then answers are cut off.
    stop_timeout_seconds: float = Field(default=40.0, gt=0, le=4_000)
    access_lines_per_second_max: int = Field(default=50, ge=0, le=100_000)
    idle_seconds_max: float = Field(default=75.0, gt=0, le=3_600)  # Between two requests.
    head_seconds_max: float = Field(default=10.0, gt=0, le=300)  # For a request's head.
    body_seconds_max: float = Field(default=10.0, gt=0, le=300)  # On top of the slowest rate.
    body_bytes_per_second_min: int = Field(default=16_384, ge=1)
    api_url: str = Field(default="", pattern=API_URL_PATTERN)  # Empty: there is no api to ask.
    api_requests_max: int = Field(default=1_000, ge=1, le=100_000)  # At once, streams included.
    api_connect_seconds_max: float = Field(default=2.0, gt=0, le=60)
    api_idle_seconds_max: float = Field(default=3_660.0, gt=0, le=86_400)  # Neither side sends.
    redis_timeout_seconds: float = Field(default=2.0, gt=0, le=60)  # No call waits for it.
    write_seconds_max: float = Field(default=30.0, gt=0, le=3_600)  # A client that reads nothing.
