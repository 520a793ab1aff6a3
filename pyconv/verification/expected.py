"""What each function should return: a function here for each public one.

It takes the kernel's results and the arguments of the call. The values are those of
`pyconv.reference`, of the same call or of its parts.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import checks, reference
from ..checks import Array
from ..window import Padding, PerAxis, Window
from . import places
from .places import Places
from .sums import Bilinear, Sum, magnitudes, products, rounded, wide


class Expected(NamedTuple):
    """One result of a call."""

    name: str
    places: Places
    dtype: np.dtype[Any]
    value: Array | None
    tolerance: Array | float = 0.0
    right_anyway: Array | bool = False
    either_nan: Array | bool = False
    pool_w: int | None = None  # of an argmax: the width of the window that it counts in


def exactly(name: str, places: Places, value: Array, pool_w: int | None = None) -> Expected:
    """A result that no kernel rounds."""
    return Expected(name, places, value.dtype, value, pool_w=pool_w)


def nearly(name: str, places: Places, dtype: np.dtype[Any], found: Sum) -> Expected:
    """A result that is a sum."""
    return Expected(name, places, dtype, *found)


def nothing(name: str) -> Expected:
    """A result that was not asked for."""
    return Expected(name, places.numbered, np.dtype(object), None)


def im2col(
    native: Any,
    x: Array,
    filter_h: int,
    filter_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
) -> list[Expected]:
    x, window = checks.im2col(x, filter_h, filter_w, stride, pad, dilation)
    col = reference.im2col(x, filter_h, filter_w, stride, pad, dilation)
    sizes = window.output_size(x.shape[2], x.shape[3])
    return [exactly("col", places.column_matrix(window, *sizes), col)]


def col2im(native: Any, col: Array, input_shape: tuple[int, ...], *window: Any) -> list[Expected]:
    taps = window[0] * window[1]
    return [_linear("x", col, taps, lambda a: reference.col2im(a, input_shape, *window))]


def max_pool2d(native: Any, x: Array, pool_h: int, pool_w: int, *window: Any) -> list[Expected]:
    y, argmax = reference.max_pool2d(x, pool_h, pool_w, *window)
    return [exactly("y", places.images, y), exactly("argmax", places.images, argmax, pool_w)]


def max_pool2d_backward(
    native: Any, dout: Array, argmax: Array, input_shape: tuple[int, ...], *window: Any
) -> list[Expected]:
    def gradient(a: Array) -> Array:
        return reference.max_pool2d_backward(a, argmax, input_shape, *window)

    return [_linear("dx", dout, window[0] * window[1], gradient)]


def avg_pool2d(native: Any, x: Array, pool_h: int, pool_w: int, *window: Any) -> list[Expected]:
    def mean(a: Array) -> Array:
        return reference.avg_pool2d(a, pool_h, pool_w, *window)

    # The sum that is divided may be too large for the dtype where the mean is not.
    [y] = [_linear("y", x, pool_h * pool_w, mean)]
    total = mean(magnitudes(x)) * (pool_h * pool_w)
    return [y._replace(right_anyway=total > float(np.finfo(x.dtype).max) / 16)]


def avg_pool2d_backward(
    native: Any, dout: Array, input_shape: tuple[int, ...], *window: Any
) -> list[Expected]:
    def gradient(a: Array) -> Array:
        return reference.avg_pool2d_backward(a, input_shape, *window)

    return [_linear("dx", dout, window[0] * window[1], gradient)]


def _linear(name: str, given: Array, terms: int, function: Callable[[Array], Array]) -> Expected:
    """Images that `function` makes of one array, adding up to `terms` of its values a pixel."""
    value, size = function(wide(given)), function(magnitudes(given))
    return nearly(name, places.images, given.dtype, rounded(given.dtype, terms, value, size, size))


def conv2d(
    native: Any,
    x: Array,
    W: Array,
    b: Array | float | None,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> list[Expected]:
    x, W, bias, window, groups = checks.conv2d(x, W, b, stride, pad, dilation, groups)
    return [nearly("y", places.images, x.dtype, _convolved(x, W, bias, window, groups))]


def conv2d_backward_data(
    native: Any,
    dout: Array,
    W: Array,
    input_shape: tuple[int, ...],
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> list[Expected]:
    dout, W, shape, window, groups = checks.conv2d_backward_data(
        dout, W, input_shape, stride, pad, dilation, groups
    )
    return [_data_gradient(dout, W, shape, window, groups)]


def conv2d_backward_weight(
    native: Any,
    x: Array,
    dout: Array,
    filter_shape: tuple[int, ...],
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> list[Expected]:
    x, dout, shape, window, groups = checks.conv2d_backward_weight(
        x, dout, filter_shape, stride, pad, dilation, groups
    )
    return _weight_gradients(x, dout, shape, window, groups)


def conv2d_block(
    native: Any,
    x: Array,
    W: Array,
    b: Array | float | None,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
    pool: PerAxis,
    need_argmax: bool,
) -> list[Expected]:
    x, W, bias, window, groups, (pool_h, pool_w) = checks.conv2d_block(
        x, W, b, stride, pad, dilation, groups, pool, need_argmax
    )

    def largest(array: Array) -> Array:
        return reference.max_pool2d(array, pool_h, pool_w, (pool_h, pool_w))[0]

    found = _convolved(x, W, bias, window, groups)
    before = np.where(found.value <= 0, 0, found.value)  # a NaN stays a NaN
    y, argmax = reference.max_pool2d(before, pool_h, pool_w, (pool_h, pool_w))
    exempt, either_nan = (
        largest(np.where(part, np.ones_like(before), 0)) > 0
        for part in (found.exempt, found.either_nan)
    )
    tolerance = largest(found.tolerance)
    results = [Expected("y", places.images, x.dtype, y, tolerance, exempt, either_nan)]
    if not need_argmax or (pool_h, pool_w) == (1, 1):
        return [*results, nothing("argmax")]
    right = exempt | ~np.isfinite(y)
    if native[1] is not None and native[0].shape == native[1].shape == y.shape:
        # Rounding decides between near equals, though the winner cannot be far from the largest.
        winner, its_tolerance = (
            _taken(a, native[1], pool_h, pool_w) for a in (before, found.tolerance)
        )
        near = winner + its_tolerance >= y - tolerance
        right |= ~np.isfinite(native[0]) | near & ((native[0] > 0) | (native[1] == 0))
    results.append(exactly("argmax", places.images, argmax, pool_w)._replace(right_anyway=right))
    return results


def _taken(array: Array, argmax: Array, pool_h: int, pool_w: int) -> Array:
    """What `argmax` says won each window of `array`; NaN where there is no such tap."""
    OH, OW = argmax.shape[2:]
    cut = array[:, :, : OH * pool_h, : OW * pool_w]
    windows = cut.reshape(*argmax.shape[:2], OH, pool_h, OW, pool_w).swapaxes(3, 4)
    taps = windows.reshape(*argmax.shape, pool_h * pool_w)
    known = argmax < pool_h * pool_w
    index = np.where(known, argmax, 0).astype(np.intp)
    won: Array = np.take_along_axis(taps, index[..., np.newaxis], axis=-1)[..., 0]
    return np.where(known, won, np.nan)


def conv2d_block_backward(
    native: Any,
    x: Array,
    W: Array,
    y: Array,
    dout: Array,
    argmax: Array | None,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
    pool: PerAxis,
    need_dx: bool,
) -> list[Expected]:
    x, W, y, dout, argmax, window, groups, pool = checks.conv2d_block_backward(
        x, W, y, dout, argmax, stride, pad, dilation, groups, pool, need_dx
    )
    dout = np.where(y <= 0, 0, dout)
    if argmax is not None:
        convolved = (*dout.shape[:2], *window.output_size(x.shape[2], x.shape[3]))
        dout = reference.max_pool2d_backward(dout, argmax, convolved, *pool, stride=pool)
    N, C, H, width = x.shape
    dx = _data_gradient(dout, W, (N, C, H, width), window, groups) if need_dx else nothing("dx")
    return [dx, *_weight_gradients(x, dout, W.shape, window, groups)]


def affine(native: Any, x: Array, W: Array, b: Array | float | None, relu: bool) -> list[Expected]:
    x, W, bias = checks.affine(x, W, b, relu)
    found = products(np.dot, x, W, len(W), bias)
    if relu:
        found = found._replace(value=np.where(found.value <= 0, 0, found.value))
    return [nearly("y", places.axes("row", "output"), x.dtype, found)]


def affine_backward(
    native: Any, x: Array, dout: Array, W: Array, y: Array | None, need_dx: bool
) -> list[Expected]:
    x, dout, W, y = checks.affine_backward(x, dout, W, y, need_dx)
    if y is not None:
        dout = np.where(y <= 0, 0, dout)
    dx = nothing("dx")
    if need_dx:
        back = products(lambda a, b: np.dot(a, b.T), dout, W, W.shape[1])
        dx = nearly("dx", places.axes("row", "input"), x.dtype, back)
    dW = products(lambda a, b: np.dot(a.T, b), x, dout, len(x))
    return [
        dx,
        nearly("dW", places.axes("input", "output"), x.dtype, dW),
        _bias_gradient(dout, "output"),
    ]


def relu(native: Any, x: Array) -> list[Expected]:
    return [exactly("y", places.any_shape, reference.relu(x))]


def relu_backward(native: Any, dout: Array, y: Array) -> list[Expected]:
    return [exactly("dx", places.any_shape, reference.relu_backward(dout, y))]


def _pieces(window: Window) -> int:
    """Into how many pieces Winograd's kernel cuts a filter, 0 where it leaves the window alone.

    csrc/kernels/winograd.hpp and winograd_weight.hpp decide.
    """
    dilated = (window.dilation_h, window.dilation_w) != (1, 1)
    if dilated or (window.filter_h <= window.stride_h and window.filter_w <= window.stride_w):
        return 0

    def along(taps: int, stride: int) -> int:
        return sum(-(-len(range(phase, taps, stride)) // 3) for phase in range(min(stride, taps)))

    return along(window.filter_h, window.stride_h) * along(window.filter_w, window.stride_w)


# Winograd's sums are of additions of pixels of a tile, times additions of a piece's taps. A tap
# meets pixels at most two strides from its own; a product appears up to four times. The kernels are
# for 16 filters and 100 products a sum, and for gradients of 24 filters and 4 channels (6 with
# AVX-512, a row of the micro-kernel's tile each), in float32.


def _box(images: Array, size: int, pad: Padding, step: tuple[int, int] = (1, 1)) -> Array:
    """Sums of every channel's pixels in a square of `size` by `size` of them, `step` apart."""
    channels = images.shape[1]
    return reference.conv2d(
        images, np.ones((channels, 1, size, size)), None, 1, pad, step, channels
    )


