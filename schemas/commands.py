"""Requests on the bus: imperative, may be refused. Unknown fields are refused, by name."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.aliases import Shares
from schemas.errors import InvalidField, said
from schemas.ids import digest_of, floats_as_text
from schemas.messages import Message
from schemas.specs import INSTANCES_MAX, NodeSpec
from schemas.topics import Topic


class Command(Message):
    """What every command carries. `id` is made by the sender before the first try."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: ClassVar[Topic] = Topic.COMMANDS

    id: UUID
    actor: str = Field(default="", max_length=256)  # Who asks, for the record.
    at: AwareDatetime | None = None
    if_generation: int | None = Field(default=None, ge=0)  # 0: only if there is no such node.

    def digest(self) -> str:
        """Of the body without who and when: the same id with another digest is refused."""
        body = self.model_dump(mode="json", by_alias=True, exclude={"actor", "at"})
        return digest_of(floats_as_text(body))


class DeployNode(Command):
    """Apply: absent -> made, equal -> nothing, different -> rolled out."""

    kind: Literal["DeployNode"] = "DeployNode"
    spec: NodeSpec


class ScaleNode(Command):
    """Change how many instances are wanted; nothing running is replaced."""

    kind: Literal["ScaleNode"] = "ScaleNode"
    want: int = Field(ge=1, le=INSTANCES_MAX)
    min: int | None = Field(default=None, ge=1, le=INSTANCES_MAX)  # Absent: kept, at most `want`.


class SuspendNode(Command):
    """Stop all instances, keep the spec."""

    kind: Literal["SuspendNode"] = "SuspendNode"


class ResumeNode(Command):
    """Start a suspended node again."""

    kind: Literal["ResumeNode"] = "ResumeNode"


class ResetNode(Command):
    """Bring the pinned state back in place, on every instance, in milliseconds."""

    kind: Literal["ResetNode"] = "ResetNode"


class RecreateNode(Command):
    """Make every instance anew from the checkpoint, new ones before old ones."""

    kind: Literal["RecreateNode"] = "RecreateNode"


class DeleteNode(Command):
    """Remove the node and everything it has."""

    kind: Literal["DeleteNode"] = "DeleteNode"


class PutAlias(Command):
    """Set an alias's traffic shares; `node` is the alias's name."""

    kind: Literal["PutAlias"] = "PutAlias"
    shares: Shares


class DeleteAlias(Command):
    """Remove an alias; `node` is the alias's name."""

    kind: Literal["DeleteAlias"] = "DeleteAlias"


AnyCommand = Annotated[
    DeployNode
    | ScaleNode
    | SuspendNode
    | ResumeNode
    | ResetNode
    | RecreateNode
    | DeleteNode
    | PutAlias
    | DeleteAlias,
    Field(discriminator="kind"),
]

COMMAND: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)
COMMAND_KINDS = frozenset(
    {
        "DeployNode", "ScaleNode", "SuspendNode", "ResumeNode", "ResetNode", "RecreateNode",
        "DeleteNode", "PutAlias", "DeleteAlias",
    }
)  # fmt: skip


def parse_command(body: dict[str, Any]) -> AnyCommand:
    """The command, or InvalidField that names the first wrong field and its remedy."""
    try:
        return COMMAND.validate_python(body)
    except ValidationError as error:
        raise invalid_field(error) from None


def invalid_field(error: ValidationError) -> InvalidField:
    """pydantic's first complaint as field, sentence and remedy."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"] if str(part) not in COMMAND_KINDS]
    field = ".".join(path) or "kind"
    return InvalidField(
        f"{field}: {said(first['msg'])}",
        field=field,
        remedy=_REMEDIES.get(first["type"], "correct the value") + f" ({field})",
    )


_REMEDIES = {
    "missing": "add the field",
    "extra_forbidden": "remove the field or correct its name",
    "union_tag_not_found": "say which command it is",
    "union_tag_invalid": "use one of the documented kinds",
    "string_pattern_mismatch": "use the documented form",
}
