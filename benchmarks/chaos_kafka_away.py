"""Kafka is killed for half a minute: inference goes on, commands are refused or carried out."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field

from benchmarks.chaos_producer import Outside
from benchmarks.chaos_reading import Reader
from benchmarks.chaos_schedule import Planned, deploy
from benchmarks.chaos_system import PARTITIONS, ChaosSystem, is_ready
from benchmarks.rows import Row, finish, percentile
from tests.e2e.calls import Answer, Load, call, load
from tests.e2e.waiting import until

SEED = 22
NODES = ("a", "b", "c", "d")
GATEWAYS = 3
AWAY_SECONDS = 30.0
CALLS_PAUSE_SECONDS = 0.02
COMMANDS_PAUSE_SECONDS = 1.0
READY_SECONDS_MAX = 60.0
OUTCOMES_SECONDS_MAX = 60.0
CALLS_MIN = 1_000


@dataclass
class Asked:
    """What was asked of the api while Kafka was away."""

    accepted: list[str] = field(default_factory=list)  # Ids of commands.
    refused: int = 0
    unclear: list[str] = field(default_factory=list)

    def heard(self, answer: Answer) -> None:
        if answer.status == 202:
            self.accepted.append(str(answer.json["id"]))
        elif answer.status == 503 and answer.code:
            self.refused += 1
        else:
            self.unclear.append(f"{answer.status} {answer.body[:200]!r}")


def rows(away_seconds: float = AWAY_SECONDS) -> list[Row]:
    with ChaosSystem(SEED, gateways=GATEWAYS, is_with_api=True) as system:
        system.until_topics()
        with Reader(system.kafka.address, ["cellnode.outcomes"], PARTITIONS) as reader:
            _deployed(system)
            asked, loads = _while_away(system, away_seconds)
            left = _not_carried_out(reader, asked)
    for one in [*asked.unclear, *left, *(one.told() for one in loads if one.failed())][:10]:
        print(f"# {one}", file=sys.stderr, flush=True)
    answers = [answer for one in loads for answer in one.answers]
    late = percentile([1000 * (one.ended - one.begun) for one in answers], 99)
    return [
        Row("kafka_away_seconds", away_seconds, at_least=away_seconds),
        Row("kafka_away_inference_calls", len(answers), at_least=CALLS_MIN),
        Row(
            "kafka_away_inference_calls_failed",
            sum(len(one.failed()) for one in loads),
            at_most=0,
        ),
        Row("kafka_away_inference_p99_ms", late),
        Row("kafka_away_commands_refused", asked.refused),
        Row("kafka_away_commands_accepted", len(asked.accepted)),
        Row("kafka_away_commands_unclear", len(asked.unclear), at_most=0),
        Row("kafka_away_commands_not_carried_out", len(left), at_most=0),
    ]


def _deployed(system: ChaosSystem) -> None:
    outside = Outside(system.kafka.address)
    for node in NODES:
        outside.send(Planned(deploy(node, want=2), "murmur2"))
    outside.flush()
    for port in system.gateway_ports:
        until("the gateway is ready", lambda at=port: is_ready(at), seconds=READY_SECONDS_MAX)  # type: ignore[misc]
        for node in NODES:
            until(
                f"{node} answers",
                lambda at=port, of=node: call(("127.0.0.1", at), of).status == 200,  # type: ignore[misc]
                seconds=READY_SECONDS_MAX,
            )


def _while_away(system: ChaosSystem, seconds: float) -> tuple[Asked, list[Load]]:
    """Calls at every gateway and commands at the first, from before Kafka dies until it is back."""
    asked, over = Asked(), threading.Event()
    gateways = [("127.0.0.1", port) for port in system.gateway_ports]
    commanding = threading.Thread(target=_command, args=(gateways[0], asked, over), daemon=True)
    with (
        load(gateways[0], NODES[0], connections=2, pause_seconds=CALLS_PAUSE_SECONDS) as first,
        load(gateways[1], NODES[1], connections=2, pause_seconds=CALLS_PAUSE_SECONDS) as second,
        load(gateways[2], NODES[2], connections=2, pause_seconds=CALLS_PAUSE_SECONDS) as third,
    ):
        time.sleep(2)
        system.kafka.kill()
        commanding.start()
        time.sleep(seconds)
        over.set()
        system.kafka.start()
        commanding.join()
        time.sleep(10)
    return asked, [first, second, third]


def _command(gateway: tuple[str, int], asked: Asked, over: threading.Event) -> None:
    """Scale a node up and down through the api until Kafka is back."""
    want = 2
    while not over.wait(COMMANDS_PAUSE_SECONDS):
        want = 3 - want
        asked.heard(_scaled(gateway, NODES[3], want))


def _scaled(gateway: tuple[str, int], node: str, want: int) -> Answer:
    import http.client

    begun = time.monotonic()
    connection = http.client.HTTPConnection(*gateway, timeout=READY_SECONDS_MAX)
    try:
        body = json.dumps({"want": want})
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"/v1/nodes/{node}:scale", body, headers)
        response = connection.getresponse()
        return Answer(response.status, {}, response.read(), begun, time.monotonic())
    except OSError as error:
        return Answer(0, {}, repr(error).encode(), begun, time.monotonic())
    finally:
        connection.close()


def _not_carried_out(reader: Reader, asked: Asked) -> list[str]:
    """Accepted commands that still have no outcome when all had time for it."""
    deadline = time.monotonic() + OUTCOMES_SECONDS_MAX
    while True:
        records = [one for part in reader.of("cellnode.outcomes") for one in part]
        decided = {one.body["command"] for one in records if not one.key.startswith("~")}
        left = [command for command in asked.accepted if command not in decided]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(finish(rows()))