def _neighbours(x: Array, window: Window) -> Array:
    """Padded images with every pixel replaced by the sum of those up to two strides away."""
    stride, ((top, bottom), (left, right)), _ = window.arguments
    down, across = 2 * stride[0], 2 * stride[1]
    return _box(x, 5, ((top + down, bottom + down), (left + across, right + across)), stride)


def _convolved(x: Array, W: Array, bias: Array | None, window: Window, groups: int) -> Sum:
    def convolve(a: Array, b: Array) -> Array:
        return reference.conv2d(a, b, None, *window.arguments, groups)

    def mixed(a: Array, b: Array) -> Array:
        stride = window.arguments[0]
        return 4 * reference.conv2d(_neighbours(a, window), b, None, stride, groups=groups)

    pieces = _pieces(window) if len(W) // groups >= 16 and W[0].size >= 100 else 0
    way: tuple[int, Bilinear] | None = (W.shape[1] * pieces, mixed) if pieces else None
    along = bias[:, np.newaxis, np.newaxis] if bias is not None else None
    return products(convolve, x, W, W[0].size, along, way)


def _data_gradient(
    dout: Array, W: Array, shape: checks.Shape4, window: Window, groups: int
) -> Expected:
    filters = len(W) // groups
    unstrided = (window.stride_h, window.stride_w) == (1, 1)

    def gradient(a: Array, b: Array) -> Array:
        return reference.conv2d_backward_data(a, b, shape, *window.arguments, groups)

    def mixed(a: Array, b: Array) -> Array:
        wider = (*shape[:2], shape[2] + 4, shape[3] + 4)
        wide_dx = reference.conv2d_backward_data(_box(a, 5, 4), b, wider, *window.arguments, groups)
        return 4 * wide_dx[:, :, 2:-2, 2:-2]

    terms = filters * window.filter_h * window.filter_w
    pieces = _pieces(window) if unstrided and W.shape[1] >= 16 and terms >= 100 else 0
    way: tuple[int, Bilinear] | None = (filters * pieces, mixed) if pieces else None
    found = products(gradient, dout, W, terms, mixed=way)
    return nearly("dx", places.images, dout.dtype, found)


