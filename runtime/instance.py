"""What an instance is told about itself: `instance.json`, written by its provider."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

INSTANCE_BYTES_MAX = 4 * 1024 * 1024
SOCKET_PATH_BYTES_MAX = 106


class InvalidInstance(Exception):
    """instance.json is wrong; says which field and what it must be."""


@dataclass(frozen=True)
class Limits:
    memory_bytes: int
    cpu_count: int
    files_max: int
    processes_max: int
    file_bytes_max: int


@dataclass(frozen=True)
class Instance:
    directory: str
    id: str
    socket: str
    checkpoint: str
    store: str
    cell: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    python: str
    env: dict[str, str]
    deadline_seconds: float
    limits: Limits
    waiting_max: int
    body_bytes_max: int
    drain_seconds_min: float
    drain_seconds_max: float

    @property
    def work(self) -> str:
        return os.path.join(self.directory, "work")


def read(directory: str) -> Instance:
    """The instance of this directory, every field checked; or InvalidInstance."""
    directory = os.path.abspath(directory)
    path = os.path.join(directory, "instance.json")
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(INSTANCE_BYTES_MAX))
    except (OSError, ValueError) as error:
        raise InvalidInstance(f"cannot read {path}: {error}") from None
    if not isinstance(document, dict):
        raise InvalidInstance(f"{path} must hold a JSON object")
    return _instance(directory, document)


def _instance(directory: str, document: dict[str, Any]) -> Instance:
    socket = _field(document, "socket", str, os.path.join(directory, "agent.sock"))
    if len(os.fsencode(socket)) > SOCKET_PATH_BYTES_MAX:
        raise InvalidInstance(f"socket: longer than {SOCKET_PATH_BYTES_MAX} bytes: {socket}")
    if _field(document, "state", str, "shared") != "shared":
        raise InvalidInstance("state: this runtime knows `shared` only")
    return Instance(
        directory=directory,
        id=_field(document, "instance", str),
        socket=socket,
        checkpoint=_field(document, "checkpoint", str),
        store=_field(document, "store", str),
        cell=_field(document, "cell", str),
        inputs=_variables(document, "inputs"),
        outputs=_variables(document, "outputs"),
        python=_field(document, "python", str),
        env=_env(document),
        deadline_seconds=_number(document, "deadline_seconds", 60.0),
        limits=_limits(_field(document, "limits", dict)),
        waiting_max=_field(document, "waiting_max", int, 16),
        body_bytes_max=_field(document, "body_bytes_max", int, 16 * 1024 * 1024),
        drain_seconds_min=_number(document, "drain_seconds_min", 5.0),
        drain_seconds_max=_number(document, "drain_seconds_max", 30.0),
    )


def _field(document: dict[str, Any], name: str, kind: type, default: Any = None) -> Any:
    value = document.get(name)
    if value is None:
        value = default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidInstance(f"{name}: must be {kind.__name__}, is {value!r}")
    if isinstance(value, int) and value < 0:
        raise InvalidInstance(f"{name}: must not be negative, is {value}")
    return value


def _number(document: dict[str, Any], name: str, default: float) -> float:
    value: Any = document.get(name)
    if value is None:
        return default
    if type(value) not in (int, float) or value < 0:
        raise InvalidInstance(f"{name}: must be a number of seconds, is {value!r}")
    return float(value)


def _variables(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    variables: list[Any] = _field(document, name, list)
    for each in variables:
        if not isinstance(each, dict) or not str(each.get("name", "")).isidentifier():
            raise InvalidInstance(f"{name}: each must have a `name` and may have a `schema`")
    return variables


def _env(document: dict[str, Any]) -> dict[str, str]:
    env = _field(document, "env", dict, {})
    for key, value in env.items():
        if not isinstance(value, str) or "\0" in key + value or not key or "=" in key:
            raise InvalidInstance(f"env: {key!r} must name a text")
    return dict(env)


def _limits(document: dict[str, Any]) -> Limits:
    names = Limits.__dataclass_fields__
    return Limits(**{name: _field(document, name, int) for name in names})
