"""Activation functions: one number in, one number out."""

import numpy as np

from .. import checks, ops
from ..checks import Array
from .base import Keeps, Layer, gradient_like


class Relu(Layer):
    """max(x, 0). A NaN stays a NaN.

    Attributes
    ----------
    y : ndarray
        The last `forward`'s result itself, which must stay as it is until `backward`: where it is
        0 no gradient passes.
    """

    label = "Relu"

    def __init__(self) -> None:
        self.y: Array | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """x: ndarray of any shape, float32 or float64. Returns ndarray of that shape and dtype."""
        self.y = ops.relu(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        y: Array = self._remembered(self.y)
        return ops.relu_backward(gradient_like(dout, y.shape, y.dtype), y)

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        return Keeps(output=True)

    @property
    def mask(self) -> Array | None:
        """Where the last `forward`'s x was not above 0 (bool)."""
        return None if self.y is None else self.y <= 0

    def branches(self) -> Array | None:
        return self.mask


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    label = "Sigmoid"

    def __init__(self) -> None:
        self.out: Array | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """x: ndarray of any shape, float32 or float64. Returns ndarray of that shape and dtype."""
        x = checks.float_array("x", x)
        small = np.exp(-np.abs(x))  # never overflows, whatever the sign of x
        self.out = np.where(x >= 0, 1 / (1 + small), small / (1 + small))
        return self.out

    def backward(self, dout: Array) -> Array:
        out: Array = self._remembered(self.out)
        dx: Array = gradient_like(dout, out.shape, out.dtype) * (1 - out) * out
        return dx

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        return Keeps(output=True)
