"""Run a compiled kernel beside NumPy, and compare."""

import inspect
import json
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .. import _core, steps
from ..checks import Array
from . import expected as expectations
from .error import CALL, Difference, KernelError
from .expected import Expected
from .steps import expected_of_step

P = ParamSpec("P")
R = TypeVar("R")


def verified(native: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `native`, a function of `pyconv.ops`, returns: after it has been compared.

    Raises
    ------
    KernelError
        When it is not what NumPy has, to rounding.
    """
    results = native(*args, **kwargs)
    bound = inspect.signature(native).bind(*args, **kwargs)
    bound.apply_defaults()
    expect: Callable[..., list[Expected]] = getattr(expectations, native.__name__)
    with np.errstate(all="ignore"):
        expected = expect(results, *bound.arguments.values())
        as_tuple = results if isinstance(results, tuple) else (results,)
        _compare(native.__name__, bound.arguments, as_tuple, expected)
    return results


def verified_step(kernel: str, arrays: list[Array], numbers: tuple[float, ...]) -> None:
    """Take a step of an optimizer with the compiled kernel of that name, comparing it first.

    Raises
    ------
    KernelError
        When it is not what NumPy makes of the arrays, to rounding. They are as before then.
    """
    after = [array.copy() for array in arrays]
    getattr(_core, kernel)(*after, *numbers)
    names = inspect.signature(getattr(steps, kernel)).parameters
    before = [array.copy() for array in arrays]
    with np.errstate(all="ignore"):
        expected = expected_of_step(kernel, before, numbers)
        arguments = dict(zip(names, [*before, *numbers], strict=True))
        _compare(kernel, arguments, tuple(after), expected)
    for array, stepped in zip(arrays, after, strict=True):
        array[...] = stepped


def call(function: str, arguments: dict[str, Any]) -> Any:
    """Call a function, or a step on copies of its arrays, in check mode."""
    if hasattr(steps, function):
        arrays = [a.copy() for a in arguments.values() if isinstance(a, np.ndarray)]
        numbers = tuple(a for a in arguments.values() if not isinstance(a, np.ndarray))
        verified_step(function, arrays, numbers)
        return arrays[0]
    from .. import ops

    return verified(inspect.unwrap(getattr(ops, function)), **arguments)


def replay(path: str | os.PathLike[str]) -> Any:
    """Make the call of a file that `KernelError.save` wrote, in check mode.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    What the compiled kernel returns, when it is right; of an optimizer's step the parameter.

    Raises
    ------
    KernelError
        When it is wrong.
    OSError
        When there is no such file.
    ValueError
        When the file holds no call.
    """
    with np.load(path) as file:
        if CALL not in getattr(file, "files", ()):
            raise ValueError(f"{os.fspath(path)} holds no call; KernelError.save writes such files")
        said = json.loads(file[CALL].item())
        arguments = {name: file[name] for name in file.files if name != CALL}
    return call(said["function"], arguments | said["arguments"])


def _compare(
    function: str, arguments: dict[str, Any], results: tuple[Any, ...], expected: list[Expected]
) -> None:
    for native, one in zip(results, expected, strict=True):
        difference = _difference(native, one)
        if difference is not None:
            raise KernelError(function, arguments, difference)


def _difference(native: Array | None, expected: Expected) -> Difference | None:
    if native is None and expected.value is None:
        return None
    kinds = _kind(native), _kind(expected.value, expected.dtype)
    if native is None or expected.value is None or kinds[0] != kinds[1]:
        inf = float("inf")
        return Difference(expected.name, (), {}, *kinds, 0, 0, inf, inf, inf)

    value = expected.value
    distance = np.abs(native.astype(np.float64) - value)
    has_nan, wants_nan = np.isnan(native), np.isnan(value)
    right = (native == value) | (distance <= expected.tolerance) | expected.right_anyway
    right |= has_nan & wants_nan
    right |= (has_nan | wants_nan) & expected.either_nan
    if right.all():
        return None

    wrong = ~right
    index = tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))
    value = value.astype(expected.dtype)
    errors, of = _or_infinite(distance[wrong]), np.abs(value[wrong].astype(np.float64))
    relative = np.where(of > 0, errors / of, np.inf)
    return Difference(
        expected.name,
        index,
        expected.places(index),
        native[index],
        value[index],
        int(wrong.sum()),
        wrong.size,
        float(errors.max()),
        float(relative.max()),
        float(_ulps(errors, value[wrong]).max()),
        _taps(native[index], value[index], expected.pool_w),
    )


def _kind(array: Array | None, dtype: object = None) -> str:
    return "None" if array is None else f"{dtype or array.dtype} {array.shape}"


def _or_infinite(errors: Array) -> Array:
    """An error that is no number is as large as can be."""
    return np.where(np.isnan(errors), np.inf, errors)


def _ulps(errors: Array, of: Array) -> Array:
    """Errors in units of the distance to the next number of the dtype, or to the next integer."""
    if of.dtype.kind != "f":
        return errors
    ulps = errors / np.spacing(np.abs(of)).astype(np.float64)
    return _or_infinite(ulps)


def _taps(native: Any, reference: Any, pool_w: int | None) -> str:
    """What two numbers of taps mean, where the result is an argmax."""
    if pool_w is None:
        return ""
    taps = (divmod(int(tap), pool_w) for tap in (native, reference))
    return "that is {} instead of {}".format(*(f"tap row {y}, tap column {x}" for y, x in taps))
