"""The figure of im2col as a picture: one window on its way from the image to the output."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import replacing
from ..tables import shape_text
from .cells import COLOURS, WHOLE_ROWS, WHOLE_SIDE, Grid, grids
from .convolution import ConvolutionTrace
from .pooling import PoolingTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = 0.3  # a cell's height
GAP = 1.2  # between tables, in cells
WIDTH = 110  # characters of a matrix; wider ones are abridged

Place = tuple[int, ...]


def save_picture(trace: ConvolutionTrace | PoolingTrace, target: Path) -> None:
    """Draw a window, its row in the column matrix, and the outputs that it gives.

    Parameters
    ----------
    trace : ConvolutionTrace or PoolingTrace
        A window of its first image is marked: the one in the middle, or of abridged tables one of
        the first.
    target : Path
        An .svg or .png file.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        When there is no image, or the file is to be of another kind.
    """

    def draw(figure: "Figure") -> None:
        axes = figure.add_axes((0, 0, 1, 1))
        width, height = _draw(axes, trace)
        axes.set(xlim=(-0.5, width + 0.5), ylim=(height + 0.5, -0.5), aspect="equal")
        axes.set_axis_off()
        figure.set_size_inches(INCHES * (width + 1), INCHES * (height + 1))

    save_figure(target, len(trace.x), draw)


def save_figure(target: Path, images: int, draw: Callable[["Figure"], None]) -> None:
    """Draw a figure of some images and write it as .png or .svg, all of it or nothing.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        When there is no image, or the file is to be of another kind.
    """
    if target.suffix not in (".png", ".svg"):
        raise ValueError(f"a picture is written as .png or .svg, and not as {str(target)!r}")
    if not images:
        raise ValueError("a picture needs an image, and the batch is empty")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("a picture needs matplotlib (pip install matplotlib)") from error

    figure = Figure()
    draw(figure)
    kind = target.suffix.removeprefix(".")
    # letters as letters: smaller, and found by a search; no date: the same picture, the same file
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "pyconv"}):
        metadata = {"Date": None} if kind == "svg" else None
        with replacing(target) as part:
            figure.savefig(part, format=kind, dpi=150, facecolor="white", metadata=metadata)


def _draw(axes: "Axes", trace: ConvolutionTrace | PoolingTrace) -> tuple[float, float]:
    """Draw the steps from left to right; the width and height of all of them, in cells."""
    steps = {"x": "", "col": "→", "windows": "→", "y": "→"}  # and the sign before each
    if isinstance(trace, ConvolutionTrace):
        steps = {"x": "", "col": "→", "col_W": "·", "product": "=", "y": "→"}
    marked = _marked(trace)
    columns = [
        [grid for line in grids(trace[name], WIDTH, values=False) for grid in line if grid]
        for name in steps
    ]
    tallest = max(sum(map(_height, tables)) for tables in columns)
    x = 0.0
    for (name, sign), tables in zip(steps.items(), columns, strict=True):
        axes.text(x - GAP / 2, tallest / 2, sign, ha="center", va="center", size=13)
        y = (tallest - sum(map(_height, tables))) / 2
        width = max(map(_width, tables))
        for grid in tables:
            _table(axes, grid, x + (width - _width(grid)) / 2, y, marked.get(name, set()))
            y += _height(grid)
        title = f"{name} {shape_text(trace[name].shape)}"
        axes.text(x + width / 2, y + 0.5, title, ha="center", va="center", weight="bold", size=9)
        x += width + GAP
    return x - GAP, tallest + 1


def _marked(trace: ConvolutionTrace | PoolingTrace) -> dict[str, set[Place]]:
    """The cells of every step that belong to one window of the first image."""
    w = trace.windows
    (_, OH, OW), (C, FH, FW) = w.positions, w.taps
    whole = OH * OW <= WHOLE_ROWS and max(trace.x.shape[2:]) <= WHOLE_SIDE
    oy, ox = (OH // 2, OW // 2) if whole else (0, min(1, OW - 1))
    row = oy * OW + ox
    columns = np.arange(C * FH * FW)
    *axes, _ = np.broadcast_arrays(*w.sources(np.array(row), columns))
    pixels = {tuple(map(int, place)) for place in zip(*axes, strict=True)}
    return {
        "x": pixels,
        "col": {(row, int(column)) for column in columns},
        "windows": {(row * C + c, tap) for c in range(C) for tap in range(FH * FW)},
        "product": {(row, f) for f in range(trace["y"].shape[1])},
        "y": {(0, f, oy, ox) for f in range(trace["y"].shape[1])},
    }


def _cell_width(grid: Grid) -> float:
    cells = [cell for row in grid.rows if row for cell in row if cell]
    heads = [len(part) for head in grid.column_heads for part in (head or "").split(",")[-2:]]
    return max(1.0, 0.32 * max(cell.width for cell in cells) + 0.3, 0.4 * max(heads, default=0))


def _width(grid: Grid) -> float:
    return _cell_width(grid) * len(next(filter(None, grid.rows))) + 1.4 * bool(grid.row_heads)


def _height(grid: Grid) -> float:
    return len(grid.rows) + 1.2  # with what stands above it


def _table(axes: "Axes", grid: Grid, left: float, top: float, marked: set[Place]) -> None:
    from matplotlib.patches import Rectangle

    wide, head = _cell_width(grid), 1.4 * bool(grid.row_heads)
    left += head

    def write(x: float, y: float, text: str, size: float = 6, **style: object) -> None:
        axes.text(x, y, text, ha="center", va="center", size=size, **style)  # type: ignore[arg-type]

    write(left + wide * len(grid.rows[0] or []) / 2, top + 0.6, grid.title)
    for j, over in enumerate(grid.column_heads):
        write(left + wide * (j + 0.5), top + 0.7, over or "…", color="0.4")
    for i, row in enumerate(grid.rows):
        y = top + 1.2 + i
        if grid.row_heads:
            write(left - head / 2, y + 0.5, grid.row_heads[i] or "⋮", color="0.4")
        for j, cell in enumerate(row or [None] * len(grid.rows[0] or [])):
            x = left + wide * j
            if cell is None:
                write(x + wide / 2, y + 0.5, "…")
                continue
            chosen = cell.index in marked
            colour = "white" if cell.padding else COLOURS[cell.group % len(COLOURS)]
            axes.add_patch(
                Rectangle(
                    (x, y), wide, 1, facecolor=colour, alpha=0.85 if chosen else 0.25,
                    edgecolor="black" if chosen else "0.5", linewidth=1.5 if chosen else 0.5,
                    hatch="////" if cell.padding else None, zorder=2 if chosen else 1,
                )
            )  # fmt: skip
            text = f"[{cell.lines[0]}]" if cell.won else cell.lines[0]
            bold = "bold" if cell.won or chosen else "normal"
            write(x + wide / 2, y + 0.5, text, 7, weight=bold, zorder=3)
