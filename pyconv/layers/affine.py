"""The fully connected layer, and flattening."""

import math

import numpy as np

from .. import checks, ops
from ..checks import Array
from .base import Keeps, Layer, gradient_like


class Affine(Layer):
    """x W + b, every sample flattened to a row first.

    Parameters
    ----------
    W : ndarray (D, M), float32 or float64
    b : ndarray (M,), dtype of `W`, or the scalar 0 for none

    Raises
    ------
    TypeError, ValueError
        When `W` and `b` do not fit together.
    """

    label = "Affine"

    def __init__(self, W: Array, b: Array | float = 0) -> None:
        checks.same_dtype(W=checks.array("W", W, "(D, M)"), b=checks.bias(b, W.shape[1], "outputs"))
        self.W, self.b = W, b
        self.parameters = ("W", "b") if isinstance(b, np.ndarray) else ("W",)
        self.x: Array | None = None
        self.original_x_shape: tuple[int, ...] = ()
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """x: ndarray (N, ...) with D numbers a sample. Returns ndarray (N, M)."""
        rows = _rows(x)
        y = ops.affine(rows, self.W, self.b)
        self.x, self.original_x_shape = rows, x.shape
        return y

    def backward(self, dout: Array, need_dx: bool = True) -> Array | None:
        """dout: ndarray (N, M). Returns the gradient in the shape of x; None without `need_dx`."""
        x: Array = self._remembered(self.x)
        dx, self.dW, self.db = ops.affine_backward(x, dout, self.W, need_dx=need_dx)
        return dx.reshape(self.original_x_shape) if dx is not None else None

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if math.prod(shape) != self.W.shape[0]:
            raise ValueError(
                f"a sample of shape {shape} has {math.prod(shape)} numbers, but W of shape "
                f"{self.W.shape} takes {self.W.shape[0]}"
            )
        return (self.W.shape[1],)

    def multiply_adds(self, shape: tuple[int, ...]) -> int:
        return self.W.size

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        return Keeps(input=True)


class Flatten(Layer):
    """(N, C, H, W) to (N, C*H*W)."""

    label = "Flatten"
    output_is_input = True

    def __init__(self) -> None:
        self.original_x_shape: tuple[int, ...] | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """x: ndarray (N, ...). Returns ndarray (N, D)."""
        rows = _rows(x)
        self.original_x_shape, self._dtype = x.shape, rows.dtype
        return rows

    def backward(self, dout: Array) -> Array:
        shape: tuple[int, ...] = self._remembered(self.original_x_shape)
        rows = (shape[0], math.prod(shape[1:]))
        return gradient_like(dout, rows, self._dtype).reshape(shape)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (math.prod(shape),)


def _rows(x: object) -> Array:
    checked = checks.float_array("x", x)
    if checked.ndim < 2:
        raise ValueError(f"x must have a batch axis N and at least one more, not {checked.shape}")
    return checked.reshape(len(checked), math.prod(checked.shape[1:]))
