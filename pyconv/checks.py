"""What every function of `pyconv` accepts, and the sentence it answers anything else with.

One function here for each public one: it takes the same arguments and returns what a kernel needs:
arrays in C order and native bytes, and the `Window`. `ops` and `reference` both begin with it, so
the two cannot differ in what they accept.
"""

import math
import sys
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .window import Padding, PerAxis, Window, make_window, whole

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
        raise ValueError(f"{name} must be 4 sizes {axes}, not {value!r}")
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
    if math.prod(max(size, 1) for size in shape) > sys.maxsize // 8:
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


def im2col(
    x: object, filter_h: int, filter_w: int, stride: PerAxis, pad: Padding, dilation: PerAxis
) -> tuple[Array, Window]:
    x = array("x", x, "(N, C, H, W)")
    N, C, H, W = x.shape
    window = make_window(filter_h, filter_w, stride, pad, dilation, (H, W))
    affordable("the column matrix", _column_shape(window, (max(N, 1), C, H, W)))
    return x, window


def col2im(
    col: object,
    input_shape: object,
    filter_h: int,
    filter_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
) -> tuple[Array, Shape4, Window]:
    col = array("col", col, "(N*OH*OW, C*FH*FW)")
    shape = shape4("input_shape", input_shape)
    window = make_window(filter_h, filter_w, stride, pad, dilation, shape[2:])
    fits = _column_shape(window, shape)
    same_shape("col", col.shape, fits, f"the column matrix (N*OH*OW, C*FH*FW) of input {shape}")
    affordable("the column matrix", _column_shape(window, (max(shape[0], 1), *shape[1:])))
    affordable("dx", shape)
    return col, shape, window


def _column_shape(window: Window, shape: Shape4) -> tuple[int, int]:
    N, C, H, W = shape
    OH, OW = window.output_size(H, W)
    return N * OH * OW, C * window.filter_h * window.filter_w


def max_pool2d(
    x: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    ceil_mode: bool = False,
) -> tuple[Array, Window]:
    x = array("x", x, "(N, C, H, W)")
    N, C, H, W = x.shape
    window = make_window(pool_h, pool_w, stride, pad, dilation, (H, W))
    flag("ceil_mode", ceil_mode)
    affordable("the pooled output", (N, C, *window.output_size(H, W, ceil_mode)))
    return x, window


def max_pool2d_backward(
    dout: object,
    argmax: object,
    input_shape: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
) -> tuple[Array, Array, Shape4, Window]:
    dout, shape, window = _pool_gradient(dout, input_shape, pool_h, pool_w, stride, pad, dilation)
    taken = winners(argmax, dout.shape, window.filter_h, window.filter_w, "max_pool2d")
    return dout, taken, shape, window


def winners(argmax: object, shape: tuple[int, ...], pool_h: int, pool_w: int, source: str) -> Array:
    """The winning taps that a max-pooling with this output shape returned, in their own dtype."""
    if not isinstance(argmax, np.ndarray) or argmax.dtype.kind not in "iu":
        kind = argmax.dtype if isinstance(argmax, np.ndarray) else type(argmax).__name__
        raise TypeError(f"argmax must be the integer array that {source} returned, not {kind}")
    same_shape("argmax", argmax.shape, shape, "dout")
    taps = pool_h * pool_w
    if argmax.size and (argmax.min() < 0 or argmax.max() >= taps):
        wrong = argmax.min() if argmax.min() < 0 else argmax.max()
        raise ValueError(
            f"argmax holds {wrong}, but in a {pool_h}×{pool_w} window it counts "
            f"from 0 to {taps - 1}"
        )
    return np.require(argmax, smallest_unsigned(taps - 1), ["C_CONTIGUOUS", "ALIGNED"])


def smallest_unsigned(largest: int) -> np.dtype[Any]:
    """The smallest unsigned dtype that holds `largest`: what `argmax` is stored in."""
    return np.dtype(np.min_scalar_type(largest))


def _pool_gradient(
    dout: object,
    input_shape: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
) -> tuple[Array, Shape4, Window]:
    dout = array("dout", dout, "(N, C, OH, OW)")
    shape = shape4("input_shape", input_shape)
    N, C, H, W = shape
    window = make_window(pool_h, pool_w, stride, pad, dilation, (H, W))
    floored = (N, C, *window.output_size(H, W))
    rounded_up = (N, C, *window.output_size(H, W, ceil_mode=True))
    if dout.shape not in (floored, rounded_up):
        other = f" (or {rounded_up} with ceil_mode)" if rounded_up != floored else ""
        raise ValueError(
            f"dout has shape {dout.shape}, but pooling input {shape} gives {floored}{other}"
        )
    affordable("dx", shape)
    return dout, shape, window


