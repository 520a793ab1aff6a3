"""Optimizers, in order of complexity. `update` changes the parameters in place.

What a step computes stands in `pyconv.steps`, in NumPy, and compiled in csrc/kernels/update.hpp.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from . import _core, steps
from .backend import current_backend
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
    kernel: ClassVar[str]  # name of its step, among the compiled kernels and in `steps`

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
        numbers = self._numbers()
        compiled, twin = getattr(_core, self.kernel), getattr(steps, self.kernel)
        backend = current_backend()
        for name, param in params.items():
            arrays = [param, gradients[name]]
            for remembered in self.state.values():
                if name not in remembered:
                    remembered[name] = np.zeros_like(param)
                arrays.append(remembered[name])
            if backend == "reference" or not _fit_the_kernel(arrays):
                twin(*arrays, *numbers)
            elif backend == "check":
                _verified_step(name, self.kernel, arrays, numbers)
            else:
                compiled(*arrays, *numbers)

    def _numbers(self) -> tuple[float, ...]:
        """What this update's step takes beside arrays."""
        return (self.lr,)

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


def _verified_step(name: str, kernel: str, arrays: list[Array], numbers: tuple[float, ...]) -> None:
    from .verification import KernelError, verified_step

    try:
        verified_step(kernel, arrays, numbers)
    except KernelError as error:
        error.add_note(f"in the update of parameter {name!r}")
        raise


def _fit_the_kernel(arrays: list[Array]) -> bool:
    """Whether the compiled step takes these arrays, which have one shape and dtype, as they are.

    The rest is left to NumPy: half floats, bytes in foreign order, transposed views, subclasses.
    """
    param, grad = arrays[0], arrays[1]
    if param.dtype not in _COMPILED_FOR or np.may_share_memory(param, grad):
        return False
    for array in arrays:
        flags = array.flags
        if type(array) is not np.ndarray or not (flags.c_contiguous and flags.aligned):
            return False
    return True


_COMPILED_FOR = (np.dtype(np.float32), np.dtype(np.float64))


class SGD(Optimizer):
    """Stochastic gradient descent: param -= lr * grad."""

    kernel = "sgd_step"

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)


class Momentum(Optimizer):
    """SGD with a velocity: v = momentum * v - lr * grad; param += v (Polyak, 1964)."""

    quantities = ("v",)
    kernel = "momentum_step"

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self.momentum = _within("momentum", momentum, 0, 1)

    def _numbers(self) -> tuple[float, ...]:
        return self.lr, self.momentum


class Nesterov(Momentum):
    """Momentum that looks ahead: param += momentum * v - lr * grad with the new v.

    Nesterov (1983), in the form of Bengio, Boulanger-Lewandowski and Pascanu, "Advances in
    optimizing recurrent networks" (2012).
    """

    kernel = "nesterov_step"


class AdaGrad(Optimizer):
    """A learning rate per entry, by all its squared gradients (Duchi, Hazan and Singer, 2011)."""

    quantities = ("h",)
    kernel = "adagrad_step"

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)


class RMSprop(Optimizer):
    """AdaGrad that forgets: h = decay_rate * h + (1 - decay_rate) * grad^2 (Hinton, 2012)."""

    quantities = ("h",)
    kernel = "rmsprop_step"

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        super().__init__(lr)
        self.decay_rate = _within("decay_rate", decay_rate, 0, 1)

    def _numbers(self) -> tuple[float, ...]:
        return self.lr, self.decay_rate


class Adam(Optimizer):
    """Running means of gradient and squared gradient (Kingma and Ba, 2015)."""

    quantities = ("m", "v")
    kernel = "adam_step"

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__(lr)
        self.beta1 = _within("beta1", beta1, 0, 1)
        self.beta2 = _within("beta2", beta2, 0, 1)

    def _numbers(self) -> tuple[float, ...]:
        # Section 2 of the paper: the correction for starting at zero, folded into the step size.
        lr = self.lr * math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        return lr, self.beta1, self.beta2


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSprop,
    "adam": Adam,
}
