"""When VMs begin and end, as the local provider tells it: true, and alike whoever asks."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from cellnode.launcher.leftovers import end_instances
from services.chassis.clock import SYSTEM_CLOCK
from tests.services.provisioner.local_scene import QUICK, Scene
from tests.services.provisioner.scenes import Until, began_at, is_alive


async def test_a_lifetime_is_told_alike_until_it_is_removed(scene: Scene) -> None:
    instance, vm = await scene.made()
    before = SYSTEM_CLOCK.now()
    first = await scene.provider.stop(instance.instance, vm.handle, QUICK)
    again = await Scene(scene.data).provider.stop(instance.instance, vm.handle, QUICK)

    assert first is not None
    assert first == again
    assert first.created_at == vm.created_at
    assert before <= first.exit.at <= SYSTEM_CLOCK.now()
    await scene.provider.remove(instance.instance, vm.handle, QUICK)
    assert await scene.provider.stop(instance.instance, vm.handle, QUICK) is None


async def test_a_vm_that_nobody_recorded_has_its_true_beginning(scene: Scene) -> None:
    _, vm = await scene.made()

    assert abs((vm.created_at - began_at(vm.handle.pid)).total_seconds()) < 0.2
    await asyncio.sleep(0.3)
    _, found = await Scene(scene.data).made()
    assert found.created_at == vm.created_at


async def test_who_lives_is_asked_of_the_kernel(scene: Scene, until: Until) -> None:
    instance, vm = await scene.made()
    stranger = instance.model_copy(update={"handle": None})
    assert await scene.provider.living([instance]) == {instance.instance}
    assert await scene.provider.living([stranger]) == set()

    os.kill(vm.handle.pid, signal.SIGKILL)
    await until(lambda: not is_alive(vm.handle.pid))

    assert await Scene(scene.data).provider.living([instance]) == set()


@pytest.mark.full
async def test_who_was_killed_with_its_keeper_ended_when_it_was_last_seen(scene: Scene) -> None:
    """While nobody watched: then an hour later is not the end."""
    instance, vm = await scene.made()
    before = SYSTEM_CLOCK.now()
    await scene.provider.living([instance])
    seen_at = SYSTEM_CLOCK.now()
    await scene.provider.close()
    os.killpg(os.getpgid(vm.handle.pid), signal.SIGKILL)
    await asyncio.sleep(0.5)

    exit = await Scene(scene.data).provider.adopt(instance)

    assert exit is not None
    assert before <= exit.at <= seen_at


@pytest.mark.full
async def test_who_left_no_trace_ended_with_all_others_or_when_it_was_last_told_of(
    scene: Scene,
) -> None:
    instance, vm = await scene.made()
    known = instance.model_copy(update={"created_at": vm.created_at})
    await scene.provider.close()
    before = SYSTEM_CLOCK.now()
    end_instances(scene.data / "instances")
    ended_at = SYSTEM_CLOCK.now()
    await asyncio.sleep(0.5)

    exit = await Scene(scene.data).provider.adopt(known)
    assert exit is not None
    assert before <= exit.at <= ended_at

    (scene.data / "ended.json").unlink()
    exit = await Scene(scene.data).provider.adopt(known)
    assert exit is not None
    assert exit.at == vm.created_at
