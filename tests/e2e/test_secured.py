"""Over TLS, with a login and only the documented rights for each service, everything works.

Who has a wrong password, trusts another authority or lacks a right is not ready, says why, goes on
trying, and hurts nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from cellnode.launcher.given import check_kafka, check_redis
from cellnode.launcher.places import UpFailed
from schemas.errors import StoreUnavailable
from services.chassis.redis import connected
from services.chassis.settings import Settings
from tests.e2e.secured import Secured, secured
from tests.e2e.waiting import until
from tests.servers import apache_kafka, redis_server
from tests.servers.secured import STRANGER, Right, password_of, rights
from tests.servers.service import ServiceProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

if reason := apache_kafka.missing() or redis_server.missing():
    pytest.skip(reason, allow_module_level=True)

REASON_SECONDS_MAX = 40.0  # On a machine that does much else.
DENIED = "NoPermissionError"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured(tmp_path_factory.mktemp("s")) as running:
        yield running


def test_a_node_gets_healthy_and_is_called(site: Secured) -> None:
    assert site.deploy("doubled") == {"y": 42}
    assert site.unready() == {}


async def said(site: Secured, user: str, *words: str) -> str:
    """What Redis answers this user."""
    settings = Settings.from_env("CELLNODE_API_", site.redis.settings_of(user))
    async with connected(settings.redis_url, login=settings.redis_login) as redis:
        try:
            return str(await redis.command(*words))
        except StoreUnavailable as error:
            return str(error)


async def test_only_health_writes_the_projection(site: Secured) -> None:
    write = ("HSET", "cellnode:{9}:probe", "a", "b")
    assert await said(site, "health", *write) == "1"
    assert DENIED in await said(site, "gateway", *write)
    assert DENIED in await said(site, "api", *write)
    assert await said(site, "gateway", "HGETALL", "cellnode:{9}:probe") == "{b'a': b'b'}"


@pytest.mark.parametrize("user", ["health", "gateway", "api"])
async def test_nobody_does_in_redis_what_is_not_cellnodes(site: Secured, user: str) -> None:
    for words in ("HGETALL other", "FLUSHALL", "CONFIG GET *", "ACL LIST", "CLIENT PAUSE 1"):
        assert DENIED in await said(site, user, *words.split()), words


def refused(site: Secured) -> dict[str, tuple[str, dict[str, str], str]]:
    """By a name: a service, what it is told wrongly, and what it then says."""
    stranger = str(site.kafka.certificates.stranger.certificate)
    unknown = {"KAFKA_SASL_USERNAME": STRANGER, "KAFKA_SASL_PASSWORD": password_of(STRANGER)}
    plain = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        **dict.fromkeys(("KAFKA_SSL_CAFILE", "KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYFILE"), ""),
    }
    other = {"CERTFILE": stranger, "KEYFILE": str(site.kafka.certificates.stranger.key)}
    kafka_other = {f"KAFKA_SSL_{name}": file for name, file in other.items()}
    redis_other = {f"REDIS_SSL_{name}": file for name, file in other.items()}
    return {
        "password": ("health", {"KAFKA_SASL_PASSWORD": "wr0ng"}, "Kafka refuses the login"),
        "authority": ("health", {"KAFKA_SSL_CAFILE": stranger}, "certificate is not trusted"),
        "protocol": ("provisioner", plain, "check KAFKA_SECURITY_PROTOCOL and the port"),
        "right": ("provisioner", unknown, "ACLs do not let us see cellnode."),
        "our certificate": ("health", kafka_other, "that we show"),
        "redis, our certificate": ("gateway", redis_other, "REDIS_SSL_CERTFILE"),
        "redis password": ("gateway", {"REDIS_PASSWORD": "wr0ng"}, "check REDIS_USERNAME"),
        "redis authority": ("gateway", {"REDIS_SSL_CAFILE": stranger}, "check REDIS_SSL_CAFILE"),
        "redis login": ("api", {"REDIS_USERNAME": "", "REDIS_PASSWORD": ""}, "REDIS_PASSWORD"),
    }


def test_who_is_refused_says_why_goes_on_trying_and_hurts_nobody(site: Secured) -> None:
    with ExitStack() as stack:
        for name, (service, changes, reason) in refused(site).items():
            started = stack.enter_context(site.process(service, changes))
            until_says(started, reason, name)
            assert started.is_running
            assert started.get("/livez")[0] == 200
            assert "wr0ng" not in started.log() + str(started.conditions())
    assert site.unready() == {}


def until_says(service: ServiceProcess, reason: str, what: str) -> None:
    until(f"{what}: {reason}", lambda: says(service, reason), seconds=REASON_SECONDS_MAX)


def says(service: ServiceProcess, reason: str) -> bool:
    return any(reason in sentence for sentence in service.conditions().values())


def test_a_right_that_comes_later_is_used_without_a_start(site: Secured) -> None:
    given = [replace(one, user=STRANGER) for one in rights() if one.user == "api"]
    unknown = {"KAFKA_SASL_USERNAME": STRANGER, "KAFKA_SASL_PASSWORD": password_of(STRANGER)}
    with ExitStack() as stack:
        started = stack.enter_context(site.process("api", unknown))
        until_says(started, "Kafka's ACLs", "no right yet")
        site.kafka.allow(*given)
        stack.callback(site.kafka.forbid, *given)
        started.until_ready()
        assert started.log().count('"event": "listening"') == 1


def of(user: str, kind: str) -> list[Right]:
    return [one for one in rights() if (one.user, one.kind) == (user, kind)]


def test_a_right_taken_away_is_told_by_that_service_alone(site: Secured) -> None:
    """And given back it is used again, by the same process."""
    health, group = site.services["health"], of("health", "group")
    pid = health.pid
    site.kafka.forbid(*group)
    try:
        until_says(health, "group health", "taken away")
        assert set(site.unready()) == {"health"}
    finally:
        site.kafka.allow(*group)
    until("all is well", lambda: not site.unready(), seconds=REASON_SECONDS_MAX)
    assert (health.pid, health.is_running) == (pid, True)


def test_no_secret_stands_in_a_log_or_on_a_page(site: Secured) -> None:
    for service in site.services.values():
        told = service.log() + "".join(
            service.get(page)[1].decode() for page in ("/readyz", "/metrics")
        )
        assert "listening" in told
        assert [one for one in site.secrets() if one in told] == []


async def test_up_asks_a_secured_kafka_and_redis_too(
    site: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in site.settings_of("health").items():
        monkeypatch.setenv(name, value)
    await check_kafka(site.kafka.address)
    await check_redis(site.redis.url)
    stranger = str(site.kafka.certificates.stranger.certificate)
    monkeypatch.setenv("KAFKA_SSL_CAFILE", stranger)
    monkeypatch.setenv("REDIS_SSL_CAFILE", stranger)
    with pytest.raises(UpFailed, match="certificate"):
        await check_kafka(site.kafka.address)
    with pytest.raises(UpFailed, match="certificate"):
        await check_redis(site.redis.url)
