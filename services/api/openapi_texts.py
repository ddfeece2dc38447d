"""The sentences of the OpenAPI document that stand in no code."""

from __future__ import annotations

from pydantic import BaseModel

from schemas.events import (
    CommandAccepted,
    CommandRejected,
    InstanceStatusChanged,
    NodeStatusChanged,
)
from schemas.views import Gone

DESCRIPTION = """
cellnode turns a notebook cell into a load-balanced network service. This is the api of whoever
deploys nodes and looks after them.

A node itself is called with `POST /v1/nodes/{node}:execute`; what it takes and answers is in a
document of its own, `GET /v1/nodes/{node}/openapi.json`, with a page to try it at
`/v1/nodes/{node}/docs`.

Changes are commands: they are answered with 202 and the command's id, or, with `wait`, once what
is waited for is there. `Idempotency-Key` makes a repeat harmless, `If-Match` protects from
overwriting somebody else's change. Errors are problem details (RFC 9457) with a `code`, the field
that is wrong, and a remedy.
"""

TAGS = {
    "nodes": "Deploy, look at, scale, suspend, recreate and delete nodes.",
    "commands": "What became of a change that was asked for.",
    "events": "Every change of a status, live or from the history.",
    "logs": "What instances wrote.",
    "checkpoints": "Pinned interpreter states: blobs, manifests, and what is in the store.",
    "blobs": "The pieces of checkpoints, by their digests.",
    "pins": "Names for checkpoints.",
    "instance types": "What an instance may use, and what it costs.",
    "usage": "What instances have cost: metered seconds, and units by the price list.",
    "documents": "These documents.",
}

PATH_TEXTS = {
    "node": "The node's name.",
    "name": "The pin's name.",
    "digest": "The checkpoint's digest: SHA-256 of its manifest, in hex.",
    "sha256": "The blob's digest, in hex.",
    "id": "The command's id.",
}

# What the `data` of an event is, by its kind.
EVENT_MODELS: tuple[type[BaseModel], ...] = (
    NodeStatusChanged,
    InstanceStatusChanged,
    CommandAccepted,
    CommandRejected,
    Gone,
)
# `reset`: the position is not known any more, and the whole present state follows.
EVENT_KINDS = (
    "NodeStatusChanged", "InstanceStatusChanged", "NodeGone", "InstanceGone",
    "CommandAccepted", "CommandRejected", "reset",
)  # fmt: skip
