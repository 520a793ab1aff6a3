"""Backpropagation against numerical differentiation."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from . import checks
from .checks import Array, float_array
from .layers import Dropout
from .networks.sequential import Sequential, need_network
from .window import whole

TOLERANCE = 1e-5
# Shorter steps are for entries where the longest makes a branch flip, or where the loss is too
# curved for it; rounding errors grow with them.
STEPS = (1e-4, 1e-5, 1e-6, 1e-7)
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class ParameterCheck:
    """How well the two gradients of one parameter agree.

    Attributes
    ----------
    name : str
    shape : tuple of int
    checked : int
        Entries that were compared.
    kinks : int
        Entries left out: the shortest move, too, made a ReLU or the winner of a maximum flip,
        where the derivative jumps and a difference quotient means nothing.
    max_error, mean_error : float
        Of the entries compared, relative to the parameter's largest gradient.
    passed : bool
        Whether `max_error` is at most 1e-5, and there was an entry to compare.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    kinks: int
    max_error: float
    mean_error: float
    passed: bool


@dataclass(frozen=True)
class GradientCheck:
    """Result of `gradient_check`: one `ParameterCheck` each. Prints as a table."""

    parameters: tuple[ParameterCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every parameter passed."""
        return all(check.passed for check in self.parameters)

    def __iter__(self) -> Iterator[ParameterCheck]:
        return iter(self.parameters)

    def __str__(self) -> str:
        lines = [
            f"{'parameter':<10} {'shape':<18} {'checked':>7} {'kinks':>5} {'max error':>10} "
            f"{'mean error':>10}"
        ]
        for p in self.parameters:
            verdict = "passed" if p.passed else "FAILED"
            lines.append(
                f"{p.name:<10} {p.shape!s:<18} {p.checked:>7} {p.kinks:>5} {p.max_error:>10.1e} "
                f"{p.mean_error:>10.1e} {verdict}"
            )
        return "\n".join(lines)


def gradient_check(
    network: Sequential, x: Array, t: Array, samples: int = 50, rng: int = 0
) -> GradientCheck:
    """Compare a network's gradients with central differences of its loss, in float64.

    The network is copied: its parameters, statistics and random numbers stay as they are.

    Parameters
    ----------
    network : Sequential
    x : ndarray (N, ...)
        A batch; a few samples are enough.
    t : ndarray
        Labels (N,), or one-hot (N, classes).
    samples : int
        Entries of each parameter to compare, chosen at random; all where it has no more.
    rng : int
        Seed of the choice.

    Returns
    -------
    GradientCheck

    Raises
    ------
    TypeError, ValueError
        When the batch does not fit the network, or the network has no parameters.

    Notes
    -----
    The numerical derivative is (f(w + h) - f(w - h)) / 2h with h = 1e-4. Every element's branch
    (the sign of a ReLU's input, the winner of a maximum) is compared at w - h, w and w + h. Where
    one flips, shorter h down to 1e-7 are tried; where one still does, the entry is counted as a
    kink and another takes its place. They are tried, too, where the two gradients disagree: a wrong
    gradient stays wrong, but the error of a difference quotient in a strongly curved loss vanishes.

    Parameters that are exactly 0 are moved to small random numbers first: with a fresh bias of 0,
    every ReLU sits on its kink wherever an image is empty.
    """
    need_network(network)
    samples = whole("samples", samples, 1)
    twin = network.astype(np.float64)
    if not twin.params:
        raise ValueError(f"{network.name} has no parameters whose gradients could be checked")
    x = float_array("x", x).astype(np.float64)
    generator = checks.generator(rng)
    for param in twin.params.values():
        param[param == 0] = 0.01 * generator.standard_normal(np.count_nonzero(param == 0))
    twin.fused = False  # layers on their own tell which branches they take
    evaluate = _Evaluation(twin, x, t)
    evaluate()  # sets the branches that count as unflipped
    unflipped = evaluate.branches()
    evaluate.rewind()
    twin.fused = network.fused
    gradients = twin.gradient(x, t)
    twin.fused = False

    results = []
    for name, param in twin.params.items():
        kinks, errors = 0, list[float]()
        scale = float(np.abs(gradients[name]).max())
        for flat_index in generator.permutation(param.size):
            if len(errors) == samples:
                break
            index = np.unravel_index(flat_index, param.shape)
            gradient = float(gradients[name][index])
            error = _error(evaluate, param, index, unflipped, gradient, scale)
            if error is None:
                kinks += 1
            else:
                errors.append(error)
        worst = float(np.max(errors, initial=0))  # NaN when one is
        mean = float(np.mean(errors)) if errors else 0.0
        passed = bool(errors) and worst <= TOLERANCE
        results.append(ParameterCheck(name, param.shape, len(errors), kinks, worst, mean, passed))
    return GradientCheck(tuple(results))


class _Evaluation:
    """The loss of one batch as a function of the parameters: dropout drops the same each time."""

    def __init__(self, network: Sequential, x: Array, t: Array) -> None:
        self.network, self.x, self.t = network, x, t
        dropouts = [layer for layer in network.layers.values() if isinstance(layer, Dropout)]
        self.random = [(layer.rng, layer.rng.bit_generator.state) for layer in dropouts]

    def rewind(self) -> None:
        for generator, state in self.random:
            generator.bit_generator.state = state

    def __call__(self) -> float:
        self.rewind()
        return self.network.loss(self.x, self.t)

    def branches(self) -> list[Array]:
        taken = (layer.branches() for layer in self.network.layers.values())
        return [branches for branches in taken if branches is not None]

    def flipped(self, unflipped: list[Array]) -> bool:
        pairs = zip(self.branches(), unflipped, strict=True)
        return not all(np.array_equal(now, before) for now, before in pairs)


def _error(
    evaluate: _Evaluation,
    param: Array,
    index: tuple[np.intp, ...],
    unflipped: list[Array],
    gradient: float,
    scale: float,
) -> float | None:
    """How far a gradient is from central differences of the loss in one entry, relative to `scale`.

    None where branches flip however short the step is.
    """
    error = None
    original = param[index]
    for step in STEPS:
        losses, flipped = [], False
        for moved in (original + step, original - step):
            param[index] = moved
            losses.append(evaluate())
            flipped |= evaluate.flipped(unflipped)
        param[index] = original
        # A gradient of nothing but rounding errors must not be divided by itself.
        rounding = 4 * EPSILON * (1 + abs(losses[0])) / step / TOLERANCE
        if flipped or (error is not None and rounding > scale):
            continue
        numerical = (losses[0] - losses[1]) / (2 * step)
        relative = abs(numerical - gradient) / max(scale, abs(numerical), rounding)
        error = relative if error is None else min(error, relative)
        if error <= TOLERANCE:
            break
    return error
