"""Names on the wire of gateway and agent. Standard library only: the agent imports it at start."""

from __future__ import annotations

from typing import NamedTuple

INSTANCE_HEADER = "Cellnode-Instance"
TIMEOUT_MS_HEADER = "Cellnode-Timeout-Ms"
ERRORS_HEADER = "Cellnode-Errors"
ERROR_HEADER = "Cellnode-Error"
EXECUTION_US_HEADER = "Cellnode-Execution-Us"
NOT_EXECUTED_HEADER = "Cellnode-Not-Executed"
PROJECT_HEADER = "Cellnode-Project"
REQUEST_TIMEOUT_HEADER = "X-Request-Timeout"
REQUEST_ID_HEADER = "X-Request-ID"
LOG_POSITION_HEADER = "Cellnode-Log-Position"  # Where an agent's log goes on.
LOG_LOST_HEADER = "Cellnode-Log-Lost"  # What was asked for is no longer kept.
RECEIVED_BYTES_HEADER = "Cellnode-Received-Bytes"  # Of a blob that is not whole yet.

BODY_BYTES_MAX = 16 * 1024 * 1024
PROBLEM_TYPE = "application/problem+json"


class Problem(NamedTuple):
    """One kind of error answer (RFC 9457)."""

    status: int
    title: str


PROBLEMS: dict[str, Problem] = {
    # The request is wrong.
    "bad-request": Problem(400, "The request is not valid HTTP/1.1"),
    "invalid-json": Problem(400, "The body is not JSON"),
    "invalid-input": Problem(400, "An input is unknown, missing or of the wrong type"),
    "not-found": Problem(404, "There is nothing at this path"),
    "node-unknown": Problem(404, "There is no such node"),
    "method-not-allowed": Problem(405, "The method is not allowed here"),
    "request-timeout": Problem(408, "The request did not arrive in time"),
    "node-deleting": Problem(410, "The node is being deleted"),
    "length-required": Problem(411, "The body has no length"),
    "request-too-large": Problem(413, "The body is larger than 16 MiB"),
    "uri-too-long": Problem(414, "The request line is too long"),
    "wrong-instance": Problem(421, "Another instance is meant"),
    "headers-too-large": Problem(431, "The headers are too large"),
    # The cell failed.
    "cell-error": Problem(500, "The cell raised an exception"),
    "invalid-output": Problem(500, "An output is missing or cannot be expressed in JSON"),
    "response-too-large": Problem(500, "The answer is larger than 16 MiB"),
    "interpreter-lost": Problem(500, "The interpreter ended while it ran the cell"),
    # The api: the request is wrong, or does not fit what is there.
    "cross-origin": Problem(403, "Pages of other origins may not use the api"),
    "pin-unknown": Problem(404, "There is no such pin"),
    "checkpoint-unknown": Problem(404, "The store has no such checkpoint"),
    "blob-unknown": Problem(404, "The store has no such blob"),
    "command-unknown": Problem(404, "No such command is known here"),
    "instance-unknown": Problem(404, "The node has no such instance"),
    "not-acceptable": Problem(406, "The answer has no such media type"),
    "name-busy": Problem(409, "The node of this name is still being deleted"),
    "blobs-missing": Problem(409, "The store lacks blobs of this checkpoint"),
    "checkpoint-in-use": Problem(409, "A node or a pin refers to this checkpoint"),
    "upload-conflict": Problem(409, "The upload does not go on where it stopped"),
    "node-unhealthy": Problem(409, "The command was accepted, but the node cannot get healthy"),
    "precondition-failed": Problem(412, "Somebody else changed it meanwhile"),
    "unknown-host": Problem(421, "The Host header is no name of this api"),
    "unsupported-media-type": Problem(415, "The body has another media type than is taken here"),
    "range-not-satisfiable": Problem(416, "The blob has no such bytes"),
    "invalid-field": Problem(422, "A field of the request is wrong"),
    "digest-mismatch": Problem(422, "What arrived is not what its digest says"),
    "idempotency-key-reused": Problem(422, "The key was used before for another request"),
    # The api: it cannot now.
    "internal-error": Problem(500, "The api failed; the log has more"),
    "not-built": Problem(501, "This version knows it but cannot do it"),
    "api-unavailable": Problem(502, "The api does not answer the gateway"),
    "bus-unavailable": Problem(503, "Kafka did not acknowledge in time"),
    "projection-unavailable": Problem(503, "The status projection cannot be read now"),
    "store-unavailable": Problem(503, "The checkpoint store cannot be reached now"),
    "too-many-streams": Problem(503, "As many streams are open as may be"),
    "wait-timeout": Problem(
        504, "The command was accepted, but what is waited for is not there yet"
    ),
    "store-full": Problem(507, "The checkpoint store has no room"),
    # The way to the cell failed.
    "instance-lost": Problem(502, "The instance was lost before it answered"),
    "starting": Problem(503, "The gateway has not seen every node yet"),
    "no-healthy-instance": Problem(503, "The node has no healthy instance"),
    "node-suspended": Problem(503, "The node is suspended"),
    "queue-full": Problem(503, "Too many requests wait for this node"),
    "busy": Problem(503, "The instance has enough waiting requests"),
    "draining": Problem(503, "The instance takes no new requests"),
    "not-ready": Problem(503, "The instance is not ready"),
    "deadline-exceeded": Problem(504, "The deadline passed before the answer"),
}


def trace_id_of(request_id: bytes) -> str:
    """The trace id of a request that came without one: the end of its own id, in hex."""
    return request_id[-16:].hex().zfill(32)


def problem_type(code: str) -> str:
    """The `type` member of a problem: a stable name, not an address."""
    return f"urn:cellnode:problem:{code}"
