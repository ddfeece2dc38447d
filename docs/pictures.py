"""Take the README's pictures anew, of real sessions: `python -m docs.pictures`.

`terminal` or `notebook` behind it takes one of them. It starts a system on 127.0.0.1:8080, which
has to be free, types commands on a terminal, and runs the example notebook in JupyterLab, for
which it needs a chromium.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.text import Text

from tests.browser import ARGUMENTS, NAMES
from tests.cellnode.notebook.jupyter import jupyter
from tests.e2e.waiting import until

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
GATEWAY = "127.0.0.1:8080"
COLUMNS = 92
READ_BYTES = 65536
SLOW_MS_MAX = 60_000
SESSION = (
    "cellnode deploy examples/digits.py",
    "cellnode call digits --input-file examples/digit.json",
    "cellnode ls",
    "cellnode why digits",
)
_ESCAPE = re.compile(r"\x1b\[(\d*)([A-Za-ln-z])|\x1b\[\?\d+[hl]|\r")  # All but colours.


@contextmanager
def system(folder: Path) -> Iterator[dict[str, str]]:
    """A running system; yields the environment of whoever uses it."""
    environment = {
        **os.environ,
        "CELLNODE_DATA": str(folder / "data"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    command = [sys.executable, "-m", "cellnode", "up", "--quiet", "--gateway", GATEWAY]
    running = subprocess.Popen([*command, "--data", environment["CELLNODE_DATA"]], cwd=folder)
    try:
        until("ready", (folder / "data" / "addresses.json").exists, seconds=60)
        yield environment
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(20)


def typed(command: str, environment: Mapping[str, str]) -> str:
    """What a terminal shows of a command at its end, colours included."""
    master, slave = pty.openpty()
    told = {**environment, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "40"}
    running = subprocess.Popen(
        command.split(), cwd=ROOT, env=told, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    said = b"".join(iter(lambda: _read(master), b""))
    running.wait(SLOW_MS_MAX / 1000)
    os.close(master)
    return settled(said.decode())


def _read(master: int) -> bytes:
    try:
        return os.read(master, READ_BYTES)
    except OSError:  # The last writer has closed its end.
        return b""


def settled(said: str) -> str:
    """The lines that stay: one that is drawn anew is cleared before."""
    lines, row, end = [""], 0, 0
    for found in [*_ESCAPE.finditer(said), None]:
        for number, part in enumerate(said[end : found.start() if found else None].split("\n")):
            row += number > 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] += part
        if found is None:
            return "\n".join(lines)
        end, count = found.end(), int(found[1] or 1)
        if found[2] == "A":
            row = max(0, row - count)
        elif found[2] == "K":
            lines[row] = ""
    return ""


def terminal(environment: Mapping[str, str]) -> str:
    """The session as an SVG that asks for nothing from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for command in SESSION:
        console.print(Text.assemble(("$ ", "green"), (command, "bold")), soft_wrap=True)
        said = Text.from_ansi(typed(command, environment).rstrip())
        console.print(said, overflow="ellipsis", no_wrap=True)
        console.print()
    svg = console.export_svg(title="cellnode", unique_id="session")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")


def notebook(folder: Path, environment: Mapping[str, str]) -> None:
    shutil.copy(ROOT / "examples" / "notebook.ipynb", folder)
    found = next(path for path in map(shutil.which, NAMES) if path)
    with jupyter(folder, environment) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 980, "height": 1100})
        page.set_default_timeout(SLOW_MS_MAX)
        page.goto(f"{lab}/lab/tree/notebook.ipynb?reset")
        _run(page)
        _shoot(page)
        browser.close()


def _run(page: Page) -> None:
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cells.first.wait_for()
    page.get_by_text("| Idle").wait_for()
    page.keyboard.press("Control+b")  # The side bar is no part of it.
    cells.first.locator(".cm-content").click()
    for _ in range(3):
        page.keyboard.press("Shift+Enter")
    cells.nth(1).locator(".cellnode .call").nth(1).wait_for()
    cells.nth(2).locator(".jp-OutputArea-output").wait_for()


def _shoot(page: Page) -> None:
    """From the first cell to the last answer."""
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    first, last = cells.first.bounding_box(), cells.nth(2).bounding_box()
    assert first is not None, "the first cell is not seen"
    assert last is not None, "the last cell is not seen"
    top, bottom = first["y"] - 8, last["y"] + last["height"] + 8
    clip = {"x": first["x"], "y": top, "width": first["width"], "height": bottom - top}
    page.screenshot(path=PICTURES / "notebook.png", clip=clip)  # type: ignore[arg-type]


def main() -> None:
    wanted = sys.argv[1:] or ["terminal", "notebook"]
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cn-") as place:
        folder = Path(place)
        with system(folder) as environment:
            if "terminal" in wanted:
                (PICTURES / "terminal.svg").write_text(terminal(environment))
                typed("cellnode rm digits --yes", environment)
            if "notebook" in wanted:
                notebook(folder, environment)


if __name__ == "__main__":
    main()
