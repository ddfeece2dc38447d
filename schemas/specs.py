"""NodeSpec: all that somebody wants of a node."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from schemas.ids import Digest, digest_of, floats_as_text
from schemas.instance_types import InstanceTypeName
from schemas.signatures import Variables

CELL_CHARACTERS_MAX = 256 * 1024
INSTANCES_MAX = 1000
ENVIRONMENT_VARIABLES_MAX = 128

_Frozen = ConfigDict(frozen=True, extra="forbid")
EnvironmentVariable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class Instances(BaseModel):
    """How many: `min` healthy ones make the node HEALTHY, `want` are kept."""

    model_config = _Frozen

    min: int = Field(default=1, ge=1, le=INSTANCES_MAX)
    want: int = Field(default=1, ge=1, le=INSTANCES_MAX)

    @model_validator(mode="after")
    def _min_fits(self) -> Self:
        if self.min > self.want:
            raise ValueError(f"min ({self.min}) is more than want ({self.want})")
        return self


class Probe(BaseModel):
    """How an instance's health is asked for."""

    model_config = _Frozen

    interval_seconds: float = Field(default=1.0, ge=0.05, le=300)
    timeout_seconds: float = Field(default=1.0, ge=0.05, le=60)
    fails: int = Field(default=3, ge=1, le=100)  # Failed probes in a row make it UNHEALTHY.
    passes: int = Field(default=2, ge=1, le=100)  # Passed ones in a row bring it back.


class Requirements(BaseModel):
    """An environment built from a list of packages."""

    model_config = _Frozen

    requirements: tuple[str, ...] = Field(min_length=1, max_length=500)


class Image(BaseModel):
    """An environment that is a container image."""

    model_config = _Frozen

    image: str = Field(min_length=1, max_length=512)


Environment = Literal["here", "standard", "captured"] | Requirements | Image


class NodeSpec(BaseModel):
    """What is wanted of a node; what is observed is never in here."""

    model_config = _Frozen

    checkpoint: Digest  # Over HTTP also the name of a pin, which becomes its digest of today.
    cell: str = Field(min_length=1, max_length=CELL_CHARACTERS_MAX)  # Python, once a request.
    inputs: Variables = ()  # Set by each request; typed as in the checkpoint unless said here.
    outputs: Variables = ()  # What answers it.
    instances: Instances = Instances()
    instance_type: InstanceTypeName = "small"  # Which there are is the operator's table.
    environment: Environment = "here"
    state: Literal["shared", "fresh"] = "shared"  # Seen by the next request, or thrown away.
    idempotent: bool = False  # A request may be executed twice: it is sent again after a failure.
    deadline_seconds: float = Field(default=60.0, ge=0.01, le=3600)  # For one request.
    start_timeout_seconds: float = Field(default=120.0, ge=0.1, le=3600)  # Then it is in trouble.
    replace_after_seconds: float = Field(default=10.0, ge=0, le=3600)  # Of being UNHEALTHY.
    probe: Probe = Probe()
    queue_max: int = Field(default=1000, ge=0, le=100_000)  # Requests that may wait in a gateway.
    errors: Literal["full", "brief"] = "full"  # Whether callers see the traceback of the cell.
    env: dict[EnvironmentVariable, str] = Field(
        default_factory=dict, max_length=ENVIRONMENT_VARIABLES_MAX
    )  # Of the cell's process.
    secrets: tuple[EnvironmentVariable, ...] = Field(default=(), max_length=64)


def revision_of(spec: NodeSpec, recreations: int) -> str:
    """The digest of all that an instance is made of; only a new one replaces instances."""
    made_of = spec.model_dump(
        mode="json",
        by_alias=True,
        include={
            "checkpoint",
            "cell",
            "inputs",
            "outputs",
            "environment",
            "instance_type",
            "state",
            "env",
            "secrets",
        },
    )
    return digest_of({"made_of": floats_as_text(made_of), "recreations": recreations})
