"""How far from the exact sum of products a kernel's sum may lie: rounding, and numbers not finite.

A sum of n products in any order is off by at most n u S, where u is the unit roundoff and S the sum
of the products' magnitudes (Higham, *Accuracy and Stability of Numerical Algorithms*, ch. 3). A
wrong value could hide in that for long float32 sums, so more is made of them:

- the twin computes in float64, so that the kernel's rounding alone counts;
- errors of both signs make a random walk, with sqrt(n) in place of n;
- unless all are alike, as where equal numbers of one sign are added up. Then the sum itself is
  large: n times it is allowed in addition.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..checks import Array

Bilinear = Callable[[Array, Array], Array]


class Sum(NamedTuple):
    """The exact values of a result, and what a kernel may have instead."""

    value: Array
    tolerance: Array
    exempt: Array | bool  # too large for the dtype on the way: whatever comes is right
    either_nan: Array | bool  # 0 * NaN or infinity is part of it, which one side may leave out


def wide(array: Array) -> Array:
    """In float64."""
    return array.astype(np.float64, copy=False)


def magnitudes(array: Array) -> Array:
    """Absolute values in float64; 0 where not finite."""
    return np.where(np.isfinite(array), np.abs(wide(array)), 0)


def rounded(
    dtype: np.dtype[Any],
    terms: int,
    value: Array,
    size: Array,
    largest_sum: Array | None = None,
    either_nan: Array | bool = False,
) -> Sum:
    """A sum of `terms` products, whose magnitudes add up to `size`.

    `largest_sum`: how large it gets on the way, where that may be more than its value.
    """
    info = np.finfo(dtype)
    unit = float(info.eps) / 2
    if dtype == np.float64:  # the twin rounds as well; in any order
        tolerance = unit * (8 + 2 * terms) * size
    else:
        sums = largest_sum if largest_sum is not None else np.abs(value)
        one_sided = np.where(np.isfinite(sums), sums, 0)
        tolerance = unit * ((8 + 8 * terms**0.5) * size + terms * one_sided)
    tolerance = tolerance + (terms + 8) * float(info.smallest_subnormal)
    return Sum(value, tolerance, size > float(info.max) / 16, either_nan)


def products(
    function: Bilinear,
    a: Array,
    b: Array,
    terms: int,
    bias: Array | None = None,
    mixed: tuple[int, Bilinear] | None = None,
    spreads: bool = False,
) -> Sum:
    """What `function`, linear in each of `a` and `b`, makes of them.

    Parameters
    ----------
    terms : int
        How many products are added up at most.
    bias : ndarray, optional
        Added to each sum, broadcast.
    mixed : (int, function), optional
        Where the kernel may add numbers up before it multiplies them: the terms of its sums, and
        what bounds their magnitudes, from those of `a` and `b`.
    spreads : bool
        Whether NaN and infinities then reach every sum that they are mixed into.
    """
    value = function(wide(a), wide(b))
    size = function(magnitudes(a), magnitudes(b))
    if bias is not None:
        value, size = value + wide(bias), size + magnitudes(bias)
    reach = mixed[1] if mixed is not None and spreads else function
    either_nan = _zero_times_nonfinite(reach, a, b, mixed is not None)
    found = rounded(a.dtype, terms + 1, value, size, either_nan=either_nan)
    if mixed is None:
        return found
    mixed_terms, bound = mixed
    mixed_size = bound(magnitudes(a), magnitudes(b))
    if bias is not None:
        mixed_size += magnitudes(bias)
    of_mixed = rounded(a.dtype, mixed_terms + 1, value, mixed_size)
    return found._replace(
        tolerance=np.maximum(found.tolerance, of_mixed.tolerance),
        exempt=found.exempt | of_mixed.exempt,
    )


def _zero_times_nonfinite(function: Bilinear, a: Array, b: Array, mixes: bool) -> Array | bool:
    """Where the sum has a product of 0 and NaN or infinity, or a difference of infinities.

    NumPy takes it for 0 or for NaN, as the shapes have it, and a kernel may leave padding out.
    """
    not_finite = ~np.isfinite(a)
    if not np.isfinite(b).all():
        return True
    if not not_finite.any():
        return False
    partners = np.ones_like(b, np.float64) if mixes else wide(b == 0)
    seen: Array = function(wide(not_finite), partners) > 0
    return seen