def _weight_gradients(
    x: Array, dout: Array, shape: tuple[int, ...], window: Window, groups: int
) -> list[Expected]:
    def gradient(a: Array, b: Array) -> Array:
        return reference.conv2d_backward_weight(a, b, shape, *window.arguments, groups)[0]

    def mixed(a: Array, b: Array) -> Array:
        stride = window.arguments[0]
        a, b = _neighbours(a, window), _box(b, 3, 1)
        return 4 * reference.conv2d_backward_weight(a, b, shape, stride, groups=groups)[0]

    many = shape[0] // groups >= 24 and shape[1] >= 4 and x.dtype == np.float32
    terms = dout[:, 0].size
    way: tuple[int, Bilinear] | None = (terms, mixed) if many and _pieces(window) else None
    dW = products(gradient, x, dout, terms, mixed=way, spreads=True)
    rows = np.moveaxis(dout, 1, -1).reshape(-1, dout.shape[1])
    return [nearly("dW", places.filters, x.dtype, dW), _bias_gradient(rows, "filter")]


def _bias_gradient(rows: Array, axis: str) -> Expected:
    """The sum of rows."""
    on_the_way = np.abs(np.cumsum(wide(rows), axis=0)).max(axis=0, initial=0)
    value, size = wide(rows).sum(axis=0), magnitudes(rows).sum(axis=0)
    found = rounded(rows.dtype, len(rows), value, size, on_the_way)
    return nearly("db", places.axes(axis), rows.dtype, found)
