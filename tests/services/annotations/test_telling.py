"""Every change of status stands in Grafana once: through restarts, cuts, and Grafana's absence."""

import asyncio
import logging
import random

import pytest

from schemas.statuses import InstanceStatus, Reason
from services.annotations.measures import OLD, REFUSED, THERE, WRITTEN
from services.annotations.settings import AnnotationsSettings
from services.chassis.process import Process
from tests.services.annotations.store import TOKEN, Store
from tests.services.annotations.telling import (
    START,
    STATUSES,
    TROUBLE,
    Instance,
    annotating,
    texts,
    until_told,
)
from tests.services.chassis.processes import committed, send

pytestmark = [pytest.mark.full, pytest.mark.timeout(90)]
HEALTHY = "HEALTHY"


def counted(process: Process[AnnotationsSettings], fate: str) -> int:
    (line,) = (
        one
        for one in process.metrics.text().decode().splitlines()
        if one.startswith(f'cellnode_annotations_changes_total{{fate="{fate}"}}')
    )
    return int(float(line.split()[-1]))


async def test_each_change_is_told_with_reason_and_sentence_once(kafka: str, store: Store) -> None:
    one, other = Instance(kafka, 1), Instance(kafka, 2)
    async with annotating(kafka, store):
        await one.goes(*START)
        await other.goes(*START[:2])
        await one.goes(*TROUBLE)
        await until_told(
            store,
            [
                *texts(one.name, *START),
                *texts(other.name, *START[:2]),
                *texts(one.name, *TROUBLE, before=HEALTHY),
            ],
        )

    last = store.told[-1]
    assert last["time"] == int(one.at.timestamp() * 1000)
    assert {*last["tags"]} >= {
        "cellnode", "kind:instance", f"instance:{one.name}", "node:default/digits", HEALTHY,
        "PROBES_PASSED",
    }  # fmt: skip


async def test_the_very_first_start_tells_no_history(kafka: str, store: Store) -> None:
    old = Instance(kafka)
    await old.goes(*START)
    async with annotating(kafka, store, first_seconds=0):
        await until_told(store, [])
        old.at = Instance(kafka).at
        await old.goes(*TROUBLE)
        await until_told(store, texts(old.name, *TROUBLE, before=HEALTHY))


async def test_a_restart_goes_on_where_it_stopped(kafka: str, store: Store) -> None:
    async with annotating(kafka, store, first_seconds=0):
        one = Instance(kafka)
        await one.goes(*START)
        await until_told(store, texts(one.name, *START))
    await one.goes(*TROUBLE)
    asked = len(store.asked)
    async with annotating(kafka, store, first_seconds=0) as process:
        everything = texts(one.name, *START, *TROUBLE)
        await until_told(store, everything)

        assert counted(process, WRITTEN) == 2
    assert store.asked[asked:].count("POST") == 2
    assert sum((await committed(kafka, "cellnode-annotations", STATUSES)).values()) == 7


async def test_an_answer_that_never_came_makes_no_second_one(kafka: str, store: Store) -> None:
    one = Instance(kafka)
    store.cuts_after_writing, store.cuts_before_writing = 2, 2
    async with annotating(kafka, store) as process:
        await one.goes(*START)
        await until_told(store, texts(one.name, *START))

        assert counted(process, THERE) >= 1


async def test_killed_between_writing_and_committing_it_looks_first(
    kafka: str, store: Store
) -> None:
    one = Instance(kafka)
    store.holds = asyncio.Event()
    async with annotating(kafka, store, timeout_seconds=60):
        store.holds.set()
        await one.goes(*START[:2])
        await until_told(store, texts(one.name, *START[:2]))
        store.holds = asyncio.Event()
        await one.goes(*START[2:])
        await until_told(store, texts(one.name, *START[:3]))
    store.holds = None
    async with annotating(kafka, store) as process:
        await until_told(store, texts(one.name, *START))

        assert counted(process, THERE) >= 1


async def test_while_grafana_is_away_everything_waits(kafka: str, store: Store) -> None:
    one = Instance(kafka)
    store.is_away = True
    async with annotating(kafka, store) as process:
        await one.goes(*START)
        await until_told(store, [])
        said = process.readiness.told()["conditions"]
        assert "503" in str(said)
        store.is_away = False
        await until_told(store, texts(one.name, *START))

        assert process.readiness.require("grafana").is_met


