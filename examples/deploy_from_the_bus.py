"""Deploy a node from any program that may write to the bus: JSON in, outcome out, nothing of ours.

    python examples/deploy_from_the_bus.py 127.0.0.1:9092 digits spec.json

`spec.json` is what you want of the node: at least its checkpoint and its cell.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

OUTCOME_SECONDS_MAX = 30.0


async def send(kafka: str, command: dict[str, Any]) -> dict[str, Any]:
    """Publish one command and wait for its outcome: CommandAccepted or CommandRejected."""
    outcomes = AIOKafkaConsumer(
        "cellnode.outcomes", bootstrap_servers=kafka, auto_offset_reset="earliest"
    )
    key = f"{command.get('project', 'default')}/{command['node']}".encode()
    async with outcomes, AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await producer.send_and_wait("cellnode.commands", json.dumps(command).encode(), key=key)
        async for record in outcomes:
            outcome: dict[str, Any] = json.loads(record.value or b"{}")
            if outcome.get("command") == command["id"]:
                return outcome
    raise ConnectionError("the bus went away before the outcome came")


def deploy(node: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The command that makes the node what `spec` says, whatever it was before."""
    return {"kind": "DeployNode", "id": str(uuid4()), "node": node, "spec": spec}


def main(kafka: str, node: str, spec_file: str) -> int:
    command = deploy(node, json.loads(Path(spec_file).read_text()))
    outcome = asyncio.run(asyncio.wait_for(send(kafka, command), OUTCOME_SECONDS_MAX))
    print(json.dumps(outcome, indent=2))
    return 0 if outcome["kind"] == "CommandAccepted" else 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
