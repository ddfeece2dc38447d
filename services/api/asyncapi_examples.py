"""Examples in the AsyncAPI document, by the record's name; a test validates each."""

from __future__ import annotations

from typing import Any

_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_REVISION = "fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13"
_BODY = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
_COMMAND = "3fa9c1d2-5717-4562-b3fc-2c963f66afa6"
_OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
_EVENT = "550e8400-e29b-41d4-a716-446655440000"
_INSTANCE = "digits-3fa9c1-1"
_NOON, _READY = "2026-05-04T12:00:00Z", "2026-05-04T12:00:00.400000Z"

_PLACE = {"project": "default", "node": "digits"}
_WRITTEN = {**_PLACE, "id": _EVENT, "at": _READY, "term": 1}
_OF_THE_NODE = {"uid": _COMMAND, "generation": 1, "revision": _REVISION}
_SPEC: dict[str, Any] = {
    "checkpoint": _DIGEST,
    "cell": "label = int(model.predict([image])[0])",
    "inputs": ["image"],
    "outputs": ["label"],
    "instances": {"min": 1, "want": 2},
}


def _command(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "id": _COMMAND, "node": "digits", **fields}


def _step(status: str, reason: str, milliseconds: int) -> dict[str, Any]:
    at = f"2026-05-04T12:00:00.{milliseconds:03}000Z"
    return {"status": status, "reason": reason, "at": at, "evidence": {}}


EXAMPLES: dict[str, Any] = {
    "DeployNode": _command("DeployNode", actor="ci", spec=_SPEC),
    "ScaleNode": _command("ScaleNode", want=3, min=2),
    "SuspendNode": _command("SuspendNode"),
    "ResumeNode": _command("ResumeNode"),
    "RecreateNode": _command("RecreateNode", if_generation=1),
    "DeleteNode": _command("DeleteNode"),
    "CommandAccepted": {
        **_WRITTEN,
        "kind": "CommandAccepted",
        "seq": 3,
        "command": _COMMAND,
        "command_kind": "DeployNode",
        "digest": _BODY,
        "generation": 1,
        "changed": True,
    },
    "CommandRejected": {
        **_WRITTEN,
        "kind": "CommandRejected",
        "seq": 4,
        "command": _OTHER,
        "command_kind": "ScaleNode",
        "digest": _BODY,
        "reason": "INVALID",
        "sentence": "want: Input should be greater than or equal to 1",
        "field": "want",
        "remedy": "correct the value (want)",
    },
    "Node": {
        **_WRITTEN,
        **_OF_THE_NODE,
        "kind": "Node",
        "seq": 5,
        "spec": _SPEC,
        "next_n": 3,
        "created_at": _NOON,
        "generation_at": _NOON,
        "actor": "ci",
    },
    "Instance": {
        **_WRITTEN,
        **_OF_THE_NODE,
        "kind": "InstanceCreated",
        "seq": 8,
        "instance": _INSTANCE,
        "n": 1,
        "wanted_at": _NOON,
        "created_at": _NOON,
        "endpoint": "unix:/var/lib/cellnode/instances/digits-3fa9c1-1/agent.sock",
    },
    "InstanceStatusChanged": {
        **_WRITTEN,
        **_OF_THE_NODE,
        "kind": "InstanceStatusChanged",
        "seq": 9,
        "instance": _INSTANCE,
        "status": "HEALTHY",
        "reason": "READY",
        "sentence": "The instance is ready and takes requests.",
        "since": _READY,
        "transitions": [
            _step("UNDEFINED", "WANTED", 0),
            _step("CREATED", "VM_CREATED", 60),
            _step("STARTED", "CONTACT", 150),
            _step("PREPARING", "LOADING", 160),
            _step("HEALTHY", "READY", 400),
        ],
    },
    "NodeStatusChanged": {
        **_WRITTEN,
        **_OF_THE_NODE,
        "kind": "NodeStatusChanged",
        "seq": 10,
        "status": "HEALTHY",
        "reason": "ENOUGH_HEALTHY",
        "sentence": "The healthy instances reach the node's minimum. 1 healthy of 2 wanted.",
        "since": _READY,
        "transitions": [_step("CREATED", "DEPLOYED", 0), _step("HEALTHY", "ENOUGH_HEALTHY", 400)],
        "min": 1,
        "want": 2,
        "healthy": 1,
        "healthy_of_revision": 1,
    },
    "Owner": {"kind": "Owner", "term": 2, "owner": "b1f4", "log": "5e0c", "at": _NOON},
    "Complete": {"kind": "Complete", "term": 2, "log": "5e0c", "at": _NOON},
}
