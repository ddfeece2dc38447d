"""How often calls may be sent again, so that an outage is not made worse by its retries. Pure."""

from __future__ import annotations

SHARE = 0.2  # Second attempts in the long run, for each call.
BURST = 100.0  # What a calm gateway may spend at once, when an instance dies under load.
SAVED_MAX = 1000.0


class ResendBudget:
    """A purse: every call puts a share in, every second attempt takes one out."""

    def __init__(self) -> None:
        self.calls = 0  # Since the last attempt was paid for; counted by the caller.
        self._saved = BURST

    def spend(self) -> bool:
        """False when there is nothing left: the call is not sent again."""
        self._saved = min(SAVED_MAX, self._saved + SHARE * self.calls)
        self.calls = 0
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
