"""`cellnode up` ends in every way, and the next one brings everything back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from examples.deploy_from_the_bus import deploy
from services.embedded.journal_file import JournalFile
from services.embedded.redis_process import socket_arguments
from tests.e2e.bus import Follower, Producer
from tests.e2e.calls import load
from tests.e2e.system import System, running
from tests.e2e.system_running import living
from tests.e2e.waiting import until
from tests.e2e.world import WHO, World

COUNTS = f"{WHO}\ncount += 1"
JOURNAL_SECONDS_MAX = 0.1  # What is older than this is on the disk.


@contextmanager
def looked_at(system: System) -> Iterator[World]:
    """The world as it is now, on whichever bus there is."""
    with Follower(system.kafka) as statuses:
        yield World(system, statuses)


@pytest.fixture(scope="module")
def lived() -> Iterator[System]:
    """A system that ends and comes back, test after test."""
    with living(System()) as system:
        yield system


@pytest.fixture(scope="module")
def counting(lived: System) -> str:
    """A node with two instances that count their requests."""
    with looked_at(lived) as world:
        return world.deploy(world.pin(count=0), COUNTS, outputs=["count", "who"], want=2)


def counts(world: World, node: str) -> dict[int, int]:
    """The count of each instance, one more than before for those that were asked."""
    seen: dict[int, int] = {}

    def both() -> bool:
        output = world.answers(node).output
        seen[output["who"]] = output["count"]
        return len(seen) == 2

    until("both answer", both)
    return seen


def renewed(world: World, node: str, old: set[str]) -> None:
    """Wait until two instances are HEALTHY that are none of the old, which are gone."""

    def look() -> bool:
        healthy = world.healthy(node, 2, seconds=40)
        return not set(healthy) & old and set(world.statuses.instances(node)) == set(healthy)

    until("others are there instead", look, seconds=60)


def agents(system: System) -> list[int]:
    """Keepers and agents of all instances, counted by process."""
    word = os.fsencode(system.data / "instances")
    return sorted(
        pid for pid, parts in running() if b"runtime" in parts and any(word in one for one in parts)
    )


def journal_tells(system: System, word: str) -> None:
    """Wait until this is on the disk."""
    file = system.data / "journal" / "records"
    until("the journal has it", lambda: word.encode() in file.read_bytes())


def test_instances_survive_a_killed_launcher_and_the_next_up_adopts_them(
    lived: System, counting: str
) -> None:
    with looked_at(lived) as world:
        before, processes = counts(world, counting), agents(lived)

    lived.kill()
    assert agents(lived) == processes
    lived.start()

    with looked_at(lived) as world:
        world.healthy(counting, 2)
        after = counts(world, counting)
    assert after.keys() == before.keys()
    assert all(after[who] > count for who, count in before.items())
    assert agents(lived) == processes
    assert "1 node brought back" in lived.said()


def test_after_ctrl_c_every_node_comes_back_as_it_was_pinned(lived: System, counting: str) -> None:
    with looked_at(lived) as world:
        before = set(world.healthy(counting, 2))
        old = counts(world, counting)

    lived.stop()
    assert lived.traces() == []
    lived.start()

    with looked_at(lived) as world:
        renewed(world, counting, before)
        after = counts(world, counting)
    assert after.keys().isdisjoint(old)
    assert sorted(after.values())[0] == 1


@pytest.mark.full
def test_the_bus_dies_under_load_and_no_request_fails(lived: System, counting: str) -> None:
    with load(lived.gateway, counting) as seen:
        seen.wait_for(10)
        lived.restart_broker()
        seen.wait_for(50)
    assert not seen.failed(), seen.told()

    with looked_at(lived) as world:
        known = set(world.healthy(counting, 2))
        world.command("ScaleNode", counting, want=3)
        grown = set(world.healthy(counting, 3))
        world.command("ScaleNode", counting, want=2)
        until("one leaves", lambda: len(world.staying(counting)) == 2)
    assert len(grown & known) == 2


@pytest.mark.full
def test_a_command_that_was_not_decided_at_the_kill_is_decided_after_it(lived: System) -> None:
    with looked_at(lived) as world:
        spec = {"checkpoint": world.pin(), "cell": "y = 1", "outputs": ["y"]}
    command = deploy(f"late{uuid4().hex[:4]}", spec)
    os.kill(lived.service_pid("provisioner"), signal.SIGSTOP)
    with Producer(lived.kafka) as producer:
        producer.publish(command)
    journal_tells(lived, command["id"])
    lived.kill()
    lived.start()

    with looked_at(lived) as world:
        world.healthy(command["node"], 1)
        assert until("an outcome", lambda: world.outcome(command["id"], "CommandAccepted"))
        world.command("DeleteNode", command["node"])
        until("it is gone", lambda: not world.statuses.instances(command["node"]))


@pytest.mark.full
def test_what_was_deleted_stays_so_and_its_name_begins_anew(lived: System) -> None:
    with looked_at(lived) as world:
        node = world.deploy(world.pin(), "y = 1", outputs=["y"])
        old = world.statuses.of(node)
        world.command("DeleteNode", node)
        world.statuses.wait(f"default/{node}", "gone", seconds=30)
    with looked_at(lived) as world:  # The journal's window has passed by now.
        until("it is not served", lambda: world.call(node).status == 404)
    lived.kill()
    lived.start()

    with looked_at(lived) as world:
        assert world.call(node).status == 404
        assert world.statuses.now(f"default/{node}") is None
        world.ask(node, world.pin(), "y = 2", outputs=["y"])
        assert not set(world.healthy(node, 1)) & set(old)
        world.command("DeleteNode", node)


@pytest.mark.full
def test_after_a_reboot_every_instance_is_made_anew(lived: System, counting: str) -> None:
    """Processes are gone without a word, pids mean nothing, directories and journal remain."""
    with looked_at(lived) as world:
        old = set(world.healthy(counting, 2))
    lived.kill()
    for instance in old:
        lived.kill_instance(instance)
    until("they are gone", lambda: agents(lived) == [])
    reboot(lived)
    lived.start()

    with looked_at(lived) as world:
        renewed(world, counting, old)
        until("directories of the living alone", lambda: len(directories(lived)) == 2, seconds=60)


def reboot(system: System) -> None:
    """Let the journal speak of another boot than this one."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    with JournalFile(system.data / "journal") as journal:
        frames = journal.read().frames
        assert any(boot in frame for frame in frames)
        journal.replace(frame.replace(boot, str(uuid4()).encode()) for frame in frames)


