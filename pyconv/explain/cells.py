"""The tables of a step: which of its cells there is room for, and what is written in them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .labels import PAD, Heads
from .rules import short
from .trace import Step

# Of channels and filters, behind letters; told apart by colour-blind eyes too (Okabe and Ito).
COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00")

# Axes of more are abridged, to so many. The lecture's pooling of two images has 24 rows.
WHOLE_ROWS, FEW_ROWS = 24, 10
WHOLE_SIDE, FEW_ON_A_SIDE = 12, 8
FEW_IMAGES, FEW_CHANNELS = 3, 6
FEWEST = 4  # columns
NARROW = 22  # characters that a table of an image is given at least

Chosen = list[int | None]


@dataclass(frozen=True)
class Cell:
    """What is written in a cell.

    Attributes
    ----------
    index : tuple of int
        Its place in the array; of padding, places before or behind the array's.
    lines : list of str
        Its label, its number, or the one above the other.
    group : int
        The channel or filter that it belongs to.
    padding, won : bool
    """

    index: tuple[int, ...]
    lines: list[str]
    group: int
    padding: bool
    won: bool

    @property
    def width(self) -> int:
        return max(map(len, self.lines)) + 2 * self.won


@dataclass(frozen=True)
class Grid:
    """A table; None stands for rows and columns that are left out.

    Attributes
    ----------
    at : tuple of int
        Of images, which one: (n, c).
    title : str
        Such as D[0,1,:,:]; "" for a matrix.
    corner : (str, str)
        What the rows and the columns count.
    column_heads : list of str or None
        Empty where columns have no heads, as in images.
    row_heads : list of str or None
    rows : list of (list of Cell or None) or None
    """

    at: tuple[int, ...]
    title: str
    corner: tuple[str, str]
    column_heads: list[str | None]
    row_heads: list[str | None]
    rows: list[list[Cell | None] | None]

    @property
    def left_out(self) -> bool:
        """Whether it is an image of which only some pixels are there."""
        return bool(self.at) and any(row is None or None in row for row in self.rows)


def grids(step: Step, width: int, values: bool) -> list[list[Grid | None]]:
    """The tables of a step, in lines of tables that stand side by side; None for some left out.

    Parameters
    ----------
    step : Step
    width : int
        Characters of a line.
    values : bool
        Whether labels have their numbers below.
    """
    if step.array.ndim < 4:
        return [[_grid(step, (), width, values)]]
    first, second = step.shape[:2]
    fit = min(max(width // NARROW, 2), FEW_CHANNELS)
    if second == 1:  # one image of a channel beside the other
        lines = [[i if i is None else (i, 0) for i in chosen(first, fit)]]
    else:
        images = chosen(first, FEW_IMAGES if second <= fit else 1)
        channels = chosen(second, fit)
        lines = [
            [None] if n is None else [c if c is None else (n, c) for c in channels] for n in images
        ]
    if step.shape[3] > WHOLE_SIDE:
        width = width // len(lines[0]) - 3  # whole ones may take a line each instead
    return [[at and _grid(step, at, width, values) for at in line] for line in lines]


def chosen(count: int, whole: int, few: int | None = None, middle: int | None = None) -> Chosen:
    """All numbers below `count`, or where these are more than `whole`, `few`, the last among them.

    None stands for those left out. With `middle`, half of the few lie around it: the windows in
    the middle of an image show more than those at its rim.
    """
    if count <= whole:
        return list(range(count))
    first = max((few or whole) - 2, 1)
    if middle is None:
        return [*range(first), None, count - 1]
    begin = min(max(middle - first // 4, first // 2), count - 1 - first // 2)
    return [*range(first // 2), None, *range(begin, begin + first // 2), None, count - 1]


def _grid(step: Step, at: tuple[int, ...], width: int, values: bool) -> Grid:
    """A table of a step: a matrix, a vector as a row, or of images the one at (n, c)."""
    height, breadth = step.shape[-2:] if step.array.ndim > 1 else (1, *step.shape)
    top, bottom, left, right = step.padding
    limits = (WHOLE_SIDE, FEW_ON_A_SIDE) if at else (WHOLE_ROWS, FEW_ROWS)
    rows = chosen(top + height + bottom, *limits, step.heads[0] and step.heads[0].middle)
    row_heads = _heads(step.heads[0], rows)
    titles = [head.title + " →" for head in step.heads if head]
    room = width - max(map(len, (*titles, *(head or "" for head in row_heads))), default=0)
    most = WHOLE_SIDE if at else room // 3
    while True:  # once more where the cells turn out to be wider
        columns = chosen(left + breadth + right, most)
        cells = [row if row is None else _row(step, at, row, columns, values) for row in rows]
        heads = _heads(step.heads[1], columns)
        widths = [cell.width for row in cells if row for cell in row if cell]
        # of a head only what stands below its last comma but one
        widths += [len(",".join((head or "").split(",")[-2:])) for head in heads]
        fit = (room - 1) // (max(widths) + (2 if heads else 3))  # a frame takes more
        if len(columns) <= max(fit, FEWEST):
            break
        most = max(fit, FEWEST)
    title = f"{step.symbol}[{at[0]},{at[1]},:,:]" if at else ""
    corner = [
        f"{axis.title} {way}" if axis else "" for axis, way in zip(step.heads, "↓→", strict=True)
    ]
    return Grid(at, title, (corner[0], corner[1]), heads, row_heads, cells)


def _heads(heads: Heads | None, indices: Chosen) -> list[str | None]:
    if heads is None:
        return []
    known = iter(heads.names(np.array([i for i in indices if i is not None], np.intp)))
    return [None if i is None else str(next(known)) for i in indices]


def _row(
    step: Step, at: tuple[int, ...], row: int, columns: Chosen, values: bool
) -> list[Cell | None]:
    """The cells of a row, counted with the padding above and on the left."""
    top, _, left, _ = step.padding
    y = row - top
    x = np.array([column for column in columns if column is not None], np.intp) - left
    places = [(*at, y, int(i)) if step.array.ndim > 1 else (int(i),) for i in x]
    inside = (y >= 0) & (x >= 0)
    if any(step.padding):
        height, width = step.shape[-2:]
        inside &= (y < height) & (x < width)
        y, x = min(max(y, 0), height - 1), x.clip(0, width - 1)
    index: tuple[Any, ...] = (*at, y, x) if step.array.ndim > 1 else (x,)
    names = np.where(inside, step.names(*index), PAD)
    groups = np.broadcast_to(step.groups(*index), x.shape)
    won = np.zeros(x.shape, bool) if step.marked is None else step.marked[index]
    numbers = np.where(inside, step.array[index], 0)

    def cell(i: int) -> Cell:
        name, number = str(names[i]), short(numbers[i])
        both = values and name != PAD  # of which im2col makes a 0, and a maximum nothing at all
        lines = [number] if step.computed else [name, number] if both else [name]
        return Cell(places[i], lines, int(groups[i]), name == PAD, bool(won[i]))

    cells = iter(map(cell, range(len(x))))
    return [None if column is None else next(cells) for column in columns]
