"""The pooling layer."""

import math
from typing import Any

import numpy as np

from .. import checks, ops
from ..checks import Array
from ..window import Padding, PerAxis, PoolingWindow, explicit, make_window, per_axis
from .base import Keeps, Layer, gradient_like, image_shape


class Pooling(Layer):
    """Maximum or mean over a window that moves over every channel.

    Parameters
    ----------
    pool_h, pool_w : int
        Height and width of the window.
    stride, pad
        As for `pyconv.max_pool2d`; the stride is 1 unless given, as in the book.
    mode : {"max", "average"}
    dilation
        As for `pyconv.max_pool2d`; for "max" only.
    ceil_mode : bool
        Round the output size up.
    count_include_pad : bool
        As for `pyconv.avg_pool2d`; for "average" only.

    Raises
    ------
    TypeError, ValueError
        When an argument is out of range, or belongs to the other mode.
    """

    label = "Pool"

    def __init__(
        self,
        pool_h: int,
        pool_w: int,
        stride: PerAxis = 1,
        pad: Padding = 0,
        mode: str = "max",
        dilation: PerAxis = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = False,
    ) -> None:
        # Refuses wrong sizes here and now; the size of the image does not matter for that.
        make_window(pool_h, pool_w, stride, pad, dilation, (1, 1), PoolingWindow)
        if mode not in ("max", "average"):
            raise ValueError(f"mode must be 'max' or 'average', not {mode!r}")
        if mode == "average" and per_axis("dilation", dilation) != (1, 1):
            raise ValueError(f"average pooling has no dilation, but dilation is {dilation}")
        if mode == "max" and count_include_pad:
            raise ValueError("count_include_pad is for average pooling: a maximum counts nothing")

        checks.flag("ceil_mode", ceil_mode)
        checks.flag("count_include_pad", count_include_pad)

        self.pool_h, self.pool_w = pool_h, pool_w
        self.stride, self.pad, self.dilation = stride, pad, dilation
        self.mode, self.ceil_mode, self.count_include_pad = mode, ceil_mode, count_include_pad
        self.x_shape: tuple[int, ...] | None = None
        self.argmax: Array | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """x: ndarray (N, C, H, W). Returns ndarray (N, C, OH, OW)."""
        window = (self.pool_h, self.pool_w, self.stride, self.pad)
        if self.mode == "max":
            y, self.argmax = ops.max_pool2d(x, *window, self.dilation, self.ceil_mode)
        else:
            y = ops.avg_pool2d(x, *window, self.ceil_mode, self.count_include_pad)
        self.x_shape, self._out_shape, self._dtype = x.shape, y.shape, y.dtype
        return y

    def backward(self, dout: Array) -> Array:
        """dout: ndarray (N, C, OH, OW). Returns ndarray (N, C, H, W)."""
        shape: tuple[int, ...] = self._remembered(self.x_shape)
        dout = gradient_like(dout, self._out_shape, self._dtype)
        window = (self.pool_h, self.pool_w, self.stride, self.pad)
        if self.mode == "max":
            argmax: Array = self._remembered(self.argmax)
            return ops.max_pool2d_backward(dout, argmax, shape, *window, self.dilation)
        return ops.avg_pool2d_backward(dout, shape, *window, self.count_include_pad)

    def branches(self) -> Array | None:
        return self.argmax

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        C, H, W = image_shape("Pooling", shape)
        moves = (self.stride, self.pad, self.dilation)
        window = make_window(self.pool_h, self.pool_w, *moves, (H, W), PoolingWindow)
        return C, *window.output_size(H, W, self.ceil_mode)

    def column_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        C, OH, OW = self.output_shape(shape)
        return OH * OW, C * self.pool_h * self.pool_w

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        if self.mode != "max":
            return Keeps()
        winner = np.min_scalar_type(self.pool_h * self.pool_w - 1)  # dtype of argmax
        return Keeps(own=N * math.prod(self.output_shape(shape)) * winner.itemsize)

    def settings(self) -> dict[str, Any]:
        return {
            "pool_h": int(self.pool_h),
            "pool_w": int(self.pool_w),
            "stride": per_axis("stride", self.stride),
            "pad": explicit(self.pad),
            "mode": self.mode,
            "dilation": per_axis("dilation", self.dilation),
            "ceil_mode": self.ceil_mode,
            "count_include_pad": self.count_include_pad,
        }
