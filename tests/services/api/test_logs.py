"""Logs of a node over HTTP: real instances print, end, are killed, come later."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
from redis import Redis

from schemas.events import InstanceStatusChanged
from schemas.nodes import Node
from schemas.projection import Change, ProjectedTable
from schemas.statuses import InstanceStatus, Reason
from services.api.logs_agents import ANSWER_SECONDS_MAX
from tests.builders import NOON, a_node, an_id
from tests.runtime.instances import Instances, RunningInstance, made_instances
from tests.services.api.servers import serving_redis
from tests.services.api.store_process import StoreApi, running, until
from tests.services.gateway.projecting import Projecting

STREAMS_MAX = 4
SAYS = "print(text, end='', flush=True)"


class Talkers:
    """A node of its own for each test, whose instances print what they are given."""

    def __init__(self, instances: Instances, projecting: Projecting, name: str) -> None:
        self.node: Node = a_node(name).model_copy(update={"next_n": 50})
        self._instances = instances
        self._projecting = projecting
        projecting.put_node(self.node)

    def start(self, n: int) -> RunningInstance:
        instance = self.node.instance_id(n)
        started = self._instances.start(SAYS, inputs=["text"], instance=instance).ready()
        self._projecting.put_instance(self.node, n, f"unix:{started.socket}")
        return started

    def tell(self, n: int, endpoint: str | None, **status: Any) -> None:
        """The status of an instance, as health writes it."""
        given = {"status": InstanceStatus.UNHEALTHY, "reason": Reason.PROCESS_EXITED, **status}
        node = self.node
        record = InstanceStatusChanged(
            id=an_id(9), project=node.project, node=node.node, at=NOON, since=NOON, uid=node.uid,
            generation=1, revision=node.revision, instance=node.instance_id(n), endpoint=endpoint,
            **{"sentence": "The process of the instance has ended.", **given},
        )  # fmt: skip
        value = record.model_dump_json(by_alias=True).encode()
        change = Change(ProjectedTable.INSTANCE_STATUSES, record.instance, value)
        self._projecting.put(node.place, change)

    def bury(self, *numbers: int) -> None:
        for n in numbers:
            self._projecting.bury_instance(self.node, n)
        self._projecting.bury_node(self.node)

    def id(self, n: int) -> str:
        return self.node.instance_id(n)

    @property
    def path(self) -> str:
        return f"/v1/nodes/{self.node.node}/logs"


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with serving_redis() as redis:
        yield redis.url


@pytest.fixture(scope="module")
def projecting(redis_url: str) -> Iterator[Projecting]:
    with Redis.from_url(redis_url) as redis:
        writer = Projecting(redis)
        writer.publish_empty()
        yield writer


@pytest.fixture(scope="module")
def api(redis_url: str, projecting: Projecting) -> Iterator[StoreApi]:
    with running(redis_url, log_streams_max=STREAMS_MAX) as found:
        yield found


@pytest.fixture
def talkers(projecting: Projecting, request: pytest.FixtureRequest) -> Iterator[Talkers]:
    name = f"n{abs(hash(request.node.name)) % 10**9}"
    with made_instances() as instances:
        yield Talkers(instances, projecting, name)


def say(instance: RunningInstance, text: str) -> None:
    instance.output({"text": text})
    until(lambda: text.encode() in instance.request("GET", "/logs").body)


@contextlib.contextmanager
def followed(api: StoreApi, path: str) -> Iterator[HTTPResponse]:
    connection = HTTPConnection("127.0.0.1", api.port, timeout=15)
    try:
        connection.request("GET", f"{path}?follow=true")
        yield connection.getresponse()
    finally:
        connection.close()


def next_line(stream: HTTPResponse, wanted: Callable[[str], bool] = bool) -> str:
    """The next one that is wanted; agents print lines of their own."""
    while raw := stream.readline():
        if wanted(line := raw.decode().rstrip("\n")):
            return line
    return ""


def test_the_last_lines_of_all_instances_are_told(api: StoreApi, talkers: Talkers) -> None:
    say(talkers.start(1), "old\none\n")
    say(talkers.start(2), "two\nhalf a line")

    reply = api.request("GET", f"{talkers.path}?tail=1")

    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert reply.body.decode() == f"{talkers.id(1)} | one\n{talkers.id(2)} | half a line\n"


def test_one_instance_is_told_as_json_lines(api: StoreApi, talkers: Talkers) -> None:
    say(talkers.start(1), "mine\n")
    say(talkers.start(2), 'a "quoted" \u00e4\u2028line\n')

    path = f"{talkers.path}?tail=1&instance={talkers.id(2)}"
    reply = api.request("GET", path, headers={"Accept": "application/x-ndjson"})

    told = [json.loads(line) for line in reply.body.decode().rstrip("\n").split("\n")]
    assert told == [{"instance": talkers.id(2), "line": 'a "quoted" \u00e4\u2028line'}]


def test_lines_are_followed_and_a_later_instance_joins(api: StoreApi, talkers: Talkers) -> None:
    first = talkers.start(1)
    with followed(api, talkers.path) as stream:
        say(first, "before\n")
        told = [next_line(stream, lambda line: "before" in line)]

        second = talkers.start(2)
        say(second, "joined\n")
        told.append(next_line(stream, lambda line: "joined" in line))
        say(first, "after\n")
        told.append(next_line(stream, lambda line: "after" in line))

    assert told == [
        f"{talkers.id(1)} | before", f"{talkers.id(2)} | joined", f"{talkers.id(1)} | after",
    ]  # fmt: skip


def test_all_that_is_printed_fast_comes_in_order(api: StoreApi, talkers: Talkers) -> None:
    instance = talkers.start(1)
    lines = [f"{number:06d} {'x' * 50}" for number in range(50_000)]
    with followed(api, talkers.path) as stream:
        say(instance, "go\n")
        next_line(stream, lambda line: line.endswith("| go"))

        instance.output({"text": "\n".join(lines) + "\n"})

        told = [next_line(stream).partition(" | ")[2] for _ in lines]
    assert told == lines


def test_an_instance_that_is_killed_says_its_last_words_once(
    api: StoreApi, talkers: Talkers
) -> None:
    instance = talkers.start(1)
    endpoint = f"unix:{instance.socket}"
    with followed(api, talkers.path) as stream:
        say(instance, "seen\n")
        next_line(stream, lambda line: line.endswith("| seen"))

        os.kill(instance.agent_pid, signal.SIGKILL)
        evidence = {"last_lines": "older\nseen\nunseen", "signal": "9"}
        talkers.tell(1, endpoint, evidence=evidence)
        told = [next_line(stream), next_line(stream)]

        say(talkers.start(2), "replaced\n")
        joined = next_line(stream, lambda line: "replaced" in line)

    ending = "cellnode: UNHEALTHY: The process of the instance has ended. (signal 9)"
    assert told == [f"{talkers.id(1)} | unseen", f"{talkers.id(1)} | {ending}"]
    assert joined == f"{talkers.id(2)} | replaced"


def test_of_an_instance_that_has_ended_what_is_known_is_told(
    api: StoreApi, talkers: Talkers
) -> None:
    talkers.tell(1, "unix:/nowhere.sock", evidence={"last_lines": "a\nb\nc", "exit_code": "3"})
    talkers.tell(2, None, status=InstanceStatus.UNDEFINED, reason=Reason.NO_CAPACITY)
    talkers.tell(3, "unix:/nowhere.sock", reason=Reason.PROBES_FAILED)

    lines = api.request("GET", f"{talkers.path}?tail=2").body.decode().splitlines()

    assert lines[0] == f"{talkers.id(1)} | b"
    assert lines[2].startswith(f"{talkers.id(1)} | cellnode: UNHEALTHY: ")
    assert "(exit_code 3)" in lines[2]
    assert lines[3].startswith(f"{talkers.id(2)} | cellnode: there is no log yet: ")
    assert lines[4].startswith(f"{talkers.id(3)} | cellnode: its agent does not answer: ")


def test_an_agent_that_is_stuck_holds_no_other_log_up(api: StoreApi, talkers: Talkers) -> None:
    stuck, other = talkers.start(1), talkers.start(2)
    os.kill(stuck.agent_pid, signal.SIGSTOP)

    with followed(api, talkers.path) as stream:
        say(other, "not held up\n")
        began = time.monotonic()
        told = next_line(stream, lambda line: "not held up" in line)
        seconds = time.monotonic() - began
        os.kill(stuck.agent_pid, signal.SIGCONT)
        say(stuck, "and neither lost\n")
        late = next_line(stream, lambda line: "neither" in line)

    assert told.startswith(talkers.id(2))
    assert seconds < ANSWER_SECONDS_MAX
    assert late.startswith(talkers.id(1))


def test_another_instance_at_the_endpoint_is_not_believed(api: StoreApi, talkers: Talkers) -> None:
    other = talkers.start(1)
    talkers.tell(2, f"unix:{other.socket}", status=InstanceStatus.HEALTHY, reason=Reason.READY)

    reply = api.request("GET", f"{talkers.path}?instance={talkers.id(2)}")

    assert reply.body.decode() == (
        f"{talkers.id(2)} | cellnode: at its endpoint is {talkers.id(1)}\n"
    )


def test_a_stream_ends_when_its_node_is_gone(api: StoreApi, talkers: Talkers) -> None:
    instance = talkers.start(1)
    with followed(api, talkers.path) as stream:
        say(instance, "last\n")
        next_line(stream, lambda line: line.endswith("| last"))

        instance.end()
        talkers.bury(1)

        rest = stream.read().decode().splitlines()
    assert rest[-1].startswith(f"{talkers.id(1)} | cellnode: ")


def test_only_so_many_may_follow_and_who_leaves_makes_room(api: StoreApi, talkers: Talkers) -> None:
    talkers.start(1)
    with contextlib.ExitStack() as streams:
        for _ in range(STREAMS_MAX):
            assert streams.enter_context(followed(api, talkers.path)).status == 200
        refused = api.request("GET", talkers.path)

    assert (refused.status, refused.code) == (503, "too-many-streams")
    until(lambda: api.request("GET", talkers.path).status == 200, 5)


def test_a_stream_ends_in_order_when_the_api_does(
    redis_url: str, projecting: Projecting, talkers: Talkers
) -> None:
    talkers.start(1)
    with running(redis_url) as api, followed(api, talkers.path) as stream:
        api.process.terminate()

        assert stream.read().startswith((b"", talkers.id(1).encode()))
        assert api.process.wait(10) == 0


@pytest.mark.parametrize(
    ("path", "accept", "status", "code"),
    [
        ("/v1/nodes/nobody/logs", "*/*", 404, "node-unknown"),
        ("{own}?instance=nobody-aaaaaa-1", "*/*", 404, "instance-unknown"),
        ("{own}?instance=../x", "*/*", 422, "invalid-field"),
        ("{own}?tail=-1", "*/*", 422, "invalid-field"),
        ("{own}?tail=10001", "*/*", 422, "invalid-field"),
        ("{own}?follow=perhaps", "*/*", 422, "invalid-field"),
        ("{own}", "image/png", 406, "not-acceptable"),
        ("{own}", "text/html, text/*;q=0.5", 200, ""),
    ],
)
def test_a_wrong_question_is_refused(
    api: StoreApi, talkers: Talkers, path: str, accept: str, status: int, code: str
) -> None:
    reply = api.request("GET", path.format(own=talkers.path), headers={"Accept": accept})

    assert reply.status == status, reply.body
    assert not code or reply.code == code
