"""A node's state in sentences for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellnode.models import InstanceView, NodeView

EVIDENCE_CHARACTERS_MAX = 2000
INSTANCES_TOLD_MAX = 10


def summary(view: NodeView) -> str:
    """One or two sentences: the node's status and, if there is trouble, the first cause."""
    told = f"{view.node} is {heading(view)}"
    in_trouble = troubled(view)
    return f"{told} {instance_told(in_trouble[0])}" if in_trouble else told


def heading(view: NodeView) -> str:
    """`UNHEALTHY (TOO_FEW_HEALTHY): Fewer instances ... 1 of 2 instances are healthy.`"""
    status = view.status
    if status is None:
        return "accepted; nothing has been observed yet."
    count = f"{status.healthy} of {status.want} instances are healthy, {status.min} are needed."
    is_counted = status.status not in ("SUSPENDED", "DELETING")
    told = f"{status.status} ({status.reason}): {status.sentence}"
    return f"{told} {count}" if is_counted else told


def why(view: NodeView) -> str:
    """A paragraph: the node's status, reason and sentence, then each instance in trouble."""
    parts = [f"{view.node} is {heading(view)}"]
    if view.status is not None and view.status.generation < view.generation:
        parts.append(
            f"Generation {view.generation} was accepted; {view.status.generation} is observed."
        )
    in_trouble = troubled(view)
    parts += [instance_told(each) for each in in_trouble[:INSTANCES_TOLD_MAX]]
    if len(in_trouble) > INSTANCES_TOLD_MAX:
        parts.append(f"{len(in_trouble) - INSTANCES_TOLD_MAX} more are in trouble.")
    return "\n".join(parts)


def troubled(view: NodeView) -> list[InstanceView]:
    """The instances that are in trouble, or that wait for room; those of this revision first."""
    found = [
        each
        for each in view.instances
        if each.status == "UNHEALTHY" or each.reason in ("NO_CAPACITY", "FOREIGN_HOST")
    ]
    return sorted(found, key=lambda each: each.revision != view.revision)


def instance_told(instance: InstanceView) -> str:
    """An instance's status, sentence and evidence."""
    told = f"{instance.instance} is {instance.status} ({instance.reason}): {instance.sentence}"
    evidence = "; ".join(
        f"{name}: {text.strip()[-EVIDENCE_CHARACTERS_MAX:]}"
        for name, text in instance.evidence.items()
        if text.strip() and text.strip() not in instance.sentence
    )
    return f"{told} [{evidence}]" if evidence else told
