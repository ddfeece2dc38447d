"""Whether the api and its nodes do what their documents say: `python -m benchmarks.door_contracts`.

Cases are made by schemathesis from the documents themselves: good ones, wrong ones, odd ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.rows import Row, finish
from cellnode import pin
from tests.e2e.system import System

CASES = 5_000
ROUNDS_MAX = 20
SECONDS_MAX = 1_200  # For one document in one round.
REQUEST_SECONDS_MAX = 20
DEPLOY_SECONDS_MAX = 60
PHASES = "examples,coverage,fuzzing"
NODES = ("marked", "otherwise")
VICTIM = "victim"  # Changed, suspended and deleted by the cases themselves.

# Kept short, so that cases need not wait for what nobody brings about.
OVERRIDES = {"query.timeout_seconds": 0.05, "query.follow": "false"}

# Beside what any api may answer to a request that fits its schema: somebody was faster (412), it
# is longer than a gateway reads (414), its fields fit each alone and not together (422), and it is
# known but not built (501).
CHECKS = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501", "503", "504"]
positive_data_acceptance.expected-statuses = [
    "2xx", "3xx", "403", "404", "409", "412", "414", "416", "422", "501", "503", "504"
]
negative_data_rejection.expected-statuses = [
    "400", "403", "404", "405", "406", "409", "411", "412", "413", "414", "415", "416", "421",
    "422", "431", "501", "503"
]
"""

STATE = "whole = 3\nrows = [[0.5, 1.5]]\nname = 'ada'\noptions = {'mode': 'fast', 'limit': 3}\n"
GRADE = {"type": "integer", "minimum": 0, "maximum": 9, "description": "From 0 to 9."}
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {"left": {"$ref": "#/$defs/tree"}, "size": {"type": "number"}},
            "additionalProperties": False,
        }
    },
}
SPECS: Mapping[str, Mapping[str, Any]] = {
    "marked": {
        "cell": "count = len(rows) + whole % 7\ngreeting = 'hello ' + name",
        "inputs": ["whole", "rows", "name"],
        "outputs": [{"name": "count", "schema": {"type": "integer"}}, "greeting"],
    },
    "otherwise": {
        "cell": "whole = grade / 2\nseen = sorted(options)",
        "inputs": ["options", {"name": "grade", "schema": GRADE}, {"name": "x", "schema": TREE}],
        "outputs": ["whole", {"name": "seen", "schema": {"items": {"type": "string"}}}],
    },
    VICTIM: {"cell": "y = x", "inputs": ["x"], "outputs": ["y"]},
}


@dataclass
class Contracts:
    """What was asked, and what was answered otherwise than documented."""

    cases: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Contracts) -> None:
        self.cases += other.cases
        self.failures += other.failures


def checked(
    document_url: str,
    examples: int,
    *,
    seed: int,
    overrides: Mapping[str, Any] = OVERRIDES,
    phases: str = PHASES,
) -> Contracts:
    """Ask as the document says, and otherwise; `examples` are random cases an operation."""
    with tempfile.TemporaryDirectory(prefix="contracts-") as folder:
        config, report = Path(folder) / "schemathesis.toml", Path(folder) / "report.json"
        config.write_text(_config(overrides))
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(config), "run", document_url, "--no-color"),
            *("--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure"),
            *(
                "--phases",
                "examples,coverage,fuzzing",
                "--request-timeout",
                str(REQUEST_SECONDS_MAX),
            ),
            *("--generation-database", "none", "--no-shrink", "--warnings", "off"),
            *("--suppress-health-check", "all", "--report", "json"),
            *("--report-json-path", str(report)),
        ]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )
        if not report.is_file():
            raise RuntimeError(f"schemathesis ended with {done.returncode}:\n{done.stdout[-4000:]}")
        return _found(json.loads(report.read_text()), done.stdout)


def _config(overrides: Mapping[str, Any]) -> str:
    lines = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in overrides.items()]
    return "\n".join(["[parameters]", *lines, CHECKS])


def _found(report: Mapping[str, Any], said: str) -> Contracts:
    told = [
        f"{each['code']} {each['title']} at {', '.join(map(str, each['operations']))}"
        for each in report["failures"]
    ]
    told += [f"error: {json.dumps(each)[:500]}" for each in report["errors"]]
    if told:
        told[-1] += f"\n{said}"
    return Contracts(int(report["test_cases"]["generated"]), told)


def documents(gateway: str) -> list[tuple[str, Mapping[str, Any]]]:
    """All that is asked, with what is held fixed."""
    api = f"{gateway}/openapi.json"
    nodes: list[tuple[str, Mapping[str, Any]]] = [
        (f"{gateway}/v1/nodes/{node}/openapi.json", {}) for node in NODES
    ]
    return [*nodes, (api, OVERRIDES), (api, {**OVERRIDES, "path.node": VICTIM})]


def contracts(gateway: str, cases: int, *, seed: int = 1) -> Contracts:
    """At least so many cases, round by round, over the api and two nodes."""
    found = Contracts()
    asked = documents(gateway)
    # An operation of the api is one of thirty; a node has one.
    examples = max(2, cases // (4 * 30))
    for round in range(ROUNDS_MAX):
        for url, overrides in asked:
            many = examples * 10 if "/nodes/" in url else examples
            found.add(checked(url, many, seed=seed + round, overrides=overrides))
        if found.cases >= cases or found.failures:
            return found
    return found


@contextmanager
def serving() -> Iterator[str]:
    """A system with a checkpoint and the nodes, two of them marked differently."""
    system = System()
    system.start()
    try:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(STATE, namespace)
        made = pin("contracts", namespace=namespace, store=system.store, check=False)
        host, port = system.gateway
        gateway = f"http://{host}:{port}"
        for name, spec in SPECS.items():
            _deploy(gateway, name, {"checkpoint": made.digest, **spec})
        yield gateway
        system.stop()
    finally:
        system.stop()
        system.remove()


def _deploy(gateway: str, node: str, spec: Mapping[str, Any]) -> None:
    """Return once it is HEALTHY."""
    wish = Request(
        f"{gateway}/v1/nodes/{node}?wait=HEALTHY&timeout_seconds={DEPLOY_SECONDS_MAX}",
        json.dumps(spec).encode(),
        {"Content-Type": "application/json"},
        method="PUT",
    )
    with urlopen(wish, timeout=DEPLOY_SECONDS_MAX + 5) as answer:
        answer.read()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gateway", default="", help="an origin that has the nodes already")
    given = parser.parse_args()
    if given.gateway:
        found = contracts(given.gateway, given.cases, seed=given.seed)
    else:
        with serving() as gateway:
            found = contracts(gateway, given.cases, seed=given.seed)
    for failure in found.failures:
        sys.stdout.write(f"{failure}\n")
    return finish(rows(found, given.cases))


def rows(found: Contracts, cases: int = CASES) -> list[Row]:
    return [
        Row("schemathesis_cases", found.cases, at_least=cases),
        Row("schemathesis_failures", len(found.failures), at_most=0),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
