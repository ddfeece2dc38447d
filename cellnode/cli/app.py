"""All commands and their options; a command's own module is imported when it is called."""

from __future__ import annotations

from cyclopts import App, Group, Parameter
from rich.console import Console

from cellnode.cli.exits import IN_A_LINE, MEANINGS
from cellnode.cli.help_layout import Layout

HELP_COLUMNS = 80
START = Group("Start", sort_key=1)
LOOK = Group("Look", sort_key=2)
CHANGE = Group("Change", sort_key=3)
STORE = Group("What is stored and offered", sort_key=4)
MORE = Group("More", sort_key=99)

COMMANDS = {
    "up": ("cellnode.cli.up:up", START),
    "deploy": ("cellnode.cli.deploy:deploy", START),
    "call": ("cellnode.cli.call:call", START),
    "ls": ("cellnode.cli.looking:ls", LOOK),
    "show": ("cellnode.cli.looking:show", LOOK),
    "why": ("cellnode.cli.looking:why", LOOK),
    "logs": ("cellnode.cli.following:logs", LOOK),
    "events": ("cellnode.cli.following:events", LOOK),
    "scale": ("cellnode.cli.changing:scale", CHANGE),
    "suspend": ("cellnode.cli.changing:suspend", CHANGE),
    "resume": ("cellnode.cli.changing:resume", CHANGE),
    "recreate": ("cellnode.cli.changing:recreate", CHANGE),
    "rm": ("cellnode.cli.changing:rm", CHANGE),
    "types": ("cellnode.cli.stored:types", STORE),
    "usage": ("cellnode.cli.spending:usage", STORE),
    "completion": ("cellnode.cli.completion:completion", MORE),
}
FAMILIES = {
    "pins": ("cellnode.cli.stored:pins", STORE),
    "checkpoint": ("cellnode.cli.stored:checkpoint", STORE),
}
USAGES = {
    "call": "cellnode call [OPTIONS] NODE [NAME=VALUE...]",
    "events": "cellnode events [OPTIONS] [NODE]",
}
# Typed by those who know other programs; each is answered with ours.
SYNONYMS = {
    "up": ("start", "serve", "run", "server"),
    "deploy": ("apply", "create", "push"),
    "call": ("invoke", "execute", "predict", "request"),
    "ls": ("list", "ps", "status", "nodes", "get"),
    "show": ("describe", "inspect", "info"),
    "why": ("explain", "diagnose", "doctor"),
    "logs": ("log", "tail"),
    "events": ("watch", "event"),
    "suspend": ("stop", "pause"),
    "resume": ("unpause", "continue"),
    "recreate": ("restart", "reset"),
    "rm": ("delete", "remove", "destroy"),
    "types": ("instance-types",),
    "usage": ("cost", "costs", "spent", "bill", "billing"),
    "pins": ("pin",),
    "checkpoint": ("checkpoints",),
}


def _codes() -> str:
    lines = (f"  {code:<13}{meaning}" for code, meaning in MEANINGS.items())
    return "\n".join(["Exit codes", *lines])


def build() -> App:
    """The application, with nothing imported but its names."""
    app = App(
        name="cellnode",
        help="Turn a notebook cell into a load-balanced network service.",
        usage="cellnode COMMAND [OPTIONS]",
        help_formatter=Layout(),
        help_format="plaintext",
        help_epilogue=_codes(),
        default_parameter=Parameter(negative=(), show_default=False, show_choices=False),
        group_arguments=Group("Arguments", sort_key=1),
        group_parameters=Group("Options", sort_key=2),
        version_flags=["--version"],
    )
    for flag in ("--help", "--version"):
        app[flag].group = (MORE,)
    app["--help"].help = "Show this help; `cellnode COMMAND --help` shows a command's."
    app["--version"].help = "Show the version."
    for place, (name, (path, group)) in enumerate(COMMANDS.items()):
        app.command(
            path, name=name, group=group, sort_key=place,
            usage=USAGES.get(name), help_epilogue=IN_A_LINE,
        )  # fmt: skip
    for name, (path, group) in FAMILIES.items():
        app.command(path, name=name, group=group)
    return app


def help_page(words: tuple[str, ...], *, colours: bool, columns: int = HELP_COLUMNS) -> str:
    """The help of one command, or of all, as it is printed."""
    app = build()
    app.resolved_commands()
    console = Console(
        width=columns,
        force_terminal=colours,
        color_system="standard" if colours else None,
        highlight=False,
        legacy_windows=False,
    )
    with console.capture() as captured:
        app.help_print(list(words), console=console)
    lines = (line.rstrip() for line in captured.get().rstrip().splitlines())
    return "\n".join(lines) + "\n"
