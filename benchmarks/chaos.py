"""`make chaos`: on Apache Kafka and Redis, in replicas that are killed, paused and cut off.

All parts: `python -m benchmarks.chaos`; some of them: `--only commands`.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import chaos_commands, chaos_gateways, chaos_kafka_away, chaos_takeover
from benchmarks.parts import Part, measured
from benchmarks.rows import finish

PARTS = {
    "commands": Part(chaos_commands.rows, 720),
    "takeover": Part(chaos_takeover.rows, 240),
    "kafka_away": Part(chaos_kafka_away.rows, 180),
    "gateways": Part(chaos_gateways.rows, 420),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; repeatable")
    chosen = parser.parse_args().only or list(PARTS)
    rows = [row for name in PARTS if name in chosen for row in measured(name, PARTS[name])]
    return finish(rows)


if __name__ == "__main__":
    sys.exit(main())
