"""Whatever of an instance dies, the rest says so or ends with it, and nothing is left behind."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.instances import Instances, RunningInstance, children, is_alive, until

COUNTING: dict[str, Any] = {"cell": "count += 1; n = count", "state": "count = 0", "outputs": ["n"]}


def in_background(call: Any, *arguments: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call(*arguments)))
    thread.start()
    return thread, results


def test_a_killed_fork_is_forked_anew_and_that_is_said(instances: Instances) -> None:
    instance = instances.start(**COUNTING).ready()
    assert [instance.output()["n"] for _ in range(2)] == [1, 2]

    os.kill(instance.fork_pid, signal.SIGKILL)
    document = instance.until_seq(5)

    assert (document["phase"], document["reason"]) == ("ready", "STATE_LOST")
    broken = document["history"][-2]
    assert (broken["phase"], broken["reason"]) == ("broken", "INTERPRETER_CRASHED")
    assert broken["evidence"]["ended_by"] == "signal SIGKILL"
    assert instance.output()["n"] == 1


@pytest.mark.parametrize(
    ("cell", "how"),
    [
        ("import os; os._exit(5)", "exit code 5"),
        ("import ctypes; ctypes.string_at(0)", "signal SIGSEGV"),
    ],
)
def test_a_cell_that_crashes_its_interpreter_gets_an_answer(
    instances: Instances, cell: str, how: str
) -> None:
    instance = instances.start(cell).ready()

    answer = instance.execute()

    assert (answer.status, answer.json["code"]) == (500, "interpreter-lost")
    assert how in answer.json["detail"]
    assert "cellnode-not-executed" not in answer.headers
    assert instance.until_seq(5)["reason"] == "STATE_LOST"


def test_requests_that_waited_behind_a_crash_are_answered(instances: Instances) -> None:
    cell = "import os, time\nif crash:\n    time.sleep(0.3); os._exit(1)\ny = 1"
    instance = instances.start(cell, inputs=["crash"], outputs=["y"]).ready()
    thread, results = in_background(instance.execute, {"crash": True})
    until(lambda: instance.phase()["running"])

    assert instance.output({"crash": False}) == {"y": 1}
    thread.join()
    assert results[0].json["code"] == "interpreter-lost"


def test_forks_that_die_at_once_are_made_ever_more_slowly(instances: Instances) -> None:
    instance = instances.start("import os; os._exit(1)").ready()
    for _ in range(5):
        instance.execute()
        instance.until_phase("ready")
    began = time.monotonic()

    instance.execute()
    assert instance.until_phase("ready", "failed")["phase"] == "ready"

    assert time.monotonic() - began > 0.4


def test_a_loader_that_cannot_fork_is_loaded_ever_more_slowly(instances: Instances) -> None:
    """It has never served: without a delay it would load without end, many times a second."""
    state = """
class DiesAtFork:
    def __setstate__(self, state):
        import os
        os.register_at_fork(before=lambda: os.kill(os.getpid(), 9))
