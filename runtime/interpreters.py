"""The agent's hold on its interpreter: the loader, the serving fork, and what they print."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from dataclasses import asdict
from typing import Any, Protocol

from runtime.channel import RequestChannel
from runtime.instance import Instance
from runtime.interpreter.frames import (
    CONTROL,
    CONTROL_BYTES_MAX,
    Request,
    Response,
    pack_control,
    pack_request,
)  # fmt: skip
from runtime.logs import Log
from runtime.spawning import Spawned, spawn

CONTROL_READ_BYTES = 64 * 1024
# A dead fork's last answers may still be in its channel; it is read to its end, but not for ever.
LAST_WORDS_SECONDS_MAX = 0.5


class Listener(Protocol):
    """Who is told what becomes of the interpreter."""

    def on_preparing(self) -> None: ...

    def on_loaded(self) -> None: ...

    def on_load_failed(self, failure: dict[str, Any]) -> None: ...

    def on_forked(self) -> None: ...

    def on_response(self, response: Response) -> None: ...

    def on_fork_ended(self, code: int) -> None: ...

    def on_loader_ended(self, code: int) -> None: ...


class Interpreter:
    """One loader process and at most one fork of it."""

    def __init__(self, instance: Instance, log: Log, spawned: Spawned | None = None) -> None:
        self.instance = instance
        self.log = log
        self.spawned = spawned or spawn(instance)
        self.body_bytes_max = instance.body_bytes_max
        self.received = bytearray()
        self.requests: RequestChannel | None = None
        self.fork_pid = 0
        self.is_stopped = False
        self.ended: int | None = None  # The code of a fork whose last answers are still read.

    def listen(self, listener: Listener) -> None:
        """Begin to hear it, and let it touch the checkpoint."""
        self.listener = listener
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(self.spawned.output_fd, self._on_output)
        control = self.spawned.control
        control.settimeout(5)
        try:
            control.sendall(pack_control(self._config()))
        except OSError:
            self.log.say("the interpreter did not take its configuration")
        control.setblocking(False)
        self.loop.add_reader(control, self._on_control)

    def _config(self) -> dict[str, Any]:
        instance = self.instance
        return {
            "kind": "load",
            "store": instance.store,
            "checkpoint": instance.checkpoint,
            "cell": instance.cell,
            "inputs": instance.inputs,
            "outputs": instance.outputs,
            "limits": asdict(instance.limits),
            "work": instance.work,
            "body_bytes_max": instance.body_bytes_max,
        }

    def fork(self) -> None:
        """Have the loader fork; each fork gets a channel of its own."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.requests = RequestChannel(self, ours.dup())
        with contextlib.suppress(OSError):  # The loader has gone, which is told elsewhere.
            socket.send_fds(
                self.spawned.control, [pack_control({"kind": "fork"})], [theirs.fileno()]
            )
        theirs.close()
        channel = self.requests
        # Kept: a task that nobody refers to may be collected before it has run.
        self.connecting = self.loop.create_task(
            self.loop.create_unix_connection(lambda: channel, sock=ours)
        )

    def send(self, request: Request) -> None:
        if self.requests is not None and self.requests.transport is not None:
            self.requests.transport.write(pack_request(request))

    def kill(self) -> None:
        """Kill the fork through its parent, the only one who knows that the pid is still its."""
        if self.fork_pid:
            with contextlib.suppress(OSError):
                self.spawned.control.send(pack_control({"kind": "kill", "pid": self.fork_pid}))

    def give_up(self) -> None:
        """Kill the loader, and the fork with it, when the loader does not do as it is told."""
        if not self.is_stopped:
            os.kill(self.spawned.pid, signal.SIGKILL)  # Ours until it is reaped.

    def _on_control(self) -> None:
        try:
            data = self.spawned.control.recv(CONTROL_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_loader_ended()
            return
        self.received += data
        try:
            while message := self._next_message():
                self._on_message(message)
        except (ValueError, KeyError, TypeError) as error:
            # What was unpickled shares a process with the loader and may write nonsense.
            self.log.say(f"the interpreter sent nonsense: {error!r}")
            self._on_loader_ended()

    def _next_message(self) -> dict[str, Any] | None:
        if len(self.received) < CONTROL.size:
            return None
        size = CONTROL.unpack_from(self.received)[0]
        if size > CONTROL_BYTES_MAX:
            raise ValueError(f"a message of {size} bytes")
        end = CONTROL.size + size
        if len(self.received) < end:
            return None
        message: dict[str, Any] = json.loads(self.received[CONTROL.size : end])
        del self.received[:end]
        return message

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "preparing":
            self.listener.on_preparing()
        elif kind == "loaded":
            self.listener.on_loaded()
        elif kind == "failed":
            self.listener.on_load_failed(message)
        elif kind == "forked":
            self._on_forked(int(message["pid"]))
        elif kind == "exited":
            self._on_exited(int(message["code"]))

    def _on_forked(self, pid: int) -> None:
        self.fork_pid = pid
        requests = self.requests
        if requests is None or requests.is_at_end:
            return  # It has ended already, which is told next.
        if requests.transport is not None:
            self.listener.on_forked()
        else:
            self.loop.call_soon(self._on_forked, pid)

    def _on_exited(self, code: int) -> None:
        self.fork_pid, self.ended = 0, code
        requests = self.requests
        if requests is None or requests.is_at_end:
            self.fork_ended()
        else:
            self.loop.call_later(LAST_WORDS_SECONDS_MAX, self._stop_reading, requests)

    def _stop_reading(self, requests: RequestChannel) -> None:
        if self.requests is requests:
            self.fork_ended()

    def fork_ended(self) -> None:
        """Tell it once both are known: that it has ended and what it last answered."""
        if self.ended is None:
            return
        code, self.ended = self.ended, None
        self._close_requests()
        self.listener.on_fork_ended(code)

    def on_response(self, response: Response) -> None:
        self.listener.on_response(response)

    def channel_lost(self, requests: RequestChannel) -> None:
        """A fork that closed its channel and still runs can answer nobody."""
        if self.requests is not requests:
            return
        if self.ended is not None:
            self.fork_ended()
        else:
            self.loop.call_later(LAST_WORDS_SECONDS_MAX, self._kill_mute, self.fork_pid)

    def _kill_mute(self, pid: int) -> None:
        if pid and self.fork_pid == pid:
            self.kill()

    def _close_requests(self) -> None:
        requests, self.requests = self.requests, None
        if requests is not None:
            requests.retire()

    def _on_output(self) -> None:
        if not self.log.copy_from(self.spawned.output_fd):
            self.loop.remove_reader(self.spawned.output_fd)
            os.close(self.spawned.output_fd)
            self.spawned.output_fd = -1

    def _on_loader_ended(self) -> None:
        code = self.stop()
        self.listener.on_loader_ended(code)

    def stop(self) -> int:
        """End loader and fork and reap the loader; its exit code, negative for a signal."""
        if self.is_stopped:
            return 0
        self.is_stopped = True
        self.loop.remove_reader(self.spawned.control)
        self.spawned.control.close()
        self._close_requests()
        self.fork_pid, self.ended = 0, None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.spawned.pid, signal.SIGKILL)
        _, status = os.waitpid(self.spawned.pid, 0)
        self._read_rest()
        return os.waitstatus_to_exitcode(status)

    def _read_rest(self) -> None:
        """What was printed last is the most telling; a grandchild may keep the pipe open."""
        fd = self.spawned.output_fd
        if fd < 0:
            return
        self.loop.remove_reader(fd)
        for _ in range(16):  # A pipe holds no more than sixteen reads.
            if not self.log.copy_from(fd):
                break
        os.close(fd)
        self.spawned.output_fd = -1
