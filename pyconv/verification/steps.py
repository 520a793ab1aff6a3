"""What the steps of the optimizers should make of their arrays."""

import inspect

import numpy as np

from .. import steps
from ..checks import Array
from . import places
from .expected import Expected
from .sums import wide


def expected_of_step(
    kernel: str, arrays: list[Array], numbers: tuple[float, ...]
) -> list[Expected]:
    """Each array after the step, from those before: param, grad and what is remembered.

    Element by element, kernel and twin round alike but for products that a CPU adds up unrounded.
    So the twin computes in the dtype of the arrays, and 32 roundings of the largest number on the
    way are allowed.
    """
    function = getattr(steps, kernel)
    dtype = arrays[0].dtype
    after = [array.copy() for array in arrays]
    function(*after, *numbers)
    # With gradients below 0 and the rest above, every term of a step has one sign.
    param, grad, *remembered = (np.abs(wide(array)) for array in arrays)
    if kernel == "adam_step":
        remembered[0] = -remembered[0]
    sizes = [param, -grad, *remembered]
    before = [np.abs(size) for size in sizes]
    function(*sizes, *numbers)
    rounding = 16 * float(np.finfo(dtype).eps)
    tolerances = [
        rounding * np.maximum(np.abs(size), earlier)
        for size, earlier in zip(sizes, before, strict=True)
    ]
    tolerances[1] = np.zeros_like(grad)
    if kernel == "adam_step":
        # m + (1 - beta1) * (grad - m) loses digits where little of a large m is kept; so does v.
        tolerances[0] /= max(min(numbers[1:]), float(np.finfo(dtype).tiny))
    smallest = 8 * float(np.finfo(dtype).smallest_subnormal)
    names = list(inspect.signature(function).parameters)[: len(arrays)]
    return [
        Expected(name, places.numbered, dtype, value, tolerance + smallest)
        for name, value, tolerance in zip(names, after, tolerances, strict=True)
    ]
