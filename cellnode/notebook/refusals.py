"""An error as a notebook shows it: what is wrong and what to do, without our own stack."""

from __future__ import annotations

from cellnode.errors import CellnodeError, ServerUnreachable

GOES_ON = (
    "interrupted; what was asked for goes on. See it with %node show {name}, "
    "remove it with %node rm {name}"
)


class NodeRefused(CellnodeError):
    """Raised out of a magic, so that "run all cells" stops there."""

    def _render_traceback_(self) -> list[str]:
        """IPython shows these lines instead of a traceback."""
        return [f"\x1b[31mcellnode\x1b[0m: {self}"]


def refusal(error: CellnodeError) -> NodeRefused:
    """The error in a sentence, with the next step."""
    if isinstance(error, ServerUnreachable):
        return NodeRefused(
            f"{error.url} does not answer. Start the system in a terminal: cellnode up\n"
            f"or name another one: %env CELLNODE_URL=http://host:port  ({error.reason})"
        )
    return NodeRefused(str(error))
