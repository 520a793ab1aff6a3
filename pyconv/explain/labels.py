"""What cells are called: pixels D0, D1, ..., taps of filters F0, G0, ..., outputs Y0, Y1, ...

As in the lecture, a number counts within its table: D4 is the pixel in the middle of every channel
of 3×3 pixels. Which channel it is, colours and headings tell.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..checks import Array
from .windows import Windows

Strings = npt.NDArray[np.str_]
# These take an array of indices for each axis, which broadcast against each other.
Names = Callable[..., Strings]
Groups = Callable[..., Array]


class Heads(NamedTuple):
    """What stands at rows or columns: what they count, what each is called, one in the middle."""

    title: str
    names: Callable[[Array], Strings]
    middle: int | None = None


PAD = "pad"
LETTERS = "FGHIJKLMNOPQRSTUVWXYZ"


def letter(f: int) -> str:
    """What filter f is called: F, G, ..., Z, and then FF, FG, ..."""
    first, last = divmod(f, len(LETTERS))
    return (letter(first - 1) if first else "") + LETTERS[last]


def along(axis: int) -> Groups:
    """Groups that are counted by an axis."""
    return lambda *index: index[axis]


def filters(axis: int) -> Groups:
    """Filters that are counted by an axis, in other colours than the first channels."""
    return lambda *index: index[axis] + 3


def letters(f: Array, prefix: str = "") -> Strings:
    """What filters are called."""
    f = np.asarray(f)
    called = [prefix + letter(i) for i in range(int(f.max(initial=0)) + 1)]
    return np.array(called)[f]


def maps(prefix: str, width: int) -> Names:
    """Of images or maps (N, C, H, W): their pixels, counted row by row."""
    return lambda n, c, y, x: _spread(numbered(prefix, y * width + x), n, c)


def taps(width: int, prefix: str = "") -> Names:
    """Of filters (FN, C, FH, FW): their taps, counted row by row within a channel."""
    return lambda f, c, fy, fx: _spread(numbered(letters(f, prefix), fy * width + fx), c)


def unrolled_taps(taps_of_a_channel: int, prefix: str = "") -> Names:
    """Of filters as columns (C*FH*FW, FN)."""
    return lambda k, f: numbered(letters(f, prefix), k % taps_of_a_channel)


def rows_of_maps(prefix: str, size: int) -> Names:
    """Of maps of `size` pixels as the columns of a matrix (N*OH*OW, FN)."""
    return lambda row, f: _spread(numbered(prefix, row % size), f)


def copies(windows: Windows, prefix: str = "D") -> Names:
    """Of a column matrix: the pixel that each cell is a copy of, or that it is padding."""

    def names(row: Array, column: Array) -> Strings:
        _, _, y, x, inside = windows.sources(row, column)
        return np.where(inside, numbered(prefix, y * windows.input_shape[3] + x), PAD)

    return names


def places(title: str, sizes: tuple[int, ...]) -> Heads:
    """Of an axis that counts through others of these sizes: 0,1,0 for n,oy,ox.

    A batch n of one is left out, as there is nothing to tell apart.
    """
    skipped = int(title.startswith("n,") and sizes[0] == 1)

    def names(index: Array) -> Strings:
        columns = np.unravel_index(index, sizes)[skipped:]
        return np.array([",".join(map(str, place)) for place in zip(*columns, strict=True)])

    middle = None
    if title.startswith("n,"):  # taps have none: a filter shows as much at its rim
        middle = 0
        for size in sizes:
            middle = middle * size + size // 2
    return Heads(title[2 * skipped :], names, middle)


FILTERS = Heads("f", letters)


def numbered(prefix: str | Strings, numbers: Array) -> Strings:
    """D0, D1, ... for 0, 1, ..."""
    return np.char.add(prefix, np.asarray(numbers).astype(np.str_))


def entries(name: str, index: Array) -> Strings:
    """b[0], b[1], ... for 0, 1, ..."""
    return np.char.add(numbered(f"{name}[", index), "]")


def _spread(labels: Strings, *others: Array) -> Strings:
    """Labels over axes that they do not depend on."""
    return np.broadcast_to(labels, np.broadcast_shapes(labels.shape, *map(np.shape, others)))
