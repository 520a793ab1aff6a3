"""The steps of the optimizers in plain NumPy: twins of the compiled kernels of the same names.

Each changes a parameter, and what its optimizer remembers of it, in place. All arrays of a call
have one shape and dtype, which may be any of floats; see `pyconv.optimizers`.
"""

import numpy as np

from .checks import Array


def sgd_step(param: Array, grad: Array, lr: float) -> None:
    """Down the gradient."""
    param -= lr * grad


def momentum_step(param: Array, grad: Array, v: Array, lr: float, momentum: float) -> None:
    """Along a velocity that gradients change."""
    v *= momentum
    v -= lr * grad
    param += v


def nesterov_step(param: Array, grad: Array, v: Array, lr: float, momentum: float) -> None:
    """Along the velocity that the next step would begin with."""
    change = lr * grad
    v *= momentum
    v -= change
    param += momentum * v - change


def adagrad_step(param: Array, grad: Array, h: Array, lr: float) -> None:
    """Less for entries whose gradients were large."""
    h += grad * grad
    param -= lr * grad / (np.sqrt(h) + 1e-7)


def rmsprop_step(param: Array, grad: Array, h: Array, lr: float, decay_rate: float) -> None:
    """Less for entries whose gradients were large of late."""
    h *= decay_rate
    h += (1 - decay_rate) * grad * grad
    param -= lr * grad / (np.sqrt(h) + 1e-7)


def adam_step(
    param: Array, grad: Array, m: Array, v: Array, lr: float, beta1: float, beta2: float
) -> None:
    """Along the mean gradient, divided by the root of the mean square."""
    m += (1 - beta1) * (grad - m)
    v += (1 - beta2) * (grad * grad - v)
    param -= lr * m / (np.sqrt(v) + 1e-7)
