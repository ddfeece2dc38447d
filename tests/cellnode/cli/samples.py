"""Nodes as the api tells them, for tests of what the command makes of them."""

from __future__ import annotations

from typing import Any

from cellnode.models import NodeView

DIGEST = "ab" * 32
UID = "7f1e6a52-1f0c-4a3e-9d6b-0c1d2e3f4a5b"


def transition(status: str, reason: str, second: float) -> dict[str, Any]:
    at = f"2026-01-31T12:00:{second:06.3f}Z"
    return {"status": status, "reason": reason, "at": at, "evidence": {}}


def instance(number: int, status: str = "HEALTHY", **more: Any) -> dict[str, Any]:
    return {
        "instance": f"digits-7f1e6a-{number}",
        "revision": DIGEST,
        "status": status,
        "reason": "READY",
        "sentence": "The instance is ready and takes requests.",
        "evidence": {},
        "since": "2026-01-31T12:00:01Z",
        "transitions": [
            transition("UNDEFINED", "WANTED", 0.1 * number),
            transition(status, "READY", 1 + 0.1 * number),
        ],
        **more,
    }


def status(name: str = "HEALTHY", **more: Any) -> dict[str, Any]:
    return {
        "status": name,
        "reason": "ENOUGH_HEALTHY",
        "sentence": "The healthy instances reach the node's minimum.",
        "evidence": {},
        "since": "2026-01-31T12:00:02Z",
        "transitions": [transition("CREATED", "DEPLOYED", 0), transition(name, "READY", 2)],
        "generation": 1,
        "min": 1,
        "want": 2,
        "healthy": 2,
        "healthy_of_revision": 2,
        **more,
    }


def node(**more: Any) -> NodeView:
    """Two healthy instances of two."""
    document = {
        "project": "default",
        "node": "digits",
        "uid": UID,
        "generation": 1,
        "revision": DIGEST,
        "created_at": "2026-01-31T12:00:00Z",
        "generation_at": "2026-01-31T12:00:00Z",
        "actor": "",
        "spec": {
            "checkpoint": DIGEST,
            "cell": "label = int(model.predict([image])[0])",
            "inputs": [{"name": "image", "schema": {"type": "array"}}],
            "outputs": [{"name": "label", "schema": None}],
            "instances": {"min": 1, "want": 2},
            "instance_type": "small",
        },
        "status": status(),
        "instances": [instance(1), instance(2)],
        "cost": {"instance_type": "small", "units_per_hour_each": 1.0, "units_per_hour": 2.0},
        "execute_path": "/v1/nodes/digits:execute",
        **more,
    }
    return NodeView.from_json(document)


def in_trouble() -> NodeView:
    """One healthy instance, and one that could not load its checkpoint."""
    broken = instance(
        2,
        "UNHEALTHY",
        reason="LOAD_FAILED",
        sentence="Loading the checkpoint or the cell failed.",
        evidence={"traceback": "Traceback (most recent call last):\nNameError: no model here"},
    )
    fewer = status(
        "UNHEALTHY",
        reason="TOO_FEW_HEALTHY",
        sentence="Fewer instances are healthy than the node's minimum.",
        min=2,
        healthy=1,
    )
    return node(status=fewer, instances=[instance(1), broken])
