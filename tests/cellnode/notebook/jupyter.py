"""A real JupyterLab on a loopback port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.waiting import until

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0


@contextmanager
def jupyter(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """JupyterLab over the folder, with nothing of this user's settings; yields its address."""
    port = free_port()
    private = {
        name: str(folder / ".jupyter")
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    options = [
        "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=",
        "--ServerApp.port_retries=0", "--allow-root", f"--ServerApp.root_dir={folder}",
        "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    log = (folder / "jupyter.log").open("wb")
    running = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        env={**os.environ, **environment, **private}, cwd=folder, stdout=log, stderr=log,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        until("JupyterLab answers", lambda: answers(f"{address}/api"), seconds=START_SECONDS_MAX)
        yield address
    finally:
        running.terminate()
        running.wait(STOP_SECONDS_MAX)
        log.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
