"""Layers that behave differently in training: Dropout and BatchNormalization."""

import math
from typing import Any

import numpy as np

from .. import checks
from ..checks import Array
from .base import Keeps, Layer, gradient_like


class Dropout(Layer):
    """Set a random part of the input to zero in training; scale by what remains otherwise.

    Parameters
    ----------
    dropout_ratio : float
        Part that is dropped, at least 0 and below 1.
    rng : None, int or numpy.random.Generator
        Where the choice comes from.

    Notes
    -----
    As in the book, training does not scale and prediction multiplies by 1 - dropout_ratio (Hinton
    et al., "Improving neural networks by preventing co-adaptation of feature detectors", 2012).
    """

    label = "Dropout"

    def __init__(
        self, dropout_ratio: float = 0.5, rng: int | np.random.Generator | None = None
    ) -> None:
        if not isinstance(dropout_ratio, float | int | np.floating) or not 0 <= dropout_ratio < 1:
            raise ValueError(f"dropout_ratio must be at least 0 and below 1, not {dropout_ratio!r}")
        self.dropout_ratio = float(dropout_ratio)
        self.rng = checks.generator(rng)
        self.mask: Array | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """x: ndarray of any shape, float32 or float64. Returns ndarray of that shape and dtype."""
        x = checks.float_array("x", x)
        if train_flg:
            kept = self.rng.random(x.shape, dtype=x.dtype.type) >= self.dropout_ratio
            self.mask = kept.astype(x.dtype)
        else:
            self.mask = np.full(x.shape, 1 - self.dropout_ratio, x.dtype)
        return x * self.mask

    def backward(self, dout: Array) -> Array:
        mask: Array = self._remembered(self.mask)
        return gradient_like(dout, mask.shape, mask.dtype) * mask

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        return Keeps(own=N * math.prod(shape) * itemsize)  # the mask

    def settings(self) -> dict[str, Any]:
        return {"dropout_ratio": self.dropout_ratio}


class BatchNormalization(Layer):
    """Shift and scale activations to mean 0 and variance 1 over a batch, then by gamma and beta.

    Parameters
    ----------
    gamma, beta : ndarray (D,), float32 or float64
        Scale and shift; D channels, features or activations, see `per`.
    momentum : float
        What the running mean and variance keep of themselves in each training batch, 0 to 1.
    running_mean, running_var : ndarray (D,), optional
        Statistics that prediction uses; training updates them in place. At first 0 and 1.
    per : {"channel", "activation"}
        Over what images (N, C, H, W) are averaged: "channel", the field's meaning, over N, H and W,
        with D = C; "activation", the book's, over N alone, with D = C*H*W. For rows (N, D) the two
        are the same.

    Raises
    ------
    TypeError, ValueError
        When arrays differ in shape or dtype, or an argument is out of range.

    Notes
    -----
    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
    Covariate Shift" (2015). The variance is the batch's own, divided by its size, as in the book.
    """

    label = "BatchNorm"
    parameters = ("gamma", "beta")
    buffers = ("running_mean", "running_var")
    epsilon = 1e-6  # keeps the division finite where a batch does not vary

    def __init__(
        self,
        gamma: Array,
        beta: Array,
        momentum: float = 0.9,
        running_mean: Array | None = None,
        running_var: Array | None = None,
        per: str = "channel",
    ) -> None:
        scale = checks.array("gamma", gamma, "(D,)")
        self.running_mean = np.zeros_like(scale) if running_mean is None else running_mean
        self.running_var = np.ones_like(scale) if running_var is None else running_var
        others = {
            "beta": beta,
            "running_mean": self.running_mean,
            "running_var": self.running_var,
        }
        for name, value in others.items():
            checks.same_shape(name, checks.array(name, value, "(D,)").shape, scale.shape, "gamma")
        checks.same_dtype(gamma=scale, **others)
        if not isinstance(momentum, float | int | np.floating) or not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be between 0 and 1, not {momentum!r}")
        if per not in ("channel", "activation"):
            raise ValueError(f"per must be 'channel' or 'activation', not {per!r}")
        self.gamma, self.beta, self.momentum, self.per = gamma, beta, float(momentum), per
        self.x_hat: Array | None = None
        self.dgamma: Array | None = None
        self.dbeta: Array | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """x: ndarray (N, D) or (N, C, H, W). Returns the same shape and dtype."""
        x = checks.float_array("x", x)
        checks.same_dtype(x=x, gamma=self.gamma)
        if x.ndim not in (2, 4):
            raise ValueError(f"x must be rows (N, D) or images (N, C, H, W), not {x.shape}")
        self.output_shape(x.shape[1:])
        rows = self._to_rows(x)
        if train_flg:
            if not len(rows):
                raise ValueError("an empty batch has no mean to normalize by: x has no samples")
            mean, var = rows.mean(axis=0), rows.var(axis=0)
            self.running_mean += (1 - self.momentum) * (mean - self.running_mean)
            self.running_var += (1 - self.momentum) * (var - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        self._std = np.sqrt(var + x.dtype.type(self.epsilon))
        self.x_hat = (rows - mean) / self._std
        self._x_shape, self._trained = x.shape, train_flg
        return self._from_rows(self.gamma * self.x_hat + self.beta)

    def backward(self, dout: Array) -> Array:
        x_hat: Array = self._remembered(self.x_hat)
        rows = self._to_rows(gradient_like(dout, self._x_shape, x_hat.dtype))
        dgamma = (rows * x_hat).sum(axis=0)
        dbeta = rows.sum(axis=0)
        self.dgamma, self.dbeta = dgamma, dbeta
        if self._trained:  # the batch's mean and variance depend on every sample, too
            rows = rows - (dbeta + x_hat * dgamma) / len(rows)
        return self._from_rows(self.gamma / self._std * rows)

    def _to_rows(self, x: Array) -> Array:
        """The batch as a matrix with a column for each mean and variance."""
        if x.ndim == 4 and self.per == "channel":
            return x.transpose(0, 2, 3, 1).reshape(-1, len(self.gamma))
        return x.reshape(-1, len(self.gamma))

    def _from_rows(self, rows: Array) -> Array:
        if len(self._x_shape) == 4 and self.per == "channel":
            N, C, H, W = self._x_shape
            return np.ascontiguousarray(rows.reshape(N, H, W, C).transpose(0, 3, 1, 2))
        return rows.reshape(self._x_shape)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        by_channel = self.per == "channel" or len(shape) == 1
        size = shape[0] if by_channel else int(np.prod(shape))
        if size != len(self.gamma):
            kind = "channels" if by_channel else "activations"
            raise ValueError(
                f"a sample of shape {shape} has {size} {kind}, but gamma has {len(self.gamma)}"
            )
        return shape

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        return Keeps(own=(N * math.prod(shape) + self.gamma.size) * itemsize)  # x_hat, and std

    def settings(self) -> dict[str, Any]:
        return {"momentum": self.momentum, "per": self.per}
