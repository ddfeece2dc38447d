"""Times, sizes, units and counts as people say them."""

from __future__ import annotations

from datetime import datetime, timezone

_STEPS = ((60.0, "s"), (60.0, "min"), (24.0, "h"))
_KIB = 1024
CLOCK_COLUMNS = 12


def now() -> datetime:
    return datetime.now(timezone.utc)


def age(since: datetime, at: datetime | None = None) -> str:
    """How long ago: `3 s`, `12 min`, `5 h`, `9 d`."""
    value = max(0.0, ((at or now()) - since).total_seconds())
    for size, unit in _STEPS:
        if value < size:
            return f"{int(value)} {unit}"
        value /= size
    return f"{int(value)} d"


def clock(at: datetime) -> str:
    """The local time of day, to the millisecond."""
    local = at.astimezone()
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"


def size(count: int) -> str:
    """`512 B`, `1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KIB
    return f"{value:.1f} TiB"


def units(amount: float) -> str:
    return f"{amount:g} unit" + ("" if amount == 1 else "s")


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def short(digest: str) -> str:
    """Enough of a digest to tell it from others."""
    return digest[:12]
