"""Write docs/reference from the code (`make docs`); a test fails when a page is out of date."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from docs import command_line, http_page, texts
from docs import errors_page as errors_reference
from docs import metrics_page as metrics_reference
from docs import settings_page as settings_reference
from docs.promises import promises_table
from docs.render import (
    SPEC_PARTS,
    comments,
    fields,
    sentence,
    table,
)
from schemas import commands, events, nodes
from schemas.aliases import Alias
from schemas.decisions import decide
from schemas.errors import DomainError, NotBuilt, RefusalReason
from schemas.instance_types import INSTANCE_TYPES
from schemas.instances import Instance
from schemas.specs import NodeSpec
from schemas.statuses import INSTANCE_MOVES, NODE_MOVES, SENTENCES, InstanceStatus, NodeStatus
from schemas.tables import Complete, Owner
from schemas.topics import DECLARATIONS
from services.api import asyncapi

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
GOLDEN = ROOT / "tests" / "schemas" / "golden"
DAY_MS = 24 * 3600 * 1000

COMMANDS: list[type[BaseModel]] = [
    commands.DeployNode, commands.ScaleNode, commands.RecreateNode, commands.DeleteNode,
    commands.SuspendNode, commands.ResumeNode, commands.ResetNode, commands.PutAlias,
    commands.DeleteAlias,
]  # fmt: skip
RECORDS: list[type[BaseModel]] = [
    events.CommandAccepted, events.CommandRejected, nodes.Node, Alias, Instance,
    events.NodeStatusChanged, events.InstanceStatusChanged, events.GatewaySignal,
    events.InstanceUsage, Owner, Complete,
]  # fmt: skip


def page(title: str, source: str, *parts: str) -> str:
    note = f"Written by `make docs` from {source}; edit the code, not this page."
    return "\n\n".join([f"# {title}", note, *parts]) + "\n"


def sample(kind: str) -> str:
    """The record that tests keep for ever, as an example."""
    path = GOLDEN / f"{kind}.json"
    if not path.is_file():
        return ""
    text = json.dumps(json.loads(path.read_text()), indent=2, ensure_ascii=False)
    return f"```json\n{text}\n```"


def described(models: list[type[BaseModel]], samples: dict[str, str]) -> list[str]:
    """A section for each model, then one for each part that they are made of."""
    schemas = {model.__name__: model.model_json_schema(by_alias=True) for model in models}
    parts = {
        name: part for schema in schemas.values() for name, part in schema.get("$defs", {}).items()
    }
    sections = [
        f"## {model.__name__}\n\n{sentence(model)}\n\n"
        + fields(model, parts, schemas[model.__name__])
        + (f"\n\n{samples[model.__name__]}" if samples.get(model.__name__) else "")
        for model in models
    ]
    kinds = {kind.__name__: kind for kind in everything(BaseModel)}
    elsewhere = SPEC_PARTS if NodeSpec not in models else frozenset()
    return sections + [
        f"## {name}\n\n{sentence(kinds[name])}\n\n{fields(kinds[name], parts, part)}"
        for name, part in parts.items()
        if "enum" not in part and name not in elsewhere
    ]


def everything(kind: type) -> list[type]:
    children: list[type] = kind.__subclasses__()
    return [each for child in children for each in (child, *everything(child))]


def is_refused(kind: str) -> bool:
    """Whether this version knows the command but cannot do it, asked of the code that decides."""
    node = nodes.Node.model_validate_json((GOLDEN / "Node.json").read_text())
    command = commands.parse_command(json.loads((GOLDEN / f"{kind}.json").read_text()))
    try:
        decide(node, command.model_copy(update={"if_generation": None}), node.at)
    except NotBuilt:
        return True
    except DomainError:
        return False
    return False


def command_sample(kind: str) -> str:
    note = "This version knows it and refuses it with `NOT_BUILT`.\n\n" if is_refused(kind) else ""
    return note + sample(kind)


def commands_page() -> str:
    return page(
        "Commands",
        "`schemas/commands.py`",
        texts.COMMANDS.strip(),
        *described(
            COMMANDS, {model.__name__: command_sample(model.__name__) for model in COMMANDS}
        ),
        "## Why a command is rejected",
        table(("reason", "means"), enumerated(RefusalReason)),
    )


def spec_page() -> str:
    spec = json.loads((GOLDEN / "DeployNode.json").read_text())["spec"]
    example = f"```json\n{json.dumps(spec, indent=2, ensure_ascii=False)}\n```"
    return page(
        "A node's spec",
        "`schemas/specs.py`",
        texts.SPEC.strip(),
        *described([NodeSpec], {"NodeSpec": example}),
        "## Instance types",
        texts.INSTANCE_TYPES.strip(),
        table(
            ("name", "CPUs", "memory", "units per hour"),
            (
                (
                    f"`{name}`",
                    str(kind.cpu_count),
                    f"{kind.memory_bytes >> 30} GiB",
                    str(kind.units_per_hour),
                )
                for name, kind in INSTANCE_TYPES.items()
            ),
        ),
    )


def enumerated(kind: type[Enum]) -> list[tuple[str, str]]:
    notes = comments(kind)
    return [(f"`{value.value}`", notes[value.name]) for value in kind]


def events_page() -> str:
    topics = [
        (
            f"`{topic.value}`",
            declared.key,
            "compacted" if declared.retention_ms is None else kept(declared.retention_ms),
            declared.writer,
            declared.carries,
        )
        for topic, declared in DECLARATIONS.items()
    ]
    samples = {model.__name__: sample(model.__name__) for model in RECORDS}
    return page(
        "Topics and events",
        "`schemas/topics.py` and `schemas/events.py`",
        table(("topic", "key", "kept", "writer", "carries"), topics),
        texts.EVENTS.strip(),
        *described(RECORDS, {**samples, "Instance": sample("InstanceCreated")}),
    )


def kept(retention_ms: int) -> str:
    return (
        f"{retention_ms // DAY_MS} days"
        if retention_ms >= DAY_MS
        else f"{retention_ms // 60_000} minutes"
    )


def moves(kind: type[Enum], allowed: Mapping[Any, Collection[Any]]) -> str:
    notes = comments(kind)
    rows = (
        (
            f"`{status.value}`",
            notes[status.name],
            ", ".join(f"`{to.value}`" for to in kind if to in allowed[status])
            or "nothing: then it is gone",
        )
        for status in kind
    )
    return table(("status", "means", "may become"), rows)


def statuses_page() -> str:
    return page(
        "Statuses and reasons",
        "`schemas/statuses.py`",
        texts.STATUSES.strip(),
        "## Of an instance",
        moves(InstanceStatus, INSTANCE_MOVES),
        "## Of a node",
        moves(NodeStatus, NODE_MOVES),
        "## Reasons",
        table(
            ("reason", "sentence"),
            ((f"`{reason.value}`", said) for reason, said in SENTENCES.items()),
        ),
    )


def promises_page() -> str:
    return page(
        "What cellnode promises",
        "`tests/e2e/test_promises.py`",
        texts.PROMISES.strip(),
        promises_table(),
    )


def command_line_page() -> str:
    return page("The command `cellnode`", "`cellnode/cli/`", command_line.reference())


def errors_page() -> str:
    sources = "`schemas/http.py`, `cellnode/errors.py` and `cellnode/cli/exits.py`"
    return page("Errors", sources, errors_reference.reference())


def settings_page() -> str:
    return page("Settings", "the `settings.py` of each service", settings_reference.reference())


def metrics_page() -> str:
    sources = "the `measures.py` of each service, `services/chassis/` and `runtime/metrics.py`"
    return page("Metrics", sources, metrics_reference.reference())


def http_api_page() -> str:
    return page("The HTTP api", "`services/api/`", http_page.reference())


def bus_document() -> str:
    """As the api serves it, one field a line."""
    return json.dumps(asyncapi.document(), indent=2, ensure_ascii=False) + "\n"


PAGES = {
    "asyncapi.json": bus_document,
    "spec.md": spec_page,
    "http.md": http_api_page,
    "cli.md": command_line_page,
    "../promises.md": promises_page,
    "commands.md": commands_page,
    "events.md": events_page,
    "statuses.md": statuses_page,
    "errors.md": errors_page,
    "settings.md": settings_page,
    "metrics.md": metrics_page,
}


def main() -> None:
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, render in PAGES.items():
        (REFERENCE / name).write_text(render())
        sys.stdout.write(f"{(REFERENCE / name).resolve().relative_to(ROOT)}\n")
    sys.stdout.writelines(f"{written}\n" for written in command_line.write())


if __name__ == "__main__":
    main()
