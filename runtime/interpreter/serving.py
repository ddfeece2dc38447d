"""The loader, which holds the loaded checkpoint, and the fork of it that answers requests."""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import sys
import time
import warnings
from os import getpid  # Bound here: cells replace functions of modules.
from typing import Any

from . import limits
from .cell import Cell
from .frames import Control, Request, Response, pack_response, read_request, trace_id_in
from .loading import Namespace, Refused, failed, load
from .signature import signature
from .values import ProblemFound

POLL_MS = 100  # How often a fork is looked after where the kernel has no pidfd.


def serve(control_fd: int, agent_pid: int) -> int:
    """Wait for the configuration, load, and hold the result for forks until the agent goes."""
    limits.end_with(agent_pid)
    limits.adopt_orphans()
    control = Control(socket.socket(fileno=control_fd))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    _ignore_group_signals()
    _import_ahead()
    config = control.receive()
    if config is None:
        return 0
    try:
        limits.apply(config["limits"])
        os.chdir(config["work"])
        control.send({"kind": "preparing"})
        began = time.monotonic()
        loaded = load(config["store"], config["checkpoint"])
        config["inputs"], config["outputs"] = signature(config, loaded.schemas)
        loader = Loader(control, config, (_prepared(config), loaded.namespace))
        control.send({"kind": "loaded", "milliseconds": int((time.monotonic() - began) * 1000)})
    except Refused as refusal:
        control.send({"kind": "failed", **refusal.as_dict()})
        return 0 if control.receive() is None else 1
    return loader.run()


def _prepared(config: dict[str, Any]) -> Cell:
    try:
        return Cell(config)
    except Refused:
        raise
    except Exception as error:  # A schema may hold anything that is JSON.
        raise failed("Preparing the cell failed", error) from None


def _ignore_group_signals() -> None:
    # Drain and Ctrl-C are the agent's to answer. Handlers, unlike SIG_IGN, end with an exec.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)


def _import_ahead() -> None:
    """Most checkpoints need it; the agent is still starting, so the time costs nothing."""
    try:
        importlib.import_module("cloudpickle")
    except ImportError:
        return  # Only a checkpoint that uses it will say so.


class Loader:
    """Never runs the user's code again after the load, so it always hears the agent."""

    def __init__(
        self, control: Control, config: dict[str, Any], loaded: tuple[Cell, Namespace]
    ) -> None:
        self.control = control
        self.config = config
        self.cell, self.namespace = loaded
        self.child = 0
        self.watched = -1  # The pidfd of the child.
        # What the checkpoint itself started while it was loaded belongs to every fork.
        self.kept = limits.children()
        # What was loaded stays shared between this process and its forks.
        gc.freeze()

    def run(self) -> int:
        poll = select.poll()
        poll.register(self.control.channel, select.POLLIN)
        while True:
            ready = dict(poll.poll(POLL_MS if self.child and self.watched < 0 else None))
            if self.child:
                self._reap(poll)
            if self.control.channel.fileno() in ready:
                message = self.control.receive()
                if message is None:
                    return 0
                self._obey(message, poll)

    def _obey(self, message: dict[str, Any], poll: select.poll) -> None:
        if message["kind"] == "fork" and not self.child:
            self._fork(self.control.descriptors[0], poll)
        elif message["kind"] == "kill" and message["pid"] == self.child:
            os.kill(self.child, signal.SIGKILL)

    def _fork(self, requests_fd: int, poll: select.poll) -> None:
        sys.stdout.flush()
        loader_pid = os.getpid()
        with warnings.catch_warnings():
            # Python warns of forks beside native threads; what of them is unsafe is held back.
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            self.control.channel.close()
            _serve_in_fork(self, requests_fd, loader_pid)
        os.close(requests_fd)
        self.child = pid
        try:
            self.watched = os.pidfd_open(pid)
            poll.register(self.watched, select.POLLIN)
        except (OSError, AttributeError):  # Some builds of Python lack it as well.
            self.watched = -1
        self.control.send({"kind": "forked", "pid": pid})

    def _reap(self, poll: select.poll) -> None:
        pid, status = os.waitpid(self.child, os.WNOHANG)
        if pid == 0:
            return
        if self.watched >= 0:
            poll.unregister(self.watched)
            os.close(self.watched)
        self.child, self.watched = 0, -1
        limits.end_children(self.kept)
        code = os.waitstatus_to_exitcode(status)
        self.control.send({"kind": "exited", "pid": pid, "code": code})


def _serve_in_fork(loader: Loader, requests_fd: int, loader_pid: int) -> None:
    """Never returns: what the loader would do next is not the fork's to do."""
    code = 1
    try:
        limits.end_with(loader_pid)
        limits.give_threads_back(loader.config["limits"]["cpu_count"])
        loader.cell.watch_deadlines()
        answer_all(loader.cell, loader.namespace, requests_fd)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        _flush()
        os._exit(code)


def answer_all(cell: Cell, namespace: Namespace, requests_fd: int) -> None:
    """One request at a time, in order, until the agent closes its end."""
    requests = socket.socket(fileno=requests_fd)
    requests.setblocking(True)
    own_pid = getpid()
    with io.BufferedReader(socket.SocketIO(requests, "r"), 256 * 1024) as file:
        while (request := read_request(file)) is not None:
            response = answered(cell, namespace, request)
            if getpid() != own_pid:
                os._exit(0)  # A child that the cell forked and let return: its parent answers.
            requests.sendall(pack_response(response))


def answered(cell: Cell, namespace: Namespace, request: Request) -> Response:
    began = time.perf_counter_ns()
    status, is_cell_error = 200, False
    try:
        body = cell.answer(request.body, namespace, request.timeout_ms)
    except ProblemFound as problem:
        status, is_cell_error = problem.status, problem.code == "cell-error"
        body = _document(problem, request)
    _flush()
    return Response(body, (time.perf_counter_ns() - began) // 1000, status, is_cell_error)


def _document(problem: ProblemFound, request: Request) -> bytes:
    document = problem.document
    if not request.full_errors:
        document.pop("traceback", None)
    if request.request_id:
        document["request_id"] = request.request_id
    if trace_id := trace_id_in(request.traceparent, request.request_id):
        document["trace_id"] = trace_id
    return json.dumps(document).encode()


def _flush() -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        return  # The cell closed or replaced its streams; that is its own affair.
