"""`make bench-door`: what a person meets: command line, api, events, uploads, restarts.

All parts: `python -m benchmarks.door`; some of them: `--only events --only uploads`.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import door_contracts, door_events, door_restart, door_starting, door_uploads
from benchmarks.parts import Part, measured, say
from benchmarks.rows import Row, finish


def contracts() -> list[Row]:
    with door_contracts.serving() as gateway:
        found = door_contracts.contracts(gateway, door_contracts.CASES)
    for failure in found.failures:
        say(failure)
    return door_contracts.rows(found)


PARTS = {
    "starting": Part(door_starting.rows, 60),
    "events": Part(door_events.rows, 180),
    "uploads": Part(door_uploads.rows, 300),
    "contracts": Part(contracts, 600),
    "restarts": Part(door_restart.rows, 600),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; repeatable")
    chosen = parser.parse_args().only or list(PARTS)
    rows = [row for name in PARTS if name in chosen for row in measured(name, PARTS[name])]
    return finish(rows)


if __name__ == "__main__":
    sys.exit(main())
