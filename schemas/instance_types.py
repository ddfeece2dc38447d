"""What an instance may use, and what an hour of it costs in units: the operator's table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from schemas.errors import InvalidField, said

INSTANCE_TYPES_MAX = 256
TABLE_CHARACTERS_MAX = 1024 * 1024
_MIB = 1024**2
_GIB = 1024**3
_TIB = 1024**4

InstanceTypeName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-._a-z0-9]{0,61}[a-z0-9])?$")
]


class InstanceType(BaseModel):
    """The limits of one instance."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    cpu_count: int = Field(ge=1, le=1024)
    memory_bytes: int = Field(ge=64 * _MIB, le=64 * _TIB)
    units_per_hour: float = Field(ge=0, le=1_000_000, allow_inf_nan=False)
    files_max: int = Field(default=4096, ge=64, le=1_048_576)
    processes_max: int = Field(default=512, ge=8, le=65_536)
    file_bytes_max: int = Field(default=4 * _GIB, ge=_MIB, le=64 * _TIB)


# Where the operator has given no table of his own.
INSTANCE_TYPES: Mapping[str, InstanceType] = {
    "small": InstanceType(cpu_count=1, memory_bytes=2 * _GIB, units_per_hour=1.0),
    "medium": InstanceType(cpu_count=2, memory_bytes=8 * _GIB, units_per_hour=3.0),
    "large": InstanceType(cpu_count=8, memory_bytes=32 * _GIB, units_per_hour=12.0),
}

_TABLE: TypeAdapter[dict[str, InstanceType]] = TypeAdapter(
    Annotated[
        dict[InstanceTypeName, InstanceType],
        Field(min_length=1, max_length=INSTANCE_TYPES_MAX),
    ]
)


def parse_instance_types(text: str) -> Mapping[str, InstanceType]:
    """The table `{name: {cpu_count, memory_bytes, units_per_hour, ...}}`, in the given order.

    Raises InvalidField that names the first wrong type and field and says what is wrong.
    """
    if len(text) > TABLE_CHARACTERS_MAX:
        raise InvalidField(f"the table is over {TABLE_CHARACTERS_MAX} characters")
    try:
        given = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidField(f"the table is not JSON: {error}", remedy="mend the JSON") from None
    try:
        return _TABLE.validate_python(given)
    except ValidationError as error:
        raise _complaint(error) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} stands there twice")
        found[name] = value
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _complaint(error: ValidationError) -> InvalidField:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"] if part != "[key]")
    is_name = "[key]" in first["loc"]
    where = "the name is not well-formed: " if is_name else ""
    return InvalidField(
        f"{field or 'the table'}: {where}{said(first['msg'])}",
        field=field or None,
        remedy="correct the name" if is_name else "correct the value",
    )