def directories(system: System) -> list[Path]:
    return list((system.data / "instances").iterdir())


@pytest.mark.full
def test_a_full_disk_is_told_loudly_and_the_journal_recovers(lived: System, counting: str) -> None:
    """The broker's process may write no byte more, as on a disk without room."""
    broker = lived.service_pid("broker")
    with looked_at(lived) as world:
        limit(broker, 0)
        assert world.command("ScaleNode", counting, want=3)["kind"] == "CommandAccepted"
        world.healthy(counting, 3)
        until("it is told", lambda: "would lose what came since" in lived.said())
        assert world.call(counting).status == 200

        limit(broker, None)
        until("that is told, too", lambda: "the journal is whole again" in lived.said())
    lived.kill()
    lived.start()

    with looked_at(lived) as world:
        world.healthy(counting, 3)
        world.command("ScaleNode", counting, want=2)


def limit(pid: int, file_bytes: int | None) -> None:
    """How large a file the process may write."""
    import resource

    most = resource.RLIM_INFINITY if file_bytes is None else file_bytes
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@pytest.mark.full
def test_a_damaged_journal_is_told_and_the_rest_of_it_comes_back(
    lived: System, counting: str
) -> None:
    lived.kill()
    with (lived.data / "journal" / "records").open("ab") as file:
        file.write(b"cnj1 and then the power failed")
    lived.start()

    with looked_at(lived) as world:
        world.healthy(counting, 2)
    until("it is told", lambda: "30 bytes of the journal are damaged" in lived.said())


@pytest.mark.full
def test_real_addresses_are_used_in_place_of_embedded_ones(kafka: str, tmp_path: Path) -> None:
    """Nodes live on in that Kafka: nothing of ours keeps them."""
    import subprocess

    socket = tmp_path / "s"
    redis = subprocess.Popen(socket_arguments(socket), cwd=tmp_path)
    until("Redis is there", socket.exists)
    given = ["--kafka", kafka, "--redis", f"unix://{socket}"]
    system = System({"CELLNODE_CREATE_TOPICS": "false"}, given)
    try:
        system.start()
        assert (system.kafka, system.redis_socket) == (kafka, str(socket))
        assert set(system.addresses["services"]) == {"provisioner", "health", "api", "gateway"}
        with looked_at(system) as world:
            node = world.deploy(world.pin(), "y = 1", outputs=["y"])
            system.stop()
            assert list((system.data / "journal").iterdir()) == []
            system.start()
            until("it answers again", lambda: world.call(node).status == 200, seconds=30)
        assert json.loads((system.data / "addresses.json").read_text())["kafka"] == kafka
    finally:
        system.stop()
        system.remove()
        redis.kill()
        redis.wait()
