"""The page of the bus, in a real browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from playwright.sync_api import Browser, Page, expect

from services.api.app import application, operations
from services.api.written import unconnected
from tests.browser import DESK, PHONE, browser, tab

__all__ = ["browser", "tab"]  # Fixtures.

pytestmark = [pytest.mark.full, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """The api before nothing, on a loop of its own: playwright has ours."""
    loop = asyncio.new_event_loop()
    parts = unconnected()
    server = TestServer(application(parts, operations(parts)))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start_server(), loop).result(10)
        yield str(server.make_url("")).rstrip("/")
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def opened(tab: Page, api: str, fragment: str = "") -> Page:
    tab.goto(f"{api}/asyncapi{fragment}")
    expect(tab.get_by_label("Search")).to_be_visible()
    return tab


def test_every_topic_and_message_is_there_and_opens(tab: Page, api: str) -> None:
    opened(tab, api)
    expect(tab.locator(".topic")).to_have_count(9)
    statuses = tab.get_by_role("region", name="cellnode.statuses")

    expect(statuses).to_contain_text("the last record of each key")
    expect(statuses).to_contain_text("health")
    statuses.get_by_text("NodeStatusChanged", exact=True).click()

    expect(statuses).to_contain_text("healthy_of_revision")
    expect(statuses).to_contain_text("cellnode-term")
    expect(statuses.locator("pre")).to_contain_text("ENOUGH_HEALTHY")


def test_a_word_finds_topics_messages_and_fields(tab: Page, api: str) -> None:
    opened(tab, api)
    tab.keyboard.press("/")
    tab.keyboard.type("if_generation")

    expect(tab.locator("#found")).to_have_text("9 messages on 1 topics")
    expect(tab.locator(".topic:visible h2")).to_have_text("cellnode.commands")

    tab.get_by_label("Search").fill("statuses")
    expect(tab.locator(".topic:visible h2")).to_have_text("cellnode.statuses")
    expect(tab.locator("#contents a:visible")).to_have_count(1)


def test_an_address_leads_to_a_message(tab: Page, api: str) -> None:
    opened(tab, api, "#cellnode.commands/DeployNode")

    message = tab.locator("[id='cellnode.commands/DeployNode']")
    expect(message).to_have_attribute("open", "")
    message.get_by_text("NodeSpec", exact=True).nth(1).click()
    expect(message).to_contain_text("start_timeout_seconds")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_is_cut_off(
    browser: Browser, api: str, tmp_path: Path, scheme: str, size: dict[str, int]
) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    tab = opened(context.new_page(), api)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    expect(tab.locator("pre").first).to_be_visible()
    tab.evaluate("document.querySelectorAll('.part').forEach((one) => { one.open = true; })")

    wide = tab.evaluate("document.documentElement.scrollWidth")
    tab.screenshot(path=tmp_path / f"{scheme}.png", full_page=False)
    context.close()

    assert wide <= size["width"]
