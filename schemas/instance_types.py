"""What an instance may use, and what an hour of it costs in units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_GIB = 1024**3


@dataclass(frozen=True)
class InstanceType:
    """The limits of one instance."""

    cpu_count: int
    memory_bytes: int
    units_per_hour: float
    files_max: int = 4096
    processes_max: int = 512
    file_bytes_max: int = 4 * _GIB


INSTANCE_TYPES: Mapping[str, InstanceType] = {
    "small": InstanceType(cpu_count=1, memory_bytes=2 * _GIB, units_per_hour=1.0),
    "medium": InstanceType(cpu_count=2, memory_bytes=8 * _GIB, units_per_hour=3.0),
    "large": InstanceType(cpu_count=8, memory_bytes=32 * _GIB, units_per_hour=12.0),
}
