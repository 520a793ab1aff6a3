"""The last layer of a classifier."""

import numpy as np

from .. import checks
from ..checks import Array


class SoftmaxWithLoss:
    """Softmax and cross-entropy: the mean over a batch of -log of the right class's probability.

    Attributes
    ----------
    y : ndarray (N, classes)
        Probabilities of the last `forward`.
    t : ndarray
        Its labels or one-hot rows.
    loss : float
        Its result.
    """

    def __init__(self) -> None:
        self.y: Array | None = None
        self.t: Array | None = None
        self.loss: float | None = None

    def forward(self, x: Array, t: Array) -> float:
        """Loss of a batch.

        Parameters
        ----------
        x : ndarray (N, classes), float32 or float64
            Scores.
        t : ndarray
            Labels (N,) of an integer dtype, or rows of probabilities (N, classes), e.g. one-hot.

        Raises
        ------
        TypeError, ValueError
            When `x` or `t` is of a wrong shape or dtype, empty, or a label is out of range.
        """
        x = checks.array("x", x, "(N, classes)")
        if not len(x):
            raise ValueError("the loss of an empty batch is not defined: x has shape (0, classes)")
        target = one_hot(t, x.shape[1], len(x), x.dtype)
        # Scores may have become infinite in a training that diverges: the loss is then NaN, which
        # whoever trains looks at. A warning from here would say less.
        with np.errstate(invalid="ignore", over="ignore"):
            log_y = log_softmax(x)
            self.y, self.t, self._target = np.exp(log_y), t, target
            self.loss = float(-np.where(target > 0, target * log_y, 0).sum() / len(x))
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        """Gradient (N, classes) with respect to the scores: dout * (y - t) / N.

        Raises
        ------
        RuntimeError
            When `forward` has not been called before.
        """
        if self.y is None:
            raise RuntimeError(
                "SoftmaxWithLoss.backward needs a forward before it; call forward(x, t) first"
            )
        dx: Array = (self.y - self._target) * (self.y.dtype.type(dout) / len(self.y))
        return dx

    def held(self) -> list[Array]:
        """The arrays that the last `forward` made and left: probabilities, and what they should be.

        Returns
        -------
        list of ndarray (N, classes)
        """
        return [] if self.y is None else [self.y, self._target]


def log_softmax(x: Array) -> Array:
    """Logarithm of the probabilities (N, classes) that scores (N, classes) stand for."""
    # exp of numbers up to 0 cannot overflow, and softmax does not see the difference
    shifted = x - x.max(axis=1, keepdims=True)
    log_y: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_y


def one_hot(
    t: object, classes: int, samples: int, dtype: np.dtype[np.floating], name: str = "t"
) -> Array:
    """Rows of probabilities (samples, classes) from labels, or from such rows, checked."""
    if not isinstance(t, np.ndarray) or t.ndim != 2:
        labels = checks.labels(t, classes, samples, name)
        rows = np.zeros((samples, classes), dtype)
        rows[np.arange(samples), labels] = 1
        return rows
    checks.same_shape(name, t.shape, (samples, classes), "the scores x")
    if t.dtype.kind not in "biuf" or t.min() < 0 or not np.allclose(t.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            f"every row of {name} must be probabilities that add up to 1, e.g. one-hot"
        )
    return t.astype(dtype)
