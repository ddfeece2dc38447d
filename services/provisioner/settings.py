"""Settings of the provisioner: read from CELLNODE_PROVISIONER_*."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from services.chassis.instance_types import InstanceTypesSettings
from services.provisioner.providers.local import LocalSettings


class ProvisionerSettings(InstanceTypesSettings):
    """Beside the shared ones; every limit has a ceiling."""

    instances_max: int = Field(default=200, ge=1, le=10_000)  # On this host, going ones included.
    creations_in_flight_max: int = Field(default=8, ge=1, le=64)
    removals_in_flight_max: int = Field(default=64, ge=1, le=1_000)
    cache_bytes_max: int = Field(default=20 * 1024**3, ge=1)  # Of verified checkpoints.
    python: Path | None = None  # Runs all instances; without it: the pin's own interpreter.
    resync_seconds: float = Field(default=15.0, ge=0.1, le=600)
    drain_seconds_min: float = Field(default=5.0, ge=0, le=300)  # So long agents refuse, at least.
    drain_seconds_max: float = Field(default=30.0, ge=0.1, le=3_600)  # Then they are killed.
    deleting_seen_seconds: float = Field(default=1.0, ge=0, le=60)  # Wait for health to say it.
    metering_seconds: float = Field(default=60.0, ge=0.1, le=3_600)  # Between words on usage.
    unknown_after_seconds: float = Field(default=30.0, ge=0.1, le=3_600)  # Then it is removed.

    @field_validator("python")
    @classmethod
    def _python_runs(cls, value: Path | None) -> Path | None:
        if value is not None and not (value.is_absolute() and os.access(value, os.X_OK)):
            raise ValueError("there is no Python; give the absolute path of one")
        return value

    @model_validator(mode="after")
    def _drain_fits(self) -> Self:
        if self.drain_seconds_min > self.drain_seconds_max:
            raise ValueError("drain_seconds_min is more than drain_seconds_max")
        return self

    def local(self) -> LocalSettings:
        return LocalSettings(
            data=self.cellnode_data,
            store=self.cellnode_store,
            instances_max=self.instances_max,
            cache_bytes_max=self.cache_bytes_max,
            drain_seconds_min=self.drain_seconds_min,
            drain_seconds_max=self.drain_seconds_max,
            instance_types=self.instance_types,
            python=self.python,
        )
