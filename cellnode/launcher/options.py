"""What `cellnode up` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATA = Path("~/.cellnode")
GATEWAY = ("127.0.0.1", 8080)


@dataclass(frozen=True)
class Options:
    """Without addresses of real ones, a broker and a Redis of our own are started."""

    data: Path = DATA
    gateway: tuple[str, int] = GATEWAY
    kafka: str | None = None  # `host:port`, or several with commas.
    redis: str | None = None  # redis://, rediss:// or unix://
    quiet: bool = False
