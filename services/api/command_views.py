"""Commands and their outcomes as the api shows them."""

from __future__ import annotations

from typing import Any

from schemas.commands import AnyCommand, Command
from schemas.events import CommandAccepted, CommandRejected
from schemas.views import CommandView
from services.api.event_log import Outcome


def view_of(known: Outcome | Command) -> CommandView:
    """Pending where it is the command itself."""
    if isinstance(known, CommandAccepted | CommandRejected):
        return outcome_view(known)
    return pending_view(known)


def outcome_view(outcome: Outcome) -> CommandView:
    shared: dict[str, Any] = {
        "id": outcome.command,
        "project": outcome.project,
        "node": outcome.node,
        "kind": outcome.command_kind,
        "at": outcome.at,
    }
    if isinstance(outcome, CommandAccepted):
        return CommandView(
            **shared,
            outcome="accepted",
            generation=outcome.generation,
            changed=outcome.changed,
            sentence=outcome.sentence,
        )
    return CommandView(
        **shared,
        outcome="rejected",
        reason=outcome.reason,
        sentence=outcome.sentence,
        field=outcome.field,
        remedy=outcome.remedy,
    )


def pending_view(command: Command | AnyCommand) -> CommandView:
    assert command.at is not None, "the api says when"
    return CommandView(
        id=command.id,
        project=command.project,
        node=command.node,
        kind=getattr(command, "kind", ""),
        outcome="pending",
        at=command.at,
    )
