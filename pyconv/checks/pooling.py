"""What the poolings accept."""

from typing import Any

import numpy as np

from ..window import Padding, PerAxis, PoolingWindow, Window, make_window
from .arrays import Array, Shape4, affordable, array, flag, same_shape, shape4


def max_pool2d(
    x: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    ceil_mode: bool = False,
) -> tuple[Array, Window]:
    x = array("x", x, "(N, C, H, W)")
    N, C, H, W = x.shape
    window = make_window(pool_h, pool_w, stride, pad, dilation, (H, W), PoolingWindow)
    flag("ceil_mode", ceil_mode)
    affordable("the pooled output", (N, C, *window.output_size(H, W, ceil_mode)))
    return x, window


def max_pool2d_backward(
    dout: object,
    argmax: object,
    input_shape: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
) -> tuple[Array, Array, Shape4, Window]:
    dout, shape, window = _pool_gradient(dout, input_shape, pool_h, pool_w, stride, pad, dilation)
    taken = winners(argmax, dout.shape, window.filter_h, window.filter_w, "max_pool2d")
    return dout, taken, shape, window


def avg_pool2d(
    x: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> tuple[Array, Window]:
    flag("count_include_pad", count_include_pad)
    return max_pool2d(x, pool_h, pool_w, stride, pad, 1, ceil_mode)


def avg_pool2d_backward(
    dout: object,
    input_shape: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    count_include_pad: bool = False,
) -> tuple[Array, Shape4, Window]:
    flag("count_include_pad", count_include_pad)
    return _pool_gradient(dout, input_shape, pool_h, pool_w, stride, pad, 1)


def _pool_gradient(
    dout: object,
    input_shape: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
) -> tuple[Array, Shape4, Window]:
    dout = array("dout", dout, "(N, C, OH, OW)")
    shape = shape4("input_shape", input_shape)
    N, C, H, W = shape
    window = make_window(pool_h, pool_w, stride, pad, dilation, (H, W), PoolingWindow)
    floored = (N, C, *window.output_size(H, W))
    rounded_up = (N, C, *window.output_size(H, W, ceil_mode=True))
    if dout.shape not in (floored, rounded_up):
        other = f" (or {rounded_up} with ceil_mode)" if rounded_up != floored else ""
        raise ValueError(
            f"dout has shape {dout.shape}, but pooling input {shape} gives {floored}{other}"
        )
    affordable("dx", shape)
    return dout, shape, window


def winners(argmax: object, shape: tuple[int, ...], pool_h: int, pool_w: int, source: str) -> Array:
    """The winning taps that a max-pooling with this output shape returned, in their own dtype."""
    if not isinstance(argmax, np.ndarray) or argmax.dtype.kind not in "iu":
        kind = argmax.dtype if isinstance(argmax, np.ndarray) else type(argmax).__name__
        raise TypeError(f"argmax must be the integer array that {source} returned, not {kind}")
    same_shape("argmax", argmax.shape, shape, "dout")
    taps = pool_h * pool_w
    least = argmax.min() if argmax.size and argmax.dtype.kind == "i" else 0
    most = argmax.max() if argmax.size else 0
    if least < 0 or most >= taps:
        wrong = least if least < 0 else most
        raise ValueError(
            f"argmax holds {wrong}, but in a {pool_h}×{pool_w} window it counts "
            f"from 0 to {taps - 1}"
        )
    return np.require(argmax, smallest_unsigned(taps - 1), ["C_CONTIGUOUS", "ALIGNED"])


def smallest_unsigned(largest: int) -> np.dtype[Any]:
    """The smallest unsigned dtype that holds `largest`: what `argmax` is stored in."""
    return np.dtype(np.min_scalar_type(largest))
