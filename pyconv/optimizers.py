"""Optimizers, in order of complexity. `update` changes the parameters in place."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .checks import Array

__all__ = ["OPTIMIZERS", "SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "Optimizer", "RMSprop"]


class Optimizer:
    """Base of all optimizers.

    Attributes
    ----------
    lr : float
        Learning rate; may be changed between updates.
    state : dict of str to dict of str to ndarray
        What the optimizer remembers of each parameter, by name of the quantity and parameter.
    steps : int
        Number of updates so far.
    """

    quantities: ClassVar[tuple[str, ...]] = ()

    def __init__(self, lr: float) -> None:
        self.lr = _within("lr", lr, 0, math.inf)
        self.steps = 0
        self.state: dict[str, dict[str, Array]] = {name: {} for name in self.quantities}

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array | None]) -> None:
        """Change every parameter in place, by its gradient.

        Parameters
        ----------
        params : mapping of str to ndarray, float32 or float64
        grads : mapping of str to ndarray
            A gradient for each of them, of the same shape and dtype.

        Raises
        ------
        KeyError, TypeError, ValueError
            When a gradient is missing or does not fit, or a parameter is read-only. No parameter
            has been changed then.
        """
        gradients = {name: _gradient(name, param, grads) for name, param in params.items()}
        for remembered in self.state.values():
            for name in remembered.keys() & params.keys():
                _same_kind(name, params[name], "this optimizer remembers", remembered[name])
        self.steps += 1
        for name, param in params.items():
            for remembered in self.state.values():
                if name not in remembered:
                    remembered[name] = np.zeros_like(param)
            self._step(param, gradients[name], *(kept[name] for kept in self.state.values()))

    def _step(self, param: Array, grad: Array, *state: Array) -> None:
        raise NotImplementedError

    def settings(self) -> dict[str, float]:
        """Constructor arguments."""
        return {name: value for name, value in vars(self).items() if name not in ("state", "steps")}


def _within(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not low <= value < high:
        bounds = f"at least {low}" + (f" and below {high}" if high < math.inf else " and finite")
        raise ValueError(f"{name} must be {bounds}, not {value}")
    return float(value)


def _gradient(name: str, param: Array, grads: Mapping[str, Array | None]) -> Array:
    grad = grads.get(name)
    if grad is None:
        raise KeyError(f"there is no gradient for parameter {name!r}, only for {sorted(grads)}")
    for kind, array in (("parameter", param), ("the gradient of", grad)):
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{kind} {name!r} must be an array of floats, not {found}")
    _same_kind(name, param, "its gradient is", grad)
    if not param.flags.writeable:
        raise ValueError(f"parameter {name!r} is read-only; an optimizer changes it in place")
    return grad


def _same_kind(name: str, param: Array, what: str, other: Array) -> None:
    if (other.shape, other.dtype) != (param.shape, param.dtype):
        raise ValueError(
            f"parameter {name!r} is {param.dtype} {param.shape}, but {what} "
            f"{other.dtype} {other.shape}"
        )


class SGD(Optimizer):
    """Stochastic gradient descent: param -= lr * grad."""

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)

    def _step(self, param: Array, grad: Array, *state: Array) -> None:
        param -= self.lr * grad


class Momentum(Optimizer):
    """SGD with a velocity: v = momentum * v - lr * grad; param += v (Polyak, 1964)."""

    quantities = ("v",)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self.momentum = _within("momentum", momentum, 0, 1)

    def _step(self, param: Array, grad: Array, *state: Array) -> None:
        (v,) = state
        v *= self.momentum
        v -= self.lr * grad
        param += v


class Nesterov(Momentum):
    """Momentum that looks ahead: param += momentum * v - lr * grad with the new v.

    Nesterov (1983), in the form of Bengio, Boulanger-Lewandowski and Pascanu, "Advances in
    optimizing recurrent networks" (2012).
    """

    def _step(self, param: Array, grad: Array, *state: Array) -> None:
        (v,) = state
        v *= self.momentum
        v -= self.lr * grad
        param += self.momentum * v
        param -= self.lr * grad


class AdaGrad(Optimizer):
    """A learning rate per entry, by all its squared gradients (Duchi, Hazan and Singer, 2011)."""

    quantities = ("h",)

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)

    def _step(self, param: Array, grad: Array, *state: Array) -> None:
        (h,) = state
        h += grad * grad
        param -= self.lr * grad / (np.sqrt(h) + 1e-7)


class RMSprop(Optimizer):
    """AdaGrad that forgets: h = decay_rate * h + (1 - decay_rate) * grad^2 (Hinton, 2012)."""

    quantities = ("h",)

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        super().__init__(lr)
        self.decay_rate = _within("decay_rate", decay_rate, 0, 1)

    def _step(self, param: Array, grad: Array, *state: Array) -> None:
        (h,) = state
        h *= self.decay_rate
        h += (1 - self.decay_rate) * grad * grad
        param -= self.lr * grad / (np.sqrt(h) + 1e-7)


class Adam(Optimizer):
    """Running means of gradient and squared gradient (Kingma and Ba, 2015)."""

    quantities = ("m", "v")

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__(lr)
        self.beta1 = _within("beta1", beta1, 0, 1)
        self.beta2 = _within("beta2", beta2, 0, 1)

    def _step(self, param: Array, grad: Array, *state: Array) -> None:
        m, v = state
        # Section 2 of the paper: the correction for starting at zero, folded into the step size.
        lr = self.lr * math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        m += (1 - self.beta1) * (grad - m)
        v += (1 - self.beta2) * (grad * grad - v)
        param -= lr * m / (np.sqrt(v) + 1e-7)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSprop,
    "adam": Adam,
}
