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


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _distinct(variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    names = [variable.name for variable in variables]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"named more than once: {', '.join(repeated)}")
    return variables


# A name alone, or a name with its JSON Schema.
Variables = Annotated[
    tuple[Annotated[Variable, BeforeValidator(_from_name)], ...],
    Field(max_length=VARIABLES_MAX),
    AfterValidator(_distinct),
]
