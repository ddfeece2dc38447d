"""Examples in the OpenAPI document, by the model's name; a test validates each."""

from __future__ import annotations

from typing import Any

_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_OTHER = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
_REVISION = "fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13"
_COMMAND = "3fa9c1d2-5717-4562-b3fc-2c963f66afa6"
_NOON = "2026-05-04T12:00:00Z"
_INSTANCE = "digits-3fa9c1-1"

PATH_EXAMPLES = {
    "node": "digits",
    "name": "digits",
    "digest": _DIGEST,
    "sha256": _OTHER,
    "id": _COMMAND,
}

_SPEC: dict[str, Any] = {
    "checkpoint": _DIGEST,
    "cell": "label = int(model.predict([image])[0])",
    "inputs": [
        {"name": "image", "schema": {"type": "array", "items": {"type": "number"}, "minItems": 64}}
    ],
    "outputs": [{"name": "label", "schema": {"type": "integer"}}],
    "instances": {"min": 1, "want": 2},
}
_WHY = {
    "reason": "ENOUGH_HEALTHY",
    "sentence": "The healthy instances reach the node's minimum.",
    "evidence": {},
    "since": _NOON,
    "transitions": [],
}
_NODE: dict[str, Any] = {
    "project": "default",
    "node": "digits",
    "uid": _COMMAND,
    "generation": 1,
    "revision": _REVISION,
    "created_at": _NOON,
    "generation_at": _NOON,
    "actor": "ci",
    "spec": _SPEC,
    "status": {
        **_WHY,
        "status": "HEALTHY",
        "generation": 1,
        "min": 1,
        "want": 2,
        "healthy": 2,
        "healthy_of_revision": 2,
    },
    "instances": [
        {
            **_WHY,
            "reason": "READY",
            "sentence": "The instance is ready and takes requests.",
            "instance": _INSTANCE,
            "revision": _REVISION,
            "status": "HEALTHY",
        }
    ],
    "cost": {"instance_type": "small", "units_per_hour_each": 1.0, "units_per_hour": 2.0},
    "execute_path": "/v1/nodes/digits:execute",
}
_COMMAND_VIEW: dict[str, Any] = {
    "id": _COMMAND,
    "project": "default",
    "node": "digits",
    "kind": "DeployNode",
    "outcome": "accepted",
    "at": _NOON,
    "generation": 1,
    "changed": True,
}
_BLOB = {"sha256": _OTHER, "bytes": 1048576, "received_bytes": 524288}
_CHECKPOINT = {
    "digest": _DIGEST,
    "at": _NOON,
    "bytes": 1048576,
    "variables": ["model"],
    "python": "3.11.7",
    "pins": ["default/digits"],
}
_PIN = {
    "project": "default",
    "name": "digits",
    "digest": _DIGEST,
    "at": _NOON,
    "by": "ada",
    "notebook": "digits.ipynb",
}
_TYPE = {"name": "small", "cpu_count": 1, "memory_bytes": 2147483648, "units_per_hour": 1.0}

_SPENT = {"seconds": 5400.0, "units": 1.5, "unpriced_seconds": 0.0}
_USAGE: dict[str, Any] = {
    "begins_at": "2026-05-01T00:00:00Z",
    "ends_at": "2026-05-04T13:00:00Z",
    "group_by": "node",
    "items": [{**_SPENT, "node": "digits"}],
    "total": _SPENT,
    "prices": [{"instance_type": "small", "units_per_hour": 1.0, "seconds": 5400.0}],
    "told_at": _NOON,
    "next": None,
}

EXAMPLES: dict[str, Any] = {
    "UsagePage": _USAGE,
    "NodeWish": {**_SPEC, "checkpoint": "digits", "inputs": ["image"], "outputs": ["label"]},
    "Scaling": {"want": 3, "min": 1},
    "NodeView": _NODE,
    "NodePage": {"nodes": [_NODE], "next": None},
    "CommandView": _COMMAND_VIEW,
    "CommandPage": {"commands": [_COMMAND_VIEW], "next": None},
    "BlobList": {"blobs": [{"sha256": _OTHER, "bytes": 1048576}]},
    "MissingBlobs": {"missing": [_BLOB]},
    "BlobView": _BLOB,
    "CheckpointView": _CHECKPOINT,
    "CheckpointPage": {"checkpoints": [_CHECKPOINT], "next": None},
    "CheckpointRemoved": {"digest": _DIGEST, "freed_bytes": 1048576, "kept_bytes": 0},
    "PinBody": {"digest": _DIGEST, "by": "ada", "notebook": "digits.ipynb"},
    "PinView": _PIN,
    "PinPage": {"pins": [_PIN], "next": None},
    "LogLine": {"instance": _INSTANCE, "line": "loaded in 12 ms"},
    "InstanceTypeView": _TYPE,
    "InstanceTypeList": {"instance_types": [_TYPE]},
}
