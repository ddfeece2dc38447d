"""`%%node` and `%node`, as IPython calls them."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.display import display as ipython_display

from cellnode import marks
from cellnode.client import Client
from cellnode.errors import CellnodeError, MarkError
from cellnode.notebook import panel
from cellnode.notebook.deploying import deploy_cell, leave
from cellnode.notebook.display import calls_of
from cellnode.notebook.refusals import GOES_ON, NodeRefused, refusal
from cellnode.notebook.shown import Show, Shown
from cellnode.shared import shared_client

COMPLETION_SECONDS_MAX = 0.5
USAGE = f"""%%node {marks.USAGE}
    make the cell a node: what it reads is pinned, and each request runs it once
%node ls            the nodes there are
%node show NAME     one of them, with its instances
%node logs NAME     the last lines that its instances wrote
%node rm NAME       remove it"""
VERBS = ("ls", "show", "logs", "rm")


display: Any = ipython_display  # IPython says nothing of its types.


@magics_class
class NodeMagics(Magics):
    """Everything goes through the SDK; the notebook only shows it."""

    @property
    def _at(self) -> Any:
        """The running shell; a magic has one for certain."""
        return self.shell

    @line_cell_magic
    def node(self, line: str, cell: str | None = None) -> Any:
        """Make a cell a node, or look after nodes; `%node` alone says how."""
        try:
            return self._look(line) if cell is None else self._deploy(line, cell)
        except CellnodeError as error:
            raise refusal(error) from None

    def _deploy(self, line: str, cell: str) -> None:
        mark = marks.parse(line)
        namespace = self._at.user_ns
        shown = Shown(mark.node, _place(self._at))
        try:
            node = deploy_cell(mark, cell, namespace, client=shared_client(), shown=shown)
        except KeyboardInterrupt:
            told = GOES_ON.format(name=mark.node)
            shown.ended(wrong=told)
            raise NodeRefused(told) from None
        except CellnodeError:
            shown.doing = "not deployed"
            shown.ended()
            raise
        variable = leave(node, namespace)
        shown.note(f"The node is in the variable {variable}.")
        shown.ended(calls_of(node, mark.inputs, namespace))

    def _look(self, line: str) -> None:
        verb, *names = shlex.split(line) or [""]
        if verb == "ls" and not names:
            self._list()
        elif verb in VERBS and len(names) == 1:
            {"show": self._show, "logs": self._logs, "rm": self._remove}[verb](names[0])
        elif verb:
            raise MarkError(f"%node {line.strip()} is not understood:\n{USAGE}")
        else:
            print(USAGE)

    def _list(self) -> None:
        nodes = shared_client().nodes()
        if not nodes:
            print("There is no node yet; %%node makes one of a cell.")
            return
        lines = (
            f"{each.node:<24} {panel.status_of(each):<10} {panel.healthy_of(each)}"
            for each in nodes
        )
        _display(panel.table(nodes), "\n".join(lines))

    def _show(self, name: str) -> None:
        display(shared_client().node(name))

    def _logs(self, name: str) -> None:
        for each in shared_client().node(name).logs():
            print(f"{each.instance} | {each.line}")

    def _remove(self, name: str) -> None:
        shown = Shown(name, _place(self._at))
        shown.step("removing")
        shared_client().node(name).delete(on_progress=shown.progress)
        shown.view, shown.doing = None, "gone"
        shown.ended()
        if _place(self._at) is None:
            print(f"{name} is gone")


def load(shell: Any) -> None:
    """What `%load_ext cellnode` does."""
    shell.register_magics(NodeMagics)
    for word in ("%node", "%%node"):
        shell.set_hook("complete_command", _completed, str_key=word)


def _completed(_: Any, event: Any) -> list[str]:
    """Verbs, then names of nodes; nothing where the server is not at hand."""
    words = event.line.split()
    if len(words) < 2 or (len(words) == 2 and event.symbol):
        return list(VERBS)
    with suppress(CellnodeError):
        known = shared_client()
        with Client(
            known.url, project=known.project, timeout_seconds=COMPLETION_SECONDS_MAX
        ) as client:
            return [each.node for each in client.nodes()]
    return []


def _place(shell: Any) -> Show | None:
    """Where an output can change in place: notebooks of all kinds, but no terminal."""
    if not hasattr(shell, "kernel"):
        return None
    handle: Any = None

    def show(bundle: dict[str, str]) -> None:
        nonlocal handle
        if handle is None:
            handle = display(bundle, raw=True, display_id=True)
        else:
            handle.update(bundle, raw=True)

    return show


def _display(html: str, text: str) -> None:
    display({"text/html": html, "text/plain": text}, raw=True)
