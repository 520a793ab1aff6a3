"""A max-pooling taken apart: im2col, a row for each window of a channel, and its largest number."""

from dataclasses import dataclass

import numpy as np

from .. import checks, ops
from ..checks import Array
from ..tables import shape_text
from ..window import Padding, PerAxis
from . import labels, rules
from .trace import Step, WindowTrace
from .windows import Windows
from .words import Words


@dataclass(frozen=True, eq=False)
class PoolingTrace(WindowTrace):
    """The steps of a max-pooling: x, col, windows, maxima, reshaped, y.

    Attributes
    ----------
    argmax : ndarray (N, C, OH, OW) of unsigned int
        Which of the PH*PW pixels of each window won.
    """

    argmax: Array

    def backward(self, dout: Array | None = None) -> WindowTrace:
        """The steps of the gradient: dout, rows, dwindows, dcol, wins, dx.

        Parameters
        ----------
        dout : ndarray (N, C, OH, OW), dtype of `x`, optional
            Gradient with respect to y; ones unless given.

        Raises
        ------
        TypeError, ValueError
            As `pyconv.max_pool2d_backward`.
        """
        word = Words(self.lang)
        x, windows, won = self.x, self["windows"], self["windows"].marked
        assert won is not None
        w = self.windows.window
        PH, PW = w.filter_h, w.filter_w
        dout, above = rules.above(word, dout, self["y"].array)
        dx = ops.max_pool2d_backward(dout, self.argmax, x.shape, PH, PW, *w.arguments)
        dout = dout.copy()
        rows = np.ascontiguousarray(dout.transpose(0, 2, 3, 1)).reshape(-1)
        dwindows = np.where(won, rows[:, np.newaxis], 0)
        goes = word("dwindows") + word("dwindows lost") * (not won.any(axis=1).all())
        col = self["col"]
        wins = ops.col2im(won.astype(x.dtype).reshape(col.shape), x.shape, PH, PW, *w.arguments)

        C, (_, OH, OW) = x.shape[1], self.windows.positions
        steps = (
            Step(
                "dout", "dout", above,
                dout, labels.maps("dY", OW), labels.along(1), "dY", computed=True,
            ),
            Step(
                "rows", "dout = dout.transpose(0, 2, 3, 1).reshape(-1)", word("pool rows"),
                rows, lambda row: labels.numbered("dY", row // C % (OH * OW)),
                self["maxima"].groups, computed=True,
            ),
            Step(
                "dwindows", "dcol[np.arange(len(dcol)), argmax] = dout", goes,
                dwindows, _pixels(self.windows, "dD"), windows.groups, heads=windows.heads,
                marked=won, numbered=True,
            ),
            Step(
                "dcol", f"dcol = dcol.reshape(-1, C*{PH}*{PW})", word("pool dcol"),
                dwindows.reshape(col.shape), labels.copies(self.windows, "dD"), col.groups,
                heads=col.heads, marked=won.reshape(col.shape), numbered=True,
            ),
            *rules.gathered(word, self.windows, "wins", wins, dwindows.reshape(col.shape), dx),
        )  # fmt: skip
        title = word("backward", title=self.title)
        return WindowTrace(title, steps, self.lang, x, self.windows)


def pooling(
    x: Array,
    pool_h: int,
    pool_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    lang: str = "en",
) -> PoolingTrace:
    """Take a max-pooling apart.

    Parameters
    ----------
    x : ndarray (N, C, H, W), float32 or float64
    pool_h, pool_w : int
        Height and width of the window.
    stride, pad, dilation
        As for `pyconv.max_pool2d`.
    lang : {"en", "ko"}
        Language of the rules.

    Returns
    -------
    PoolingTrace
        `print` shows its steps. `trace["windows"].array` has a row for each window of a channel,
        `trace["windows"].marked` tells which pixel won it, and `trace.backward()` the way of the
        gradient. `trace.where(row, col)` and `trace.uses(n, c, y, x)` are about the column matrix.

    Raises
    ------
    TypeError, ValueError
        As `pyconv.max_pool2d`.
    """
    word = Words(lang)
    y, argmax = ops.max_pool2d(x, pool_h, pool_w, stride, pad, dilation)
    x, window = checks.max_pool2d(x, pool_h, pool_w, stride, pad, dilation)
    x = x.copy()  # what is done to it later does not change what is told here
    N, C, OH, OW = y.shape
    windows = Windows(x.shape, window)
    rows, columns = windows.matrix_shape
    taps = window.filter_h * window.filter_w

    col = ops.im2col(x, pool_h, pool_w, *window.arguments)
    winner = argmax.transpose(0, 2, 3, 1).reshape(-1).astype(np.intp)
    won = np.arange(taps) == winner[:, np.newaxis]
    won &= windows.sources(np.arange(rows * C)[:, np.newaxis] // C, np.arange(taps))[4]
    pixels = _pixels(windows)
    # im2col copies zeros for padding, which a maximum has to leave out
    inside = ", where=inside, initial=-np.inf" if any(window.pads) else ""
    sizes = {"N": N, "C": C, "OH": OH, "OW": OW, "FH": window.filter_h, "FW": window.filter_w}
    row_heads = labels.places("n,oy,ox", windows.positions)
    tap_heads = labels.places("c,fy,fx", windows.taps)
    by_channel = labels.along(1)
    steps = (
        Step(
            "x", "N, C, H, W = x.shape", rules.images(word, x, window, "−∞"),
            x, labels.maps("D", x.shape[3]), labels.along(1), "D", padding=window.pads,
            numbered=True,
        ),
        Step(
            "col", rules.im2col_code(window),
            word("pool col", rows=rows, columns=columns, **sizes)
            + f"\n{rules.output_size(windows, 'P')}",
            col, labels.copies(windows), lambda row, k: k // taps, heads=(row_heads, tap_heads),
        ),
        Step(
            "windows", "col = col.reshape(-1, pool_h*pool_w)",
            word("windows", rows=rows * C, **sizes),
            col.reshape(rows * C, taps), pixels, lambda row, tap: row % C,
            heads=(
                labels.places("n,oy,ox,c", (N, OH, OW, C)),
                labels.places("fy,fx", windows.taps[1:]),
            ),
            marked=won,
        ),
        Step(
            "maxima", f"out = np.max(col, axis=1{inside})", word("maxima"),
            np.ascontiguousarray(y.transpose(0, 2, 3, 1)).reshape(-1),
            lambda row: pixels(row, winner[row]), lambda row: row % C, numbered=True,
        ),
        Step(
            "reshaped", "out = out.reshape(N, out_h, out_w, C)", word("pool reshape"),
            np.ascontiguousarray(y.transpose(0, 2, 3, 1)),
            lambda n, oy, ox, c: labels.maps("Y", OW)(n, c, oy, ox), labels.along(3),
            computed=True, shown=False,
        ),
        Step(
            "y", "out = out.transpose(0, 3, 1, 2)", word("pool y"),
            y, labels.maps("Y", OW), by_channel, "Y", computed=True,
        ),
    )  # fmt: skip
    title = word(
        "pooling", x=shape_text(x.shape), window=f"{window.filter_h}×{window.filter_w}",
        **rules.geometry(window),
    )  # fmt: skip
    return PoolingTrace(title, steps, lang, x, windows, argmax)


def _pixels(windows: Windows, prefix: str = "D") -> labels.Names:
    """Of a row for each window of a channel: the pixels that its cells are copies of."""
    C, PH, PW = windows.taps
    copies = labels.copies(windows, prefix)
    return lambda row, tap: copies(row // C, row % C * PH * PW + tap)
