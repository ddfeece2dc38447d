"""Pages of other sites get nowhere; programs and our own pages do."""

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.api.browsers import browser_guard
from services.api.measures import Measures
from services.api.problems import problem_middleware
from services.chassis.clock import SYSTEM_CLOCK
from services.chassis.metrics import Metrics

DONE: list[str] = []


async def asked(headers: dict[str, str], path: str = "/v1/nodes", hosts: str = "") -> int:
    async def done(_: web.Request) -> web.Response:
        DONE.append(path)
        return web.Response()

    guard = browser_guard(frozenset(hosts.split()))
    application = web.Application(
        middlewares=[problem_middleware(SYSTEM_CLOCK, Measures(Metrics("api"))), guard]
    )
    application.router.add_route("*", "/{any:.*}", done)
    DONE.clear()
    async with TestClient(TestServer(application)) as client:
        answer: aiohttp.ClientResponse = await client.post(path, headers=headers)
        if answer.status != 200:
            assert (await answer.json())["remedy"]
            assert not DONE
        return answer.status


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "10.0.0.7", "node.localhost"]
)
async def test_addresses_and_localhost_are_always_ours(host: str) -> None:
    assert await asked({"Host": host}) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[", "a@b", ""]
)
async def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    assert await asked({"Host": host}) == 421


async def test_a_name_in_the_settings_is_ours() -> None:
    assert await asked({"Host": "cells.example:80"}, hosts="cells.example") == 200
    assert await asked({"Host": "cells.example"}, hosts="*") == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9999", "null", "http://127.0.0.1"]
)
async def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    assert await asked({"Host": "127.0.0.1:8080", "Origin": origin}) == 403


async def test_our_own_page_is_served() -> None:
    assert await asked({"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"}) == 200


async def test_probes_are_answered_under_any_name() -> None:
    assert await asked({"Host": "some-name"}, "/readyz") == 200
