"""The page of a node, in a real browser, through the gateway."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.door_contracts import serving
from services.api.pages import headers, page
from tests.browser import DESK, PHONE, browser, tab

__all__ = ["browser", "tab"]  # Fixtures.


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with serving() as origin:
        yield origin


def opened(tab: Page, gateway: str, node: str) -> Page:
    tab.goto(f"{gateway}/v1/nodes/{node}/docs")
    expect(tab.get_by_role("button", name="Run the cell")).to_be_visible()
    return tab


@pytest.mark.parametrize("name", ["node", "bus"])
def test_the_page_is_whole_and_lets_nothing_else_run(name: str) -> None:
    text = page(name).decode()
    policy = headers(name)["Content-Security-Policy"]

    assert "/*style*/" not in text
    assert "/*script*/" not in text
    assert "src=" not in text
    assert [word for word in ("unsafe-inline", "unsafe-eval", "http:", "*") if word in policy] == []


@pytest.mark.full
@pytest.mark.timeout(180)
class TestInABrowser:
    def test_a_call_is_tried_and_answered(self, tab: Page, gateway: str) -> None:
        opened(tab, gateway, "marked")

        tab.get_by_label("name").fill("grace")
        tab.get_by_role("button", name="Run the cell").click()

        answer = tab.locator("#answer")
        expect(answer).to_contain_text("200")
        expect(answer).to_contain_text("hello grace")
        expect(tab.locator("#status")).to_have_text("HEALTHY")

    def test_two_nodes_of_one_checkpoint_have_two_forms(self, tab: Page, gateway: str) -> None:
        opened(tab, gateway, "marked")
        expect(tab.locator("#fields label")).to_have_count(3)
        expect(tab.locator("#fields")).to_contain_text("array of")

        opened(tab, gateway, "otherwise")
        expect(tab.locator("#fields label")).to_have_count(3)
        expect(tab.locator("#fields")).to_contain_text("integer 0…9")

    def test_a_wrong_input_is_told_beside_it(self, tab: Page, gateway: str) -> None:
        opened(tab, gateway, "otherwise")

        tab.locator("#input-grade").fill("11")
        tab.get_by_role("button", name="Run the cell").click()

        expect(tab.locator("#answer")).to_contain_text("An input is unknown, missing")
        expect(tab.locator("#input-grade-error")).to_contain_text("at most 9")
        expect(tab.locator("#input-grade")).to_have_attribute("aria-invalid", "true")

    def test_what_is_no_json_is_not_sent(self, tab: Page, gateway: str) -> None:
        opened(tab, gateway, "marked")

        tab.locator("#input-rows").fill("[[1,")
        tab.get_by_role("button", name="Run the cell").click()

        expect(tab.locator("#input-rows-error")).to_contain_text("rows is not JSON")
        expect(tab.locator("#input-rows")).to_be_focused()
        expect(tab.locator("#answer")).to_contain_text("its answer is here")

    def test_the_lines_to_copy_make_the_same_call(self, tab: Page, gateway: str) -> None:
        opened(tab, gateway, "marked")
        tab.get_by_label("name").fill("o'brien")

        told = tab.locator("#snippet").inner_text()
        asked = subprocess.run(["sh", "-c", told], capture_output=True, text=True, timeout=20)
        assert json.loads(asked.stdout)["output"]["greeting"] == "hello o'brien"

        tab.get_by_role("tab", name="Python").click()
        program = tab.locator("#snippet").inner_text()
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
        )
        assert "hello o'brien" in done.stdout, done.stderr

    def test_a_node_that_is_not_there_is_told(self, tab: Page, gateway: str) -> None:
        tab.goto(f"{gateway}/v1/nodes/nobody/docs")

        expect(tab.get_by_role("alert")).to_contain_text("no node nobody")
        expect(tab.get_by_role("button", name="Run the cell")).to_be_hidden()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
    def test_nothing_is_cut_off(
        self, browser: Browser, gateway: str, tmp_path: Path, scheme: str, size: dict[str, int]
    ) -> None:
        context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        tab = opened(context.new_page(), gateway, "marked")
        tab.get_by_role("button", name="Run the cell").click()
        expect(tab.locator("#answer .badge")).to_be_visible()

        wide = tab.evaluate("document.documentElement.scrollWidth")
        unlabelled = tab.evaluate(
            "[...document.querySelectorAll('input, textarea, select')]"
            ".filter((one) => !one.labels.length).length"
        )
        tab.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
        context.close()

        assert wide <= size["width"]
        assert unlabelled == 0