it = DiesAtFork()
it.something = 1
"""
    pinned = instances.pin(state, check=False)
    instance = instances.start("y = 1", checkpoint=pinned.digest)
    until(lambda: instance.phase()["phase"] == "broken")
    before = instance.phase()["seq"]

    time.sleep(1.0)

    assert instance.phase()["seq"] - before <= 20


def test_a_killed_loader_is_loaded_anew(instances: Instances) -> None:
    instance = instances.start(**COUNTING).ready()
    loader = children(instance.agent_pid)[0]
    fork = instance.fork_pid

    os.kill(loader, signal.SIGKILL)
    document = instance.until_phase("broken", "preparing")

    assert document["history"][3]["reason"] == "INTERPRETER_CRASHED"
    assert instance.until_phase("ready")["reason"] == "STATE_LOST"
    assert instance.output()["n"] == 1
    until(lambda: not is_alive(fork))


def test_a_killed_agent_takes_everything_with_it(instances: Instances) -> None:
    cell = "import subprocess\np = subprocess.Popen(['sleep', '300'], start_new_session=True).pid"
    instance = instances.start(cell, outputs=["p"]).ready()
    left_behind = instance.output()["p"]
    processes = [*instance.processes(), left_behind]

    os.kill(instance.agent_pid, signal.SIGKILL)

    document = instance.exit()
    assert (document["code"], document["signal"]) == (None, 9)
    assert not [pid for pid in processes if is_alive(pid)]


def test_an_agent_survives_its_keeper(instances: Instances) -> None:
    instance = instances.start(**COUNTING).ready()
    agent = instance.agent_pid

    os.kill(instance.keeper.pid, signal.SIGKILL)
    instance.keeper.wait(5)

    assert instance.output()["n"] == 1
    os.kill(agent, signal.SIGKILL)
    until(lambda: not is_alive(agent))


def test_an_instance_whose_directory_is_gone_ends(instances: Instances) -> None:
    instance = instances.start(**COUNTING).ready()
    processes = instance.processes()

    shutil.rmtree(instance.directory)

    until(lambda: not [pid for pid in processes[1:] if is_alive(pid)])
    assert instance.keeper.wait(5) != 0


def test_a_group_is_killed_at_once(instances: Instances) -> None:
    instance = instances.start(**COUNTING).ready()
    processes = instance.processes()

    os.killpg(instance.keeper.pid, signal.SIGKILL)
    instance.keeper.wait(5)

    until(lambda: not [pid for pid in processes if is_alive(pid)])


def drained(instance: RunningInstance, number: int = signal.SIGTERM) -> float:
    os.kill(instance.agent_pid, number)
    instance.until_phase("draining")
    return time.monotonic()


def test_a_drain_finishes_what_runs_and_refuses_what_is_new(instances: Instances) -> None:
    cell = "import time; time.sleep(0.6); y = 'done'"
    instance = instances.start(cell, outputs=["y"]).ready()
    thread, results = in_background(instance.execute)
    second, waited = in_background(instance.execute)
    until(lambda: instance.phase()["waiting"] == 1)
    drained(instance)

    refused = instance.execute()

    assert (refused.status, refused.json["code"]) == (503, "draining")
    assert refused.headers["cellnode-not-executed"] == "true"
    assert instance.request("GET", "/readyz").status == 503
    assert instance.exit()["code"] == 0
    thread.join()
    second.join()
    assert [answer.json for answer in (*results, *waited)] == [{"output": {"y": "done"}}] * 2
    assert not Path(instance.socket).exists()


def test_a_drain_refuses_for_its_minimum_and_an_interrupt_does_not(instances: Instances) -> None:
    slow = instances.start("y = 1", drain_seconds_min=0.8).ready()
    quick = instances.start("y = 1", drain_seconds_min=30).ready()

    began = drained(slow)
    assert slow.execute().json["code"] == "draining"
    assert slow.exit()["code"] == 0
    assert time.monotonic() - began >= 0.7

    os.kill(quick.agent_pid, signal.SIGINT)
    assert quick.exit(5)["code"] == 0


def test_a_drain_ends_at_its_maximum(instances: Instances) -> None:
    cell = "import time\nwhile True:\n    time.sleep(0.1)"
    instance = instances.start(cell, drain_seconds_max=0.5).ready()
    running, results = in_background(instance.execute)
    until(lambda: instance.phase()["running"])
    waiting, waited = in_background(instance.execute)
    until(lambda: instance.phase()["waiting"])
    drained(instance)

    assert instance.exit(5)["code"] == 0
    running.join()
    waiting.join()
    assert results[0].json["code"] == "interpreter-lost"
    assert waited[0].json["code"] == "draining"
    assert waited[0].headers["cellnode-not-executed"] == "true"


def test_signals_to_the_whole_group_drain_and_lose_nothing(instances: Instances) -> None:
    instance = instances.start("import time; time.sleep(0.4); y = 1", outputs=["y"]).ready()
    thread, results = in_background(instance.output)
    until(lambda: instance.phase()["running"])

    os.killpg(instance.keeper.pid, signal.SIGTERM)

    assert instance.exit()["code"] == 0
    thread.join()
    assert results == [{"y": 1}]


def test_the_log_is_capped_with_one_rotation(instances: Instances) -> None:
    cell = "print('x' * 1_000_000)"
    instance = instances.start(cell).ready()

    for _ in range(20):
        assert instance.execute().status == 200

    until(lambda: (instance.directory / "log.1").exists())
    sizes = [path.stat().st_size for path in instance.directory.glob("log*")]
    assert len(sizes) == 2
    assert max(sizes) <= 8 * 1024 * 1024


@pytest.mark.parametrize(
    "cell",
    [
        "import os; os.closerange(3, 64)",
        "import os, contextlib\nfor fd in range(3, 64):\n"
        "    with contextlib.suppress(OSError): os.write(fd, b'z' * 100)",
    ],
)
def test_a_cell_that_meddles_with_its_channel_harms_itself_alone(
    instances: Instances, cell: str
) -> None:
    source = f"y = 1\nif harm:\n    exec({cell!r})\n    import time; time.sleep(20)"
    instance = instances.start(source, inputs=["harm"], outputs=["y"]).ready()

    answer = instance.execute({"harm": True})

    assert answer.json["code"] == "interpreter-lost"
    assert instance.until_seq(5)["reason"] == "STATE_LOST"
    assert instance.output({"harm": False}) == {"y": 1}


def test_a_failed_load_that_killed_its_interpreter_still_drains(instances: Instances) -> None:
    state = "import os\nclass A:\n    def __reduce__(self): return os._exit, (7,)\na = A()"
    instance = instances.start("y = 1", state=state)
    instance.until_phase("failed")

    os.kill(instance.agent_pid, signal.SIGTERM)

    assert instance.exit()["code"] == 0
