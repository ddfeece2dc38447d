"""One runs, a few wait, the rest is refused with proof; deadlines hold for all of them."""

import os
import signal
import threading
import time
from typing import Any

from tests.runtime.instances import Answer, Instances, RunningInstance, raw_execute, until

SLEEPING = "import time\nran.append(tag)\ntime.sleep(seconds)\ny = list(ran)"


def a_sleeper(instances: Instances, **changes: Any) -> RunningInstance:
    return instances.start(
        SLEEPING, state="ran = []", inputs=["tag", "seconds"], outputs=["y"], **changes
    ).ready()


class Call:
    """A call that goes on in the background."""

    def __init__(self, instance: RunningInstance, tag: str, seconds: float, **headers: str) -> None:
        self.result: list[Answer] = []
        self.thread = threading.Thread(
            target=lambda: self.result.append(
                instance.execute({"tag": tag, "seconds": seconds}, **headers)
            )
        )
        self.thread.start()

    def answer(self) -> Answer:
        self.thread.join(30)
        return self.result[0]


def waits(instance: RunningInstance, count: int) -> None:
    until(lambda: instance.phase()["running"] and instance.phase()["waiting"] == count)


def test_requests_run_one_at_a_time_in_the_order_they_came(instances: Instances) -> None:
    instance = a_sleeper(instances)
    calls = []
    for position, tag in enumerate("abc"):
        calls.append(Call(instance, tag, 0.5))
        waits(instance, position)

    assert [call.answer().json["output"]["y"] for call in calls] == [
        ["a"], ["a", "b"], ["a", "b", "c"],
    ]  # fmt: skip


def test_more_than_the_maximum_is_refused_with_proof(instances: Instances) -> None:
    instance = a_sleeper(instances, waiting_max=1)
    running = Call(instance, "running", 0.4)
    waits(instance, 0)
    waiting = Call(instance, "waiting", 0)
    waits(instance, 1)

    refused = instance.execute({"tag": "refused", "seconds": 0})

    assert (refused.status, refused.json["code"]) == (503, "busy")
    assert refused.headers["cellnode-not-executed"] == "true"
    assert running.answer().status == 200
    assert waiting.answer().json["output"]["y"] == ["running", "waiting"]


def test_another_instances_request_is_refused_with_proof(instances: Instances) -> None:
    instance = a_sleeper(instances)

    answer = instance.execute({"tag": "a", "seconds": 0}, Cellnode_Instance="test-abc123-99")

    assert (answer.status, answer.json["code"]) == (421, "wrong-instance")
    assert answer.headers["cellnode-not-executed"] == "true"
    assert instance.output({"tag": "b", "seconds": 0}) == {"y": ["b"]}


def test_a_waiting_request_whose_client_has_gone_is_dropped(instances: Instances) -> None:
    instance = a_sleeper(instances)
    running = Call(instance, "running", 0.6)
    waits(instance, 0)
    body = b'{"input": {"tag": "gone", "seconds": 0}}'
    client = instance.connect()
    client.sendall(raw_execute(body))
    waits(instance, 1)

    client.close()
    waits(instance, 0)

    assert running.answer().status == 200
    assert instance.output({"tag": "last", "seconds": 0}) == {"y": ["running", "last"]}


def test_probes_are_answered_while_a_cell_computes(instances: Instances) -> None:
    instance = instances.start("n = sum(range(25_000_000))", outputs=["n"]).ready()
    thread = threading.Thread(target=instance.execute)
    thread.start()
    until(lambda: instance.phase()["running"])
    began = time.monotonic()

    answers = [instance.request("GET", path) for path in ("/livez", "/readyz", "/metrics")]

    assert instance.phase()["running"]
    assert time.monotonic() - began < 0.5
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert {answer.headers["cellnode-instance"] for answer in answers} == {"test-abc123-1"}
    assert b'cellnode_agent_running{instance_id="test-abc123-1"} 1' in answers[2].body
    thread.join()


def test_a_request_that_waits_past_its_deadline_is_never_started(instances: Instances) -> None:
    instance = a_sleeper(instances)
    running = Call(instance, "running", 1.0)
    waits(instance, 0)
    began = time.monotonic()

    answer = instance.execute({"tag": "late", "seconds": 0}, Cellnode_Timeout_Ms="200")

    assert (answer.status, answer.json["code"]) == (504, "deadline-exceeded")
    assert answer.headers["cellnode-not-executed"] == "true"
    assert time.monotonic() - began < 0.6
    assert running.answer().json["output"]["y"] == ["running"]
    assert instance.output({"tag": "last", "seconds": 0}) == {"y": ["running", "last"]}


def test_a_deadline_raises_in_the_cell_and_keeps_the_state(instances: Instances) -> None:
    instance = a_sleeper(instances)
    pid = instance.fork_pid
    began = time.monotonic()

    answer = instance.execute({"tag": "slow", "seconds": 30}, Cellnode_Timeout_Ms="300")

    assert (answer.status, answer.json["code"]) == (504, "deadline-exceeded")
    assert "cellnode-not-executed" not in answer.headers
    assert 0.3 <= time.monotonic() - began < 1
    assert instance.output({"tag": "next", "seconds": 0}) == {"y": ["slow", "next"]}
    assert instance.fork_pid == pid


def test_the_nodes_deadline_holds_for_requests_that_name_none(instances: Instances) -> None:
    instance = a_sleeper(instances, deadline_seconds=0.3)

    assert instance.execute({"tag": "slow", "seconds": 30}).json["code"] == "deadline-exceeded"


STUBBORN = """
import time
ends_at = time.time() + 30
while time.time() < ends_at:
    try:
        time.sleep(30)
    except BaseException:
        pass
"""


def test_a_cell_that_does_not_stop_is_killed(instances: Instances) -> None:
    instance = instances.start(STUBBORN, deadline_seconds=0.3).ready()
    began = time.monotonic()

    answer = instance.execute()
    took = time.monotonic() - began

    assert (answer.status, answer.json["code"]) == (504, "deadline-exceeded")
    assert 1.3 <= took < 10, "it was killed, it did not end"
    document = instance.until_seq(5)
    assert [each["reason"] for each in document["history"][-2:]] == [
        "DEADLINE_KILLED",
        "STATE_LOST",
    ]


def test_requests_sent_ahead_of_a_crash_are_run_once(instances: Instances) -> None:
    """Small cells are pipelined; what lies behind a crash was not started and is not lost."""
    cell = "import os\nfile.write(tag + ' '); file.flush()\nif tag == '60': os._exit(1)"
    state = "class File:\n    def __reduce__(self): return open, ('ledger', 'a')\nfile = File()"
    instance = instances.start(cell, state=state, inputs=["tag"], waiting_max=100).ready()
    client = instance.connect()

    client.sendall(b"".join(raw_execute(b'{"input": {"tag": "%d"}}' % n) for n in range(100)))
    received = b""
    while received.count(b"HTTP/1.1 ") < 100 or not received.endswith(b"}"):
        received += client.recv(65536)

    client.close()
    assert received.count(b"200 OK") == 99
    ledger = (instance.directory / "work" / "ledger").read_text().split()
    assert ledger == [str(number) for number in range(100)]


def test_a_stopped_interpreter_is_killed_at_the_deadline(instances: Instances) -> None:
    instance = a_sleeper(instances, deadline_seconds=0.2)
    os.kill(instance.fork_pid, signal.SIGSTOP)

    answer = instance.execute({"tag": "a", "seconds": 0})

    assert answer.json["code"] == "deadline-exceeded"
    assert instance.until_seq(5)["reason"] == "STATE_LOST"
