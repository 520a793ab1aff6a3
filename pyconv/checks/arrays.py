"""What the checks of several functions, and of the layers, have in common."""

import math
import sys
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..window import whole

Array: TypeAlias = npt.NDArray[Any]
Shape4: TypeAlias = tuple[int, int, int, int]


def array(name: str, value: object, axes: str) -> Array:
    """`value` as a float32 or float64 array with the named axes, in C order and native bytes.

    Raises
    ------
    TypeError
        When it is no NumPy array, or of another dtype.
    ValueError
        When it has another number of axes, or an axis other than the batch N is empty.
    """
    checked = float_array(name, value)
    count = len(axes.removesuffix(",)").split(","))
    if checked.ndim != count:
        raise ValueError(
            f"{name} must have {count} {'axis' if count == 1 else 'axes'} {axes}, "
            f"but its shape is {checked.shape}"
        )
    if 0 in checked.shape[1:] or (checked.size == 0 and not axes.startswith("(N")):
        raise ValueError(
            f"{name} of shape {checked.shape} has an empty axis; only the batch N may be 0"
        )
    return checked


def float_array(name: str, value: object) -> Array:
    """`value` as a float32 or float64 array of any shape, in C order and native bytes."""
    if type(value) is np.ndarray and value.dtype.char in "fd" and value.dtype.isnative:
        flags = value.flags
        if flags.c_contiguous and flags.aligned:
            return value  # as most are, found out in a fraction of a microsecond
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        fits = f"np.asarray({name})" if not isinstance(value, np.ndarray) else f"{name}.filled(0)"
        raise TypeError(
            f"{name} must be a NumPy array, not {type(value).__name__}; convert it, "
            f"e.g. with {fits}"
        )
    native = value.dtype.newbyteorder("=")
    if native not in (np.float32, np.float64):
        raise TypeError(
            f"{name} has dtype {value.dtype}, but pyconv computes in float32 or float64; "
            f"convert it, e.g. with {name}.astype(np.float32)"
        )
    # ENSUREARRAY: a subclass such as np.matrix would bring its own rules for shapes and products
    return np.require(value, native, ["C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"])


def same_dtype(**arrays: Array | None) -> None:
    """Require one dtype: a mixed computation would be rounded or copied where nobody looks."""
    dtypes = {name: a.dtype for name, a in arrays.items() if a is not None}
    if len(set(dtypes.values())) > 1:
        found = ", ".join(f"{name} is {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"arrays must share one dtype, but {found}; convert with .astype()")


def shape4(name: str, value: object, axes: str = "(N, C, H, W)") -> Shape4:
    """Four sizes; only the first may be 0, and only where it is the batch N."""
    if not isinstance(value, tuple | list) or len(value) != 4:
        found = f"an array {value.shape}" if isinstance(value, np.ndarray) else repr(value)
        raise ValueError(f"{name} must be 4 sizes {axes}, not {found}")
    first = 0 if axes.startswith("(N") else 1
    return (
        whole(f"{name}[0]", value[0], first),
        whole(f"{name}[1]", value[1], 1),
        whole(f"{name}[2]", value[2], 1),
        whole(f"{name}[3]", value[3], 1),
    )


def same_shape(name: str, found: tuple[int, ...], fits: tuple[int, ...], what: str) -> None:
    """Require `name` to have the shape that fits."""
    if found != fits:
        raise ValueError(f"{name} has shape {found}, but {what} has shape {fits}")


def affordable(what: str, shape: tuple[int, ...]) -> None:
    """Refuse arrays no address can reach; smaller ones NumPy allocates or refuses itself.

    NumPy holds an empty array to the same bound, counting its empty axis as 1.
    """
    size = math.prod(shape) or math.prod(max(size, 1) for size in shape)
    if size > sys.maxsize // 8:
        raise MemoryError(f"{what} would have shape {shape}: more than memory can hold")


def labels(t: object, classes: int, samples: int, name: str = "t") -> Array:
    """Class labels (N,) of an integer dtype, each in [0, classes)."""
    if not isinstance(t, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, not {type(t).__name__}")
    if t.shape != (samples,):
        raise ValueError(
            f"{name} has shape {t.shape}, but {samples} samples want labels ({samples},) "
            f"or one-hot rows ({samples}, {classes})"
        )
    if t.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold whole numbers as labels, but its dtype is {t.dtype}")
    if samples and (t.min() < 0 or t.max() >= classes):
        wrong = int(np.flatnonzero((t < 0) | (t >= classes))[0])
        raise ValueError(f"{name}[{wrong}] is {t[wrong]}, but labels run from 0 to {classes - 1}")
    return t


def flag(name: str, value: object) -> None:
    """Require True or False: the word "no" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def generator(rng: object) -> "np.random.Generator":  # in quotes: not loaded by the import
    """`rng` itself where it is a generator; one from a seed, or from anywhere for None."""
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer | np.random.Generator | None):
        raise TypeError(
            f"rng must be None, a whole number or a numpy.random.Generator, not {rng!r}"
        )
    if isinstance(rng, int | np.integer) and rng < 0:
        raise ValueError(f"rng must be at least 0, not {rng}")
    return np.random.default_rng(rng)


def bias(b: object, count: int, of: str) -> Array | None:
    """A bias of `count` entries; None or the book's scalar 0 where there is none."""
    if b is None:
        return None
    if isinstance(b, int | float | np.number):
        if b is not False and b == 0:
            return None
        raise TypeError(f"b must be an array ({count},) for {count} {of}, not {b}")
    b = array("b", b, "(FN,)" if of == "filters" else "(M,)")
    if b.shape != (count,):
        raise ValueError(f"b has shape {b.shape}, but {count} {of} want a bias of shape ({count},)")
    return b
