"""The steps of a layer: arrays, what their cells are called, and the rules that made them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..checks import Array
from .labels import Groups, Heads, Names, Strings
from .windows import Pixel, Uses, Windows


@dataclass(frozen=True, eq=False)
class Step:
    """An array on its way through a layer.

    Attributes
    ----------
    name : str
        What the step is asked for by: `trace["col"]`.
    code : str
        The line of Python that makes it, as the lecture has it.
    rule : str
        A sentence that tells its shape in numbers.
    array : ndarray
        As the kernels computed it.
    names : callable
        Takes an array of indices for each axis; what the cells there are called.
    groups : callable
        Likewise; the channel or filter that the cells belong to, which colours tell apart.
    symbol : str
        What stands over a table of it, before the indices: "D" gives D[0,1,:,:].
    heads : (callable or None, callable or None)
        What stands before each row, and over each column, of a matrix.
    padding : (int, int, int, int)
        Rows and columns of padding that are shown around images: top, bottom, left, right.
    marked : ndarray of bool, optional
        In the shape of the array: the cells that won.
    computed : bool
        Whether its cells are new numbers, and not numbers of an array before in other places.
    numbered : bool
        Whether its numbers are printed below its labels where they are few, and others are worked
        out of them.
    shown : bool
        Whether its cells are printed, and not its shape and rule alone.
    example : str
        One of its numbers, worked out.
    """

    name: str
    code: str
    rule: str
    array: Array
    names: Names
    groups: Groups
    symbol: str = ""
    heads: tuple[Heads | None, Heads | None] = (None, None)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    marked: Array | None = None
    computed: bool = False
    numbered: bool = False
    shown: bool = True
    example: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @cached_property
    def labels(self) -> Strings:
        """What each cell is called, in the shape of the array."""
        return np.broadcast_to(self.names(*np.indices(self.shape, sparse=True)), self.shape)


@dataclass(frozen=True, eq=False)
class Trace:
    """The steps of a layer, in order.

    Prints as the walk from the first shape to the last, and draws itself in a notebook.

    Attributes
    ----------
    title : str
    steps : tuple of Step
    lang : {"en", "ko"}
        Language of the rules.
    """

    title: str
    steps: tuple[Step, ...]
    lang: str

    def __getitem__(self, name: str) -> Step:
        """The step of that name.

        Raises
        ------
        KeyError
            When there is none.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(f"no step {name!r}; the steps are {', '.join(s.name for s in self.steps)}")

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return self.text()

    def text(self, values: bool = False, width: int = 100) -> str:
        """The walk as plain text.

        Parameters
        ----------
        values : bool
            Whether every cell has its number below its label.
        width : int
            Columns of text; tables are abridged to fit.
        """
        from .terminal import as_text

        return as_text(self, values, width)

    def _repr_html_(self) -> str:
        from .notebook import as_html

        return as_html(self)


@dataclass(frozen=True, eq=False)
class WindowTrace(Trace):
    """The steps of a layer that slides a window over images.

    Attributes
    ----------
    x : ndarray (N, C, H, W)
    windows : Windows
    """

    x: Array
    windows: Windows

    def where(self, row: int, col: int) -> Pixel | str:
        """The pixel in a cell of the column matrix; see `Windows.where`."""
        return self.windows.where(row, col)

    def uses(self, n: int, c: int, y: int, x: int) -> Uses:
        """The cells of the column matrix that hold a pixel; see `Windows.uses`."""
        return self.windows.uses(n, c, y, x)
