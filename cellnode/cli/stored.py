"""`pins`, `checkpoint` and `types`: what the server keeps, and what it offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App
from rich.text import Text

from cellnode.cli import exits, words
from cellnode.cli.connection import connected
from cellnode.cli.diffing import differences
from cellnode.cli.exits import IN_A_LINE, CommandFailed, wrong_usage
from cellnode.cli.parameters import HERE, Server, names_of, option
from cellnode.cli.screen import Screen

if TYPE_CHECKING:
    from cellnode.client import Client

DIGEST_CHARACTERS = 64
LABEL_COLUMNS = 12
PinName = Annotated[str, option("The pin's name.", completer=names_of("pins"))]
Digest = Annotated[
    str,
    option("The checkpoint's digest; its first characters do.", completer=names_of("checkpoints")),
]
Reference = Annotated[
    str, option("A pin's name, or a checkpoint's digest.", completer=names_of("pins"))
]

pins = App(
    name="pins",
    help="List the pins (names for checkpoints), or remove one.",
    help_epilogue=IN_A_LINE,
)
checkpoint = App(
    name="checkpoint",
    help="List, show, compare and remove checkpoints (pinned states).",
    help_epilogue=IN_A_LINE,
)


@pins.default
def list_pins(*, server: Server = HERE) -> None:
    """List the pins: names for checkpoints, who made them, when, and from what."""
    screen = Screen(as_json=server.json)
    with connected(server) as client:
        found = list(client.pins())
    if screen.as_json:
        return screen.json({"pins": [pin.to_json() for pin in found]})
    if not found:
        return screen.say("There are no pins here yet; `cellnode.pin()` in a notebook makes one.")
    rows = (
        (
            Text(pin.name, "name"),
            words.short(pin.digest),
            f"{words.age(pin.at)} ago",
            pin.by,
            pin.notebook or "",
        )
        for pin in found
    )
    return screen.table(("PIN", "CHECKPOINT", "MADE", "BY", "FROM"), rows)


@pins.command(name="rm")
def remove_pin(name: PinName, /, *, server: Server = HERE) -> None:
    """Remove a pin; the checkpoint that it names stays."""
    screen = Screen(as_json=server.json)
    with connected(server) as client:
        client.remove_pin(name)
    if screen.as_json:
        return screen.json({"name": name})
    return screen.say(f"pin {name} is removed; its checkpoint stays")


@checkpoint.command(name="ls")
def list_checkpoints(*, server: Server = HERE) -> None:
    """List the checkpoints, the newest first."""
    screen = Screen(as_json=server.json)
    with connected(server) as client:
        found = list(client.checkpoints())
    if screen.as_json:
        return screen.json({"checkpoints": [each.to_json() for each in found]})
    if not found:
        return screen.say(
            "There are no checkpoints here yet; `cellnode.pin()` in a notebook makes one."
        )
    rows = (
        (
            Text(words.short(each.digest), "name"),
            words.size(each.bytes),
            f"{words.age(each.at)} ago",
            each.python,
            ", ".join(each.pins),
            ", ".join(each.variables),
        )
        for each in found
    )
    return screen.table(("CHECKPOINT", "SIZE", "MADE", "PYTHON", "PINS", "VARIABLES"), rows)


@checkpoint.command(name="show")
def show_checkpoint(digest: Digest, /, *, server: Server = HERE) -> None:
    """Show the variables of a checkpoint, and what it needs to be loaded."""
    screen = Screen(as_json=server.json)
    with connected(server) as client:
        whole = whole_digest(client, digest)
        manifest = client.checkpoint(whole)
    if screen.as_json:
        return screen.json(manifest)
    return tell_manifest(screen, whole, manifest)


@checkpoint.command(name="diff")
def diff_checkpoints(
    before: Reference, after: Reference | None = None, /, *, server: Server = HERE
) -> None:
    """Say what two checkpoints hold differently.

    Each is a pin's name or a digest. With one pin alone it is compared with what the pin named
    before. Nothing is loaded: which variable of several that lie together has changed is not seen.
    """
    screen = Screen(as_json=server.json)
    with connected(server) as client:
        digests = pair_of(client, before, after)
        found = differences(*(client.checkpoint(digest) for digest in digests))
    if screen.as_json:
        told = [each.to_json() for each in found]
        return screen.json({"before": digests[0], "after": digests[1], "differences": told})
    if not found:
        return screen.say("They hold the same.")
    rows = [
        (
            each.kind,
            Text(each.name, "name"),
            each.change,
            each.before or "",
            each.after or "",
            each.note,
        )
        for each in found
    ]
    return screen.table(("WHAT", "NAME", "CHANGE", "BEFORE", "AFTER", "NOTE"), rows)


@checkpoint.command(name="rm")
def remove_checkpoint(digest: Digest, /, *, server: Server = HERE) -> None:
    """Remove a checkpoint that no node and no pin refers to."""
    screen = Screen(as_json=server.json)
    with connected(server) as client:
        removed = client.remove_checkpoint(whole_digest(client, digest))
    if screen.as_json:
        return screen.json(removed.to_json())
    freed = f"{words.size(removed.freed_bytes)} freed"
    kept = f", {words.size(removed.kept_bytes)} kept for others" if removed.kept_bytes else ""
    return screen.say(f"checkpoint {words.short(removed.digest)} is removed: {freed}{kept}")


def pair_of(client: Client, before: str, after: str | None) -> tuple[str, str]:
    """The digests of both; of one pin alone: of what it named before, and of what it names."""
    pins = {pin.name: pin for pin in client.pins()}

    def digest_of(reference: str) -> str:
        return pins[reference].digest if reference in pins else whole_digest(client, reference)

    if after is not None:
        return digest_of(before), digest_of(after)
    pin = pins.get(before)
    if pin is None or pin.parent is None:
        raise wrong_usage(
            f"{before} is no pin that has named another checkpoint before",
            "name two checkpoints, or pins, to compare",
        )
    return pin.parent, pin.digest


def whole_digest(client: Client, digest: str) -> str:
    """Of a digest's first characters: enough to be one checkpoint's alone."""
    if len(digest) >= DIGEST_CHARACTERS:
        return digest
    found = [each.digest for each in client.checkpoints() if each.digest.startswith(digest)]
    if len(found) > 1:
        raise wrong_usage(
            f"{len(found)} checkpoints begin with {digest}", "give more of the digest"
        )
    if not found:
        raise CommandFailed(
            f"no checkpoint begins with {digest}",
            next_step="see which there are: cellnode checkpoint ls",
            code=exits.NOT_FOUND,
        )
    return found[0]


def tell_manifest(screen: Screen, digest: str, manifest: dict[str, Any]) -> None:
    """Variables as a table; the Python and the packages in a line each."""
    python, packages = manifest["python"], manifest.get("packages") or {}
    facts = {
        "checkpoint": digest,
        "python": f"{python['implementation']} {python['version']} ({python['executable']})",
        "platform": " ".join(manifest["platform"].values()),
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items()) or "none",
    }
    for label, value in facts.items():
        screen.say((label.ljust(LABEL_COLUMNS), "quiet"), value)
    screen.say("")
    rows = [
        (Text(each["name"], "name"), each["type"], words.size(each["bytes"]))
        for each in manifest.get("variables", ())
    ]
    rows += [
        (Text(each["name"], "name"), f"module {each['module']}", "")
        for each in manifest.get("modules", ())
    ]
    screen.table(("VARIABLE", "TYPE", "SIZE"), rows)


def types(*, server: Server = HERE) -> None:
    """List the instance types, and what an hour of each costs."""
    screen = Screen(as_json=server.json)
    with connected(server) as client:
        found = list(client.instance_types())
    if screen.as_json:
        return screen.json({"instance_types": [each.to_json() for each in found]})
    rows = (
        (
            Text(each.name, "name"),
            str(each.cpu_count),
            words.size(each.memory_bytes),
            f"{each.units_per_hour:g}",
        )
        for each in found
    )
    return screen.table(("TYPE", "CPUS", "MEMORY", "UNITS/H"), rows)