def avg_pool2d(
    x: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> tuple[Array, Window]:
    flag("count_include_pad", count_include_pad)
    return max_pool2d(x, pool_h, pool_w, stride, pad, 1, ceil_mode)


def avg_pool2d_backward(
    dout: object,
    input_shape: object,
    pool_h: int,
    pool_w: int,
    stride: PerAxis,
    pad: Padding,
    count_include_pad: bool = False,
) -> tuple[Array, Shape4, Window]:
    flag("count_include_pad", count_include_pad)
    return _pool_gradient(dout, input_shape, pool_h, pool_w, stride, pad, 1)


def conv2d(
    x: object,
    W: object,
    b: object,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> tuple[Array, Array, Array | None, Window, int]:
    x = array("x", x, "(N, C, H, W)")
    W = array("W", W, "(FN, C, FH, FW)")
    window, groups = _convolution(x.shape, W.shape, stride, pad, dilation, groups)
    b = bias(b, W.shape[0], "filters")
    same_dtype(x=x, W=W, b=b)
    affordable("the output", _convolved_shape(window, x.shape, W.shape))
    return x, W, b, window, groups


def conv2d_backward_data(
    dout: object,
    W: object,
    input_shape: object,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> tuple[Array, Array, Shape4, Window, int]:
    dout = array("dout", dout, "(N, FN, OH, OW)")
    W = array("W", W, "(FN, C, FH, FW)")
    shape = shape4("input_shape", input_shape)
    window, groups = _convolution(shape, W.shape, stride, pad, dilation, groups)
    fits = _convolved_shape(window, shape, W.shape)
    same_shape("dout", dout.shape, fits, f"the convolution of input {shape} with W {W.shape}")
    same_dtype(dout=dout, W=W)
    affordable("dx", shape)
    return dout, W, shape, window, groups


def conv2d_backward_weight(
    x: object,
    dout: object,
    filter_shape: object,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> tuple[Array, Array, Shape4, Window, int]:
    x = array("x", x, "(N, C, H, W)")
    dout = array("dout", dout, "(N, FN, OH, OW)")
    shape = shape4("filter_shape", filter_shape, "(FN, C, FH, FW)")
    window, groups = _convolution(x.shape, shape, stride, pad, dilation, groups)
    fits = _convolved_shape(window, x.shape, shape)
    same_shape("dout", dout.shape, fits, f"the convolution of x {x.shape} with filters {shape}")
    same_dtype(x=x, dout=dout)
    affordable("dW", shape)
    return x, dout, shape, window, groups


def _convolution(
    images: tuple[int, ...],
    filters: tuple[int, ...],
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> tuple[Window, int]:
    """Check that filters fit the images' channels, and the window the images."""
    groups = whole("groups", groups, 1)
    _, C, H, W = images
    FN, filter_C, FH, FW = filters
    if C % groups or FN % groups:
        raise ValueError(
            f"groups={groups} must divide both the {C} channels of the input and the {FN} filters"
        )
    if filter_C != C // groups:
        split = f" in {groups} groups, {C // groups} a group," if groups > 1 else ""
        raise ValueError(
            f"the input of shape {images} has {C} channels{split} but the filters of shape "
            f"{filters} have {filter_C}; filters of shape {(FN, C // groups, FH, FW)} would fit"
        )
    window = make_window(FH, FW, stride, pad, dilation, (H, W))
    window.output_size(H, W)
    return window, groups


def _convolved_shape(
    window: Window, images: tuple[int, ...], filters: tuple[int, ...]
) -> tuple[int, int, int, int]:
    N, _, H, W = images
    return N, filters[0], *window.output_size(H, W)


def bias(b: object, count: int, of: str) -> Array | None:
    """A bias of `count` entries; None or the book's scalar 0 where there is none."""
    if b is None or (isinstance(b, int | float | np.number) and b is not False and b == 0):
        return None
    b = array("b", b, "(FN,)" if of == "filters" else "(M,)")
    if b.shape != (count,):
        raise ValueError(f"b has shape {b.shape}, but {count} {of} want a bias of shape ({count},)")
    return b


def affine(x: object, W: object, b: object, relu: bool) -> tuple[Array, Array, Array | None]:
    flag("relu", relu)
    x, W = _rows_and_weights(x, W)
    b = bias(b, W.shape[1], "outputs")
    same_dtype(x=x, W=W, b=b)
    return x, W, b


def affine_backward(
    x: object, dout: object, W: object, y: object, need_dx: bool
) -> tuple[Array, Array, Array, Array | None]:
    flag("need_dx", need_dx)
    x, W = _rows_and_weights(x, W)
    dout = array("dout", dout, "(N, M)")
    y = array("y", y, "(N, M)") if y is not None else None
    for name, given in (("dout", dout), ("y", y)):
        if given is not None:
            fits = (x.shape[0], W.shape[1])
            same_shape(name, given.shape, fits, f"x {x.shape} times W {W.shape}")
    same_dtype(x=x, dout=dout, W=W, y=y)
    return x, dout, W, y


def relu(x: object) -> Array:
    return float_array("x", x)


def relu_backward(dout: object, y: object) -> tuple[Array, Array]:
    dout, y = float_array("dout", dout), float_array("y", y)
    same_shape("dout", dout.shape, y.shape, "y")
    same_dtype(dout=dout, y=y)
    return dout, y


def _rows_and_weights(x: object, W: object) -> tuple[Array, Array]:
    x = array("x", x, "(N, D)")
    W = array("W", W, "(D, M)")
    if x.shape[1] != W.shape[0]:
        raise ValueError(
            f"x of shape {x.shape} has {x.shape[1]} columns but W of shape {W.shape} has "
            f"{W.shape[0]} rows; W of shape ({x.shape[1]}, {W.shape[1]}) would fit"
        )
    return x, W
