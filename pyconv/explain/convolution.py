"""A convolution taken apart: im2col, one matrix product, and the shape put right again."""

from dataclasses import dataclass

import numpy as np

from .. import checks, ops
from ..checks import Array
from ..tables import shape_text
from ..window import Padding, PerAxis
from . import labels, rules
from .cells import WHOLE_ROWS
from .trace import Step, WindowTrace
from .windows import Windows
from .words import Words


@dataclass(frozen=True, eq=False)
class ConvolutionTrace(WindowTrace):
    """The steps of a convolution: x, W, col, col_W, product, reshaped, y.

    Attributes
    ----------
    W : ndarray (FN, C, FH, FW)
    b : ndarray (FN,) or None
    """

    W: Array
    b: Array | None

    def backward(self, dout: Array | None = None) -> WindowTrace:
        """The steps of the gradients: dout, rows, db with a bias, dcol_W, dW, dcol, overlaps, dx.

        Parameters
        ----------
        dout : ndarray (N, FN, OH, OW), dtype of `x`, optional
            Gradient with respect to y; ones unless given.

        Raises
        ------
        TypeError, ValueError
            As `pyconv.conv2d_backward_weight`.
        """
        from .convolution_backward import backward

        return backward(self, dout)


def convolution(
    x: Array,
    W: Array,
    b: Array | float | None = None,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    lang: str = "en",
) -> ConvolutionTrace:
    """Take a convolution apart.

    Parameters
    ----------
    x : ndarray (N, C, H, W), float32 or float64
    W : ndarray (FN, C, FH, FW), dtype of `x`
    b : ndarray (FN,), dtype of `x`, optional
    stride, pad, dilation
        As for `pyconv.conv2d`.
    lang : {"en", "ko"}
        Language of the rules.

    Returns
    -------
    ConvolutionTrace
        `print` shows its steps. `trace["col"].array` is the column matrix, `trace.where(row, col)`
        the pixel in one of its cells, `trace.uses(n, c, y, x)` the cells that hold a pixel, and
        `trace.backward()` the way of the gradients.

    Raises
    ------
    TypeError, ValueError
        As `pyconv.conv2d`.

    Examples
    --------
    >>> trace = pyconv.explain.convolution(x, W)
    >>> trace["col"].shape
    (4, 12)
    >>> trace.where(3, 0)
    Pixel(n=0, c=0, y=1, x=1)
    """
    word = Words(lang)
    y = ops.conv2d(x, W, b, stride, pad, dilation)
    x, W, b, window, _ = checks.conv2d(x, W, b, stride, pad, dilation, 1)
    b = None if b is None else b.copy()
    x, W = x.copy(), W.copy()  # what is done to them later does not change what is told here
    FN, C, FH, FW = W.shape
    N, _, OH, OW = y.shape
    windows = Windows(x.shape, window)
    rows, columns = windows.matrix_shape

    col = ops.im2col(x, FH, FW, *window.arguments)
    col_W = W.reshape(FN, -1).T
    product = ops.affine(col, col_W, b)
    by_filter, by_channel = labels.filters(1), lambda row, k: k // (FH * FW)
    row_heads = labels.places("n,oy,ox", windows.positions)
    tap_heads = labels.places("c,fy,fx", windows.taps)
    bias = "" if b is None else word("bias")
    sizes = {"FN": FN, "C": C, "FH": FH, "FW": FW, "N": N, "OH": OH, "OW": OW}

    steps = (
        Step(
            "x", "N, C, H, W = x.shape",
            rules.images(word, x, window, "0"),
            x, labels.maps("D", x.shape[3]), labels.along(1), "D", padding=window.pads,
            numbered=True,
        ),
        Step(
            "W", "FN, C, FH, FW = self.W.shape",
            word("W", filters=word.count("filter", FN), channels=word.count("channel", C), FH=FH,
                 FW=FW)
            + word("letters", last=FH * FW - 1) * (FN > 1 and FH * FW > 1),
            W, labels.taps(FW), labels.filters(0), "F", numbered=True,
        ),
        Step(
            "col", rules.im2col_code(window),
            word("col", rows=rows, columns=columns, **sizes)
            + f"\n{rules.output_size(windows, 'F')}",
            col, labels.copies(windows), by_channel, heads=(row_heads, tap_heads),
        ),
        Step(
            "col_W", "col_W = self.W.reshape(FN, -1).T", word("col_W", FN=FN, columns=columns),
            col_W, labels.unrolled_taps(FH * FW), by_filter, heads=(tap_heads, labels.FILTERS),
        ),
        Step(
            "product", "out = np.dot(col, col_W)" + " + self.b" * (b is not None),
            word("product", **rules.matrices(col, col_W, product), bias=bias),
            product, labels.rows_of_maps("Y", OH * OW), by_filter,
            heads=(row_heads, labels.FILTERS), computed=True,
            example=_example(word, windows, row_heads, col, col_W, b, product),
        ),
        Step(
            "reshaped", "out = out.reshape(N, out_h, out_w, -1)",
            word("conv reshape"),
            product.reshape(N, OH, OW, FN),
            lambda n, oy, ox, f: labels.maps("Y", OW)(n, f, oy, ox), labels.filters(3),
            computed=True, shown=False,
        ),
        Step(
            "y", "out = out.transpose(0, 3, 1, 2)", word("conv y"),
            y, labels.maps("Y", OW), by_filter, "Y", computed=True,
        ),
    )  # fmt: skip
    title = word(
        "convolution", x=shape_text(x.shape), W=shape_text(W.shape), **rules.geometry(window)
    )
    return ConvolutionTrace(title, steps, lang, x, windows, W, b)


def _example(
    word: Words,
    windows: Windows,
    row_heads: labels.Heads,
    col: Array,
    col_W: Array,
    b: Array | None,
    product: Array,
) -> str:
    """One number of the product, worked out: of the first window, or where that may show little."""
    if not len(product):
        return ""
    row = 0
    if any(windows.window.pads) or len(product) > WHOLE_ROWS:
        row = row_heads.middle or 0  # with less padding, and more of an image, than at its rim
    taps = np.arange(len(col_W))
    terms = [
        f"{pixel}·{tap}"
        for pixel, tap in zip(
            labels.copies(windows)(row, taps),
            labels.unrolled_taps(windows.taps[1] * windows.taps[2])(taps, np.zeros_like(taps)),
            strict=True,
        )
    ]
    factors = zip(col[row], col_W[:, 0], strict=True)
    numbers = [f"{rules.number(pixel)}·{rules.number(tap)}" for pixel, tap in factors]
    exact = [*col[row], *col_W[:, 0]]
    if b is not None:
        terms.append("b[0]")
        numbers.append(rules.number(b[0]))
        exact.append(b[0])
    return word(
        "example", place=row_heads.names(np.array([row]))[0], letter=labels.letter(0),
        terms=rules.sum_of(terms), numbers=rules.sum_of(numbers),
        equals=rules.equals(*exact, product[row, 0]),
        value=rules.short(product[row, 0]),
    )  # fmt: skip
