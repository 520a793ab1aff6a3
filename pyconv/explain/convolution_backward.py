"""The way of the gradients through a convolution, back to the filters and to the image."""

import numpy as np

from .. import ops
from ..checks import Array
from . import labels, rules
from .convolution import ConvolutionTrace
from .trace import Step, WindowTrace
from .words import Words


def backward(trace: ConvolutionTrace, dout: Array | None) -> WindowTrace:
    """See `ConvolutionTrace.backward`."""
    word = Words(trace.lang)
    x, W, windows = trace.x, trace.W, trace.windows
    geometry = windows.window.arguments
    dout, above = rules.above(word, dout, trace["y"].array)
    dW, db = ops.conv2d_backward_weight(x, dout, W.shape, *geometry)
    dx = ops.conv2d_backward_data(dout, W, x.shape, *geometry)

    FN, _, FH, FW = W.shape
    _, OH, OW = windows.positions
    col, col_W = trace["col"], trace["col_W"]
    dout = dout.copy()
    rows = np.ascontiguousarray(dout.transpose(0, 2, 3, 1)).reshape(-1, FN)
    dcol, dcol_W, _ = ops.affine_backward(col.array, rows, col_W.array)
    assert dcol is not None  # as it was not declined
    overlaps = ops.col2im(np.ones_like(dcol), x.shape, FH, FW, *geometry)

    row_heads, tap_heads = col.heads
    by_filter = labels.filters(1)
    biases = [] if trace.b is None else [
        Step(
            "db", "db = np.sum(dout, axis=0)", word("db"),
            db, lambda f: labels.entries("db", f), labels.filters(0), computed=True,
        ),
    ]  # fmt: skip
    steps = (
        Step(
            "dout", "dout", above,
            dout, labels.maps("dY", OW), by_filter, "dY", computed=True,
        ),
        Step(
            "rows", "dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)", word("rows"),
            rows, labels.rows_of_maps("dY", OH * OW), by_filter,
            heads=(row_heads, labels.FILTERS), computed=True,
        ),
        *biases,
        Step(
            "dcol_W", "dcol_W = np.dot(col.T, dout)",
            word("dcol_W", **rules.matrices(col.array.T, rows, dcol_W)),
            dcol_W, labels.unrolled_taps(FH * FW, "d"), by_filter, heads=col_W.heads, computed=True,
        ),
        Step(
            "dW", "dW = dcol_W.T.reshape(FN, C, FH, FW)", word("dW"),
            dW, labels.taps(FW, "d"), labels.filters(0), "dF", computed=True,
        ),
        Step(
            "dcol", "dcol = np.dot(dout, col_W.T)",
            word("dcol", **rules.matrices(rows, col_W.array.T, dcol)),
            dcol, labels.copies(windows, "dD"), col.groups, heads=(row_heads, tap_heads),
            numbered=True,
        ),
        *rules.gathered(word, windows, "overlaps", overlaps, dcol, dx),
    )  # fmt: skip
    return WindowTrace(word("backward", title=trace.title), steps, trace.lang, x, windows)
