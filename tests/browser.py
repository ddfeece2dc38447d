"""A real browser for the tests that look at pages: Debian's chromium, driven by playwright.

A test file imports the fixture that it uses: `from tests.browser import browser, tab`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
REMEDY = "no browser on PATH: apt-get install chromium"
# Root has no sandbox of its own, and containers often a small /dev/shm.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
LOOK_MS_MAX = 15_000

DESK = {"width": 1200, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a file; skipped, with the remedy, where there is none."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip(REMEDY)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A fresh page of a fresh profile; a fault that it reports fails the test."""
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(LOOK_MS_MAX)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if _is_fault(said) else None)
    yield page
    context.close()
    assert faults == [], "the page reported faults"


def _is_fault(said: ConsoleMessage) -> bool:
    """An answer that is a problem is none of the page's."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")
