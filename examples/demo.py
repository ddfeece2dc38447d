"""`make demo`: a trained model becomes a service, is called, changed, broken, and heals.

Everything is real: the model is trained here, the broker, Redis and the services are processes
of this machine, and this program talks to them only as any outside program may.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import cellnode
from examples.demo_screen import Screen
from examples.demo_system import (
    Calls,
    Client,
    Statuses,
    StatusEvent,
    interruptible,
    running,
    until_interrupted,
)
from examples.deploy_from_the_bus import deploy, send

GATEWAY = os.environ.get("CELLNODE_DEMO_GATEWAY", "127.0.0.1:0")
NODE, COUNTER = "digits", "counter"
HELD_OUT, SHOWN = 360, 6
ROUTED_SECONDS_MAX = 0.25  # From the event to the last request that knows nothing of it.
INTERRUPTED = 130
LOAD_SECONDS_BEFORE, LOAD_SECONDS_AFTER = 0.5, 0.5

CELL = """
pixels = numpy.array(image).reshape(1, -1)
digit = int(model.predict(pixels)[0])
"""
COUNTER_CELL = "count += 1"

Json = dict[str, Any]


class Trained:
    """The live interpreter's work: a classifier, and images that it has never seen."""

    def __init__(self) -> None:
        import numpy
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        bunch = load_digits()
        split = train_test_split(
            bunch.data, bunch.target, test_size=HELD_OUT, random_state=7, stratify=bunch.target
        )
        learn, held_out, answers, truth = split
        self.model = make_pipeline(StandardScaler(), SVC(C=8)).fit(learn, answers)
        self.learned = len(learn)
        self.inputs: list[Json] = [{"image": image.tolist()} for image in held_out]
        self.truth: list[int] = truth.tolist()
        self.own: list[int] = self.model.predict(held_out).tolist()
        self.namespace: Json = {"model": self.model, "numpy": numpy}


class Demo:
    """The story, step by step."""

    def __init__(self, screen: Screen, data: Path, addresses: Json) -> None:
        self.screen, self.data = screen, data
        self.kafka, self.gateway = addresses["kafka"], addresses["gateway"]
        self.begun = time.monotonic()
        self.statuses = Statuses(self.kafka, self._show)

    def _show(self, event: StatusEvent) -> None:
        who = event.key.removeprefix("default/")
        sentence = "" if event.status == "gone" else event.value.get("sentence", "")
        self.screen.status(event.at - self.begun, who, event.status, sentence)

    async def _send(self, command: Json) -> None:
        self.begun = time.monotonic()
        outcome = await send(self.kafka, command)
        if outcome["kind"] != "CommandAccepted":
            raise SystemExit(f"rejected: {outcome}")

    async def deploy(self, digest: str) -> None:
        self.screen.step("Deploy it: one DeployNode message on the bus, from a bare Kafka producer")
        spec = {
            "checkpoint": digest,
            "cell": CELL.strip(),
            "inputs": [{"name": "image", "schema": {"type": "array", "items": {"type": "number"}}}],
            "outputs": ["digit"],
            "instances": {"min": 2, "want": 2},
            "idempotent": True,
        }
        command = deploy(NODE, spec)
        self.screen.source(shortened(command))
        self.screen.say("[dim]what an outside consumer of cellnode.statuses hears:[/]")
        await self._send(command)
        await self.statuses.until(lambda known: known.is_healthy(NODE, 2))

    async def call(self, trained: Trained, client: Client) -> bool:
        self.screen.step(f"Call it: {len(trained.inputs)} images it has never seen, over HTTP")
        await client.call_when_routed(**trained.inputs[0])
        with self.screen.bar("held-out images", len(trained.inputs)) as done:
            calls = await client.call_all(trained.inputs, done)
        answers = [output["digit"] if output else None for output in calls.outputs]
        self.screen.pictures(
            [given["image"] for given in trained.inputs[:SHOWN]],
            [f"{answer}" for answer in answers[:SHOWN]],
        )
        right = sum(map(lambda mine, true: mine == true, answers, trained.truth))
        same = answers == trained.own
        self.screen.figures(
            [
                ("accuracy", f"{right / len(answers):.1%} ({right} of {len(answers)})"),
                ("as the interpreter itself answers", "every one" if same else "NO"),
                ("latency, 8 at a time", f"p50 {calls.p50_ms:.1f} ms, p99 {calls.p99_ms:.1f} ms"),
                ("failed requests", str(len(calls.failures))),
            ]
        )
        return same and not calls.failures

    async def change_state(self, store: Path) -> bool:
        self.screen.step("Requests change the state, RecreateNode brings the pinned one back")
        digest = pinned(COUNTER, {"count": 0}, store)
        spec = {"checkpoint": digest, "cell": COUNTER_CELL, "outputs": ["count"]}
        await self._send(deploy(COUNTER, spec))
        await self.statuses.until(lambda known: known.is_healthy(COUNTER, 1))
        async with Client(self.gateway, COUNTER, 1) as client:
            first = await client.call_when_routed()
            counted = [first["count"], *[(await client.call())["count"] for _ in range(2)]]
            self.screen.say(f"cell [cyan]count += 1[/], three requests: [bold]{counted}[/]")
            before = self.statuses.instances(COUNTER)
            await self._send({"kind": "RecreateNode", "id": str(uuid4()), "node": COUNTER})
            await self.statuses.until(lambda known: known.instances(COUNTER, "DELETING") == before)
            await asyncio.sleep(ROUTED_SECONDS_MAX)
            again = (await client.call_when_routed())["count"]
        self.screen.say(f"after RecreateNode, one request: [bold]{again}[/]")
        return counted == [1, 2, 3] and again == 1

    async def kill(self, trained: Trained, client: Client) -> bool:
        self.screen.step("Kill an instance under load")
        victim = self.statuses.instances(NODE)[0]
        async with client.under_load(trained.inputs) as calls:
            await asyncio.sleep(LOAD_SECONDS_BEFORE)
            self.begun = time.monotonic()
            os.killpg(process_group(self.data, victim), signal.SIGKILL)
            self.screen.say(f"SIGKILL to every process of [bold]{victim}[/]")
            await self.statuses.until(lambda known: victim not in known.instances(NODE))
            heard = time.monotonic() - self.begun
            await self.statuses.until(lambda known: known.is_healthy(NODE, 2))
            replaced = time.monotonic() - self.begun
            await asyncio.sleep(LOAD_SECONDS_AFTER)
        self.screen.figures(self._kill_rows(calls, heard, replaced))
        return not calls.failures

    def _kill_rows(self, calls: Calls, heard: float, replaced: float) -> list[tuple[str, str]]:
        return [
            ("its end was an event after", f"{heard * 1000:.0f} ms"),
            ("replaced and HEALTHY after", f"{replaced:.2f} s"),
            ("requests meanwhile", str(len(calls.seconds))),
            ("failed requests", str(len(calls.failures))),
            ("latency", f"p50 {calls.p50_ms:.1f} ms, p99 {calls.p99_ms:.1f} ms"),
        ]

    async def stay(self, trained: Trained) -> None:
        self.screen.step("It is yours: paste this into another terminal")
        body = json.dumps({"input": trained.inputs[0]}, separators=(",", ":"))
        body = body.replace(".0,", ",").replace(".0]", "]")
        self.screen.source(f"curl {self.gateway}/v1/nodes/{NODE}:execute -d '{body}'")
        self.screen.say(f"[dim]that image is a {trained.truth[0]}; Ctrl-C ends everything[/]")
        await until_interrupted()


