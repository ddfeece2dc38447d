"""wrk, the load generator, as a function; it is C, so it takes little from what it measures."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS, SECONDS = 32, 5
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
done = function(summary, latency)
  local errors = summary.errors
  local bad = errors.status + errors.read + errors.write + errors.connect + errors.timeout
  io.write(string.format("failed=%d p99_us=%d\\n", bad, latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Told:
    """What one run found."""

    per_second: float
    p99_ms: float
    failed: int


def loaded(url: str, body: bytes, *, seconds: int = SECONDS) -> Told | None:
    """A closed loop of POSTs; None where wrk is not installed, which is said."""
    if shutil.which("wrk") is None:
        print("# wrk is missing: apt-get install wrk", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory(prefix="wrk-") as folder:
        script, content = Path(folder, "post.lua"), Path(folder, "body")
        content.write_bytes(body)
        script.write_text(_SCRIPT.replace("{body}", str(content)))
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    end = re.search(r"failed=(\d+) p99_us=(\d+)", told)
    assert rate is not None, told
    assert end is not None, told
    return Told(float(rate[1]), int(end[2]) / 1000, int(end[1]))
