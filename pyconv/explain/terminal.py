"""The walk through a trace in a terminal: tables of labels, coloured by channel."""

from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..tables import plain_text, shape_text
from .cells import Cell, Grid, grids
from .half_blocks import drawn, in_colour, small

if TYPE_CHECKING:
    from .trace import Step, Trace

# For the channels in turn. Headings tell what colours tell, to those who do not see them.
COLOURS = ("bright_blue", "dark_orange", "green3", "orchid", "cyan3", "gold3")
INDENT = 3
FEW = 100  # numbers
NARROWEST = 30  # characters: no table fits in less


def print_trace(trace: "Trace", console: Console, values: bool = False) -> None:
    """Print the steps of a trace, each with its shape, its rule and its cells.

    Parameters
    ----------
    trace : Trace
    console : Console
        Tables are abridged to its width, which is made `NARROWEST` at least.
    values : bool
        Whether every cell has its number below its label, and not those of small `numbered` steps
        alone.
    """
    console.width = max(console.width, NARROWEST)
    console.print(Text(trace.title, "bold"))
    for number, step in enumerate(trace, 1):
        console.print()
        _print_step(number, step, console, values)


def as_text(trace: "Trace", values: bool, width: int) -> str:
    """What `print_trace` prints, without colours."""
    return plain_text(lambda console: print_trace(trace, console, values), width)


def _print_step(number: int, step: "Step", console: Console, values: bool) -> None:
    code = Text.assemble((f"{number:<{INDENT}}", "dim"), (step.code, "bold"))
    shape = Text(shape_text(step.shape), "bold reverse")
    gap = console.width - code.cell_len - shape.cell_len
    if gap < 2:  # the shape goes below, to the right
        console.print(code)
        code, gap = Text(), max(console.width - shape.cell_len, 0)
    console.print(Text.assemble(code, " " * gap, shape))
    for line in (*step.rule.splitlines(), *step.example.splitlines()):
        console.print(_indented(Text(line, "dim")))
    values = values or (step.numbered and step.array.size <= FEW)
    if step.shown and step.array.size:
        for tables in grids(step, console.width - INDENT, values):
            shown = [
                Text("\n…") if grid is None
                else _picture(step, grid, console) if values and grid.left_out
                else _table(grid)
                for grid in tables
            ]  # fmt: skip
            console.print(_indented(Columns(shown, padding=(0, 2))))


def _indented(what: RenderableType) -> Padding:
    return Padding(what, (0, 0, 0, INDENT))


def _picture(step: "Step", grid: Grid, console: Console) -> RenderableType:
    """An image as a picture, which tells more than the numbers in a corner of it."""
    largest = float(np.abs(step.array).max())
    pixels = drawn(small(step.array[grid.at]), largest, in_colour(console))
    return Group(Text(grid.title, "dim"), pixels)


def _table(grid: Grid) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD if grid.column_heads else box.SQUARE, show_edge=not grid.column_heads,
        padding=(0, 1, 0, 0) if grid.column_heads else (0, 1),
        title=grid.title or None, title_style="dim", show_header=bool(grid.column_heads),
        show_lines=not grid.column_heads and any(len(c.lines) > 1 for c in _cells_of(grid)),
        pad_edge=not grid.column_heads, header_style="dim", min_width=len(grid.title),
    )  # fmt: skip
    if grid.row_heads:
        table.add_column("\n".join(grid.corner[::-1]), style="dim", no_wrap=True)
    for head in grid.column_heads or [""] * len(next(filter(None, grid.rows))):
        # c above fy,fx: so that the head is not wider than the cells
        over = "…" if head is None else head.replace(",", "\n", head.count(",") - 1)
        table.add_column(over, justify="center", no_wrap=True)
    heads = grid.row_heads or [""] * len(grid.rows)
    for head, row in zip(heads, grid.rows, strict=True):
        cells = [Text("…", "dim")] * (len(table.columns) - bool(grid.row_heads))
        if row is not None:
            cells = [Text("…", "dim") if cell is None else _text(cell) for cell in row]
        table.add_row(*([head or "⋮"] if grid.row_heads else []), *cells)
    return table


def _cells_of(grid: Grid) -> list[Cell]:
    return [cell for row in grid.rows if row for cell in row if cell]


def _text(cell: Cell) -> Text:
    first, *rest = cell.lines
    style = "dim" if cell.padding else COLOURS[cell.group % len(COLOURS)]
    if cell.won:
        first, style = f"[{first}]", f"bold {style}"
    return Text("\n").join([Text(first, style), *(Text(line, "dim") for line in rest)])
