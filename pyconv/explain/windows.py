"""Which pixel stands where in the column matrix, and which cells of it a pixel is copied to."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..checks import Array
from ..window import Window, whole

PADDING = "padding"


class Pixel(NamedTuple):
    """A place in the images (N, C, H, W)."""

    n: int
    c: int
    y: int
    x: int


class Uses(NamedTuple):
    """Places in the column matrix, as `np.nonzero` gives them: `col[uses]` are their numbers."""

    rows: Array
    columns: Array


@dataclass(frozen=True)
class Windows:
    """The windows of a batch of images, and the column matrix (N*OH*OW, C*FH*FW) made of them.

    Attributes
    ----------
    input_shape : (N, C, H, W)
    window : Window
    ceil_mode : bool
        Whether the number of windows is rounded up, as a pooling may.
    """

    input_shape: tuple[int, ...]
    window: Window
    ceil_mode: bool = False

    @property
    def output_size(self) -> tuple[int, int]:
        """Windows down and across an image: (OH, OW)."""
        _, _, H, W = self.input_shape
        return self.window.output_size(H, W, self.ceil_mode)

    @property
    def positions(self) -> tuple[int, int, int]:
        """What a row of the matrix counts through: (N, OH, OW)."""
        return (self.input_shape[0], *self.output_size)

    @property
    def taps(self) -> tuple[int, int, int]:
        """What a column of the matrix counts through: (C, FH, FW)."""
        return (self.input_shape[1], self.window.filter_h, self.window.filter_w)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """(N*OH*OW, C*FH*FW)."""
        return int(np.prod(self.positions)), int(np.prod(self.taps))

    def sources(self, rows: Array, columns: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Where cells of the matrix come from.

        Parameters
        ----------
        rows, columns : ndarray of int
            Broadcast against each other.

        Returns
        -------
        n, c, y, x : ndarray of int
            Outside of the image for padding.
        inside : ndarray of bool
            False for padding.
        """
        n, oy, ox = np.unravel_index(rows, self.positions)
        c, fy, fx = np.unravel_index(columns, self.taps)
        w = self.window
        y = oy * w.stride_h + fy * w.dilation_h - w.pad_top
        x = ox * w.stride_w + fx * w.dilation_w - w.pad_left
        _, _, H, W = self.input_shape
        inside = (y >= 0) & (y < H) & (x >= 0) & (x < W)
        return n, c, y, x, inside

    def where(self, row: int, col: int) -> Pixel | str:
        """The pixel that a cell of the column matrix is a copy of.

        Returns
        -------
        Pixel or str
            (n, c, y, x), or "padding" where the window hangs over the edge of the image.

        Raises
        ------
        TypeError, ValueError
            When the matrix has no such row or column.
        """
        height, width = self.matrix_shape
        row = _within("row", row, height, "rows in the column matrix")
        col = _within("col", col, width, "columns in the column matrix")
        *place, inside = self.sources(np.array(row), np.array(col))
        return Pixel(*map(int, place)) if inside else PADDING

    def uses(self, n: int, c: int, y: int, x: int) -> Uses:
        """The cells of the column matrix that a pixel is copied to, row by row.

        Returns
        -------
        Uses
            Rows and columns, none where no window covers the pixel.

        Raises
        ------
        TypeError, ValueError
            When there is no such pixel.
        """
        N, C, H, W = self.input_shape
        n, c = _within("n", n, N, "images"), _within("c", c, C, "channels")
        y, x = _within("y", y, H, "rows in an image"), _within("x", x, W, "columns in an image")
        w, (OH, OW) = self.window, self.output_size
        fy, oy = _along(y + w.pad_top, w.filter_h, w.dilation_h, w.stride_h, OH)
        fx, ox = _along(x + w.pad_left, w.filter_w, w.dilation_w, w.stride_w, OW)
        rows = (n * OH + oy[:, np.newaxis]) * OW + ox
        columns = (c * w.filter_h + fy[:, np.newaxis]) * w.filter_w + fx
        order = np.lexsort((columns.ravel(), rows.ravel()))
        return Uses(rows.ravel()[order], columns.ravel()[order])


def _along(
    position: int, taps: int, dilation: int, stride: int, windows: int
) -> tuple[Array, Array]:
    """Along one axis: the taps that lie on a padded position, and of which windows."""
    tap = np.arange(taps)
    start = position - tap * dilation
    window = start // stride
    fits = (start % stride == 0) & (window >= 0) & (window < windows)
    return tap[fits], window[fits]


def _within(name: str, value: object, count: int, what: str) -> int:
    number = whole(name, value)
    if number >= count:
        raise ValueError(f"{name} is {number}, but there are only {count} {what}, counted from 0")
    return number
