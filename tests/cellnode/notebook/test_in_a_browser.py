"""The example notebook, run cell by cell in JupyterLab and looked at in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import browser  # noqa: F401
from tests.cellnode.notebook.conftest import environment_of
from tests.cellnode.notebook.jupyter import jupyter
from tests.e2e.system import System
from tests.sources import ROOT

pytestmark = [pytest.mark.full, pytest.mark.timeout(240)]

SLOW_MS_MAX = 60_000
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"


@pytest.fixture
def lab(tmp_path: Path, notebook_system: System) -> Iterator[str]:
    shutil.copy(ROOT / "examples" / "notebook.ipynb", tmp_path)
    with jupyter(tmp_path, environment_of(notebook_system)) as address:
        yield address


def opened(browser: Browser, lab: str) -> Page:  # noqa: F811
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(SLOW_MS_MAX)
    page.goto(f"{lab}/lab/tree/notebook.ipynb?reset")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("| Idle").wait_for()
    return page


def test_three_cells_and_the_answer_is_seen(
    browser: Browser,  # noqa: F811
    lab: str,
    tmp_path: Path,
) -> None:
    page = opened(browser, lab)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cells.first.locator(".cm-content").click()
    for _ in range(3):
        page.keyboard.press("Shift+Enter")

    panel = cells.nth(1).locator(".cellnode")
    expect(panel.locator(".pill", has_text="HEALTHY")).to_have_count(3, timeout=SLOW_MS_MAX)
    expect(panel.locator(".call")).to_have_count(2, timeout=SLOW_MS_MAX)
    expect(panel).to_contain_text("also while the node is idle")
    expect(cells.nth(2).locator(".jp-OutputArea")).to_contain_text("'label': ")
    assert panel.locator("code").first.inner_text().startswith("curl http://127.0.0.1:")
    page.screenshot(path=tmp_path / "light.png")
    assert not page.locator(".jp-RenderedText[data-mime-type*=stderr]").count()
    page.context.close()
