"""What an instance is told about itself, as far as the order for it says."""

from __future__ import annotations

from typing import Any

from schemas.http import BODY_BYTES_MAX
from schemas.instance_types import InstanceType
from schemas.signatures import Variable
from services.provisioner.providers import Order

WAITING_MAX = 16  # Requests that an agent holds beside the one that runs.


def description(order: Order, kind: InstanceType) -> dict[str, Any]:
    """The part of `instance.json` that comes from the node."""
    spec = order.spec
    return {
        "instance": order.instance,
        "place": order.place,
        "checkpoint": spec.checkpoint,
        "cell": spec.cell,
        "inputs": [_variable(each) for each in spec.inputs],
        "outputs": [_variable(each) for each in spec.outputs],
        "state": spec.state,
        "env": spec.env,
        "deadline_seconds": spec.deadline_seconds,
        "limits": kind.model_dump(exclude={"units_per_hour"}),
        "waiting_max": WAITING_MAX,
        "body_bytes_max": BODY_BYTES_MAX,
    }


def node_of(instance: str) -> str:
    """The name of the node in an instance's id."""
    return instance.rsplit("-", 2)[0]


def _variable(variable: Variable) -> dict[str, Any]:
    return {"name": variable.name, "schema": variable.json_schema}
