"""Settings from the environment: typed, frozen, complete; a misspelt variable stops the start."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from schemas.errors import Error, said
from services.chassis.settings_security import (
    SECURITY_PREFIXES,
    SecuritySettings,
    without_login,
)

OURS = "CELLNODE_"
SECURITY = frozenset(field.upper() for field in SecuritySettings.model_fields)
SHARED = SECURITY | frozenset(
    {
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_FETCH_MAX_WAIT_MS",
        "KAFKA_SESSION_TIMEOUT_MS",
        "CELLNODE_DATA",
        "CELLNODE_STORE",
        "CELLNODE_INSTANCE_TYPES",
        "CELLNODE_PARTITIONS",
        "CELLNODE_REPUBLISH_BYTES",
        "CELLNODE_CREATE_TOPICS",
    }
)
# A variable of another process is not ours to judge.
PREFIXES = (
    "CELLNODE_PROVISIONER_",
    "CELLNODE_HEALTH_",
    "CELLNODE_GATEWAY_",
    "CELLNODE_API_",
    "CELLNODE_ANNOTATIONS_",
    "CELLNODE_EMBEDDED_",
    "CELLNODE_LAUNCHER_",
)
HEARTBEATS_PER_SESSION = 3
HEARTBEAT_MS_MAX = 3_000


class SettingsInvalid(Error):
    """A variable is unknown or its value is wrong; every line names one and its remedy."""


class Settings(SecuritySettings):
    """What every process reads; a service adds its own fields, read from CELLNODE_<SERVICE>_*."""

    kafka_bootstrap_servers: str = Field(default="127.0.0.1:9092", min_length=1)
    kafka_fetch_max_wait_ms: int = Field(default=50, ge=1, le=5_000)  # Embedded: 20.
    kafka_session_timeout_ms: int = Field(default=30_000, ge=1_000, le=300_000)  # Embedded: 3000.
    cellnode_data: Path = Path("data")
    cellnode_store: Path = Path()  # Default: `store` in `cellnode_data`.
    cellnode_instance_types: Path | None = None  # A JSON file; without it: the built-in types.
    cellnode_partitions: int = Field(default=4, ge=1, le=1_024)  # Fixed when topics are made.
    cellnode_republish_bytes: int = Field(default=0, ge=0)  # 0 is off; embedded: 2 MiB.
    cellnode_create_topics: bool = True  # Off on the embedded broker, which made them.
    listen: str = Field(default="127.0.0.1:0", pattern=r"^[^:\s]+:\d{1,5}$")  # /livez, /metrics.
    send_timeout_seconds: float = Field(default=10.0, gt=0, le=120)  # For one record's ack.
    attempts_max: int = Field(default=3, ge=1, le=20)  # Of a handler, before it is given up.
    stop_timeout_seconds: float = Field(default=10.0, gt=0, le=300)  # Then the process just ends.
    log_level: str = Field(default="info", pattern=r"^(debug|info|warning|error)$")

    @model_validator(mode="before")
    @classmethod
    def _store_beside_data(cls, given: Any) -> Any:
        if isinstance(given, dict) and "cellnode_store" not in given:
            return {**given, "cellnode_store": Path(given.get("cellnode_data", "data"), "store")}
        return given

    @property
    def kafka_heartbeat_ms(self) -> int:
        """Several in a session, so that one lost does not end it."""
        return min(HEARTBEAT_MS_MAX, self.kafka_session_timeout_ms // HEARTBEATS_PER_SESSION)

    @property
    def listen_address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host, int(port)

    @classmethod
    def from_env(cls, prefix: str, env: Mapping[str, str] | None = None) -> Self:
        """Read the shared variables and those that start with `prefix` (CELLNODE_<SERVICE>_)."""
        given = {name: value for name, value in _ours(env).items() if _concerns(name, prefix)}
        own = cls.model_fields.keys() - {name.lower() for name in SHARED}
        known = SHARED | {prefix + field.upper() for field in own}
        if wrong := [name for name in given if name not in known]:
            raise SettingsInvalid("; ".join(_misspelt(name, known) for name in sorted(wrong)))
        values = {_field(name, prefix): value for name, value in given.items()}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsInvalid(_complaints(error, prefix)) from None


def _ours(env: Mapping[str, str] | None) -> dict[str, str]:
    given = os.environ if env is None else env
    prefixes = (OURS, *SECURITY_PREFIXES)
    return {
        name: value
        for name, value in given.items()
        if (name in SHARED or name.startswith(prefixes)) and (value or name not in SECURITY)
    }  # Compose files give what is not wanted as empty text.


def _concerns(name: str, prefix: str) -> bool:
    others = (other for other in PREFIXES if other != prefix)
    return name.startswith(prefix) or not name.startswith(tuple(others))


def _field(name: str, prefix: str) -> str:
    return (name if name in SHARED else name.removeprefix(prefix)).lower()


def _variable(field: str, prefix: str) -> str:
    return field.upper() if field.upper() in SHARED else prefix + field.upper()


def _misspelt(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    return f"{name} is not a setting; did you mean {near[0]}?"


def _complaints(error: ValidationError, prefix: str) -> str:
    lines = []
    for complaint in error.errors(include_url=False):
        field = str(complaint["loc"][0]) if complaint["loc"] else ""
        where = f"{_variable(field, prefix)}={_shown(field, complaint['input'])}: " if field else ""
        lines.append(where + said(complaint["msg"]))
    return "; ".join(lines)


def _shown(field: str, value: object) -> str:
    if field.endswith(("password", "token")):
        return "***"
    return without_login(str(value)) if field == "redis_url" else str(value)