def pinned(name: str, namespace: Json, store: Path) -> str:
    """Pin a namespace into the store; the digest names the checkpoint from now on."""
    return cellnode.pin(name, namespace=namespace, store=store).digest


def shortened(command: Json) -> str:
    """The message as it goes over the bus, its digest cut for the eye."""
    spec = {**command["spec"], "checkpoint": command["spec"]["checkpoint"][:12] + "…"}
    head = {**command, "id": command["id"][:8] + "…", "spec": "SPEC"}
    inner = ",\n".join(
        f"    {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in spec.items()
    )
    return json.dumps(head, ensure_ascii=False).replace('"SPEC"', "{\n" + inner + "\n}")


def process_group(data: Path, instance: str) -> int:
    record = json.loads((data / "instances" / instance / "agent.pid").read_bytes())
    return os.getpgid(record["pid"])


async def tell(screen: Screen, data: Path) -> bool:
    interruptible()
    screen.step("Train a model in this interpreter and pin it")
    begun = time.monotonic()
    trained = Trained()
    screen.say(
        f"a classifier of handwritten digits, trained on {trained.learned} images, "
        f"{len(trained.inputs)} held out"
    )
    digest = pinned(NODE, trained.namespace, data / "store")
    screen.say(f"pinned: checkpoint [bold]{digest[:12]}…[/] after {time.monotonic() - begun:.1f} s")
    screen.step("Start everything: Kafka broker, Redis, provisioner, health, gateway")
    begun = time.monotonic()
    async with running(data, GATEWAY) as addresses:
        screen.figures([(name, str(addresses[name])) for name in ("gateway", "kafka", "redis")])
        screen.say(f"ready after {time.monotonic() - begun:.1f} s")
        return await with_everything(Demo(screen, data, addresses), trained, digest)


async def with_everything(demo: Demo, trained: Trained, digest: str) -> bool:
    async with demo.statuses.followed():
        await demo.deploy(digest)
        async with Client(demo.gateway, NODE) as client:
            held = [
                await demo.call(trained, client),
                await demo.change_state(demo.data / "store"),
                await demo.kill(trained, client),
            ]
        if demo.screen.is_terminal and all(held):
            await demo.stay(trained)
    return all(held)


def main() -> int:
    screen = Screen()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cellnode-demo-") as data:
        try:
            held = asyncio.run(tell(screen, Path(data)))
        except (asyncio.CancelledError, KeyboardInterrupt):
            screen.say("interrupted; everything that was started is gone")
            return INTERRUPTED
    screen.step("Done")
    ending = "everything is gone again" if held else "SOMETHING DID NOT HOLD, see above"
    screen.say(f"{ending} ({time.monotonic() - begun:.1f} s in all)")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
