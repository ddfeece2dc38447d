"""`make chaos`: on Apache Kafka and Redis, in replicas that are killed, paused and cut off.

All parts: `python -m benchmarks.chaos`; some of them: `--only commands`.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from benchmarks import (
    chaos_commands,
    chaos_gateways,
    chaos_kafka_away,
    chaos_projection,
    chaos_takeover,
)
from benchmarks.parts import Part, measured, say
from benchmarks.rows import finish

SEED = chaos_commands.SEED
# All together within 25 minutes, whatever happens.
PARTS = {
    "commands": Part(chaos_commands.rows, 720),
    "takeover": Part(chaos_takeover.rows, 150),
    "kafka_away": Part(chaos_kafka_away.rows, 150),
    "gateways": Part(chaos_gateways.rows, 300),
    "projection": Part(chaos_projection.rows, 180),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; repeatable")
    parser.add_argument("--seed", type=int, default=SEED, help="of the commands and the faults")
    given = parser.parse_args()
    say(f"seed {given.seed}")
    seeded = partial(chaos_commands.rows, seed=given.seed)
    parts = {**PARTS, "commands": Part(seeded, PARTS["commands"].seconds_max)}
    chosen = given.only or list(parts)
    rows = [row for name in parts if name in chosen for row in measured(name, parts[name])]
    return finish(rows)


if __name__ == "__main__":
    sys.exit(main())
