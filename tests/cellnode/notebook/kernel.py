"""A real kernel, as a notebook's front end drives it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

ANSWER_SECONDS_MAX = 40.0


@dataclass
class Ran:
    """What running one cell has brought."""

    status: str = ""
    stdout: str = ""
    stderr: str = ""
    error: str = ""  # What stands where a traceback would.
    bundles: list[dict[str, str]] = field(default_factory=list)  # Displays, then their updates.

    @property
    def last_html(self) -> str:
        return self.bundles[-1].get("text/html", "")

    @property
    def last_text(self) -> str:
        return self.bundles[-1].get("text/plain", "")


class Kernel:
    """One ipykernel process."""

    def __init__(self, environment: dict[str, str], folder: str | None = None) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=environment, cwd=folder)
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=ANSWER_SECONDS_MAX)

    def run(self, source: str) -> Ran:
        """Run a cell to its end."""
        asked = self.client.execute(source, allow_stdin=False)
        return self.heard(asked)

    def heard(self, asked: str) -> Ran:
        ran = Ran()
        ends_at = time.monotonic() + ANSWER_SECONDS_MAX
        while time.monotonic() < ends_at:
            message = self.client.get_iopub_msg(timeout=ANSWER_SECONDS_MAX)
            if message["parent_header"].get("msg_id") != asked:
                continue
            if _is_over(message):
                ran.status = self._reply(asked)["status"]
                return ran
            _take(ran, message["msg_type"], message["content"])
        raise AssertionError(f"the cell did not end: {ran}")

    def _reply(self, asked: str) -> dict[str, Any]:
        while True:  # Each wait in it is bounded; what was asked before may still be answered.
            reply = self.client.get_shell_msg(timeout=ANSWER_SECONDS_MAX)
            if reply["parent_header"].get("msg_id") == asked:
                return dict(reply["content"])

    def completed(self, line: str) -> list[str]:
        """What Tab offers at the end of the line."""
        reply = self.client.complete(line, len(line), reply=True, timeout=ANSWER_SECONDS_MAX)
        return list(reply["content"]["matches"])

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def _is_over(message: dict[str, Any]) -> bool:
    is_status = bool(message["msg_type"] == "status")
    return is_status and message["content"]["execution_state"] == "idle"


def _take(ran: Ran, kind: str, content: dict[str, Any]) -> None:
    if kind == "stream":
        setattr(ran, content["name"], getattr(ran, content["name"]) + content["text"])
    elif kind == "error":
        ran.error = "\n".join(content["traceback"])
    elif kind in ("display_data", "update_display_data", "execute_result"):
        ran.bundles.append(content["data"])
