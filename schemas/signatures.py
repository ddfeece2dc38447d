"""The marked input and output variables of a node."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from schemas.ids import VariableName

VARIABLES_MAX = 64
SCHEMA_BYTES_MAX = 64 * 1024


class Variable(BaseModel):
    """One marked variable; without a schema, the checkpoint's type of that name is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: VariableName
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")


def input_schema(variable: Variable, pinned: dict[str, Any]) -> Any:
    """What an input must fit: its own schema, or that of the pinned variable of its name.

    The interpreter does the same (`runtime/interpreter/signature.py`); a test compares them.
    """
    if variable.json_schema is not None:
        return variable.json_schema
    known = pinned.get(variable.name)
    # None in a notebook means that the value is still to come, not that it must be null.
    return None if known == {"type": "null"} else known


def output_schema(variable: Variable, pinned: dict[str, Any]) -> Any:
    """What an output fits: its own schema, or the kind that it was pinned with.

    No more of its type: a sum that was pinned as 0 may become 0.5.
    """
    if variable.json_schema is not None:
        return variable.json_schema
    known = pinned.get(variable.name)
    kind = known.get("type") if isinstance(known, dict) else None
    if not isinstance(kind, str) or kind == "null":
        return None
    return {"type": "number" if kind == "integer" else kind}


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _distinct(variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    names = [variable.name for variable in variables]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"named more than once: {', '.join(repeated)}")
    return variables


# A name alone, or a name with its JSON Schema.
Variables = Annotated[
    tuple[
        Annotated[
            Variable,
            BeforeValidator(_from_name, json_schema_input_type=VariableName | Variable),
        ],
        ...,
    ],
    Field(max_length=VARIABLES_MAX),
    AfterValidator(_distinct),
]
