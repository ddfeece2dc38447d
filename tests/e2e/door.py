"""The same world through the other door: what tests ask for goes over HTTP instead of the bus."""

from __future__ import annotations

import http.client
import json
from typing import Any
from uuid import uuid4

from tests.e2e.bus import Json
from tests.e2e.world import World

ANSWER_SECONDS_MAX = 40.0
VERBS = {
    "ScaleNode": "scale",
    "SuspendNode": "suspend",
    "ResumeNode": "resume",
    "RecreateNode": "recreate",
}


class HttpWorld(World):
    """A world whose commands are requests to the one public origin."""

    def ask(self, node: str, checkpoint: str, cell: str, *, want: int = 1, **spec: Any) -> Json:
        instances = {"min": spec.pop("min", want), "want": want}
        return self.apply(
            node, {"checkpoint": checkpoint, "cell": cell, "instances": instances} | spec
        )

    def command(self, kind: str, node: str, **fields: Any) -> Json:
        if kind == "DeployNode":
            return self.apply(node, fields["spec"])
        if kind == "DeleteNode":
            return self._outcome(kind, *self.request("DELETE", f"/v1/nodes/{node}"))
        asked = self.request("POST", f"/v1/nodes/{node}:{VERBS[kind]}", fields or None)
        return self._outcome(kind, *asked)

    def apply(self, node: str, spec: Json) -> Json:
        return self._outcome("DeployNode", *self.request("PUT", f"/v1/nodes/{node}", spec))

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Json]:
        """The status and the JSON of the answer, once the command has its outcome."""
        connection = http.client.HTTPConnection(*self.system.gateway, timeout=ANSWER_SECONDS_MAX)
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
        content = None if body is None else json.dumps(body)
        try:
            connection.request(method, f"{path}?wait=ACCEPTED", content, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def _outcome(self, kind: str, status: int, answer: Json) -> Json:
        """The answer in the words of the bus."""
        accepted = status in (200, 202)
        named = {"command_kind": kind, "kind": "CommandAccepted" if accepted else "CommandRejected"}
        return {**answer, **named, "status": status}
