"""A table that is printed in a terminal and drawn in a notebook from the same cells."""

import html
import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

PREFIXES = {-3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T", 5: "P"}


def amount(number: float, unit: str) -> str:
    """A number as people read it, in three digits: 1.53 ms, 86.4 MFLOP; "" for 0."""
    if not number:
        return ""
    number = float(f"{number:.3g}")  # 999.9 is 1000, and so has the next prefix
    power = min(max(math.floor(math.log10(abs(number)) / 3 + 1e-9), -3), 5)
    scaled = number / 1000**power
    whole_digits = len(str(int(abs(scaled))))
    decimals = max(3 - whole_digits, 0) if power else 0 if unit == "B" else 3 - whole_digits
    return f"{scaled:.{decimals}f} {PREFIXES[power]}{unit}"


def shape_text(shape: Iterable[object]) -> str:
    """A shape as the deck writes it: (N,30,24,24)."""
    return f"({','.join(map(str, shape))})"


def print_whole(table: "RichTable", console: "Console") -> None:
    """Print a table as wide as it is: squeezed into a terminal it would lose digits."""
    before = console.width
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.width = needed
    console.print(table)
    console.width = before


def plain_text(print_to: Callable[["Console"], None], width: int) -> str:
    """What is printed to a terminal of that width, without colour."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False,
        color_system=None, force_terminal=False, force_jupyter=False,
    )  # fmt: skip
    print_to(console)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


@dataclass(frozen=True)
class Table:
    """Cells and what stands around them.

    Attributes
    ----------
    columns : tuple of str
        Their titles.
    words : int
        How many of the first columns hold words, and stand on the left; the others hold numbers.
    rows : list of list of str
    totals : list of str
        The last line, a cell for every column.
    heading : str
        A line above the table.
    notes : list of str
        Sentences below it.
    bars : dict of int to list of float
        Columns whose cells have a bar behind them in a notebook, with its length from 0 to 1.
    """

    columns: tuple[str, ...]
    words: int
    rows: list[list[str]]
    totals: list[str]
    heading: str = ""
    notes: list[str] = field(default_factory=list)
    bars: dict[int, list[float]] = field(default_factory=dict)

    def print(self, console: "Console") -> None:
        """Print it, as wide as it is, between its heading and its notes."""
        from rich import box
        from rich.table import Table as RichTable

        table = RichTable(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
        for place, (title, total) in enumerate(zip(self.columns, self.totals, strict=True)):
            justify = "left" if place < self.words else "right"
            table.add_column(title, total, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        for row in self.rows:
            table.add_row(*row)
        if self.heading:
            console.print(self.heading, soft_wrap=True)
        print_whole(table, console)
        for note in self.notes:
            console.print(note, style="dim", soft_wrap=True)

    def text(self) -> str:
        """The table as `print` shows it, without colour."""
        return plain_text(self.print, 80)

    def html(self) -> str:
        """The table for a notebook: nothing but itself, in the colours of the page around it."""
        lines = ['<div style="overflow-x:auto">']
        if self.heading:
            lines.append(f"<div>{html.escape(self.heading)}</div>")
        lines.append('<table style="border-collapse:collapse">')
        lines.append(f"<thead>{self._html_row('th', list(self.columns), {})}</thead><tbody>")
        for number, row in enumerate(self.rows):
            lengths = {column: lengths[number] for column, lengths in self.bars.items()}
            lines.append(self._html_row("td", row, lengths))
        lines.append(f"</tbody><tfoot>{self._html_row('th', self.totals, {})}</tfoot></table>")
        lines += [f"<div><small>{html.escape(note)}</small></div>" for note in self.notes]
        return "\n".join([*lines, "</div>"])

    def _html_row(self, tag: str, cells: list[str], lengths: dict[int, float]) -> str:
        parts = []
        for place, cell in enumerate(cells):
            style = f"text-align:{'left' if place < self.words else 'right'};white-space:nowrap"
            if place in lengths:
                colour, end = "rgba(70,130,220,.35)", f"{100 * lengths[place]:.1f}%"
                style += f";background:linear-gradient(to right,{colour} {end},transparent {end})"
            parts.append(f'<{tag} style="{style}">{html.escape(cell)}</{tag}>')
        return f"<tr>{''.join(parts)}</tr>"
