"""Activation functions: one number in, one number out."""

import numpy as np

from .. import checks
from ..checks import Array
from .base import Layer, gradient_like


class Relu(Layer):
    """max(x, 0). A NaN stays a NaN."""

    label = "Relu"

    def __init__(self) -> None:
        self.mask: Array | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """x: ndarray of any shape, float32 or float64. Returns ndarray of that shape and dtype."""
        x = checks.float_array("x", x)
        self._dtype = x.dtype
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Array) -> Array:
        mask: Array = self._remembered(self.mask)
        dx = gradient_like(dout, mask.shape, self._dtype).copy()
        dx[mask] = 0
        return dx

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
