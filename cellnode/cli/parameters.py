"""What several commands take alike: the server, how long to wait, a node's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any

from cyclopts import Group, Parameter

SERVER = Group("Server", sort_key=90)
WAIT_SECONDS = 120.0

# The library's older versions, which Python 3.10 gets, complete no values and name no shapes.
_KNOWN = set(signature(Parameter).parameters)


def option(help: str, *names: str, **more: Any) -> Parameter:
    """One parameter of a command, with its line in the help."""
    wanted = {"help": help, "name": names or None, **more}
    return Parameter(**{key: value for key, value in wanted.items() if key in _KNOWN})


def names_of(kind: str) -> Callable[[Any], list[tuple[str, str]]]:
    """Complete names by asking the server, within a short deadline."""

    def names(context: Any) -> list[tuple[str, str]]:
        from cellnode.cli.names import known_names

        return known_names(kind, context["url"].raw, context["project"].raw)

    return names


NodeName = Annotated[str, option("The node's name.", completer=names_of("nodes"))]


@Parameter(name="*", group=SERVER)
@dataclass(frozen=True)
class Server:
    """Whom to ask, and in which form to tell."""

    url: Annotated[
        str | None,
        option(
            "Where the server is. Default: $CELLNODE_URL, else the one started here by `up`, "
            "else http://127.0.0.1:8080.",
            metavar="URL",
        ),
    ] = None
    project: Annotated[
        str | None,
        option("Whose nodes. Default: $CELLNODE_PROJECT, else `default`.", metavar="NAME"),
    ] = None
    json: Annotated[bool, option("Print the api's JSON instead of text.")] = False


@Parameter(name="*")
@dataclass(frozen=True)
class Waiting:
    """Whether to wait until the command has its effect, and for how long."""

    no_wait: Annotated[bool, option("Return as soon as the command is sent.")] = False
    timeout: Annotated[
        float, option(f"How long to wait; default: {WAIT_SECONDS:g}.", metavar="SECONDS")
    ] = WAIT_SECONDS


HERE = Server()
PATIENT = Waiting()
