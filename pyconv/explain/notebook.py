"""A trace drawn in a notebook: the walk of the terminal, in tables of HTML."""

import html
from typing import TYPE_CHECKING

from ..tables import shape_text
from .cells import COLOURS, Cell, Grid, grids

if TYPE_CHECKING:
    from .trace import Step, Trace

WIDTH = 160  # characters; wider tables are abridged
SPACE = "padding:0.15em 0.5em;text-align:center"
HEAD = f'<th style="{SPACE};font-weight:normal;opacity:.7">'


def as_html(trace: "Trace") -> str:
    """The steps of a trace, for the output of a notebook's cell."""
    steps = "".join(_step(number, step) for number, step in enumerate(trace, 1))
    return f"<div><p><b>{html.escape(trace.title)}</b></p>{steps}</div>"


def _step(number: int, step: "Step") -> str:
    code, shape = html.escape(step.code), html.escape(shape_text(step.shape))
    parts = [f"<p>{number}. <code>{code}</code> <b>{shape}</b><br>"]
    lines = (*step.rule.splitlines(), *step.example.splitlines())
    parts.append("<br>".join(f"<small>{html.escape(line)}</small>" for line in lines) + "</p>")
    if step.shown and step.array.size:
        for line in grids(step, WIDTH, values=True):
            parts.append('<div style="display:flex;gap:1em;overflow-x:auto;align-items:center">')
            parts += ["<span>…</span>" if grid is None else _table(grid) for grid in line]
            parts.append("</div>")
    return "".join(parts)


def _table(grid: Grid) -> str:
    parts = ['<table style="border-collapse:collapse;margin:0.3em 0">']
    if grid.title:
        parts.append(f"<caption>{html.escape(grid.title)}</caption>")
    if grid.column_heads:
        corner = html.escape(" \\ ".join(grid.corner)) if grid.row_heads else ""
        heads = [f"{HEAD}{corner}</th>"] * bool(grid.row_heads)
        heads += [f"{HEAD}{html.escape(head or '…')}</th>" for head in grid.column_heads]
        parts.append(f"<tr>{''.join(heads)}</tr>")
    for place, row in enumerate(grid.rows):
        head = f"{HEAD}{html.escape(grid.row_heads[place] or '⋮')}</th>" if grid.row_heads else ""
        cells = "<td>…</td>" if row is None else "".join(map(_cell, row))
        parts.append(f"<tr>{head}{cells}</tr>")
    return "".join([*parts, "</table>"])


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td>…</td>"
    colour = COLOURS[cell.group % len(COLOURS)]
    # light enough to stand behind dark and light letters
    style = f"{SPACE};border:1px solid #8886;"
    style += "opacity:.5" if cell.padding else f"background:{colour}4d"
    first, *rest = map(html.escape, cell.lines)
    if cell.won:
        first = f"<b>[{first}]</b>"
    return (
        f'<td style="{style}">{"<br>".join([first, *(f"<small>{r}</small>" for r in rest)])}</td>'
    )
