"""What two checkpoints hold differently, from their manifests alone: nothing is unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """Of one name: what it was and what it is; None where it is not there."""

    kind: str  # variable, module, package, python or platform.
    name: str
    before: str | None
    after: str | None
    note: str = ""

    @property
    def change(self) -> str:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "change": self.change,
            "before": self.before,
            "after": self.after,
            "note": self.note,
        }


def differences(before: Manifest, after: Manifest) -> list[Difference]:
    """Variables first, then what loading them needs; empty if both hold the same."""
    return [
        *_variables(before, after),
        *_named("module", _modules(before), _modules(after)),
        *_named("python", _python(before), _python(after)),
        *_named("platform", before["platform"], after["platform"]),
        *_named("package", before.get("packages") or {}, after.get("packages") or {}),
    ]


def _named(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Difference(kind, name, before.get(name), after.get(name))


def _python(manifest: Manifest) -> dict[str, str]:
    return {name: str(manifest["python"][name]) for name in ("implementation", "version")}


def _modules(manifest: Manifest) -> dict[str, str]:
    return {each["name"]: each["module"] for each in manifest.get("modules", ())}


def _variables(before: Manifest, after: Manifest) -> Iterator[Difference]:
    old, new = _by_name(before), _by_name(after)
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was is None or now is None or _shown(was) != _shown(now):
            yield Difference("variable", name, _shown(was), _shown(now))
        elif was["content"] != now["content"]:
            others = [each for each in now["together"] if each != name]
            yield Difference("variable", name, _shown(was), _shown(now), _note(others))


def _note(others: list[str]) -> str:
    """A group is one pickle: which of its variables has changed is not seen from outside."""
    return f"it, or what it lies together with: {', '.join(others)}" if others else "another value"


def _by_name(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Each variable with what its group is made of, and who else is in it."""
    together: dict[int, list[str]] = {}
    for each in manifest.get("variables", ()):
        together.setdefault(each["group"], []).append(each["name"])
    contents = [
        [group["blob"]["sha256"], *(part["sha256"] for part in group["buffers"])]
        for group in manifest["groups"]
    ]
    return {
        each["name"]: {
            **each,
            "content": contents[each["group"]],
            "together": together[each["group"]],
        }
        for each in manifest.get("variables", ())
    }


def _shown(variable: dict[str, Any] | None) -> str | None:
    return None if variable is None else f"{variable['type']}, {variable['bytes']} bytes"
