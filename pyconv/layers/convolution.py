"""The convolution layer."""

from typing import Any

import numpy as np

from .. import checks, ops
from ..checks import Array
from ..window import Padding, PerAxis, explicit, make_window, per_axis, whole
from .base import Keeps, Layer, image_shape


class Convolution(Layer):
    """Convolve a batch of images with filters.

    Parameters
    ----------
    W : ndarray (FN, C / groups, FH, FW), float32 or float64
        Filters.
    b : ndarray (FN,), dtype of `W`, or the scalar 0 for none
    stride, pad, dilation, groups
        As for `pyconv.conv2d`.
    need_dx : bool
        Whether `backward` computes the gradient with respect to x. A network does not ask its
        first layer for it, whatever this says.

    Raises
    ------
    TypeError, ValueError
        When `W`, `b` and the window do not fit together.
    """

    label = "Conv"

    def __init__(
        self,
        W: Array,
        b: Array | float = 0,
        stride: PerAxis = 1,
        pad: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        need_dx: bool = True,
    ) -> None:
        filters = checks.array("W", W, "(FN, C, FH, FW)")
        checks.same_dtype(W=filters, b=checks.bias(b, len(filters), "filters"))
        FN, _, FH, FW = filters.shape
        if FN % whole("groups", groups, 1):
            raise ValueError(f"groups={groups} must divide the {FN} filters of W {W.shape}")
        make_window(FH, FW, stride, pad, dilation, (1, 1))  # refuses a wrong pad here and now
        checks.flag("need_dx", need_dx)

        self.W, self.b = W, b
        self.parameters = ("W", "b") if isinstance(b, np.ndarray) else ("W",)
        self.stride, self.pad, self.dilation, self.groups = stride, pad, dilation, groups
        self.need_dx = need_dx
        self.x: Array | None = None
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """x: ndarray (N, C, H, W). Returns ndarray (N, FN, OH, OW)."""
        y = ops.conv2d(x, self.W, self.b, self.stride, self.pad, self.dilation, self.groups)
        self.x = x
        return y

    def backward(self, dout: Array, need_dx: bool = True) -> Array | None:
        """dout: ndarray (N, FN, OH, OW). Returns ndarray (N, C, H, W); None without `need_dx`."""
        checks.flag("need_dx", need_dx)
        x: Array = self._remembered(self.x)
        window = (self.stride, self.pad, self.dilation, self.groups)
        self.dW, self.db = ops.conv2d_backward_weight(x, dout, self.W.shape, *window)
        if not (need_dx and self.need_dx):
            return None
        return ops.conv2d_backward_data(dout, self.W, x.shape, *window)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        C, H, W = image_shape("Convolution", shape)
        FN, filter_C, FH, FW = self.W.shape
        if filter_C * self.groups != C:
            raise ValueError(
                f"an image of shape {shape} has {C} channels, but filters of shape {self.W.shape} "
                f"in {self.groups} group{'s' * (self.groups > 1)} take {filter_C * self.groups}"
            )
        window = make_window(FH, FW, self.stride, self.pad, self.dilation, (H, W))
        return FN, *window.output_size(H, W)

    def multiply_adds(self, shape: tuple[int, ...]) -> int:
        _, OH, OW = self.output_shape(shape)
        return self.W.size * OH * OW

    def column_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        _, OH, OW = self.output_shape(shape)
        _, C, FH, FW = self.W.shape
        return OH * OW, C * self.groups * FH * FW

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        return Keeps(input=True)

    def settings(self) -> dict[str, Any]:
        return {
            "stride": per_axis("stride", self.stride),
            "pad": explicit(self.pad),
            "dilation": per_axis("dilation", self.dilation),
            "groups": int(self.groups),
        }
