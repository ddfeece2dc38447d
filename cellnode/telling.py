"""A node's state in sentences for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellnode.models import InstanceView, NodeView

EVIDENCE_CHARACTERS_MAX = 2000
INSTANCES_TOLD_MAX = 10
# A server tells the sentence of the last status alone; these are of those that a start passes.
PASSED = {
    "WANTED": "The instance is wanted; the provider has not made its VM yet.",
    "VM_CREATED": "The VM of the instance exists; there is no contact with it yet.",
    "CONTACT": "The agent of the instance answers; the checkpoint is untouched.",
    "LOADING": "The instance loads its checkpoint.",
    "READY": "The instance is ready and takes requests.",
}


def summary(view: NodeView) -> str:
    """The node's status and sentence and, if there is trouble, the first cause."""
    told = f"{view.node} is {heading(view)}"
    return "\n".join([told, *(told_beyond(told, each) for each in troubled(view)[:1])])


def heading(view: NodeView) -> str:
    """`UNHEALTHY (TOO_FEW_HEALTHY): Fewer instances are healthy than ...`"""
    status = view.status
    if status is None:
        return "accepted; nothing has been observed yet"
    return f"{status.status} ({status.reason}): {status.sentence}"


def why(view: NodeView) -> str:
    """A paragraph: the node's status, reason and sentence, then each instance in trouble."""
    told = f"{view.node} is {heading(view)}"
    parts = [told]
    if view.status is not None and view.status.generation < view.generation:
        parts.append(
            f"Generation {view.generation} was accepted; {view.status.generation} is observed."
        )
    in_trouble = troubled(view)
    parts += [told_beyond(told, each) for each in in_trouble[:INSTANCES_TOLD_MAX]]
    if len(in_trouble) > INSTANCES_TOLD_MAX:
        parts.append(f"{len(in_trouble) - INSTANCES_TOLD_MAX} more are in trouble.")
    return "\n".join(part for part in parts if part)


def passed(reason: str) -> str:
    """Why a status was so that has been passed; the reason itself where that says enough."""
    return PASSED.get(reason, reason)


def troubled(view: NodeView) -> list[InstanceView]:
    """The instances that are in trouble, or that wait for room; those of this revision first."""
    found = [
        each
        for each in view.instances
        if each.status == "UNHEALTHY" or each.reason in ("NO_CAPACITY", "FOREIGN_HOST")
    ]
    return sorted(found, key=lambda each: each.revision != view.revision)


def told_beyond(told: str, instance: InstanceView) -> str:
    """An instance's status, sentence and evidence, as far as they are not told yet."""
    name = instance.instance
    is_new = name not in told or instance.sentence not in told
    head = f"{name} is {instance.status} ({instance.reason}): {instance.sentence}"
    evidence = [
        f"{key}: {text.strip()[-EVIDENCE_CHARACTERS_MAX:]}"
        for key, text in instance.evidence.items()
        if text.strip() and text.strip() not in instance.sentence
    ]
    return "\n".join([*([head] if is_new else []), *evidence])
