"""What `im2col` and `col2im` accept."""

from ..window import Padding, PerAxis, Window, make_window
from .arrays import Array, Shape4, affordable, array, same_shape, shape4


def im2col(
    x: object, filter_h: int, filter_w: int, stride: PerAxis, pad: Padding, dilation: PerAxis
) -> tuple[Array, Window]:
    x = array("x", x, "(N, C, H, W)")
    N, C, H, W = x.shape
    window = make_window(filter_h, filter_w, stride, pad, dilation, (H, W))
    affordable("the column matrix", _column_shape(window, (max(N, 1), C, H, W)))
    return x, window


def col2im(
    col: object,
    input_shape: object,
    filter_h: int,
    filter_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
) -> tuple[Array, Shape4, Window]:
    col = array("col", col, "(N*OH*OW, C*FH*FW)")
    shape = shape4("input_shape", input_shape)
    window = make_window(filter_h, filter_w, stride, pad, dilation, shape[2:])
    fits = _column_shape(window, shape)
    same_shape("col", col.shape, fits, f"the column matrix (N*OH*OW, C*FH*FW) of input {shape}")
    affordable("the column matrix", _column_shape(window, (max(shape[0], 1), *shape[1:])))
    affordable("dx", shape)
    return col, shape, window


def _column_shape(window: Window, shape: Shape4) -> tuple[int, int]:
    N, C, H, W = shape
    OH, OW = window.output_size(H, W)
    return N * OH * OW, C * window.filter_h * window.filter_w
