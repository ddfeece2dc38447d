"""Write `deploy/grafana/dashboards` anew (`make dashboards`); a test fails when a file is old."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deploy.dashboards import bus, fleet, gateway, node, statuses
from deploy.dashboards.board import Dashboard

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
DASHBOARDS = (fleet, node, statuses, gateway, bus)


def dashboards() -> list[Dashboard]:
    return [module.dashboard() for module in DASHBOARDS]


def written(dashboard: Dashboard) -> str:
    return json.dumps(dashboard.model(), indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """Each file with what belongs in it."""
    return {FOLDER / f"{one.uid}.json": written(one) for one in dashboards()}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, content in files().items():
        path.write_text(content)
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
