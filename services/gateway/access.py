"""The access log: one canonical line per call, thinned out above a rate, errors last."""

from __future__ import annotations

from services.chassis.telemetry import logger
from services.gateway.calls import Call

log = logger("gateway.access")


class AccessLog:
    """Lines per second are bounded; a line tells how many were left out before it."""

    def __init__(self, lines_per_second_max: int) -> None:
        self._lines_max = lines_per_second_max
        self._errors_max = lines_per_second_max  # As many again, for answers of 500 and above.
        self._second = 0
        self._lines = 0
        self._errors = 0
        self._skipped = 0

    def write(self, call: Call, now: float) -> None:
        second = int(now)
        if second != self._second:
            self._second, self._lines, self._errors = second, 0, 0
        if call.status >= 500 and self._errors < self._errors_max:
            self._errors += 1
        elif self._lines < self._lines_max:
            self._lines += 1
        else:
            self._skipped += 1
            return
        self._line(call, now)

    def _line(self, call: Call, now: float) -> None:
        skipped, self._skipped = self._skipped, 0
        log.info(
            "call",
            request=call.request_id.decode(),
            trace_id=call.trace_id,
            method=call.method.decode("ascii", "replace"),
            node=call.place,
            path=None if call.place else call.target[:200].decode("ascii", "backslashreplace"),
            status=call.status,
            code=call.code or None,
            duration_ms=round((now - call.started) * 1000, 3),
            attempts=call.attempts,
            request_bytes=call.size,
            answer_bytes=call.answer_bytes,
            skipped=skipped,
        )
