"""A node as text: one row of a list, or everything that is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.text import Text

from cellnode.cli import words
from cellnode.cli.screen import Cell, Screen, status_text
from cellnode.models import InstanceView, NodeView, Transition
from cellnode.telling import heading, troubled

COLUMNS = ("NODE", "STATUS", "HEALTHY", "TYPE", "UNITS/H", "AGE", "WHY")
INSTANCE_COLUMNS = ("INSTANCE", "STATUS", "FOR", "WHY")
HISTORY_COLUMNS = ("AT", "WHAT", "STATUS", "REASON")
HISTORY_LINES = 12
QUIET = "quiet"
LABEL_COLUMNS = 12
FINE = ("HEALTHY",)


def row_of(node: NodeView) -> list[Cell]:
    return [
        Text(node.node, "name"),
        status_text(status_of(node)),
        healthy_of(node),
        node.spec.instance_type,
        f"{node.cost.units_per_hour:g}",
        words.age(node.created_at),
        "" if status_of(node) in (*FINE, "SUSPENDED") else cause_of(node),
    ]


def cause_of(node: NodeView) -> str:
    """The first instance's trouble, else what the node's status says."""
    if found := troubled(node):
        return found[0].sentence
    return "" if node.status is None else node.status.sentence


def status_of(node: NodeView) -> str:
    """What is observed; a node that nobody has looked at yet is just made."""
    return "CREATED" if node.status is None else str(node.status.status)


def healthy_of(node: NodeView, of: str = "/") -> str:
    """How many of the wanted instances are healthy."""
    return f"{0 if node.status is None else node.status.healthy}{of}{node.spec.instances.want}"


def show(screen: Screen, node: NodeView, url: str) -> None:
    """Everything: what is wanted, what is observed, and how it came to be."""
    _heading(screen, node)
    for label, value in facts(node, url):
        screen.say((f"  {label.ljust(LABEL_COLUMNS)}", QUIET), value)
    if node.instances:
        screen.say("")
        screen.table(INSTANCE_COLUMNS, map(instance_row, node.instances))
    if history := list(history_rows(node)):
        screen.say("")
        screen.table(HISTORY_COLUMNS, history[-HISTORY_LINES:])


def _heading(screen: Screen, node: NodeView) -> None:
    screen.say((node.node, "heading"), "  ", status_text(status_of(node)))
    if node.status is not None:
        since = f" (for {words.age(node.status.since)})"
        screen.say("  ", node.status.sentence, (since, QUIET))
        for line in own_evidence(node):
            screen.say((f"  {line}", QUIET))
    screen.say("")


def facts(node: NodeView, url: str) -> Iterator[tuple[str, str]]:
    """What is wanted, a line each."""
    spec, cost = node.spec, node.cost
    yield "call", url
    yield "inputs", ", ".join(variable.name for variable in spec.inputs) or "none"
    yield "outputs", ", ".join(variable.name for variable in spec.outputs) or "none"
    yield "instances", f"{healthy_of(node, ' of ')} healthy, at least {spec.instances.min} needed"
    yield "type", spec.instance_type
    yield "costs", cost_sentence(cost.units_per_hour_each, cost.units_per_hour)
    yield "checkpoint", spec.checkpoint
    yield "generation", f"{node.generation}, deployed {words.age(node.generation_at)} ago"
    if node.actor:
        yield "by", node.actor
    if node.project != "default":
        yield "project", node.project


def cost_sentence(each: float, in_all: float) -> str:
    """What an hour costs; a suspended node costs nothing."""
    if not in_all:
        return f"nothing while it is suspended; else {words.units(each)} an hour each"
    return f"{words.units(each)} an hour each, {in_all:g} in all, also while it is idle"


def instance_row(instance: InstanceView) -> list[Cell]:
    status = str(instance.status)
    why = Text("" if status in FINE else instance.sentence)
    for line in () if status in FINE else evidence_lines(instance.evidence):
        why.append("\n" + line, QUIET)
    return [Text(instance.instance, "name"), status_text(status), words.age(instance.since), why]


def explain(screen: Screen, node: NodeView) -> None:
    """The node's status in a sentence, then each instance in trouble with its evidence."""
    screen.paragraph(f"{node.node} is {heading(node)}")
    for line in own_evidence(node):
        screen.say((f"  {line}", QUIET))
    for instance in troubled(node):
        told = f"is {instance.status} ({instance.reason}): {instance.sentence}"
        screen.say("  ", (instance.instance, "name"), " ", told)
        for line in evidence_lines(instance.evidence):
            screen.say((f"    {line}", QUIET))


def own_evidence(node: NodeView) -> list[str]:
    """The node's, unless instances in trouble have better."""
    if node.status is None or troubled(node):
        return []
    return evidence_lines(node.status.evidence)


def evidence_lines(evidence: Mapping[str, str]) -> list[str]:
    """Each piece of evidence on lines of its own, the name only before the first."""
    lines: list[str] = []
    for name, value in evidence.items():
        first, *others = str(value).rstrip().splitlines() or [""]
        lines += [f"{name}: {first}", *(f"  {line}" for line in others)]
    return lines


def history_rows(node: NodeView) -> Iterable[list[Cell]]:
    """The last steps of the node and its instances, in the order of time."""
    steps: list[tuple[Transition, str]] = []
    if node.status is not None:
        steps += [(step, node.node) for step in node.status.transitions]
    for instance in node.instances:
        steps += [(step, instance.instance) for step in instance.transitions]
    for step, what in sorted(steps, key=lambda pair: pair[0].at):
        status = status_text(str(step.status))
        yield [words.clock(step.at), Text(what, "name"), status, Text(str(step.reason), QUIET)]
