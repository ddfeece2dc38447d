"""Options of `deploy` that stand over what its file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from cellnode.cli.exits import wrong_usage
from cellnode.cli.parameters import names_of, option


@Parameter(name="*")
@dataclass(frozen=True)
class Overrides:
    """What is given on the line; None where the file decides."""

    node: Annotated[
        str | None, option("Of several marked cells only this node's.", metavar="NAME")
    ] = None
    name: Annotated[str | None, option("Another name for the node.", metavar="NAME")] = None
    checkpoint: Annotated[
        str | None,
        option(
            "Another checkpoint for a spec: a digest, or a pin's name.",
            metavar="REFERENCE",
            completer=names_of("pins"),
        ),
    ] = None
    inputs: Annotated[
        str | None, option("The input variables, with commas between them.", metavar="NAMES")
    ] = None
    outputs: Annotated[
        str | None, option("The output variables, with commas between them.", metavar="NAMES")
    ] = None
    min: Annotated[
        int | None, option("How many healthy instances make the node HEALTHY.", metavar="N")
    ] = None
    want: Annotated[int | None, option("How many instances are kept.", metavar="N")] = None
    type: Annotated[
        str | None, option("The instance type; `cellnode types` lists them.", metavar="TYPE")
    ] = None
    idempotent: Annotated[
        bool | None,
        option(
            "A request may be executed twice: it is sent again after a failure.",
            negative="--no-idempotent",
        ),
    ] = None
    deadline: Annotated[
        float | None, option("How long one request may take.", metavar="SECONDS")
    ] = None
    env: Annotated[
        list[str] | None,
        option("An environment variable of the cell; may be repeated.", metavar="KEY=VALUE"),
    ] = None

    def over(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The spec with these in it."""
        given = {
            "checkpoint": self.checkpoint,
            "instance_type": self.type,
            "idempotent": self.idempotent,
            "deadline_seconds": self.deadline,
        }
        changed = {**spec, **{name: value for name, value in given.items() if value is not None}}
        for name, text in (("inputs", self.inputs), ("outputs", self.outputs)):
            if text is not None:
                changed[name] = variables(text, spec.get(name) or ())
        if self.min is not None or self.want is not None:
            changed["instances"] = self._instances(spec.get("instances") or {})
        if self.env:
            changed["env"] = {**(spec.get("env") or {}), **dict(map(pair, self.env))}
        return changed

    def _instances(self, before: Mapping[str, Any]) -> dict[str, int]:
        """One alone moves the other no further than it must."""
        least, want = int(before.get("min", 1)), int(before.get("want", 1))
        if self.min is not None:
            least = self.min
            want = max(want, least) if self.want is None else self.want
        elif self.want is not None:
            want = self.want
            least = min(least, want)
        return {"min": least, "want": want}


def variables(text: str, before: Any) -> list[Any]:
    """Names with commas between them; one that the file described keeps its description."""
    known = {each["name"]: each for each in before if isinstance(each, Mapping) and "name" in each}
    names = [name for name in text.replace(",", " ").split() if name]
    return [known.get(name, name) for name in names]


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise wrong_usage(f"--env: {text!r} is not KEY=VALUE")
    return key, value
