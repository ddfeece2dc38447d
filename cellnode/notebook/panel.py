"""A node as HTML for a notebook: readable without scripts, network or style sheets of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from cellnode.cli import words
from cellnode.telling import why

if TYPE_CHECKING:
    from cellnode.models import InstanceView, NodeView

INSTANCES_SHOWN_MAX = 20
EVIDENCE_CHARACTERS_MAX = 1500
# White text on these is readable in light and dark themes alike.
COLOURS: Mapping[str, str] = {
    "HEALTHY": "#1a7f37",
    "UNHEALTHY": "#c4342b",
    "DELETING": "#6e7781",
    "SUSPENDED": "#6e7781",
    "GONE": "#6e7781",
}
UNDER_WAY = "#9a6700"
_STYLE = """<style>
.cellnode{font-family:system-ui,sans-serif;font-size:13px;line-height:1.5;max-width:52rem;
border:1px solid rgba(128,128,128,.35);border-radius:8px;padding:10px 14px;margin:4px 0}
.cellnode .head{display:flex;gap:10px;align-items:baseline;flex-wrap:wrap}
.cellnode .name{font-weight:600;font-size:15px}
.cellnode .pill{color:#fff;border-radius:9px;padding:1px 9px;font-size:11px;font-weight:600;
letter-spacing:.02em;white-space:nowrap}
.cellnode .quiet{opacity:.7}
.cellnode table{border-collapse:collapse;margin:8px 0 2px;font-size:12px}
.cellnode td{padding:2px 14px 2px 0!important;text-align:left!important;vertical-align:top;
border:0!important;background:none!important}
.cellnode pre{margin:2px 0;white-space:pre-wrap;font-size:11px;opacity:.85}
.cellnode .call{display:flex;gap:8px;align-items:flex-start;margin-top:6px}
.cellnode .call code{flex:1;padding:5px 9px;border-radius:5px;background:rgba(128,128,128,.13);
font-size:12px;white-space:pre-wrap;overflow-wrap:anywhere;user-select:all;color:inherit}
.cellnode .call button{font-size:11px;padding:3px 9px;border-radius:5px;cursor:pointer;
border:1px solid rgba(128,128,128,.45);background:none;color:inherit}
.cellnode tr{background:none!important}
.cellnode .wrong{color:#d1453b;white-space:pre-wrap}
</style>"""
_COPY = (
    "navigator.clipboard.writeText(this.previousElementSibling.innerText)"
    ".then(()=>{this.textContent='copied'})"
)


def panel(
    view: NodeView | None,
    name: str,
    *,
    doing: str = "",
    calls: Sequence[str] = (),
    notes: Iterable[str] = (),
    wrong: str = "",
) -> str:
    """A node, or one that is being made while there is no view yet.

    Args:
        doing: what goes on, beside the status.
        calls: lines to copy, each a call of the node.
        notes: sentences about the node.
        wrong: why it did not work.
    """
    parts = [_head(view, name, doing)]
    if view is not None:
        parts.append(_instances(view.instances))
    parts += [f'<div class="quiet">{escape(note)}</div>' for note in notes]
    if wrong:
        parts.append(f'<div class="wrong" role="alert">{escape(wrong)}</div>')
    parts += map(_call, calls)
    return f'{_STYLE}<div class="cellnode">{"".join(parts)}</div>'


def table(nodes: Iterable[NodeView]) -> str:
    """Nodes in rows."""
    rows = "".join(
        f"<tr><td><b>{escape(node.node)}</b></td><td>{pill(status_of(node))}</td>"
        f"<td>{healthy_of(node)}</td><td>{node.cost.units_per_hour:g} units an hour</td>"
        f'<td class="quiet">{escape(_sentence(node))}</td></tr>'
        for node in nodes
    )
    return f'{_STYLE}<div class="cellnode"><table>{rows}</table></div>'


def pill(status: str) -> str:
    colour = COLOURS.get(status, UNDER_WAY)
    return f'<span class="pill" style="background:{colour}">{escape(status)}</span>'


def status_of(view: NodeView) -> str:
    return "CREATED" if view.status is None else str(view.status.status)


def healthy_of(view: NodeView) -> str:
    healthy = 0 if view.status is None else view.status.healthy
    return f"{healthy} of {view.spec.instances.want} healthy"


def cost_of(view: NodeView) -> str:
    """What it costs, also when nobody calls it."""
    cost = view.cost
    each = f"{words.units(cost.units_per_hour_each)} an hour each"
    return f"{cost.instance_type}: {each}, {cost.units_per_hour:g} in all, also while it is idle."


def text(view: NodeView, calls: Iterable[str] = ()) -> str:
    """The same for a terminal, a log, a plain-text output."""
    return "\n".join([why(view), cost_of(view), *calls])


def _head(view: NodeView | None, name: str, doing: str) -> str:
    parts = [f'<span class="name">{escape(name)}</span>']
    if view is not None:
        parts += [pill(status_of(view)), f"<span>{healthy_of(view)}</span>"]
    if doing:
        parts.append(f'<span class="quiet">{escape(doing)}</span>')
    head = f'<div class="head">{"".join(parts)}</div>'
    sentence = _sentence(view) if view is not None else ""
    return head + (f'<div class="quiet">{escape(sentence)}</div>' if sentence else "")


def _sentence(view: NodeView) -> str:
    return "" if view.status is None else view.status.sentence


def _instances(instances: Sequence[InstanceView]) -> str:
    rows = "".join(map(_row, instances[:INSTANCES_SHOWN_MAX]))
    if (hidden := len(instances) - INSTANCES_SHOWN_MAX) > 0:
        rows += f'<tr><td colspan="3" class="quiet">and {hidden} more</td></tr>'
    return f"<table>{rows}</table>" if rows else ""


def _row(instance: InstanceView) -> str:
    told = "" if instance.status == "HEALTHY" else escape(instance.sentence)
    if instance.status == "UNHEALTHY":
        told += "".join(
            f"<pre>{escape(name)}: {escape(value.strip()[-EVIDENCE_CHARACTERS_MAX:])}</pre>"
            for name, value in instance.evidence.items()
        )
    return (
        f"<tr><td>{escape(instance.instance)}</td><td>{pill(str(instance.status))}</td>"
        f'<td class="quiet">{told}</td></tr>'
    )


def _call(line: str) -> str:
    return (
        f'<div class="call"><code>{escape(line)}</code>'
        f'<button type="button" onclick="{escape(_COPY)}">copy</button></div>'
    )
