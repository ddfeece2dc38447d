"""A node as the api tells of it."""

from typing import Any

SINCE = "2026-05-04T12:00:00Z"
NODE: dict[str, Any] = {
    "project": "default",
    "node": "digits",
    "uid": "6f1c0b0e-0000-4000-8000-000000000000",
    "generation": 2,
    "revision": "0" * 64,
    "created_at": SINCE,
    "generation_at": "2026-05-04T12:00:00.123456Z",
    "spec": {"checkpoint": "0" * 64, "cell": "y = x", "inputs": [{"name": "x"}]},
    "status": {
        "reason": "READY", "sentence": "Fine.", "since": SINCE, "status": "HEALTHY",
        "generation": 2, "min": 1, "want": 1, "healthy": 1, "healthy_of_revision": 1,
    },
    "cost": {"instance_type": "small", "units_per_hour_each": 1.0, "units_per_hour": 1.0},
    "execute_path": "/v1/nodes/digits:execute",
}  # fmt: skip
