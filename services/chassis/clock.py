"""Time and dice: the only place that may ask the time or roll."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import datetime, timezone
from uuid import UUID, uuid4


class Clock:
    """The system's time and chance. A test passes a clock of its own in its place."""

    def now(self) -> datetime:
        """The wall clock, for people and records; decisions use `monotonic`."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def uuid(self) -> UUID:
        return uuid4()

    def token(self) -> str:
        """32 lowercase hex characters, for ids that only have to differ."""
        return uuid4().hex

    def random(self) -> float:
        """At least 0, less than 1."""
        return random.random()

    def jittered(self, seconds: float, share: float = 0.25) -> float:
        """`seconds`, up to `share` of it shorter or longer, so that many do not act at once."""
        return seconds * (1 + share * (2 * self.random() - 1))


SYSTEM_CLOCK = Clock()