async def test_a_grafana_that_refuses_to_be_asked_is_waited_for(kafka: str, store: Store) -> None:
    one = Instance(kafka)
    async with annotating(kafka, store) as process:
        await one.goes(*START[:1])
        await until_told(store, texts(one.name, *START[:1]))
        store.refuses_to_find = 2
        two = Instance(kafka, 2)
        await two.goes(*START)
        await until_told(store, [*texts(one.name, *START[:1]), *texts(two.name, *START)])

        assert process.failure is None


async def test_what_is_too_old_is_skipped_and_counted(kafka: str, store: Store) -> None:
    one = Instance(kafka)
    one.at -= (one.at - one.at.replace(year=one.at.year - 1)) / 100
    async with annotating(kafka, store, first_seconds=10**7, age_seconds_max=3_600) as process:
        await one.goes(*START)
        one.at = Instance(kafka).at
        await one.goes(*TROUBLE)
        await until_told(store, texts(one.name, *TROUBLE, before=HEALTHY))

        assert counted(process, OLD) == len(START)


async def test_what_an_outage_merged_into_one_event_is_told_step_by_step(
    kafka: str, store: Store
) -> None:
    one = Instance(kafka)
    async with annotating(kafka, store):
        await one.goes(START[0])
        for step in (*START[1:], *TROUBLE):
            one.moves(*step)
        await one.publish()
        await one.publish()  # As when a whole table is published anew.
        await one.publish(reason=Reason.PROBES_FAILED)
        await until_told(
            store,
            [
                *texts(one.name, *START, *TROUBLE[:1]),
                *texts(one.name, TROUBLE[1], before="UNHEALTHY"),
            ],
        )


async def test_a_late_record_of_a_former_owner_is_not_told(kafka: str, store: Store) -> None:
    one, zombie = Instance(kafka, 1, term=2), Instance(kafka, 2, term=1)
    async with annotating(kafka, store):
        await one.goes(*START)
        await zombie.goes(*START)
        await one.goes(*TROUBLE)
        await until_told(store, texts(one.name, *START, *TROUBLE))


async def test_what_grafana_will_never_take_and_what_nobody_can_read_holds_up_nothing(
    kafka: str, store: Store
) -> None:
    one = Instance(kafka)
    async with annotating(kafka, store) as process:
        await one.goes(START[0])
        await until_told(store, texts(one.name, START[0]))
        store.refuses = 1
        await one.goes(START[1])
        await send(kafka, STATUSES, "default/digits", b"{", key=b"x")
        await send(kafka, STATUSES, "default/digits", None, key=b"gone")
        await one.goes(*START[2:])
        told = texts(one.name, *START)
        await until_told(store, [told[0], *told[2:]])

        assert counted(process, REFUSED) == 1


async def test_the_token_is_in_no_log(
    kafka: str,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    one = Instance(kafka)
    async with annotating(kafka, store, grafana_token=f"{TOKEN}-wrong") as process:
        await one.goes(*START[:2])
        await until_told(store, [])

        assert "refuses the token" in str(process.readiness.told())
    logged = caplog.text + "".join(capsys.readouterr())
    assert "refuses the token" in logged
    assert TOKEN not in logged


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_through_kills_and_cuts_at_random_nothing_is_lost_and_nothing_doubled(
    kafka: str, store: Store, seed: int
) -> None:
    dice = random.Random(seed)
    instances = [Instance(kafka, n) for n in range(1, 6)]
    steps = {one.name: list(START) + list(TROUBLE) * 3 for one in instances}
    expected = [text for name, all_of in steps.items() for text in texts(name, *all_of)]

    async def live() -> None:
        while any(steps.values()):
            one = dice.choice([one for one in instances if steps[one.name]])
            await one.goes(steps[one.name].pop(0))

    publishing = asyncio.create_task(live())
    store.roll = dice.random
    while not publishing.done():
        async with annotating(kafka, store):
            await asyncio.sleep(dice.uniform(0.2, 1.2))
    store.roll = lambda: 1.0
    async with annotating(kafka, store):
        await until_told(store, expected)


def test_statuses_of_instances_are_all_in_the_way_that_starts_well() -> None:
    assert [status for status, _ in START] == list(InstanceStatus)[:5]
