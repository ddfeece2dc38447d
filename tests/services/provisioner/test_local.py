"""The local provider with real process trees."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from services.provisioner.providers import Drain, ForeignHost, NoCapacity
from tests.services.provisioner.local_scene import QUICK, Scene
from tests.services.provisioner.scenes import (
    Until,
    environment_of,
    is_alive,
    is_listening,
    living_in,
)


async def answers(endpoint: str) -> bytes:
    """What the agent says to a request for its phase."""
    path = endpoint.removeprefix("unix:")
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def test_an_instance_is_a_detached_tree_with_an_answering_agent(
    scene: Scene, until: Until
) -> None:
    _, vm = await scene.made()

    await until(lambda: is_listening(vm.endpoint))
    assert b" 200 " in await answers(vm.endpoint)
    assert os.getsid(vm.handle.pid) != os.getsid(0)
    mode = (Path(vm.handle.directory) / "instance.json").stat().st_mode
    assert mode & 0o777 == 0o600


async def test_creating_twice_finds_the_same_vm(scene: Scene) -> None:
    _, first = await scene.made()
    _, second = await scene.made()

    assert first == second
    assert len(list((scene.data / "instances").iterdir())) == 1


async def test_the_end_of_an_agent_is_told_with_its_signal(scene: Scene, until: Until) -> None:
    instance, vm = await scene.made()
    os.kill(vm.handle.pid, signal.SIGKILL)

    await until(lambda: instance.instance in scene.exits, 1.0)

    assert scene.exits[instance.instance].signal == signal.SIGKILL


async def test_the_end_of_a_whole_tree_is_told_too(scene: Scene, until: Until) -> None:
    """Then nobody is left who could write down how it ended."""
    instance, vm = await scene.made()
    os.killpg(os.getpgid(vm.handle.pid), signal.SIGKILL)

    await until(lambda: instance.instance in scene.exits, 0.5)


async def test_removing_leaves_no_process_file_or_zombie(scene: Scene, until: Until) -> None:
    instance, vm = await scene.made()
    keeper = os.getsid(vm.handle.pid)
    await until(lambda: is_listening(vm.endpoint))

    await scene.provider.remove(instance.instance, vm.handle, QUICK)

    assert living_in(scene.data) == []
    assert list((scene.data / "instances").iterdir()) == []
    await until(lambda: not Path(f"/proc/{keeper}").exists())
    assert scene.exits == {}


async def test_an_agent_that_stands_still_is_killed_after_the_drain(scene: Scene) -> None:
    instance, vm = await scene.made()
    os.kill(vm.handle.pid, signal.SIGSTOP)

    await scene.provider.remove(instance.instance, vm.handle, Drain(signal.SIGTERM, 0.1))

    assert living_in(scene.data) == []


async def test_removing_what_is_gone_already_is_no_failure(scene: Scene) -> None:
    instance, vm = await scene.made()
    for _ in range(2):
        await scene.provider.remove(instance.instance, vm.handle, QUICK)


async def test_there_is_no_room_beyond_the_most(data: Path) -> None:
    full = Scene(data, instances_max=1)
    instance, vm = await full.made(1)

    with pytest.raises(NoCapacity):
        await full.made(2)

    await full.provider.remove(instance.instance, vm.handle, QUICK)
    await full.made(2)
    await full.provider.close()


async def test_the_next_provider_adopts_and_hears_of_the_end(scene: Scene, until: Until) -> None:
    instance, vm = await scene.made()
    await scene.provider.close()
    assert is_alive(vm.handle.pid)
    following = Scene(scene.data)

    assert await following.provider.adopt(instance) is None
    os.kill(vm.handle.pid, signal.SIGKILL)

    await until(lambda: instance.instance in following.exits)
    await following.provider.close()


async def test_an_end_while_nobody_watched_is_found_out(scene: Scene, until: Until) -> None:
    instance, vm = await scene.made()
    await scene.provider.close()
    os.kill(vm.handle.pid, signal.SIGKILL)
    await until(lambda: (Path(vm.handle.directory) / "exit.json").exists())

    exit = await Scene(scene.data).provider.adopt(instance)

    assert exit is not None
    assert exit.signal == signal.SIGKILL


@pytest.mark.parametrize(
    "change", [{"boot": "another"}, {"start_time": 1}, {"pid": 1, "start_time": 2}]
)
async def test_a_process_that_only_looks_like_it_is_not_adopted(
    scene: Scene, change: dict[str, Any]
) -> None:
    instance, vm = await scene.made()
    await scene.provider.close()
    other = instance.model_copy(update={"handle": vm.handle.model_copy(update=change)})

    assert await Scene(scene.data).provider.adopt(other) is not None


async def test_another_host_is_neither_looked_at_nor_touched(scene: Scene) -> None:
    instance, vm = await scene.made()
    far = vm.handle.model_copy(update={"host": "elsewhere"})

    with pytest.raises(ForeignHost):
        await scene.provider.adopt(instance.model_copy(update={"handle": far}))
    with pytest.raises(ForeignHost):
        await scene.provider.remove(instance.instance, far, QUICK)
    assert is_alive(vm.handle.pid)


async def test_what_is_found_is_of_this_installation_only(scene: Scene) -> None:
    instance, _ = await scene.made()
    other = scene.data / "instances" / "far-3fa9c1-1"
    other.mkdir()
    (other / "instance.json").write_text('{"installation": "another", "place": "default/far"}')

    found = await scene.provider.found()

    assert [one.instance for one in found] == [instance.instance]
    assert [one.place for one in found] == ["default/digits"]


async def test_a_directory_too_deep_for_a_socket_gets_a_short_one(data: Path, until: Until) -> None:
    deep = data / ("d" * 60) / ("e" * 60)
    scene = Scene(deep)
    instance, vm = await scene.made()
    place = Path(vm.endpoint.removeprefix("unix:")).parent

    await until(lambda: is_listening(vm.endpoint))
    await scene.provider.remove(instance.instance, vm.handle, QUICK)

    assert not place.exists()
    assert living_in(data) == []
    await scene.provider.close()


async def test_instances_inherit_no_address_of_bus_or_store(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("CELLNODE_STORE", "/elsewhere")
    scene = Scene(data)
    _, vm = await scene.made()

    environment = environment_of(vm.handle.pid)

    assert b"KAFKA_" not in environment
    assert b"CELLNODE_" not in environment
    await scene.provider.close()
