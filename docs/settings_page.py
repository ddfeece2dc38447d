"""Every setting of every service as a page."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable

from docs import texts
from docs.render import comment, shown, table, words
from services.chassis.settings import SHARED, Settings

SERVICES = ("provisioner", "health", "api", "gateway", "annotations", "embedded")


def settings_of(service: str) -> type[Settings]:
    module = importlib.import_module(f"services.{service}.settings")
    return next(
        kind for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Settings)
        and kind.__module__ == module.__name__
    )  # fmt: skip


def setting_rows(model: type[Settings], prefix: str, names: Iterable[str]) -> str:
    schema = model.model_json_schema()
    rows = (
        (
            f"`{prefix}{name.upper()}`",
            words(schema["properties"][name], schema.get("$defs", {})),
            default_of(model, name),
            comment(model, name),
        )
        for name in names
    )
    return table(("variable", "type", "default", "meaning"), rows)


def default_of(model: type[Settings], name: str) -> str:
    """Nothing where the comment has to say it."""
    value = model.model_json_schema()["properties"][name].get("default")
    return "" if comment(model, name).startswith("Default:") else f"`{shown(value)}`"


def reference() -> str:
    shared = [name for name in Settings.model_fields if name.upper() in SHARED]
    common = [name for name in Settings.model_fields if name.upper() not in SHARED]
    parts = [
        texts.SETTINGS.strip(),
        "## Read by every service",
        setting_rows(Settings, "", shared),
        "## Of every service, under its own prefix",
        setting_rows(Settings, "CELLNODE_<SERVICE>_", common),
    ]
    for service in SERVICES:
        model = settings_of(service)
        own = list(inspect.get_annotations(model))  # Its own, and shared ones with another default.
        parts += [f"## {service}", setting_rows(model, f"CELLNODE_{service.upper()}_", own)]
    return "\n\n".join(parts)
