"""The demo, word for word as `make demo` runs it, in a pipe and on a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from tests.e2e.system import running
from tests.e2e.waiting import until
from tests.sources import ROOT

DEMO_HANGS_SECONDS = 120.0
COMMAND = [sys.executable, str(ROOT / "examples" / "demo.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

pytestmark = pytest.mark.full


def left() -> list[int]:
    """Processes that work for a demo."""
    return [pid for pid, said in running() if any(b"cellnode-demo-" in part for part in said)]


def test_the_demo_shows_everything_and_leaves_nothing() -> None:
    ran = subprocess.run(
        COMMAND, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEMO_HANGS_SECONDS
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "accuracy: 98." in ran.stdout
    assert "as the interpreter itself answers: every one" in ran.stdout
    assert "three requests: [1, 2, 3]" in ran.stdout
    assert "after RecreateNode, one request: 1" in ran.stdout
    assert ran.stdout.count("failed requests: 0") == 2
    assert left() == []


def test_on_a_terminal_the_demo_stays_up_and_its_curl_line_works() -> None:
    master, slave = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(
        COMMAND, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as demo:
        os.close(slave)
        shown = read_until(master, b"Ctrl-C ends everything")
        line = re.search(r"curl (\S+) -d '(.*?)'", plain(shown), re.DOTALL)
        assert line is not None, shown
        body = re.sub(r"\s", "", line[2])
        said = subprocess.run(["curl", "-s", line[1], "-d", body], capture_output=True, timeout=10)
        demo.send_signal(signal.SIGINT)
        read_until(master, b"everything is gone again")
        assert demo.wait(10) == 0

    answer = json.loads(said.stdout)["output"]["digit"]
    assert f"that image is a {answer}" in plain(shown)
    until("nothing is left", lambda: not left())


def read_until(terminal: int, text: bytes) -> bytes:
    """What is shown on the terminal, up to this text."""
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 65536)
    return shown


def plain(shown: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace")).replace("\r", "")
