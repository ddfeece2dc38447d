"""How soon the command line answers, and what `import cellnode` costs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.rows import Row, median

RUNS = 20
RUN_SECONDS_MAX = 10.0
HELP_MS_MAX, IMPORT_MS_MAX = 150.0, 100.0


def rows() -> list[Row]:
    """In turn, so that all meet the same machine."""
    command = str(Path(sys.executable).with_name("cellnode"))
    commands = {
        "help": [command, "--help"],
        "import": [sys.executable, "-c", "import cellnode"],
        "python": [sys.executable, "-c", "pass"],
    }
    assert "deploy" in said(commands["help"]), "the help does not speak of deploying"
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, words in commands.items():
            begun = time.perf_counter()
            said(words)
            taken[name].append((time.perf_counter() - begun) * 1000)
    return [
        Row("cellnode_help_median_ms", median(taken["help"]), at_most=HELP_MS_MAX),
        Row("import_cellnode_median_ms", median(taken["import"]), at_most=IMPORT_MS_MAX),
        Row("python_alone_median_ms", median(taken["python"])),
    ]


def said(command: list[str]) -> str:
    """What the command printed; it must succeed."""
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=RUN_SECONDS_MAX
    )
    return done.stdout
